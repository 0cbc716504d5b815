/* opener.h: a local connection carried to the peer: one request on a stream of its own, then
 * the bytes of both joined. */
#ifndef SERVICE_OPENER_H
#define SERVICE_OPENER_H

#include "core/message.h"
#include "core/relay.h"
#include "core/stream.h"

struct opening {
    struct stream *local;      /* the connection that was accepted here */
    struct stream *remote;     /* a new stream to the peer */
    struct draft request;      /* Dial or Accepted; freed */
    struct relay_count *count; /* counts it as open from now on; outlives it */
    /* The answer, before anything is joined: 0, or the errno that the peer's Error stands
     * for. NULL: on an error the local connection is reset. Else on an error the callee
     * takes the local connection. What it writes comes before the peer's bytes. */
    void (*answered)(void *arg, struct stream *local, int error);
    void *arg;  /* outlives it too */
    bool early; /* what the local side sends need not wait for the answer */
};

/* All that one owner has under way, until their last bytes. Zeroed is ready. */
struct openers {
    struct opener *first;
};

/* Takes both streams. Ends by itself: an error on either side resets the other. */
void opener_start(struct openers *all, const struct opening *o);
/* Resets them all, without answered(): what they count on may go then. */
void openers_abort(struct openers *all);

#endif
