/* quic_stream.c: one stream of a QUIC connection.
 *
 * The owner's calls only change what is to be sent: ngtcp2 is told in the flush at the end of
 * the turn, but for the credit that consumed bytes give back. A stream stays until ngtcp2 has
 * closed it, since its queue is ngtcp2's to read from; one that its owner closed is forgotten
 * once the peer has all of it, for ngtcp2 keeps what is left to be said. */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/quic_internal.h"

#define QUEUE_LIMIT   (256u * 1024) /* unsent bytes of a stream */
#define QUEUE_CROWDED (16u * 1024)  /* when all streams together have more than: */
#define QUEUES_LIMIT  (16u * 1024 * 1024)
#define HELD_LIMIT    (40u * 1024 * 1024) /* bytes that readers leave before all are held up */
#define PROMPT_MAX    2048                /* unsent bytes of one that goes before the others */
#define STUCK_ROUNDS  4
#define ABORTED       1 /* application error code */

static struct quic_stream *stream_of(struct stream *base)
{
    return (struct quic_stream *)(void *)base;
}

static bool is_local(const struct quic_stream *s)
{
    return s->id < 0 || (s->id & 1) == (s->m->server ? 1 : 0);
}

/* ---- room ---- */

static size_t room_of(const struct quic_stream *s)
{
    if (!s->m)
        return 0;
    size_t limit = s->m->unsent > QUEUES_LIMIT ? QUEUE_CROWDED : QUEUE_LIMIT;
    return s->out.unsent < limit ? limit - s->out.unsent : 0;
}

static void tell_drained(struct quic_stream *s)
{
    if (!s->full || s->out.unsent > QUEUE_LIMIT / 2 || !room_of(s))
        return;
    s->full = false;
    stream_deliver_drained(&s->base);
}

/* ---- credit ---- */

static void settle(struct quic_conn *m)
{
    uint64_t keep = m->held_bytes > HELD_LIMIT ? m->held_bytes - HELD_LIMIT : 0;
    if (m->credit_owed <= keep)
        return;
    ngtcp2_conn_extend_max_offset(m->conn, m->credit_owed - keep);
    m->credit_owed = keep;
}

void quic_conn_credit(struct quic_conn *m, size_t len)
{
    m->held_bytes -= len;
    settle(m);
}

/* ---- sending ---- */

bool quic_stream_sendable(const struct quic_stream *s)
{
    if (s->id < 0 || s->early || s->sending > QUIC_SEND_FIN)
        return false;
    if (s->out.unsent)
        return !s->blocked;
    return s->sending == QUIC_SEND_FIN || !s->said;
}

void quic_stream_schedule(struct quic_stream *s)
{
    struct quic_conn *m = s->m;
    if (s->id < 0)
        list_push(&m->held, &s->ready);
    else if (quic_stream_sendable(s))
        list_push(s->out.unsent > PROMPT_MAX ? &m->ready : &m->prompt, &s->ready);
    else
        return;
    quic_conn_wake(m);
}

/* ngtcp2 holds what it still has to say, and no byte of ours. */
static void forget_if_done(struct quic_stream *s)
{
    if (!s->base.closed || s->sending != QUIC_SEND_ENDED || s->out.unacked)
        return;
    ngtcp2_conn_set_stream_user_data(s->m->conn, s->id, NULL);
    quic_stream_retire(s, 0);
}

void quic_stream_sent(struct quic_stream *s, size_t len, bool fin)
{
    quic_queue_sent(&s->out, len);
    s->m->unsent -= len;
    s->said = true;
    s->stuck = 0;
    if (fin)
        s->sending = QUIC_SEND_ENDED;
    tell_drained(s);
    if (!quic_stream_sendable(s))
        list_unlink(&s->ready);
}

/* Of the end by itself, too: then `len` is 0. */
void quic_stream_acked(struct quic_stream *s, size_t len)
{
    quic_queue_acked(&s->out, len);
    s->stuck = 0;
    forget_if_done(s);
}

static void abort_stream(struct quic_stream *s)
{
    struct quic_conn *m = s->m;
    if (s->sending == QUIC_SEND_RESET)
        return;
    s->sending = QUIC_SEND_RESET;
    list_unlink(&s->ready);
    if (s->id < 0) {
        quic_stream_retire(s, 0);
        return;
    }
    list_push(&m->aborts, &s->aborting);
    quic_conn_wake(m);
}

/* One of the peer's that has not come yet is aborted when it does. */
void quic_stream_abort_due(struct quic_stream *s)
{
    if (s->early)
        return;
    list_unlink(&s->aborting);
    ngtcp2_conn_shutdown_stream(s->m->conn, 0, s->id, ABORTED);
}

/* ---- what the peer did ---- */

void quic_stream_received(struct quic_stream *s, const uint8_t *data, size_t len, bool fin)
{
    struct quic_conn *m = s->m;
    m->credit_owed += len;
    if (s->base.closed) {
        settle(m);
        if (fin)
            s->peer_ended = true;
        if (len)
            abort_stream(s);
        return;
    }
    m->held_bytes += len;
    settle(m);
    stream_deliver(&s->base, data, len);
    if (fin && s->m) {
        s->peer_ended = true;
        stream_deliver_eof(&s->base);
    }
}

