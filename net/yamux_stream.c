/* yamux_stream.c: one stream: its life, its windows, the owner's calls.
 *
 * How a stream leaves: when both directions ended, or one RST went either way. Until then a
 * stream that its owner closed lingers. It sends what is queued, then FIN; bytes that come
 * for it, or that lay unread when it was closed, turn the FIN into RST, as with TCP. If the
 * peer never ends its direction the stream is forgotten LINGER_MS after the FIN, again as
 * TCP does (no RST: it would take from a slow reader what it has not read yet); should data
 * still come for it, it is answered by RST, like data for any id that is not known. A peer
 * that leaves a closed stream's bytes waiting at a closed window gets RST after STUCK_MS. */
#include <errno.h>
#include <stdlib.h>

#include "net/yamux_internal.h"

#define QUEUE_LIMIT_MAX (1024u * 1024) /* bytes queued, however big the send window is */
#define UNACKED_MAX     256u           /* Go's AcceptBacklog: more at once would be reset */
#define PING_GROWING_MS 1000           /* how old the round trip may be while data flows */
#define LINGER_MS       30000
#define STUCK_MS        600000
#define SWEEP_MS        10000

static struct ystream *ystream_of(struct stream *s)
{
    return container_of(s, struct ystream, base);
}

/* Room. */

static size_t queue_limit(const struct ystream *s)
{
    return s->send_peak < QUEUE_LIMIT_MAX ? s->send_peak : QUEUE_LIMIT_MAX;
}

static size_t room_of(const struct ystream *s)
{
    size_t limit = queue_limit(s);
    return s->m && s->sending == SEND_OPEN && s->out.len < limit ? limit - s->out.len : 0;
}

/* Only at half of the limit, so that a writer is not woken for every frame. */
static void tell_drained(struct ystream *s)
{
    if (!s->full || room_of(s) < queue_limit(s) / 2)
        return;
    s->full = false;
    stream_deliver_drained(&s->base);
}

/* What is to be sent. */

bool ystream_sendable(const struct ystream *s)
{
    return s->greeting != GREET_HELD && s->out.len && s->send_window;
}

static bool end_due(const struct ystream *s)
{
    return !s->out.len && (s->sending == SEND_FIN || s->sending == SEND_RST);
}

static bool window_due(const struct ystream *s)
{
    return s->returned >= s->window / 2 && !s->peer_ended && !s->base.closed;
}

/* A greeting by itself is a frame only if no payload is there to carry it. */
static bool control_due(const struct ystream *s)
{
    if (s->greeting == GREET_HELD)
        return false;
    if (end_due(s) || window_due(s))
        return true;
    return (s->greeting == GREET_SYN || s->greeting == GREET_ACK) && !ystream_sendable(s);
}

void ystream_schedule(struct ystream *s)
{
    struct yamux *m = s->m;
    bool control = control_due(s), data = ystream_sendable(s);
    if (control)
        list_push(&m->control, &s->control);
    if (data)
        list_push(&m->ready, &s->ready);
    if (control || data)
        loop_task_post(&m->flush);
}

static unsigned take_greeting(struct ystream *s)
{
    enum greeting was = s->greeting;
    if (was == GREET_SYN)
        s->greeting = GREET_SENT;
    else if (was == GREET_ACK)
        s->greeting = GREET_DONE;
    return was == GREET_SYN ? YAMUX_SYN : was == GREET_ACK ? YAMUX_ACK : 0;
}

static void linger(struct ystream *s, uint64_t ms)
{
    s->deadline_ms = loop_now_ms(s->m->loop) + ms;
    list_push(&s->m->linger, &s->linger);
    if (!loop_timer_armed(&s->m->sweep))
        loop_timer_set(&s->m->sweep, SWEEP_MS);
}

/* FIN is never put on a data frame: Go's reader may see the end before it sees the bytes. */
static unsigned take_end(struct ystream *s)
{
    bool reset = s->sending == SEND_RST;
    if (!end_due(s))
        return 0;
    s->sending = SEND_ENDED;
    if (reset || s->peer_ended)
        ystream_retire(s, 0);
    else if (s->base.closed)
        linger(s, LINGER_MS);
    return reset ? YAMUX_RST : YAMUX_FIN;
}

