/* mux.h: many streams over one connection: yamux over any stream, QUIC over UDP. */
#ifndef CORE_MUX_H
#define CORE_MUX_H

#include <stddef.h>

#include "core/stream.h"

struct mux;

/* What a mux tells its owner, from the loop. */
struct mux_events {
    void (*accepted)(void *arg, struct stream *s); /* the peer opened one; it is the owner's */
    void (*down)(void *arg, int error); /* 0: orderly (go-away, or the carrier's end). All
                                           streams got ERROR before. Then mux_free() it. */
};

struct mux_ops {
    struct stream *(*open)(struct mux *m);
    void (*go_away)(struct mux *m);
    size_t (*count)(const struct mux *m);
    void (*free)(struct mux *m);
};

struct mux {
    const struct mux_ops *ops;
    const struct mux_events *events;
    void *arg;
};

/* A new stream, at once usable; its SYN travels with its first bytes. NULL with errno
 * (ECONNABORTED after go-away, EMFILE when there are too many). */
static inline struct stream *mux_open(struct mux *m)
{
    return m->ops->open(m);
}

/* No new streams from either side; those that are open go on. */
static inline void mux_go_away(struct mux *m)
{
    m->ops->go_away(m);
}

/* Streams open now. */
static inline size_t mux_count(const struct mux *m)
{
    return m->ops->count(m);
}

/* Streams still open get ERROR (ECONNRESET). Safe inside callbacks. NULL is fine. */
static inline void mux_free(struct mux *m)
{
    if (m)
        m->ops->free(m);
}

#endif
