/* session.h: one end of a session between a master and an agent (PROTOCOLS, section 4).
 *
 * A session is a resumable link, a mux on it, and the control stream, which is the first one
 * that the master opens. Carriers come and go; the session, its streams and what they hold
 * stay, until one side says Shutdown or the other end has forgotten it.
 *
 * Beside the link there may be QUIC. New streams take it while it answers; those that are open
 * stay where they are. When ssh goes the link is carried by a stream of QUIC, when UDP goes new
 * streams take the link, if ssh is there. A silent QUIC connection is kept, for what is open on
 * it: the master probes it from ever new ports, so that the path is found when it comes back. */
#ifndef SERVICE_SESSION_H
#define SERVICE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/message.h"
#include "core/mux.h"
#include "net/link.h"
#include "net/quic.h"

#define SESSION_SILENCE_MS 10000 /* after so long without a byte, a Ping */
#define SESSION_PINGS      3     /* so many unanswered: the carrier is given up */
#define SESSION_PEERS      8     /* addresses at which the agent is looked for */

enum session_side { SESSION_MASTER, SESSION_AGENT };
/* What new streams take: nothing works, a carrier that was given, QUIC. */
enum session_way { SESSION_DOWN, SESSION_SSH, SESSION_QUIC };

struct session;

/* Told from the loop; each of them may free the session. */
struct session_events {
    void (*up)(void *arg);                /* from SESSION_DOWN to another way */
    void (*down)(void *arg, int error);   /* to SESSION_DOWN; errno or 0 */
    void (*failed)(void *arg, int error); /* a carrier went that brought nothing; NULL is fine */
    void (*moved)(void *arg);             /* from SSH to QUIC, or back */
    void (*left)(void *arg);              /* the link left its carrier for QUIC */
    void (*over)(void *arg, int error);   /* nothing can follow: free it */
    void (*message)(void *arg, const struct message *); /* on the control stream; no Ping */
    void (*stream)(void *arg, struct stream *s);        /* the peer opened one: it is yours */
    void (*datagram)(void *arg, const uint8_t *data, size_t len);
};

struct session *session_new(struct loop *loop, enum session_side side,
                            const uint8_t id[static SESSION_LEN],
                            const struct session_events *events, void *arg);
/* Streams get ERROR, the carrier is closed. NULL is fine. */
void session_free(struct session *s);

/* Takes a carrier in place of the one before. `hello`: what link_greet() read from it. */
void session_carry(struct session *s, struct stream *carrier, const struct link_hello *hello);
/* The agent's: the master asked by Attach that the link goes on over `carrier`, a stream of the
 * QUIC connection in use, which it takes. False: it is none such. */
bool session_attach(struct session *s, struct stream *carrier);
/* Gives the carrier up, for QUIC where that works; else `down` is not told. */
void session_drop_carrier(struct session *s);

/* Takes a connection that is up. One before it ends, with what is open on it: a master makes a new
 * one only when it has lost the last, whatever the agent knows of that. */
void session_take_quic(struct session *s, struct mux *quic);
/* Whether there is one, silent or not. */
bool session_has_quic(const struct session *s);
/* The master's: the agent says that it has none. One that is silent ends, with what is open on it; one
 * that is not does so when it falls silent, unless it answers first: it was younger than that word. */
void session_quic_is_lost(struct session *s);
/* The master's: where else to look for the agent while its QUIC connection is silent. */
void session_set_peers(struct session *s, const struct quic_addr *peers, size_t n);
/* The master's: its addresses or routes may be others now. `woke`: what lies between may have
 * forgotten us too. */
void session_network_changed(struct session *s, bool woke);
/* Sends a datagram if QUIC is alive; 0, or -1 with errno: ENOTCONN, EMSGSIZE, EAGAIN. */
int session_datagram_send(struct session *s, const void *data, size_t len);
size_t session_datagram_max(const struct session *s); /* bytes; 0: none can be sent now */

/* Sends on the control stream; while there is no carrier it waits. Frees the draft. An agent
 * that has not heard from the master yet has nothing to send on: it is dropped. */
void session_send(struct session *s, struct draft *d);
/* A new stream for one request; NULL with errno. */
struct stream *session_open(struct session *s);
/* Asks the other end for a sign of life now: a dead path is then noticed within 3 s. */
void session_probe(struct session *s);

/* The other end has shown that it has the link: false as soon as ssh has gone, until the link
 * goes on over QUIC. */
bool session_is_sure(const struct session *s);
enum session_way session_way(const struct session *s);
const char *session_way_name(const struct session *s); /* "quic", else "ssh" */
bool session_is_up(const struct session *s);           /* another way than SESSION_DOWN */
uint64_t session_up_since_ms(const struct session *s); /* loop time of the session's start */
uint64_t session_rtt_us(const struct session *s);      /* 0: not known yet */
const uint8_t *session_id(const struct session *s);    /* SESSION_LEN bytes */

#endif
