/* buf.h: a byte queue: append at the back, consume from the front.
 *
 * Invariants: the queued bytes are data[off .. off+len); off + len <= cap. An empty queue
 * holds no memory beyond BUF_KEEP, so that thousands of idle streams cost nothing.
 * A zeroed struct is an empty queue. */
#ifndef CORE_BUF_H
#define CORE_BUF_H

#include <stddef.h>
#include <stdint.h>

#define BUF_KEEP 4096 /* bytes of storage that an empty queue may keep */

struct buf {
    uint8_t *data;
    size_t off, len, cap;
};

void buf_fini(struct buf *b);
/* Large storage that was let go waits for the next queue that wants some; this frees it. To be
 * called every few seconds at most. */
void buf_trim(void);
void buf_append(struct buf *b, const void *src, size_t len);

/* Storage for at least `len` more bytes at the back, to be filled by the caller and then
 * counted in by buf_commit(). Valid until the next call on the same queue. */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);

/* The queued bytes: b->len of them, contiguous. */
static inline uint8_t *buf_front(const struct buf *b)
{
    return b->data ? b->data + b->off : NULL;
}

/* Drops `len` <= b->len bytes from the front. */
void buf_consume(struct buf *b, size_t len);

void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
