/* quic_queue.c: bytes written to a stream. */
#include "net/quic_queue.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define CHUNK_MIN 1024
#define CHUNK_MAX (16 * 1024 - 64) /* fits what the allocators keep together */
#define SPARES    256              /* chunks */

struct quic_chunk {
    struct quic_chunk *next;
    size_t len, cap;
    uint8_t data[];
};

/* Full-sized ones that were let go: the C library would give them back to the kernel, and they
 * would be faulted in again page by page, many thousand times a second. */
static struct quic_chunk *spares;
static size_t n_spares;

static struct quic_chunk *take_chunk(size_t cap)
{
    struct quic_chunk *c = cap == CHUNK_MAX ? spares : NULL;
    if (!c)
        return xmalloc(sizeof(*c) + cap);
    spares = c->next;
    n_spares--;
    return c;
}

static void let_go(struct quic_chunk *c)
{
    if (c->cap != CHUNK_MAX || n_spares == SPARES) {
        free(c);
        return;
    }
    c->next = spares;
    spares = c;
    n_spares++;
}

void quic_queue_trim(void)
{
    while (spares)
        free(take_chunk(CHUNK_MAX));
}

static void add_chunk(struct quic_queue *q, size_t len)
{
    size_t cap = len < CHUNK_MIN ? CHUNK_MIN : len > CHUNK_MAX ? CHUNK_MAX : len;
    struct quic_chunk *c = take_chunk(cap);
    c->next = NULL;
    c->len = 0;
    c->cap = cap;
    if (q->tail)
        q->tail->next = c;
    else
        q->head = c;
    q->tail = c;
}

void quic_queue_write(struct quic_queue *q, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len) {
        if (!q->tail || q->tail->len == q->tail->cap)
            add_chunk(q, len);
        struct quic_chunk *c = q->tail;
        size_t n = c->cap - c->len < len ? c->cap - c->len : len;
        if (!q->next) {
            q->next = c;
            q->next_off = c->len;
        }
        memcpy(c->data + c->len, p, n);
        c->len += n;
        q->unsent += n;
        p += n;
        len -= n;
    }
}

size_t quic_queue_unsent(const struct quic_queue *q, struct quic_span *spans, size_t n, size_t max)
{
    size_t used = 0, off = q->next_off;
    for (const struct quic_chunk *c = q->next; c && used < n && max; c = c->next, off = 0) {
        size_t len = c->len - off < max ? c->len - off : max;
        spans[used++] = (struct quic_span){c->data + off, len};
        max -= len;
    }
    return used;
}

void quic_queue_sent(struct quic_queue *q, size_t len)
{
    q->unsent -= len;
    q->unacked += len;
    while (len) {
        size_t n = q->next->len - q->next_off < len ? q->next->len - q->next_off : len;
        q->next_off += n;
        len -= n;
        if (q->next_off == q->next->len) {
            q->next = q->next->next;
            q->next_off = 0;
        }
    }
}

void quic_queue_acked(struct quic_queue *q, size_t len)
{
    q->unacked -= len;
    q->head_off += len;
    /* What is whole but not filled is let go too: an idle stream holds nothing. */
    while (q->head && q->head_off >= q->head->len) {
        struct quic_chunk *c = q->head;
        q->head_off -= c->len;
        q->head = c->next;
        if (!q->head)
            q->tail = NULL;
        let_go(c);
    }
}

void quic_queue_fini(struct quic_queue *q)
{
    for (struct quic_chunk *c = q->head, *next; c; c = next) {
        next = c->next;
        let_go(c);
    }
    *q = (struct quic_queue){0};
}
