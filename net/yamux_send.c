/* yamux_send.c: what goes out, and in which order.
 *
 * Nothing is queued here but frames that belong to no stream, and of those only so many. A
 * stream's payload waits in the stream, and what it has to say besides (SYN, ACK, a window,
 * FIN, RST) is read off its state when its turn comes; so a peer that does not read cannot
 * make us hold more than that. When the carrier has room, the frames without a stream go
 * first, then the streams' control frames, then payload: a slice of each stream in turn. */
#include "net/yamux_internal.h"

#define URGENT_MAX    (4096u * YAMUX_HEADER_LEN) /* bytes of frames that belong to no stream */
#define CONTROL_BATCH 64u
#define DATA_BATCH    8u
#define BATCHES       16           /* in one turn of the loop: others wait for theirs */
#define SLICE         (16u * 1024) /* payload of one stream in one round */
#define SLICE_ALONE   (64u * 1024) /* when no other stream waits */

bool yamux_send_urgent(struct yamux *m, const struct yamux_header *h)
{
    uint8_t frame[YAMUX_HEADER_LEN];
    if (m->urgent.len >= URGENT_MAX)
        return false;
    yamux_header_write(frame, h);
    buf_append(&m->urgent, frame, sizeof(frame));
    loop_task_post(&m->flush);
    return true;
}

static void write_header(struct yamux *m, const struct yamux_header *h)
{
    uint8_t frame[YAMUX_HEADER_LEN];
    yamux_header_write(frame, h);
    stream_write(m->carrier, frame, sizeof(frame));
}

static void send_ping(struct yamux *m)
{
    m->ping_due = false;
    m->ping_out = true;
    m->ping_us = loop_clock_us();
    m->ping_ms = loop_now_ms(m->loop);
    write_header(
        m, &(struct yamux_header){.type = YAMUX_PING, .flags = YAMUX_SYN, .length = ++m->ping_id});
}

static bool send_urgent(struct yamux *m)
{
    if (!m->urgent.len && !m->away_due && !m->ping_due)
        return false;
    if (m->ping_due)
        send_ping(m);
    if (m->away_due)
        write_header(m, &(struct yamux_header){.type = YAMUX_GO_AWAY, .length = YAMUX_NORMAL});
    m->away_due = false;
    stream_write(m->carrier, buf_front(&m->urgent), m->urgent.len);
    buf_consume(&m->urgent, m->urgent.len);
    return true;
}

static bool send_control(struct yamux *m)
{
    uint8_t frames[CONTROL_BATCH][YAMUX_HEADER_LEN];
    size_t n = 0;
    while (n < CONTROL_BATCH && !list_empty(&m->control)) {
        struct ystream *s = container_of(m->control.next, struct ystream, control);
        struct yamux_header h;
        list_unlink(&s->control);
        if (ystream_take_control(s, &h))
            yamux_header_write(frames[n++], &h);
    }
    stream_write(m->carrier, frames, n * YAMUX_HEADER_LEN);
    return n > 0;
}

struct batch {
    size_t slice; /* of each stream, at most */
    struct ystream *streams[DATA_BATCH];
    uint32_t lens[DATA_BATCH];
    uint8_t headers[DATA_BATCH][YAMUX_HEADER_LEN];
    struct iovec iov[2 * DATA_BATCH];
    size_t n, bytes;
};

/* The queued bytes are not copied: they stay where they are until the batch is written. */
static void batch_add(struct batch *b, struct ystream *s)
{
    size_t most = s->out.len < b->slice ? s->out.len : b->slice;
    uint32_t len = most < s->send_window ? (uint32_t)most : s->send_window;
    struct yamux_header h = ystream_take_data(s, len);
    yamux_header_write(b->headers[b->n], &h);
    b->iov[2 * b->n] = (struct iovec){b->headers[b->n], YAMUX_HEADER_LEN};
    b->iov[2 * b->n + 1] = (struct iovec){buf_front(&s->out), len};
    b->streams[b->n] = s;
    b->lens[b->n++] = len;
    b->bytes += YAMUX_HEADER_LEN + len;
}

static bool send_data(struct yamux *m)
{
    struct batch b;
    size_t room = stream_room(m->carrier);
    b.n = b.bytes = 0;
    b.slice = m->ready.next == m->ready.prev ? SLICE_ALONE : SLICE;
    while (b.n < DATA_BATCH && b.bytes < room && !list_empty(&m->ready)) {
        struct ystream *s = container_of(m->ready.next, struct ystream, ready);
        list_unlink(&s->ready);
        if (ystream_sendable(s))
            batch_add(&b, s);
    }
    if (!b.n)
        return false;
    stream_writev(m->carrier, b.iov, (int)(2 * b.n));
    for (size_t i = 0; i < b.n; i++)
        ystream_sent(b.streams[i], b.lens[i]);
    return true;
}

void yamux_flush(struct yamux *m)
{
    for (int i = 0; i < BATCHES; i++)
        if (!stream_room(m->carrier) || !(send_urgent(m) || send_control(m) || send_data(m)))
            return;
    loop_task_post(&m->flush);
}
