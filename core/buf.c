/* buf.c: a byte queue: append at the back, consume from the front.
 *
 * Queued bytes move only when as many were consumed since they last moved, or when the
 * storage grows, so a byte's way through the queue costs O(1) however it is cut up. */
#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define BUF_MIN 512 /* the smallest storage, bytes */

/* Large storage that was let go a moment ago is wanted again the next: it stays here, where
 * the C library would give it back to the kernel and fault it in again page by page. */
#define SPARES      8
#define SPARE_MIN   ((size_t)32 << 10) /* bytes; what is smaller comes from the heap anyway */
#define SPARE_LIMIT ((size_t)8 << 20)  /* bytes of all spares together */

static struct spare {
    uint8_t *data;
    size_t cap;
} spares[SPARES];
static size_t spare_bytes;

/* The smallest that is large enough, but not much too large. */
static uint8_t *take_spare(size_t need, size_t *cap)
{
    struct spare *best = NULL;
    for (struct spare *s = spares; s < spares + SPARES; s++)
        if (s->cap >= need && s->cap / 4 <= need && (!best || s->cap < best->cap))
            best = s;
    if (!best)
        return NULL;
    uint8_t *data = best->data;
    *cap = best->cap;
    spare_bytes -= best->cap;
    *best = (struct spare){0};
    return data;
}

static void let_go(uint8_t *data, size_t cap)
{
    for (struct spare *s = spares; cap >= SPARE_MIN && s < spares + SPARES; s++) {
        if (s->data || spare_bytes + cap > SPARE_LIMIT)
            continue;
        *s = (struct spare){data, cap};
        spare_bytes += cap;
        return;
    }
    free(data);
}

void buf_trim(void)
{
    for (struct spare *s = spares; s < spares + SPARES; s++) {
        free(s->data);
        *s = (struct spare){0};
    }
    spare_bytes = 0;
}

void buf_fini(struct buf *b)
{
    let_go(b->data, b->cap);
    *b = (struct buf){0};
}

static void grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap * 2 : BUF_MIN;
    while (cap < need)
        cap *= 2;
    uint8_t *data = take_spare(cap, &cap);
    if (!data)
        data = xmalloc(cap);
    if (b->data)
        memcpy(data, b->data + b->off, b->len);
    let_go(b->data, b->cap);
    b->data = data;
    b->cap = cap;
    b->off = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    if (len > SIZE_MAX / 4 - b->len)
        abort();
    if (b->cap - b->off - b->len < len || !b->data) {
        if (b->len + len <= b->cap && b->off >= b->len && b->data) {
            memmove(b->data, b->data + b->off, b->len);
            b->off = 0;
        } else {
            grow(b, b->len + len);
        }
    }
    return b->data + b->off + b->len;
}

void buf_commit(struct buf *b, size_t len)
{
    b->len += len;
}

void buf_append(struct buf *b, const void *src, size_t len)
{
    if (!len)
        return;
    memcpy(buf_reserve(b, len), src, len);
    b->len += len;
}

void buf_consume(struct buf *b, size_t len)
{
    b->off += len;
    b->len -= len;
    if (b->len)
        return;
    b->off = 0;
    if (b->cap > BUF_KEEP)
        buf_fini(b);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        abort();
    /* vsnprintf ends with a NUL, which is not counted in. */
    uint8_t *to = buf_reserve(b, (size_t)len + 1);
    vsnprintf((char *)to, (size_t)len + 1, fmt, again);
    va_end(again);
    buf_commit(b, (size_t)len);
}
