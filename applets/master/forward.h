/* forward.h: the master's forwards: -L, -R, -D, and the connections that come to them. */
#ifndef MASTER_FORWARD_H
#define MASTER_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/service/listing.h"
#include "applets/service/opener.h"
#include "applets/service/service.h"
#include "applets/service/udp_listener.h"
#include "core/message.h"
#include "net/forward_spec.h"
#include "net/sock.h"

struct master;

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
    bool by_agent;        /* asked for there, by --auto or `berth forward` */
    char *process;
    int64_t pid;
    struct listener *listener; /* -L and -D */
    struct udp_listener *udp;  /* -L udp: */
    struct relay_count count;
    struct meter meter;
};

/* What there is of them in a master. Zeroed but for the timer. */
struct forwards {
    struct forward *first;
    struct waiting *waiting; /* connections that wait for the session */
    struct socks *socks;     /* connections to -D that have not said where they want to go */
    struct openers openers;  /* connections that go through it */
    struct loop_timer meter;
    int64_t last_id;
    bool ready; /* they were up once */
};

/* --- forward.c: the table --------------------------------------------------------------------- */

void forward_init(struct master *m);
/* Ends what is open through them too. */
void forward_fini(struct master *m);
/* The new forward, listening here or asked for there. `error` is set when it cannot listen:
 * one line was logged, but for an automatic one; it stays in the table, to be told of. */
struct forward *forward_add(struct master *m, const struct forward_spec *spec, bool automatic);
/* Connections that are open through it go on. */
void forward_close(struct forward *f);
/* The same, because a person said so: it is remembered. */
void forward_close_by_hand(struct forward *f);
void forward_close_automatic(struct master *m); /* all of them */
struct forward *forward_by_id(struct master *m, int64_t id);
/* By the port that is listened on: a local one first; of TCP and UDP TCP's, unless `udp`. */
struct forward *forward_by_port(struct master *m, uint16_t port, bool udp);
const char *forward_state_name(const struct forward *f);

/* --- listen_there.c: -R, as the agent answers --------------------------------------------------- */

/* Asks the agent; FORWARD_WAITING until it answers. */
void forward_listen_there(struct forward *f);
void forward_unlisten_there(struct forward *f);
/* Begun anew at the agent: after a session's HelloAck. */
void forward_listen_all(struct master *m);
/* ListenAck, or Error with a forward's id. */
void forward_answered(struct master *m, const struct message *answer);
/* Once none is awaited any more: command_ready(). */
void forward_check_ready(struct master *m);

/* --- connect.c: the connections ------------------------------------------------------------------- */

listener_fn forward_connected; /* `arg` is the forward */
/* Opens `local` to a target, or lets it wait for the session. Takes the stream. */
void forward_open(struct forward *f, struct stream *local, const struct target *target);
/* The session flows: connections that waited are opened. */
void forward_flush(struct master *m);
/* Resets those that wait for the session on their way to `f`; NULL: all of them. */
void forward_drop_waiting(struct master *m, const struct forward *f);

/* --- udp_forward.c: -L udp: and -R udp: ------------------------------------------------------------ */

/* errno, 0: it listens. */
int forward_listen_udp(struct forward *f);
/* AcceptedUdp: a sender at the agent's port. */
service_fn forward_serve_udp;

/* --- socks.c: a connection to -D ------------------------------------------------------------------ */

void socks_accept(struct forward *f, struct stream *local);
/* The reply: connected (0), or why not, which also ends the connection. */
void socks_answer(struct stream *local, int error);
void socks_drop_all(struct master *m);

#endif
