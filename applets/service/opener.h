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
    struct relay_count *count; /* outlives the connection */
    /* The answer, before anything is joined: 0, or the errno that the peer's Error stands
     * for. NULL: on an error the local connection is reset. Else on an error the callee
     * takes the local connection. What it writes comes before the peer's bytes. */
    void (*answered)(void *arg, struct stream *local, int error);
    void *arg;
    bool early; /* what the local side sends need not wait for the answer */
};

/* Takes both streams. Ends by itself: an error on either side resets the other. */
void opener_start(const struct opening *o);

#endif
