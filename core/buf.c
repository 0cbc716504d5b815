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

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

static void grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap * 2 : BUF_MIN;
    while (cap < need)
        cap *= 2;
    uint8_t *data = xmalloc(cap);
    if (b->len)
        memcpy(data, b->data + b->off, b->len);
    free(b->data);
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
