/* stream.c: what every kind of stream has in common.
 *
 * An event is told either straight from a kind's loop callback (DATA, EOF) or by the notify
 * task, which looks at what is due when it runs. So an event that lost its point meanwhile
 * is not told, and one that finds no owner waits for stream_own(). */
#include "core/stream.h"

static bool gone(const struct stream *s)
{
    return s->closed || s->error;
}

/* False when nothing more may be told in this run. */
static bool tell(struct stream *s, enum stream_event event)
{
    s->fn(s->arg, s, event);
    return !gone(s) && s->fn;
}

static bool tell_open(struct stream *s)
{
    if (!s->opened)
        return true;
    s->opened = false;
    return tell(s, STREAM_OPEN);
}

static bool tell_data(struct stream *s)
{
    s->data_due = false;
    return !stream_held(s) || tell(s, STREAM_DATA);
}

static bool tell_drained(struct stream *s)
{
    if (!s->drained)
        return true;
    s->drained = false;
    return !stream_room(s) || tell(s, STREAM_DRAINED);
}

static void tell_eof(struct stream *s)
{
    if (!stream_ended(s) || s->eof_told)
        return;
    s->eof_told = true;
    tell(s, STREAM_EOF);
}

static void tell_error(struct stream *s)
{
    if (s->error_told)
        return;
    s->error_told = true;
    tell(s, STREAM_ERROR);
}

static void notify(void *arg)
{
    struct stream *s = arg;
    if (s->closed || !s->fn)
        return;
    if (s->error)
        tell_error(s);
    else if (tell_open(s) && (!s->data_due || tell_data(s)) && tell_drained(s))
        tell_eof(s);
}

void stream_own(struct stream *s, stream_fn *fn, void *arg)
{
    s->fn = fn;
    s->arg = arg;
    stream_want(s, SIZE_MAX);
    s->data_due = stream_held(s) > 0;
    s->error_told = false;
    if (s->data_due || s->opened || s->drained || s->error || (s->eof && !s->eof_told))
        loop_task_post(&s->notify);
}

const uint8_t *stream_peek(const struct stream *s, size_t *len)
{
    *len = gone(s) ? 0 : stream_held(s);
    if (!*len)
        return NULL;
    return s->lent_len ? s->lent : buf_front(&s->in);
}

void stream_consume(struct stream *s, size_t len)
{
    if (gone(s) || !len)
        return;
    if (s->lent_len) {
        s->lent += len;
        s->lent_len -= len;
    } else {
        buf_consume(&s->in, len);
    }
    if (stream_ended(s) && !s->eof_told)
        loop_task_post(&s->notify);
    s->ops->consumed(s, len);
}

void stream_want(struct stream *s, size_t len)
{
    bool held_back = s->want == 0;
    s->want = len;
    if (held_back && len && !gone(s))
        s->ops->consumed(s, 0);
}

void stream_need_reader(struct stream *s, bool need)
{
    if (s->needs_reader == need)
        return;
    s->needs_reader = need;
    s->ops->consumed(s, 0);
}

void stream_limit_stall(struct stream *s, uint32_t ms)
{
    s->stall_ms = ms;
    s->ops->consumed(s, 0);
}

bool stream_ended(const struct stream *s)
{
    return s->eof && !s->error && !stream_held(s);
}

size_t stream_room(const struct stream *s)
{
    return gone(s) || s->shut ? 0 : s->ops->room(s);
}

void stream_write(struct stream *s, const void *data, size_t len)
{
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    if (len)
        stream_writev(s, &iov, 1);
}

void stream_writev(struct stream *s, const struct iovec *iov, int n)
{
    if (!gone(s) && !s->shut)
        s->ops->writev(s, iov, n);
}

void stream_shutdown(struct stream *s)
{
    if (gone(s) || s->shut)
        return;
    s->shut = true;
    s->ops->shutdown(s);
}

/* False when the owner has let go before. */
static bool let_go(struct stream *s)
{
    if (!s || s->closed)
        return false;
    s->closed = true;
    s->fn = NULL;
    loop_task_del(&s->notify);
    return true;
}

void stream_close(struct stream *s)
{
    if (let_go(s))
        s->ops->close(s);
}

void stream_reset(struct stream *s)
{
    if (let_go(s))
        s->ops->reset(s);
}

int stream_error(const struct stream *s)
{
    return s->error;
}

void stream_init(struct stream *s, const struct stream_ops *ops, struct loop *loop)
{
    *s = (struct stream){.ops = ops, .loop = loop, .want = SIZE_MAX};
    loop_task_init(loop, &s->notify, notify, s);
}

void stream_fini(struct stream *s)
{
    s->closed = true;
    s->fn = NULL;
    s->lent_len = 0;
    loop_task_del(&s->notify);
    buf_fini(&s->in);
}

void stream_deliver(struct stream *s, const uint8_t *data, size_t len)
{
    if (gone(s) || !len)
        return;
    if (!s->fn || s->in.len) {
        buf_append(&s->in, data, len);
    } else {
        s->lent = data;
        s->lent_len = len;
    }
    if (s->fn && tell_open(s) && s->fn)
        tell_data(s);
    if (s->lent_len && !gone(s))
        buf_append(&s->in, s->lent, s->lent_len);
    s->lent_len = 0;
}

void stream_deliver_eof(struct stream *s)
{
    if (gone(s) || s->eof)
        return;
    s->eof = true;
    if (s->fn && tell_open(s))
        tell_eof(s);
}

void stream_deliver_open(struct stream *s)
{
    if (gone(s))
        return;
    s->opened = true;
    loop_task_post(&s->notify);
}

void stream_deliver_drained(struct stream *s)
{
    if (gone(s))
        return;
    s->drained = true;
    loop_task_post(&s->notify);
}

void stream_deliver_error(struct stream *s, int error)
{
    if (gone(s))
        return;
    s->error = error;
    /* The memory stays till the end: the owner may be looking at it in this very callback. */
    s->in.len = 0;
    s->lent_len = 0;
    loop_task_post(&s->notify);
}
