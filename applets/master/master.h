/* master.h: the master's own: one session with one host, and the forwards through it. */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/master/options.h"
#include "applets/service/control.h"
#include "applets/service/listing.h"
#include "applets/service/service.h"
#include "applets/service/session.h"
#include "core/proc.h"
#include "net/netwatch.h"
#include "net/sock.h"
#include "net/ssh.h"

enum master_state {
    MASTER_CONNECTING, /* an ssh connection is being made */
    MASTER_UP,         /* the session flows */
    MASTER_WAITING,    /* for the time, or the event, of the next try */
    MASTER_STOPPING,   /* Shutdown was said; the other end's goodbye is awaited */
    MASTER_STATES
};

struct master {
    struct loop *loop;
    struct options *options;
    enum master_state state;
    int exit_status;

    /* connection.c */
    struct ssh *ssh;
    struct session *session;
    struct netwatch *watch;
    struct loop_timer retry, limit;
    uint64_t backoff_ms, carried_ms, tried_ms;
    bool was_up;      /* the first connection has succeeded */
    bool greeted;     /* this session's HelloAck has come */
    bool told_reason; /* of the present outage */
    char *takeover;   /* hex of a dead session whose ports are ours now; NULL: none */
    char *from, *to;  /* addresses, as the agent sees them */

    /* forward.c */
    struct forward *forwards;
    struct waiting *waiting; /* local connections that wait for the session */
    int64_t last_id;
    unsigned unanswered; /* Listens */
    struct loop_timer meter;
    bool ready; /* the forwards were up once */

    struct service service;  /* what the agent may ask: remote.c */
    struct control *control; /* what this user may ask here: local.c */
    char *control_path;
    struct loop_child command; /* command.c */
    bool commanding;
    int ready_fd;     /* the parent of -d waits on it; -1: none */
    uint16_t *closed; /* ports closed by hand, not for --auto to open: remember.c */
    size_t n_closed;
};

/* --- connection.c: ssh and the session on it -------------------------------------------------- */

void connection_start(struct master *m);
/* Orderly: listeners closed, Shutdown said; the loop ends within 1 s. */
void connection_stop(struct master *m, int exit_status);
void connection_fini(struct master *m);

/* --- forward.c: -L, -R, -D --------------------------------------------------------------------- */

enum forward_state {
    FORWARD_WAITING, /* -R: the agent has not answered */
    FORWARD_OK,
    FORWARD_REFUSED, /* the last connection was refused at its target */
    FORWARD_IN_USE,  /* the port is somebody else's */
    FORWARD_FAILED,  /* cannot be listened on for another reason */
    FORWARD_STATES
};

struct forward {
    struct master *master;
    struct forward *next;
    int64_t id;
    struct forward_spec spec;  /* bind port as it really is, once it listens */
    struct forward_spec asked; /* as it was asked for */
    enum forward_state state;
    int error;            /* errno of listening here */
    bool automatic, gone; /* gone: kept while connections count on it */
    char *process;
    int64_t pid;
    struct listener *listener; /* -L and -D */
    struct relay_count count;
    struct meter meter;
};

void forward_init(struct master *m);
/* The new forward, listening here or asked for there. `error` is set when it cannot listen:
 * one line was logged, but for an automatic one; it stays in the table, to be told of. */
struct forward *forward_add(struct master *m, const struct forward_spec *spec, bool automatic);
void forward_close(struct forward *f);
/* Begun anew at the agent: after a session's HelloAck. */
void forward_listen_all(struct master *m);
/* ListenAck, or Error with a forward's id. */
void forward_answered(struct master *m, const struct message *answer);
struct forward *forward_by_id(struct master *m, int64_t id);
/* By the port that is listened on: a local one first. */
struct forward *forward_by_port(struct master *m, uint16_t port);
const char *forward_state_name(const struct forward *f);
/* The session flows: connections that waited are opened. */
void forward_flush(struct master *m);
void forward_metered(struct master *m); /* a connection has come: rates are measured */
void forward_fini(struct master *m);
void forward_opened(void *forward, struct stream *local, int error); /* opener's answered() */
/* Opens `local` to a target, or lets it wait for the session. Takes the stream. */
void forward_open(struct forward *f, struct stream *local, const struct target *target);

/* --- socks.c: a connection to -D ----------------------------------------------------------------- */

void socks_accept(struct forward *f, struct stream *local);
/* The reply: connected (0), or why not, which also ends the connection. */
void socks_answer(struct stream *local, int error);

/* --- remote.c: what the agent asks ----------------------------------------------------------------- */

extern const struct service_row remote_rows[];
void remote_forward_request(struct master *m, const struct message *request);
void remote_close_request(struct master *m, const struct message *request);

/* --- local.c: the control socket, for list, stop, forward and close ------------------------------------ */

void local_start(struct master *m);
struct draft local_listing(struct master *m);

/* --- remember.c: ~/.config/berth/forwards.json ------------------------------------------------------------ */

/* Adds what was remembered for this host, and takes a dead session over. */
void remember_restore(struct master *m);
void remember_save(struct master *m);
void remember_closed(struct master *m, uint16_t port);
void remember_opened(struct master *m, uint16_t port); /* by hand, again */
bool remember_is_closed(const struct master *m, uint16_t port);

/* --- command.c: the wrapped command ------------------------------------------------------------------------ */

/* The forwards are up: runs the command, goes to the background, or says so. */
void command_ready(struct master *m);

/* --- progress.c ------------------------------------------------------------------------------------------------ */

/* A bar on standard error, if that is a terminal; ends its line at sent == total. */
void progress_show(const char *host, uint64_t sent, uint64_t total);

#endif
