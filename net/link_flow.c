/* link_flow.c: a link's bytes: kept until acknowledged, sent as Data, taken from Data.
 *
 * What the owner writes is copied once, into `kept`, and sent from there: first when there is
 * room, and again on the next carrier if it was not acknowledged on this one. Sending waits
 * for the end of the loop's turn, so that many small writes make one frame.
 *
 * Acks: after ACK_BYTES at once, else along with Data that goes out anyway, else after
 * ACK_MS. PROTOCOLS allows 64 KiB and 200 ms; these are shorter because the pace at the other
 * end is only as good as the round trips that it sees, and on a slow path 64 KiB would take
 * seconds. An echo's answer comes within ACK_MS and carries the ack; an idle link is silent.
 * An Ack that finds the carrier full waits for room, and then tells the newest count. */
#include <errno.h>

#include "core/mem.h"
#include "net/link_state.h"

#define ACK_BYTES  (32u * 1024)
#define ACK_MS     25
#define HOLD_LIMIT ((size_t)256 * 1024) /* bytes the owner may leave unread */
#define ROOM_MIN   4096u                /* less is no room: it would make tiny frames */
#define FRAMES     4                    /* Data frames in one write */

static struct link *link_of(struct stream *s)
{
    return container_of(s, struct link, stream);
}

/* Sending. */

size_t link_flow_room(const struct stream *s)
{
    const struct link *l = (const void *)s; /* its first member */
    uint64_t left = l->pace.limit > l->kept.len ? l->pace.limit - l->kept.len : 0;
    return left < ROOM_MIN ? 0 : (size_t)left;
}

static void check_room(struct link *l)
{
    bool full = link_flow_room(&l->stream) == 0;
    if (l->full && !full)
        stream_deliver_drained(&l->stream);
    l->full = full;
}

void link_flow_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct link *l = link_of(s);
    for (int i = 0; i < n; i++)
        buf_append(&l->kept, iov[i].iov_base, iov[i].iov_len);
    check_room(l);
    loop_task_post(&l->work);
}

struct batch {
    struct iovec iov[1 + 2 * FRAMES];
    int n;
    size_t bytes; /* of the stream */
    uint8_t ack[LINK_ACK_LEN];
    uint8_t heads[FRAMES][LINK_DATA_LEN];
};

static void add(struct batch *b, void *p, size_t len)
{
    b->iov[b->n++] = (struct iovec){.iov_base = p, .iov_len = len};
}

static void add_ack(struct batch *b, struct link *l)
{
    link_put_ack(b->ack, l->received);
    add(b, b->ack, LINK_ACK_LEN);
    l->acknowledged = l->received;
    l->ack_now = false;
    loop_timer_del(&l->ack_timer);
}

static void add_data(struct batch *b, uint8_t *data, size_t len)
{
    for (int i = 0; i < FRAMES && b->bytes < len; i++) {
        size_t part = len - b->bytes < LINK_DATA_MAX ? len - b->bytes : LINK_DATA_MAX;
        link_put_data(b->heads[i], (uint32_t)part);
        add(b, b->heads[i], LINK_DATA_LEN);
        add(b, data + b->bytes, part);
        b->bytes += part;
    }
}

/* Bytes that may be sent now: there, inside the pace's limit, and with room in the carrier. */
static size_t sendable(const struct link *l)
{
    uint64_t under_way = l->sent - l->acked;
    size_t len = l->kept.len - (size_t)under_way;
    size_t room = stream_room(l->carrier);
    if (l->pace.limit <= under_way)
        return 0;
    if (len > l->pace.limit - under_way)
        len = (size_t)(l->pace.limit - under_way);
    return len < room ? len : room;
}

static bool ack_wanted(const struct link *l)
{
    return l->ack_now || l->received - l->acknowledged >= ACK_BYTES;
}

