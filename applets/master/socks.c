#include "net/socks5.h"

#include <stdlib.h>

#include "applets/master/master.h"
#include "core/mem.h"

#define SOCKS_MS 30000 /* for a client to say where it wants to go */

struct socks {
    struct socks *next, *prev;
    struct forward *forward;
    struct stream *local;
    struct socks5 engine;
    struct loop_timer patience;
};

/* The stream is whoever's it is from now on. */
static struct stream *forget(struct socks *k)
{
    loop_timer_del(&k->patience);
    if (k->next)
        k->next->prev = k->prev;
    *(k->prev ? &k->prev->next : &k->forward->master->forwards.socks) = k->next;
    k->forward->count.open--;
    loop_reap(k->local->loop, k, free);
    return k->local;
}

static void feed(struct socks *k)
{
    size_t len;
    const uint8_t *bytes = stream_peek(k->local, &len);
    stream_consume(k->local, socks5_feed(&k->engine, bytes, len));
    if (k->engine.reply_len)
        stream_write(k->local, k->engine.reply, k->engine.reply_len);
    k->engine.reply_len = 0;
    if (k->engine.state == SOCKS5_BROKEN) {
        stream_close(forget(k));
    } else if (k->engine.state == SOCKS5_DONE) {
        forward_open(k->forward, k->local, &k->engine.target);
        forget(k);
    }
}

static void on_local(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    switch (event) {
    case STREAM_DATA: feed(arg); break;
    case STREAM_EOF:
    case STREAM_ERROR: stream_close(forget(arg)); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void on_patience(void *arg)
{
    stream_reset(forget(arg));
}

void socks_accept(struct forward *f, struct stream *local)
{
    struct socks *k = xcalloc(1, sizeof *k), **first = &f->master->forwards.socks;
    k->forward = f;
    k->local = local;
    k->next = *first;
    if (k->next)
        k->next->prev = k;
    *first = k;
    f->count.open++;
    loop_timer_init(f->master->loop, &k->patience, on_patience, k);
    loop_timer_set(&k->patience, SOCKS_MS);
    stream_own(local, on_local, k);
}

void socks_drop_all(struct master *m)
{
    while (m->forwards.socks)
        stream_reset(forget(m->forwards.socks));
}

void socks_answer(struct stream *local, int error)
{
    uint8_t reply[10];
    socks5_result(reply, error);
    stream_write(local, reply, sizeof reply);
    if (error)
        stream_close(local);
}