bool ystream_take_control(struct ystream *s, struct yamux_header *h)
{
    if (!control_due(s))
        return false;
    *h = (struct yamux_header){.type = YAMUX_WINDOW, .id = s->id};
    if (window_due(s)) {
        h->length = s->returned;
        s->credit += s->returned;
        s->returned = 0;
    }
    unsigned flags = take_greeting(s);
    h->flags = (uint16_t)(flags | take_end(s));
    return true;
}

struct yamux_header ystream_take_data(struct ystream *s, uint32_t len)
{
    return (struct yamux_header){
        .type = YAMUX_DATA, .flags = (uint16_t)take_greeting(s), .id = s->id, .length = len};
}

void ystream_sent(struct ystream *s, uint32_t len)
{
    buf_consume(&s->out, len);
    s->send_window -= len;
    if (s->base.closed)
        linger(s, STUCK_MS);
    tell_drained(s);
    ystream_schedule(s);
}

bool ystream_unspoken(const struct ystream *s)
{
    return s->greeting == GREET_HELD || s->greeting == GREET_SYN;
}

void ystream_abort(struct ystream *s)
{
    s->sending = SEND_RST;
    ystream_schedule(s);
}

static void drop_queue(struct ystream *s)
{
    buf_fini(&s->out);
    list_unlink(&s->ready);
}

/* Opening. */

static void admit_held(struct yamux *m)
{
    while (m->unacked < UNACKED_MAX && !list_empty(&m->held)) {
        struct ystream *s = container_of(m->held.next, struct ystream, control);
        list_unlink(&s->control);
        s->greeting = GREET_SYN;
        m->unacked++;
        ystream_schedule(s);
    }
}

static void no_longer_unacked(struct ystream *s)
{
    if (s->greeting != GREET_SYN && s->greeting != GREET_SENT)
        return;
    s->greeting = GREET_DONE;
    s->m->unacked--;
    admit_held(s->m);
}

/* Any frame shows it: Go forgets the ACK of a stream that had FIN before it was accepted. */
void ystream_acked(struct ystream *s)
{
    if (s->greeting == GREET_SENT)
        no_longer_unacked(s);
}

/* Windows. */

bool ystream_more_window(struct ystream *s, uint32_t len)
{
    if (len > UINT32_MAX - s->send_window)
        return false;
    s->send_window += len;
    if (s->send_peak < s->send_window)
        s->send_peak = s->send_window;
    tell_drained(s);
    ystream_schedule(s);
    return true;
}

static void grow_window(struct ystream *s)
{
    struct yamux *m = s->m;
    uint32_t more = s->window;
    if (s->window > YAMUX_WINDOW_MAX / 2 || *m->grown + more > m->growth_limit)
        return;
    s->window += more;
    s->returned += more;
    *m->grown += more;
}

/* A window that is used up within two round trips is what holds the sender back. */
static void count_epoch(struct ystream *s, uint32_t len)
{
    struct yamux *m = s->m;
    s->epoch_len += len;
    if (s->epoch_us && s->epoch_len < s->window)
        return;
    uint64_t now = loop_clock_us();
    if (s->epoch_us && m->rtt_floor_us && now - s->epoch_us <= 2 * m->rtt_floor_us)
        grow_window(s);
    s->epoch_us = now;
    s->epoch_len = 0;
    yamux_want_ping(m, PING_GROWING_MS);
}

static void consumed(struct stream *base, size_t len)
{
    struct ystream *s = ystream_of(base);
    if (!s->m || s->peer_ended)
        return;
    s->returned += (uint32_t)len;
    count_epoch(s, (uint32_t)len);
    ystream_schedule(s);
}

/* Leaving. */

