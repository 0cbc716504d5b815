/* A link that is told anything by one carrier after the other, while its owner writes, reads,
 * holds back and lets go. Whatever comes in, what goes out is well formed and continues
 * where the other end said it was.
 *
 * The input is a list of steps: u8 deed | u8 n, and for ARRIVE n bytes behind it. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/link_state.h"

enum deed {
    ARRIVE,
    END,
    FAIL,
    ATTACH,
    GREET,
    WRITE,
    CONSUME,
    ROOM,
    DETACH,
    CLOSE,
    FREE,
    TURN,
    ACK, /* n 16ths of what may be acknowledged */
    DEEDS
};

struct carrier;

struct rig {
    struct loop *loop;
    struct link *l;
    struct stream *owner;
    struct carrier *carriers; /* all that are open; the newest hears what arrives */
    uint64_t written;
    enum deed later; /* done inside a callback, after `skip` others; DEEDS: nothing */
    unsigned skip;
    bool over;
};

struct carrier {
    struct stream s;
    struct rig *rig;
    struct carrier *older;
    size_t room;
    struct link_head head; /* of what the link writes */
    uint32_t data_left;
    uint64_t next; /* the number of the next byte in Data */
    bool greeted;  /* our Hello went out */
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static uint8_t byte_at(uint64_t n)
{
    return (uint8_t)(n * 37 + (n >> 8));
}

/* The carrier: in memory, and suspicious of what it is given. */

static struct carrier *carrier_of(struct stream *s)
{
    return container_of(s, struct carrier, s);
}

static size_t carrier_room(const struct stream *s)
{
    return ((const struct carrier *)(const void *)s)->room;
}

static void check_data(struct carrier *c, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        must(p[i] == byte_at(c->next++));
    c->data_left -= (uint32_t)len;
}

static void check_head(struct carrier *c, enum link_head_kind kind)
{
    must(kind != LINK_HEAD_BAD);
    if (kind == LINK_HEAD_MORE)
        return;
    /* Nothing before Hello, Hello only once unless the carrier is refused. */
    must(c->greeted || kind == LINK_HEAD_HELLO);
    c->greeted = true;
    if (kind == LINK_HEAD_DATA)
        c->data_left = c->head.data_len;
    if (kind == LINK_HEAD_ACK)
        must(c->rig->over || c->head.acked == c->rig->l->received);
}

static void check_output(struct carrier *c, const uint8_t *p, size_t len)
{
    while (len) {
        size_t n = len;
        if (c->data_left) {
            n = n < c->data_left ? n : c->data_left;
            check_data(c, p, n);
        } else {
            check_head(c, link_head_feed(&c->head, p, &n));
        }
        p += n;
        len -= n;
    }
}

static void carrier_writev(struct stream *s, const struct iovec *iov, int n)
{
    for (int i = 0; i < n; i++)
        check_output(carrier_of(s), iov[i].iov_base, iov[i].iov_len);
}

static void carrier_consumed(struct stream *s, size_t len)
{
    (void)s;
    (void)len;
}

static void carrier_shutdown(struct stream *s)
{
    (void)s;
}

static void carrier_close(struct stream *s)
{
    struct carrier *c = carrier_of(s), **at = &c->rig->carriers;
    while (*at != c)
        at = &(*at)->older;
    *at = c->older;
    stream_fini(s);
    loop_reap(s->loop, c, free);
}

static const struct stream_ops carrier_ops = {
    .room = carrier_room,
    .writev = carrier_writev,
    .consumed = carrier_consumed,
    .shutdown = carrier_shutdown,
    .close = carrier_close,
    .reset = carrier_close,
};

static struct stream *carrier_new(struct rig *r, uint8_t n)
{
    struct carrier *c = xcalloc(1, sizeof(*c));
    stream_init(&c->s, &carrier_ops, r->loop);
    c->rig = r;
    c->room = (size_t)n * 512;
    c->older = r->carriers;
    r->carriers = c;
    return &c->s;
}

/* The deeds. */

static void greeted(void *arg, struct stream *carrier, const struct link_hello *hello)
{
    struct rig *r = arg;
    must((carrier == NULL) == (hello == NULL));
    if (!carrier)
        return;
    if (r->over)
        stream_close(carrier);
    else if (hello->session[0])
        link_attach(r->l, carrier, hello);
    else
        link_refuse(carrier, greeted, r);
}

static void free_link(struct rig *r)
{
    if (!r->over)
        link_free(r->l);
    r->over = true;
}

static void close_owner(struct rig *r)
{
    if (!r->owner)
        return;
    stream_close(r->owner);
    r->owner = NULL;
    free_link(r);
}

static void write_some(struct rig *r, uint8_t n)
{
    uint8_t block[255 * 64];
    size_t len = (size_t)n * 64 + 1;
    if (!r->owner || stream_error(r->owner) || !stream_room(r->owner))
        return;
    for (size_t i = 0; i < len && i < sizeof(block); i++)
        block[i] = byte_at(r->written + i);
    len = len < sizeof(block) ? len : sizeof(block);
    stream_write(r->owner, block, len);
    r->written += len;
}

static void consume_some(struct rig *r, size_t most)
{
    size_t len;
    const uint8_t *p = r->owner ? stream_peek(r->owner, &len) : NULL;
    if (!p)
        return;
    volatile uint8_t look = (uint8_t)(p[0] ^ p[len - 1]);
    (void)look;
    stream_consume(r->owner, len < most ? len : most);
}

/* As a peer does that keeps to the rules. */
static void arrive(struct rig *r, const uint8_t *bytes, size_t len)
{
    if (!r->carriers || !len)
        return;
    uint8_t *copy = xmalloc(len);
    memcpy(copy, bytes, len);
    stream_deliver(&r->carriers->s, copy, len);
    free(copy);
}

static void arrive_ack(struct rig *r, uint8_t n)
{
    uint8_t bytes[LINK_ACK_LEN];
    if (r->over)
        return;
    link_put_ack(bytes, r->l->acked + (r->l->sent - r->l->acked) * (n % 17) / 16);
    arrive(r, bytes, sizeof(bytes));
}

static void room(struct rig *r, uint8_t n)
{
    if (!r->carriers)
        return;
    r->carriers->room = (size_t)n * 512;
    if (n)
        stream_deliver_drained(&r->carriers->s);
}

static void act(struct rig *r, enum deed deed, uint8_t n)
{
    switch (deed) {
    case END:
        if (r->carriers)
            stream_deliver_eof(&r->carriers->s);
        break;
    case FAIL:
        if (r->carriers)
            stream_deliver_error(&r->carriers->s, n + 1);
        break;
    case ATTACH:
        if (!r->over)
            link_attach(r->l, carrier_new(r, n), NULL);
        break;
    case GREET: link_greet(carrier_new(r, n), greeted, r); break;
    case WRITE: write_some(r, n); break;
    case CONSUME: consume_some(r, (size_t)n * 1024); break;
    case ROOM: room(r, n); break;
    case DETACH:
        if (!r->over)
            link_detach(r->l);
        break;
    case CLOSE: close_owner(r); break;
    case FREE: free_link(r); break;
    case TURN: loop_turn(r->loop, 0); break;
    case ACK: arrive_ack(r, n); break;
    case ARRIVE:
    case DEEDS: break;
    }
}

/* Inside a callback only what may be done there. */
static void act_now(struct rig *r)
{
    enum deed deed = r->later;
    if (r->skip && r->skip--)
        return;
    r->later = DEEDS;
    if (deed >= ATTACH && deed <= FREE && deed != GREET)
        act(r, deed, 200);
}

static void link_event(void *arg, struct link *l, enum link_event event)
{
    struct rig *r = arg;
    must(l == r->l && !r->over);
    if (event == LINK_UP)
        carrier_of(l->carrier)->next = l->acked;
    act_now(r);
}

static void owner_event(void *arg, struct stream *s, enum stream_event event)
{
    struct rig *r = arg;
    must(s == r->owner && event != STREAM_EOF);
    if (event == STREAM_DATA && r->later == DEEDS)
        consume_some(r, SIZE_MAX);
    act_now(r);
}

static void check_link(struct rig *r)
{
    const struct link *l = r->l;
    if (r->over)
        return;
    must(l->sent - l->acked <= l->kept.len);
    must(l->acked + l->kept.len == r->written);
    must(stream_held(&l->stream) <= 512 * 1024);
}

static void step(struct rig *r, const uint8_t **p, size_t *left)
{
    enum deed deed = (*p)[0] % 16;
    uint8_t n = (*p)[1];
    bool later = (*p)[0] & 16;
    *p += 2;
    *left -= 2;
    if (later) {
        r->later = deed < DEEDS ? deed : DEEDS;
        r->skip = n % 4;
    } else if (deed == ARRIVE) {
        size_t len = n < *left ? n : *left;
        arrive(r, *p, len);
        *p += len;
        *left -= len;
    } else {
        act(r, deed, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t session[SESSION_LEN] = "session";
    struct rig r = {.loop = loop_new(), .later = DEEDS};
    r.l = link_new(r.loop, session, link_event, &r);
    r.owner = link_stream(r.l);
    stream_own(r.owner, owner_event, &r);
    while (size >= 2) {
        step(&r, &data, &size);
        check_link(&r);
    }
    r.later = DEEDS;
    loop_turn(r.loop, 0);
    check_link(&r);
    close_owner(&r);
    free_link(&r);
    for (struct carrier *c = r.carriers, *older; c; c = older) {
        older = c->older;
        stream_deliver_eof(&c->s);
    }
    loop_turn(r.loop, 0);
    loop_turn(r.loop, 0);
    must(!r.carriers);
    loop_free(r.loop);
    return 0;
}