/* False when there was nothing to send. */
static bool send_batch(struct link *l)
{
    struct batch b = {.n = 0};
    size_t len = sendable(l);
    if (ack_wanted(l) || (len && l->received != l->acknowledged))
        add_ack(&b, l);
    if (len)
        add_data(&b, buf_front(&l->kept) + (l->sent - l->acked), len);
    if (!b.n)
        return false;
    stream_writev(l->carrier, b.iov, b.n);
    if (b.bytes) {
        if (l->sent == l->acked)
            l->waiting_ms = loop_now_ms(l->stream.loop);
        l->sent += b.bytes;
        link_pace_sent(&l->pace, l->sent, link_flow_room(&l->stream) == 0, loop_clock_us());
    }
    return true;
}

/* A link that is held up says so now and then, lest the other end take it for dead. */
static void arm_ack(struct link *l)
{
    if (loop_timer_armed(&l->ack_timer))
        return;
    if (l->received != l->acknowledged)
        loop_timer_set(&l->ack_timer, ACK_MS);
    else if (l->held_up)
        loop_timer_set(&l->ack_timer, l->stall_ms / 3);
}

void link_ack_due(void *arg)
{
    struct link *l = arg;
    l->ack_now = true;
    link_flush(l);
}

void link_flush(struct link *l)
{
    if (l->state == LINK_FLOWING) {
        while (stream_room(l->carrier) && send_batch(l))
            continue;
        arm_ack(l);
        link_watch(l);
    }
    check_room(l);
}

void link_flow_begin(struct link *l)
{
    l->acknowledged = l->received;
    l->ack_now = l->held_up = false;
    l->sent = l->acked;
    l->heard_ms = loop_now_ms(l->stream.loop);
    link_pace_start(&l->pace, l->acked, LINK_KEEP, loop_clock_us());
}

void link_flow_acked(struct link *l, uint64_t received)
{
    buf_consume(&l->kept, (size_t)(received - l->acked));
    l->acked = received;
    link_pace_acked(&l->pace, received, loop_clock_us());
}

/* Receiving. */

/* The owner may do anything meanwhile, but the bytes stay where they are until it is done. */
static void take_data(struct link *l, struct stream *c, const uint8_t *p, size_t len)
{
    if (len > l->data_left)
        len = l->data_left;
    l->data_left -= (uint32_t)len;
    l->received += len;
    l->lending = c;
    stream_deliver(&l->stream, p, len);
    l->lending = NULL;
    if (l->carrier == c)
        stream_consume(c, len);
    else
        link_release(l, c);
}

static void take_ack(struct link *l, uint64_t received)
{
    if (received < l->acked || received > l->sent) {
        link_fail(l, EPROTO);
        return;
    }
    link_flow_acked(l, received);
    if (l->sent == l->acked)
        loop_timer_del(&l->watchdog); /* nothing waits: an idle machine is not to be woken for it */
}

static void take_head(struct link *l, struct stream *c, const uint8_t *p, size_t len)
{
    enum link_head_kind kind = link_head_feed(&l->head, p, &len);
    stream_consume(c, len);
    if (kind == LINK_HEAD_MORE)
        return;
    if (kind == LINK_HEAD_BAD || (kind == LINK_HEAD_HELLO) != (l->state == LINK_GREETING))
        link_fail(l, EPROTO);
    else if (kind == LINK_HEAD_HELLO)
        link_greeted(l, &l->head.hello);
    else if (kind == LINK_HEAD_DATA)
        l->data_left = l->head.data_len;
    else
        take_ack(l, l->head.acked);
}

/* False when nothing can be taken now. */
static bool take(struct link *l, struct stream *c)
{
    size_t len;
    const uint8_t *p = stream_peek(c, &len);
    l->held_up = stream_held(&l->stream) >= HOLD_LIMIT;
    if (!len || l->held_up)
        return false;
    if (l->data_left)
        take_data(l, c, p, len);
    else
        take_head(l, c, p, len);
    return true;
}

void link_receive(struct link *l)
{
    struct stream *c = l->carrier;
    while (c && l->carrier == c && take(l, c))
        continue;
}

void link_flow_consumed(struct stream *s, size_t len)
{
    struct link *l = link_of(s);
    (void)len;
    if (l->held_up && stream_held(s) < HOLD_LIMIT)
        loop_task_post(&l->work);
}
