/* service.h: what any agent does for whoever may ask (PROTOCOLS, sections 2 and 5).
 *
 * A stream that carries a request is handed to service_serve(): one request message, its
 * answer, the end. Who may ask was settled before the stream came here. A service may also
 * take one request after the other from a stream (`repeated`): what came early waits for its
 * turn, and those that use the stream beyond their message (Dial, ExecStream, FileGet,
 * FilePut) are the last on it.
 *
 * An opener that has sent its request keeps its own side open until it has read the end of
 * the answer: the end of its side is how a running command learns that nobody waits for it.
 * Only Dial, whose connection may be half-closed, and the requests that take no time are
 * indifferent to it. */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "applets/service/policy.h"
#include "core/relay.h"
#include "core/stream.h"
#include "net/target.h"

#define SERVICE_ARRIVAL_MS 30000 /* for a request to arrive whole, the next one too */
#define SERVICE_LINGER_MS  30000 /* for an opener to end its side after the answer's end */

struct request;
struct workload;
/* A handler reads the request's message, answers on its stream, and sooner or later ends it. */
typedef void service_fn(struct request *r);

/* What may be asked, and who serves it. A table ends with MSG_COUNT. */
struct service_row {
    enum message_type type;
    service_fn *serve;
};

/* All that any agent does, for tables that have more than that; and a table of just that. */
#define SERVICE_ROWS                                                                               \
    {MSG_PING, serve_ping}, {MSG_DIAL, serve_dial}, {MSG_EXEC, serve_exec},                        \
        {MSG_EXEC_STREAM, serve_exec_stream}, {MSG_SET_ENV, serve_set_env},                        \
        {MSG_EXEC_BACKGROUND, serve_exec_background}, {MSG_EXEC_POLL, serve_exec_poll},            \
        {MSG_EXEC_KILL, serve_exec_kill}, {MSG_FILE_GET, serve_file_get},                          \
        {MSG_FILE_PUT, serve_file_put}, {MSG_LIST_DIR, serve_list_dir},                            \
        {MSG_EDIT_FILE, serve_edit_file}, {MSG_FILE_WRITE, serve_file_write},                      \
        {MSG_FILE_UPLOAD, serve_file_upload}, {MSG_FILE_READ, serve_file_read},                    \
        {MSG_FILE_DOWNLOAD, serve_file_download},                                                  \
    {                                                                                              \
        MSG_SYNC, serve_sync                                                                       \
    }
extern const struct service_row service_all[];

/* One for each group of streams that begin and end together: a session, a connection. */
struct service {
    struct loop *loop;
    const struct service_row *rows; /* init says service_all */
    void *owner;                    /* for the handlers of other tables, and `over` */
    loop_fn *over;                  /* told of each stream that is done with; may be NULL */
    bool repeated;                  /* one request after the other on a stream */
    uint32_t stall_ms;              /* of stream_limit_stall(), but for Dial and ExecStream */
    uint32_t frame_limit;           /* bytes a message, both ways; init says FRAME_LIMIT */
    const char *version;            /* what Pong says: a static text; init leaves it "" */
    uint64_t started_ms;            /* loop time that Pong's uptime counts from; init says now */
    struct workload *workload;      /* of the agent: needed where commands may be run */
    struct relay_count *count;      /* where dialled connections are counted; may be NULL */
    const struct service_policy *policy; /* what may be asked; init says NULL: all of `rows` */
    struct request *requests;            /* being served, dialled connections among them */
};

void service_init(struct service *sv, struct loop *loop);
/* Ends what is being served: dials are forgotten, dialled connections reset, commands get
 * SIGHUP then SIGKILL as a group, temporary files are removed, streams are reset. What the
 * loop still has to do for them (that SIGKILL, collecting exits) needs the loop alone. */
void service_fini(struct service *sv);

/* Takes the stream. Answers Error and ends it when the request is not one of ours. */
void service_serve(struct service *sv, struct stream *s);

/* For the handlers: a request being served. It is unlinked and freed by what ends it; the
 * memory stays valid till the loop's turn ends. */
struct request {
    struct service *service;
    struct request *next, *prev;
    struct stream *stream;
    bool last;  /* nothing follows it on its stream */
    bool again; /* another one came before it */
    struct frame_reader frames;
    struct message message;
    struct loop_timer timer;          /* the limits above */
    void *state;                      /* the handler's own */
    void (*abort)(struct request *r); /* frees `state` when the request ends, if set */
};

/* How a handler ends its request: one of the three below. Until it calls stream_own() for
 * itself, what else arrives is request_drop_input()'s, the opener's end of file means nothing,
 * and its reset is request_reset(). */
/* Frees `state`. After the last request the opener reads what was written, then the end; the
 * stream is closed when the opener has ended its side too, so that no byte of it in flight
 * destroys the answer. After another the next one is waited for, once what was written has
 * gone out. */
void request_end(struct request *r);
void request_reset(struct request *r);
/* Error as the answer, then request_end(). */
void request_fail(struct request *r, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Gives the stream away (to a relay). The request stays on the list without stream and
 * message, for service_fini() to find, until request_end(). */
struct stream *request_detach(struct request *r);
/* Sends a message as large as the service's limit. Frees the draft. */
void request_answer(struct request *r, struct draft *d);
/* Consumes what waits on the opener's stream, unless that may be the next request. */
void request_drop_input(struct request *r);

/* Dials for a request: Ok and the joined bytes, or Error. `count` may be NULL. */
void service_dial(struct request *r, const struct target *target, struct relay_count *count);

/* The handlers, one file each but Ping. */
service_fn serve_ping, serve_dial, serve_exec, serve_exec_stream, serve_file_get, serve_file_put,
    serve_list_dir, serve_edit_file, serve_file_write, serve_file_upload, serve_file_read,
    serve_file_download, serve_sync, serve_set_env, serve_exec_background, serve_exec_poll,
    serve_exec_kill, serve_team_message, serve_poll_daemon_results;

#endif
