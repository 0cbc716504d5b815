/* service.h: what any agent does for whoever may ask (PROTOCOLS, section 2).
 *
 * A stream that carries a request is handed to service_serve(): one request message, its
 * answer, the end. Who may ask was settled before the stream came here. */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "core/message.h"
#include "core/relay.h"
#include "core/stream.h"

/* One for each group of streams that begin and end together: a session, a connection. */
struct service {
    struct loop *loop;
    struct relay_count *count; /* where dialled connections are counted; may be NULL */
    struct request *requests;  /* being served */
};

void service_init(struct service *sv, struct loop *loop);
/* Ends what is being served: dials are forgotten, commands get SIGHUP then SIGKILL as a
 * group, temporary files are removed, streams are reset. */
void service_fini(struct service *sv);

/* Takes the stream. Answers Error and closes it when the request is not one of ours. */
void service_serve(struct service *sv, struct stream *s);

/* For the handlers: a request being served. Each handler embeds it first in its own state,
 * or keeps it as it is; it is unlinked and freed by request_end(). */
struct request {
    struct service *service;
    struct request *next, *prev;
    struct stream *stream;
    struct frame_reader frames;
    struct message message;
    void *state;                      /* the handler's own */
    void (*abort)(struct request *r); /* frees `state` when the request ends, if set */
};

/* A handler reads r->message, answers on r->stream, and sooner or later calls one of these. */
typedef void service_fn(struct request *r);
void request_end(struct request *r);  /* closes the stream after what was written */
void request_reset(struct request *r);
/* Error as the answer, then request_end(). */
void request_fail(struct request *r, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The stream is taken away (by a relay): frees the request without touching it. */
struct stream *request_detach(struct request *r);

/* The handlers, one file each. */
service_fn serve_ping, serve_dial, serve_exec, serve_exec_stream, serve_file_get, serve_file_put,
    serve_sync;

#endif
