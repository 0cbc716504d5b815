/* connection.h: what the files of the connection share. Nobody else includes it.
 *
 * connection.c   one state, and what each event means in it
 * retry.c        ssh connections: one, and after a while the next
 * conversation.c the session on them: its Hello, and what the agent says */
#ifndef MASTER_CONNECTION_H
#define MASTER_CONNECTION_H

#include "applets/master/master.h"

enum connection_event {
    EVENT_UP,       /* the session: it flows */
    EVENT_DOWN,     /* the session: nothing works any more */
    EVENT_MOVED,    /* the session: from ssh to QUIC, or back */
    EVENT_LEFT,     /* the session: ssh does not carry it any more, QUIC does */
    EVENT_OVER,     /* the session: nothing can follow in it */
    EVENT_SSH_DOWN, /* `why` is ssh's reason */
    EVENT_LATE,     /* a try, a reason or a goodbye took too long */
    EVENT_CHANGED,  /* the network */
    EVENT_WOKE,     /* the machine */
    EVENT_STOP,
    CONNECTION_EVENTS
};

/* --- connection.c --------------------------------------------------------------------------- */

/* `why` may be NULL. */
void connection_happen(struct master *m, enum connection_event event, const char *why);
void connection_enter(struct master *m, enum master_state state);
void connection_free_ssh(struct master *m);
void connection_drop_carrier(struct master *m); /* that, and its time limit */

/* --- retry.c -------------------------------------------------------------------------------- */

void retry_init(struct master *m);
void retry_start_ssh(struct master *m);
/* It was not for nothing: the next wait is a short one again. */
void retry_soon(struct master *m);
/* After a while, twice as long each time. */
void retry_later(struct master *m);
void retry_now(struct master *m, const char *why);
/* The network is another one: what was tried on the old one tells nothing. */
void retry_at_once(struct master *m, const char *why);
/* Changes may come in numbers, faster than ssh connects. */
void retry_if_stale(struct master *m, const char *why);

/* --- conversation.c --------------------------------------------------------------------------- */

/* A new session, with its Hello under way. */
void conversation_begin(struct master *m);

#endif