void quic_stream_was_reset(struct quic_stream *s)
{
    struct quic_conn *m = s->m;
    quic_conn_credit(m, s->base.closed ? 0 : stream_held(&s->base));
    s->peer_ended = true;
    abort_stream(s);
    if (s->m && !s->base.closed)
        stream_deliver_error(&s->base, ECONNRESET);
}

/* ---- leaving ---- */

void quic_stream_retire(struct quic_stream *s, int error)
{
    struct quic_conn *m = s->m;
    list_unlink(&s->all);
    list_unlink(&s->ready);
    list_unlink(&s->aborting);
    m->count--;
    m->unsent -= s->out.unsent;
    if (!s->base.closed && !s->base.error)
        m->held_bytes -= stream_held(&s->base);
    quic_queue_fini(&s->out);
    s->m = NULL;
    if (s->base.closed)
        loop_reap(m->loop, s, free);
    else if (error)
        stream_deliver_error(&s->base, error);
}

/* A peer that takes nothing for long, though it is there, is not waited for. */
void quic_stream_sweep(struct quic_conn *m)
{
    for (struct list_node *at = m->streams.next, *next; at != &m->streams; at = next) {
        struct quic_stream *s = container_of(at, struct quic_stream, all);
        next = at->next;
        if (s->base.closed && s->out.unsent + s->out.unacked && ++s->stuck > STUCK_ROUNDS)
            abort_stream(s);
    }
}

/* ---- the owner's calls ---- */

static size_t room(const struct stream *base)
{
    return room_of((const struct quic_stream *)(const void *)base);
}

static void queue(struct stream *base, const struct iovec *iov, int n)
{
    struct quic_stream *s = stream_of(base);
    if (!s->m || s->sending != QUIC_SEND_OPEN)
        return;
    for (int i = 0; i < n; i++) {
        quic_queue_write(&s->out, iov[i].iov_base, iov[i].iov_len);
        s->m->unsent += iov[i].iov_len;
    }
    if (!room_of(s))
        s->full = true;
    quic_stream_schedule(s);
}

static void consumed(struct stream *base, size_t len)
{
    struct quic_stream *s = stream_of(base);
    if (!s->m || !len)
        return;
    if (!s->peer_ended)
        ngtcp2_conn_extend_max_stream_offset(s->m->conn, s->id, len);
    quic_conn_credit(s->m, len);
    quic_conn_wake(s->m);
}

static void shut(struct stream *base)
{
    struct quic_stream *s = stream_of(base);
    if (!s->m || s->sending != QUIC_SEND_OPEN)
        return;
    s->sending = QUIC_SEND_FIN;
    quic_stream_schedule(s);
}

/* What lay unread goes, and its credit back. False: it is out of the connection already. */
static bool let_go(struct quic_stream *s)
{
    size_t held = s->base.error ? 0 : stream_held(&s->base);
    struct loop *loop = s->base.loop;
    stream_fini(&s->base);
    if (!s->m) {
        loop_reap(loop, s, free);
        return false;
    }
    quic_conn_credit(s->m, held);
    return true;
}

static void close_stream(struct stream *base)
{
    struct quic_stream *s = stream_of(base);
    bool unread = stream_held(base) && !base->error;
    if (!let_go(s))
        return;
    if (unread || (s->id < 0 && !s->out.unsent)) {
        abort_stream(s);
    } else if (s->sending == QUIC_SEND_OPEN) {
        s->sending = QUIC_SEND_FIN;
        quic_stream_schedule(s);
    } else {
        forget_if_done(s);
    }
}

static void reset_stream(struct stream *base)
{
    struct quic_stream *s = stream_of(base);
    if (let_go(s))
        abort_stream(s);
}

static const struct stream_ops ops = {
    .room = room,
    .writev = queue,
    .consumed = consumed,
    .shutdown = shut,
    .close = close_stream,
    .reset = reset_stream,
};

_Static_assert(sizeof(struct quic_stream) < 512, "thousands of idle streams must cost little");

struct quic_stream *quic_stream_new(struct quic_conn *m, int64_t id)
{
    struct quic_stream *s = xcalloc(1, sizeof(*s));
    stream_init(&s->base, &ops, m->loop);
    s->m = m;
    s->id = id;
    s->said = !is_local(s);
    list_push(&m->streams, &s->all);
    m->count++;
    quic_stream_schedule(s);
    return s;
}

void quic_stream_begin(struct quic_stream *s, int64_t id)
{
    list_unlink(&s->ready);
    s->id = id;
    quic_stream_schedule(s);
}

bool quic_is_stream(const struct mux *m, const struct stream *s)
{
    const struct quic_conn *its =
        s->ops == &ops ? ((const struct quic_stream *)(const void *)s)->m : NULL;
    return its && &its->mux == m;
}
