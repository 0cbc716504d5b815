/* tail.h: the last that a terminal has said, for who comes late. */
#ifndef BROKER_TAIL_H
#define BROKER_TAIL_H

#include <stdbool.h>

#include "core/buf.h"

#define TAIL_MAX ((size_t)64 << 10) /* bytes */

/* Zeroed is empty, and takes no memory. */
struct tail {
    uint8_t *data; /* [TAIL_MAX], round and round */
    size_t at;     /* where the next byte goes */
    size_t len;
    bool cut; /* more was said than is here */
};

void tail_fini(struct tail *t);
void tail_put(struct tail *t, const void *data, size_t len);
/* Appends it, in order. What was cut begins behind a line's end, or with an escape sequence, or at least
 * with a whole character of UTF-8, where that is not far. */
void tail_read(const struct tail *t, struct buf *to);

#endif
