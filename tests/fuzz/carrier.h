/* carrier.h: a stream in memory whose other end is the fuzzer's input: what is written is kept in `out`,
 * what comes and how much room there is the input says. One a process. */
#ifndef TESTS_FUZZ_CARRIER_H
#define TESTS_FUZZ_CARRIER_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/key.h"
#include "core/mem.h"
#include "core/stream.h"

struct carrier {
    struct stream s;
    struct buf out;
    size_t room;
    bool full; /* somebody was told so */
};

/* What is left of the input. */
struct input {
    const uint8_t *at;
    size_t left;
};

static struct loop *loop;
static struct carrier carrier;

static void require(bool ok)
{
    if (!ok)
        abort();
}

static size_t carrier_room(const struct stream *s)
{
    struct carrier *c = container_of((struct stream *)(uintptr_t)s, struct carrier, s);
    c->full |= !c->room;
    return c->room;
}

static void carrier_put(struct stream *s, const struct iovec *iov, int n)
{
    struct carrier *c = container_of(s, struct carrier, s);
    for (int i = 0; i < n; i++)
        buf_append(&c->out, iov[i].iov_base, iov[i].iov_len);
    require(c->out.len < (size_t)16 * 1024 * 1024);
}

static void carrier_consumed(struct stream *s, size_t len)
{
    (void)s, (void)len;
}

static void carrier_shut(struct stream *s)
{
    (void)s;
}

static const struct stream_ops carrier_ops = {
    .room = carrier_room,
    .writev = carrier_put,
    .consumed = carrier_consumed,
    .shutdown = carrier_shut,
    .close = stream_fini,
    .reset = stream_fini,
};

static struct stream *carrier_begin(void)
{
    if (!loop) {
        key_init();
        loop = loop_new();
    }
    carrier = (struct carrier){.room = 65536};
    stream_init(&carrier.s, &carrier_ops, loop);
    return &carrier.s;
}

/* All that was closed has gone when it returns. */
static void carrier_end(void)
{
    for (int i = 0; i < 4; i++)
        loop_turn(loop, 0);
    buf_fini(&carrier.out);
}

static uint8_t next(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->at++;
}

/* A copy of its own, so that who keeps the pointer for too long is found out. */
static void carrier_deliver(struct input *in, size_t len)
{
    len = len < in->left ? len : in->left;
    uint8_t *copy = memcpy(xmalloc(len + 1), in->at, len);
    in->at += len;
    in->left -= len;
    stream_deliver(&carrier.s, copy, len);
    free(copy);
}

static void carrier_set_room(size_t room)
{
    carrier.room = room;
    if (room && carrier.full)
        stream_deliver_drained(&carrier.s);
    carrier.full = false;
}

#endif
