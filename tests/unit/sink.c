/* sink.c: a stream that leads nowhere. */
#include "tests/unit/sink.h"

static size_t sink_room(const struct stream *s)
{
    (void)s;
    return SIZE_MAX;
}

static void sink_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct sink *k = (struct sink *)s;
    for (int i = 0; i < n; i++)
        buf_append(&k->out, iov[i].iov_base, iov[i].iov_len);
}

static void sink_consumed(struct stream *s, size_t len)
{
    (void)s;
    (void)len;
}

static void sink_end(struct stream *s)
{
    (void)s;
}

static const struct stream_ops sink_ops = {
    .room = sink_room,
    .writev = sink_writev,
    .consumed = sink_consumed,
    .shutdown = sink_end,
    .close = sink_end,
    .reset = sink_end,
};

void sink_init(struct sink *k)
{
    *k = (struct sink){0};
    stream_init(&k->s, &sink_ops, loop_new());
}

void sink_fini(struct sink *k)
{
    struct loop *loop = k->s.loop;
    stream_fini(&k->s);
    loop_free(loop);
    buf_fini(&k->out);
}
