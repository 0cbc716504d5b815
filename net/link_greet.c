/* link_greet.c: whose carrier is this? Reads one Hello, then hands both over. */
#include <stdlib.h>

#include "core/mem.h"
#include "net/link_state.h"

#define GREET_MS 10000

struct greeting {
    struct stream *carrier;
    link_greet_fn *fn;
    void *arg;
    struct link_head head;
    struct loop_timer timer;
};

static struct stream *leave(struct greeting *g)
{
    loop_timer_del(&g->timer);
    loop_reap(g->carrier->loop, g, free);
    return g->carrier;
}

/* Without a Hello the carrier goes too. */
static void finish(struct greeting *g, const struct link_hello *hello)
{
    struct stream *c = leave(g);
    if (hello)
        stream_own(c, NULL, NULL);
    else
        stream_reset(c);
    g->fn(g->arg, hello ? c : NULL, hello);
}

static void read_hello(struct greeting *g)
{
    size_t len;
    const uint8_t *p;
    while ((p = stream_peek(g->carrier, &len)) != NULL) {
        enum link_head_kind kind = link_head_feed(&g->head, p, &len);
        stream_consume(g->carrier, len);
        if (kind == LINK_HEAD_MORE)
            continue;
        finish(g, kind == LINK_HEAD_HELLO ? &g->head.hello : NULL);
        return;
    }
}

static void carrier_event(void *arg, struct stream *s, enum stream_event event)
{
    struct greeting *g = arg;
    (void)s;
    switch (event) {
    case STREAM_DATA: read_hello(g); break;
    case STREAM_EOF:
    case STREAM_ERROR: finish(g, NULL); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void too_late(void *arg)
{
    finish(arg, NULL);
}

struct greeting *link_greet_within(struct stream *carrier, uint32_t limit_ms, link_greet_fn *fn,
                                   void *arg)
{
    struct greeting *g = xcalloc(1, sizeof(*g));
    g->carrier = carrier;
    g->fn = fn;
    g->arg = arg;
    loop_timer_init(carrier->loop, &g->timer, too_late, g);
    loop_timer_set(&g->timer, limit_ms);
    stream_own(carrier, carrier_event, g);
    return g;
}

struct greeting *link_greet(struct stream *carrier, link_greet_fn *fn, void *arg)
{
    return link_greet_within(carrier, GREET_MS, fn, arg);
}

struct greeting *link_refuse(struct stream *carrier, link_greet_fn *fn, void *arg)
{
    const struct link_hello not_known = {.received = 0};
    uint8_t bytes[LINK_HELLO_LEN];
    link_put_hello(bytes, &not_known);
    stream_write(carrier, bytes, sizeof(bytes));
    return link_greet(carrier, fn, arg);
}

void link_greet_cancel(struct greeting *g)
{
    stream_reset(leave(g));
}
