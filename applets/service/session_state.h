/* session_state.h: what the files of the session share. Nobody else includes it.
 *
 * session.c      the link, the control stream, and what the owner sees
 * session_quic.c the QUIC connection beside the link */
#ifndef SERVICE_SESSION_STATE_H
#define SERVICE_SESSION_STATE_H

#include "applets/service/session.h"

/* The QUIC connection. */
struct session_quic {
    struct session *session;
    struct mux *mux;
    bool alive;              /* it answers */
    uint64_t silent_ms;      /* loop time since when it does not answer */
    bool disowned;           /* the agent says that it has none, and it has not answered since */
    unsigned hops;           /* since then */
    struct quic_addr peer;   /* where it answered last */
    struct quic_addr source; /* our own address on the way there */
    struct loop_timer pulse;
};

struct session {
    struct loop *loop;
    enum session_side side;
    uint8_t id[SESSION_LEN];
    const struct session_events *events;
    void *arg;
    enum session_way way; /* as the owner knows it */
    struct link *link;
    struct mux *mux;
    bool link_on_quic;         /* the link's carrier is a stream of: */
    struct session_quic *quic; /* NULL: there is none */
    struct quic_addr peers[SESSION_PEERS];
    size_t n_peers;
    struct stream *control; /* the agent's is NULL until the master's has arrived */
    struct frame_reader frames;
    struct loop_timer silence;
    uint64_t began_ms;
    uint64_t ping, ping_us, rtt_us; /* number of the last Ping, and when it was sent */
    unsigned unanswered;
    bool over, freed;
};

/* --- session.c ------------------------------------------------------------------------------ */

/* Tells the owner when the way has changed; `error` is why, should there be none. May free. */
void session_reconsider(struct session *s, int error);
/* The master's: the link goes on over QUIC, if that is alive. False: it is not. */
bool session_carry_by_quic(struct session *s);

/* --- session_quic.c --------------------------------------------------------------------------- */

/* The connection, if it is alive; else NULL. */
struct session_quic *session_quic_alive(const struct session *s);
void session_quic_probe(struct session_quic *q);
/* It is silent as far as is known, until it answers. May free the session. */
void session_quic_doubt(struct session_quic *q);
/* What is due next is another than it was: its timer follows. */
void session_quic_watch(struct session_quic *q);
void session_quic_free(struct session *s);

#endif
