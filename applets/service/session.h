/* session.h: one end of a session between a master and an agent (PROTOCOLS, section 4).
 *
 * A session is a resumable link, a mux on it, and the control stream, which is the first one
 * that the master opens. Carriers come and go; the session, its streams and what they hold
 * stay, until one side says Shutdown or the other end has forgotten it. */
#ifndef SERVICE_SESSION_H
#define SERVICE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/message.h"
#include "core/mux.h"
#include "net/link.h"

#define SESSION_SILENCE_MS 10000 /* after so long without a byte, a Ping */
#define SESSION_PINGS      3     /* so many unanswered: the carrier is given up */

enum session_side { SESSION_MASTER, SESSION_AGENT };

struct session;

/* Told from the loop; each of them may free the session. */
struct session_events {
    void (*up)(void *arg);                              /* a carrier works */
    void (*down)(void *arg, int error);                 /* it does not any more; errno or 0 */
    void (*over)(void *arg, int error);                 /* nothing can follow: free it */
    void (*message)(void *arg, const struct message *); /* on the control stream; no Ping */
    void (*stream)(void *arg, struct stream *s);        /* the peer opened one: it is yours */
};

struct session *session_new(struct loop *loop, enum session_side side,
                            const uint8_t id[static SESSION_LEN],
                            const struct session_events *events, void *arg);
/* Streams get ERROR, the carrier is closed. NULL is fine. */
void session_free(struct session *s);

/* Takes a carrier in place of the one before. `hello`: what link_greet() read from it. */
void session_carry(struct session *s, struct stream *carrier, const struct link_hello *hello);
/* Gives the carrier up; `down` is not told. */
void session_drop_carrier(struct session *s);

/* Sends on the control stream; while there is no carrier it waits. Frees the draft. An agent
 * that has not heard from the master yet has nothing to send on: it is dropped. */
void session_send(struct session *s, struct draft *d);
/* A new stream for one request; NULL with errno. */
struct stream *session_open(struct session *s);
/* Asks the other end for a sign of life now: a dead path is then noticed within 3 s. */
void session_probe(struct session *s);

bool session_is_up(const struct session *s);
uint64_t session_up_since_ms(const struct session *s); /* loop time of the session's start */
uint64_t session_rtt_us(const struct session *s);      /* 0: not known yet */
const uint8_t *session_id(const struct session *s);    /* SESSION_LEN bytes */

#endif
