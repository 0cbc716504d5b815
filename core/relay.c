/* relay.c: joins two streams, each one's bytes becoming the other's. */
#include "core/relay.h"

#include <stdlib.h>

#include "core/mem.h"

struct half {
    struct relay *r;
    struct stream *s;
    struct half *other;
    uint64_t *bytes; /* where what comes from this side is counted */
    bool done;       /* this side ended and the other was shut */
};

struct relay {
    struct half a, b;
    struct relay_count *count, uncounted;
    struct loop_task start;
    relay_fn *fn;
    void *arg;
    bool over;
};

/* True the first time. The streams are the caller's to end. */
static bool leave(struct relay *r)
{
    if (r->over)
        return false;
    r->over = true;
    r->count->open--;
    loop_task_del(&r->start);
    loop_reap(r->start.loop, r, free);
    return true;
}

static void end(struct relay *r, int error)
{
    if (leave(r) && r->fn)
        r->fn(r->arg, error);
}

static void pass_end(struct half *h)
{
    struct relay *r = h->r;
    h->done = true;
    if (!h->other->done) {
        stream_shutdown(h->other->s);
        return;
    }
    stream_close(r->a.s);
    stream_close(r->b.s);
    end(r, 0);
}

static void pump(struct half *h)
{
    const uint8_t *data;
    size_t len, room;
    while ((data = stream_peek(h->s, &len)) && (room = stream_room(h->other->s)) > 0) {
        if (len > room)
            len = room;
        stream_write(h->other->s, data, len);
        *h->bytes += len;
        stream_consume(h->s, len);
    }
    if (stream_ended(h->s) && !h->done)
        pass_end(h);
    else
        stream_want(h->s, stream_room(h->other->s));
}

static void fail(struct half *h)
{
    int error = stream_error(h->s);
    /* What came before a proper end still arrives, though the way back is broken. */
    if (h->done)
        stream_close(h->other->s);
    else
        stream_reset(h->other->s);
    stream_close(h->s);
    end(h->r, error);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    struct half *h = arg;
    (void)s;
    switch (event) {
    case STREAM_OPEN: break;
    case STREAM_DATA:
    case STREAM_EOF: pump(h); break;
    case STREAM_DRAINED: pump(h->other); break;
    case STREAM_ERROR: fail(h); break;
    }
}

/* For the ends that were told to an earlier owner. */
static void start(void *arg)
{
    struct relay *r = arg;
    pump(&r->a);
    if (!r->over)
        pump(&r->b);
}

struct relay *relay_new(struct stream *a, struct stream *b, struct relay_count *count)
{
    struct relay *r = xcalloc(1, sizeof(*r));
    r->count = count ? count : &r->uncounted;
    r->count->open++;
    r->a = (struct half){.r = r, .s = a, .other = &r->b, .bytes = &r->count->up_bytes};
    r->b = (struct half){.r = r, .s = b, .other = &r->a, .bytes = &r->count->down_bytes};
    stream_own(a, on_event, &r->a);
    stream_own(b, on_event, &r->b);
    loop_task_init(a->loop, &r->start, start, r);
    loop_task_post(&r->start);
    return r;
}

void relay_on_end(struct relay *r, relay_fn *fn, void *arg)
{
    r->fn = fn;
    r->arg = arg;
}

void relay_abort(struct relay *r)
{
    if (!leave(r))
        return;
    stream_reset(r->a.s);
    stream_reset(r->b.s);
}
