/* link.h: a byte stream that outlives the connections which carry it (PROTOCOLS, section 3).
 *
 * Each end numbers the bytes it sends and keeps those that are not acknowledged: at most
 * LINK_KEEP, then its room is 0. On a new carrier both ends say how far they got (Hello), and
 * replay the rest. To its owner a link is one stream that now and then pauses. */
#ifndef NET_LINK_H
#define NET_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/key.h"
#include "core/stream.h"

#define LINK_KEEP     (4u * 1024 * 1024) /* unacknowledged bytes held for replay */
#define LINK_DATA_MAX (64u * 1024)       /* bytes in one Data frame */
#define LINK_STALL_MS 3000               /* silence that ends a carrier while data waits */

struct link_hello {
    uint8_t session[SESSION_LEN]; /* all zero in an answer: that session is not known here */
    uint64_t received;            /* bytes of the link's stream that arrived so far */
};

enum link_event {
    LINK_UP,   /* the carrier's other end has answered: the stream flows again */
    LINK_DOWN, /* the carrier is gone; link_error() says why. Attach another one */
    LINK_LOST  /* the other end does not know the session, or cannot replay: this link is
                  over. Its stream got ERROR (ECONNRESET) */
};

struct link;
struct greeting;
typedef void link_fn(void *arg, struct link *l, enum link_event event);

struct link *link_new(struct loop *loop, const uint8_t session[static SESSION_LEN], link_fn *fn,
                      void *arg);
/* Closes the carrier and ends the link. The stream of a link that still has its owner gets
 * ERROR (ECONNRESET). Safe in callbacks. NULL is fine. */
void link_free(struct link *l);
/* The stream, for the mux. The link owns the memory: stream_close() only lets go of it, and
 * what was written before is still sent while the link lives. There is no half-close:
 * stream_shutdown() only drops later writes. Room follows the pace of the acks (link_pace.h):
 * an echo does not wait behind megabytes of another stream. */
struct stream *link_stream(struct link *l);

/* Takes a carrier, dropping the one before without LINK_DOWN. `peer`: the Hello that was
 * already read from it (by link_greet), or NULL to await it here, 15 s at most. Never calls
 * back before it returned. A link that was lost just closes it. */
void link_attach(struct link *l, struct stream *carrier, const struct link_hello *peer);
/* Gives the carrier up, as if it had broken, without LINK_DOWN. */
void link_detach(struct link *l);
/* Inside LINK_LOST only: when the other end did not know the session (link_refuse), the
 * carrier, on which it awaits a Hello for another one; the caller's from then on. Else NULL. */
struct stream *link_take_carrier(struct link *l);

bool link_is_up(const struct link *l);
bool link_is_greeting(const struct link *l); /* a carrier is there; its Hello is awaited */
/* Why it went down: errno; 0: closed. ETIMEDOUT: silence, EPROTO: not what a link says. */
int link_error(const struct link *l);
uint64_t link_silence_ms(const struct link *l); /* since anything came; while up, else 0 */
bool link_waiting(const struct link *l);        /* bytes are sent and not acknowledged */
/* Smoothed, from this carrier's acks, which come up to 25 ms late when little is sent; 0: not
 * known yet. */
uint64_t link_rtt_us(const struct link *l);

/* For the end that does not know which session a carrier is for. Reads its Hello, then
 * hands both over: the callee attaches the carrier, or calls link_refuse(). NULL hello: not
 * a Hello, or the carrier broke, or 10 s have passed; the carrier is closed already, and
 * NULL too. */
typedef void link_greet_fn(void *arg, struct stream *carrier, const struct link_hello *hello);
struct greeting *link_greet(struct stream *carrier, link_greet_fn *fn, void *arg);
/* Answers "not known here" and goes on greeting: the other end may say Hello for a new one. */
struct greeting *link_refuse(struct stream *carrier, link_greet_fn *fn, void *arg);
/* Closes the carrier; no callback. Not to be called after the callback. */
void link_greet_cancel(struct greeting *g);

#endif
