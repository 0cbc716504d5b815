/* wire.c: two streams joined back to back in memory. */
#include "tests/unit/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct wire {
    struct stream s;
    struct wire *other; /* NULL: it is closed */
    struct buf out;
    struct loop_task move;
    size_t chunk, limit;
    bool full, fin;
};

static struct wire *wire_of(struct stream *s)
{
    return container_of(s, struct wire, s);
}

static size_t room(const struct stream *s)
{
    const struct wire *w = (const struct wire *)(const void *)s;
    return w->out.len < w->limit ? w->limit - w->out.len : 0;
}

static void leave(struct wire *w)
{
    if (w->other) {
        w->other->other = NULL;
        loop_task_post(&w->other->move);
    }
    w->other = NULL;
    loop_task_del(&w->move);
    buf_fini(&w->out);
    loop_reap(w->s.loop, w, free);
}

/* A copy of its own, so that who keeps the pointer for too long is found out. */
static void move_chunk(struct wire *w)
{
    size_t len = w->out.len < w->chunk ? w->out.len : w->chunk;
    uint8_t *copy = xmalloc(len);
    memcpy(copy, buf_front(&w->out), len);
    buf_consume(&w->out, len);
    stream_deliver(&w->other->s, copy, len);
    free(copy);
    if (w->full && room(&w->s)) {
        w->full = false;
        stream_deliver_drained(&w->s);
    }
}

static void move(void *arg)
{
    struct wire *w = arg;
    if (w->other && w->out.len && !stream_held(&w->other->s))
        move_chunk(w);
    if (w->out.len && w->other) {
        if (!stream_held(&w->other->s))
            loop_task_post(&w->move);
        return;
    }
    if (w->fin && w->other)
        stream_deliver_eof(&w->other->s);
    if (w->s.closed)
        leave(w);
}

static void put(struct stream *s, const struct iovec *iov, int n)
{
    struct wire *w = wire_of(s);
    for (int i = 0; i < n && w->other; i++)
        buf_append(&w->out, iov[i].iov_base, iov[i].iov_len);
    w->full |= !room(s);
    loop_task_post(&w->move);
}

static void consumed(struct stream *s, size_t len)
{
    struct wire *w = wire_of(s);
    (void)len;
    if (w->other && !stream_held(s))
        loop_task_post(&w->other->move);
}

static void end(struct stream *s)
{
    wire_of(s)->fin = true;
    loop_task_post(&wire_of(s)->move);
}

static void close_end(struct stream *s)
{
    stream_fini(s);
    end(s);
}

static void reset(struct stream *s)
{
    struct wire *w = wire_of(s);
    stream_fini(s);
    if (w->other)
        stream_deliver_error(&w->other->s, ECONNRESET);
    leave(w);
}

static const struct stream_ops ops = {
    .room = room,
    .writev = put,
    .consumed = consumed,
    .shutdown = end,
    .close = close_end,
    .reset = reset,
};

void wire_new(struct loop *loop, size_t chunk, size_t limit, struct stream *ends[2])
{
    struct wire *w[2] = {xcalloc(1, sizeof(*w[0])), xcalloc(1, sizeof(*w[1]))};
    for (int i = 0; i < 2; i++) {
        stream_init(&w[i]->s, &ops, loop);
        loop_task_init(loop, &w[i]->move, move, w[i]);
        w[i]->other = w[1 - i];
        w[i]->chunk = chunk;
        w[i]->limit = limit;
        ends[i] = &w[i]->s;
    }
}