void ystream_retire(struct ystream *s, int error)
{
    struct yamux *m = s->m;
    yamux_remove(m, s);
    list_unlink(&s->control);
    list_unlink(&s->ready);
    list_unlink(&s->linger);
    no_longer_unacked(s);
    *m->grown -= s->window - YAMUX_WINDOW_FIRST;
    if (m->sink == s)
        m->sink = NULL;
    buf_fini(&s->out);
    s->m = NULL;
    if (s->base.closed)
        loop_reap(m->loop, s, free);
    else if (error)
        stream_deliver_error(&s->base, error);
}

void ystream_peer_ended(struct ystream *s)
{
    s->peer_ended = true;
    if (s->sending == SEND_ENDED)
        ystream_retire(s, 0);
    stream_deliver_eof(&s->base);
}

static void give_up(struct ystream *s)
{
    list_unlink(&s->linger);
    if (s->sending == SEND_ENDED || ystream_unspoken(s)) {
        ystream_retire(s, 0);
    } else {
        drop_queue(s);
        ystream_abort(s);
    }
}

void ystream_sweep(void *mux)
{
    struct yamux *m = mux;
    for (struct list_node *at = m->linger.next, *next; at != &m->linger; at = next) {
        struct ystream *s = container_of(at, struct ystream, linger);
        next = at->next;
        if (s->deadline_ms <= loop_now_ms(m->loop))
            give_up(s);
    }
    if (!list_empty(&m->linger))
        loop_timer_set(&m->sweep, SWEEP_MS);
}

/* The owner's calls. */

static size_t room(const struct stream *base)
{
    return room_of((const struct ystream *)(const void *)base);
}

static void queue(struct stream *base, const struct iovec *iov, int n)
{
    struct ystream *s = ystream_of(base);
    if (!s->m || s->sending != SEND_OPEN)
        return;
    for (int i = 0; i < n; i++)
        buf_append(&s->out, iov[i].iov_base, iov[i].iov_len);
    if (!room_of(s))
        s->full = true;
    ystream_schedule(s);
}

static void shut(struct stream *base)
{
    struct ystream *s = ystream_of(base);
    if (!s->m || s->sending != SEND_OPEN)
        return;
    s->sending = SEND_FIN;
    ystream_schedule(s);
}

static void close_stream(struct stream *base)
{
    struct ystream *s = ystream_of(base);
    struct yamux *m = s->m;
    bool unread = stream_held(base) || (m && m->sink == s && m->payload_left);
    stream_fini(base);
    if (!m) {
        loop_reap(base->loop, s, free);
    } else if (ystream_unspoken(s) && !s->out.len) {
        ystream_retire(s, 0);
    } else {
        if (unread)
            s->sending = SEND_RST;
        else if (s->sending == SEND_OPEN)
            s->sending = SEND_FIN;
        linger(s, s->sending == SEND_ENDED ? LINGER_MS : STUCK_MS);
        ystream_schedule(s);
    }
}

static void reset_stream(struct stream *base)
{
    struct ystream *s = ystream_of(base);
    struct yamux *m = s->m;
    stream_fini(base);
    if (!m) {
        loop_reap(base->loop, s, free);
    } else if (ystream_unspoken(s)) {
        ystream_retire(s, 0);
    } else {
        drop_queue(s);
        ystream_abort(s);
    }
}

static const struct stream_ops ops = {
    .room = room,
    .writev = queue,
    .consumed = consumed,
    .shutdown = shut,
    .close = close_stream,
    .reset = reset_stream,
};

_Static_assert(sizeof(struct ystream) < 512, "thousands of idle streams must cost little");

struct ystream *ystream_new(struct yamux *m, uint32_t id, enum greeting greeting)
{
    struct ystream *s = xcalloc(1, sizeof(*s));
    stream_init(&s->base, &ops, m->loop);
    s->m = m;
    s->id = id;
    s->window = s->credit = s->send_window = s->send_peak = YAMUX_WINDOW_FIRST;
    s->greeting = greeting;
    yamux_add(m, s);
    if (greeting == GREET_HELD) {
        list_push(&m->held, &s->control);
        admit_held(m);
    }
    ystream_schedule(s);
    return s;
}
