/* relay.h: joins two streams, each one's bytes becoming the other's.
 *
 * End of file in is end of file out; an error in is a reset out; back-pressure passes
 * through. The relay owns both streams and frees itself when both directions have ended. */
#ifndef CORE_RELAY_H
#define CORE_RELAY_H

#include <stdint.h>

#include "core/stream.h"

/* What has passed; the caller's memory, which must outlive the relay. */
struct relay_count {
    uint64_t up_bytes;   /* a to b */
    uint64_t down_bytes; /* b to a */
    unsigned open;       /* relays that count here and have not ended */
};

struct relay;

/* Takes both streams, in whatever state they are: unread bytes are passed on, an end that
 * was already reached is passed on. `count` may be NULL. */
struct relay *relay_new(struct stream *a, struct stream *b, struct relay_count *count);
/* Tells when it ended, once, from the loop; `error` is 0 or why it was reset. */
typedef void relay_fn(void *arg, int error);
void relay_on_end(struct relay *r, relay_fn *fn, void *arg);
/* Resets both streams and frees the relay; on_end is not called. */
void relay_abort(struct relay *r);

#endif
