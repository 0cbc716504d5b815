/* yamux_fuzz.c: a session whose peer and whose owner both do as the input says.
 *
 * The input is read from both ends: a script of steps from its front (frames or bare bytes
 * from the peer, calls by the owner, turns of the loop), and from its back what callbacks
 * do. What the session sends is held against the protocol. */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/key.h"
#include "net/yamux_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define TALKS       32
#define MOST_BEYOND (64u * 1024 + YAMUX_HEADER_LEN) /* bytes written past the room of the carrier */
#define IDS         32                              /* ids below this are followed */

/* The carrier: what the session writes is checked and dropped. */

struct sent {
    uint64_t data, allowed;
    bool begun, ended, reset;
};

struct play {
    const uint8_t *front, *back;
    struct loop *loop;
    struct stream carrier;
    size_t room;
    struct buf out;
    struct sent sent[IDS];
    enum yamux_role role;
    struct mux *m;
    struct stream *talks[TALKS];
    bool carrier_gone;
};

static struct play *play; /* the only one: callbacks find it here */

static uint8_t next_step(void)
{
    return play->front < play->back ? *play->front++ : 0;
}

static uint8_t next_luck(void)
{
    return play->front < play->back ? *--play->back : 0;
}

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_stream_frame(const struct yamux_header *h)
{
    require(h->id != 0);
    if (h->id >= IDS)
        return;
    struct sent *s = &play->sent[h->id];
    if (h->flags & YAMUX_SYN) {
        require(!s->begun && h->id % 2 == (play->role == YAMUX_CLIENT));
        s->begun = true;
    }
    if (h->flags & (YAMUX_SYN | YAMUX_ACK)) {
        s->ended = s->reset = false;
        s->data = 0;
    }
    if (h->type == YAMUX_DATA) {
        require(h->length > 0 && !s->ended && !s->reset);
        s->data += h->length;
        require(s->data <= s->allowed + YAMUX_WINDOW_FIRST);
    }
    require(!(h->flags & YAMUX_FIN) || !(s->ended || s->reset));
    s->ended |= (h->flags & YAMUX_FIN) != 0;
    s->reset |= (h->flags & YAMUX_RST) != 0;
}

static void check_sent(void)
{
    struct buf *out = &play->out;
    while (out->len >= YAMUX_HEADER_LEN) {
        struct yamux_header h = yamux_header_read(buf_front(out));
        size_t len = YAMUX_HEADER_LEN + (h.type == YAMUX_DATA ? h.length : 0);
        require(h.version == 0 && h.type <= YAMUX_GO_AWAY && h.flags < 16);
        require(out->len >= len); /* a frame is written in one go */
        if (h.type == YAMUX_DATA || h.type == YAMUX_WINDOW)
            check_stream_frame(&h);
        buf_consume(out, len);
    }
    require(!out->len);
}

static size_t carrier_room(const struct stream *s)
{
    (void)s;
    return play->room;
}

static void carrier_writev(struct stream *s, const struct iovec *iov, int n)
{
    size_t len = 0;
    (void)s;
    for (int i = 0; i < n; i++) {
        buf_append(&play->out, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    require(len <= play->room + MOST_BEYOND);
    play->room -= len < play->room ? len : play->room;
    check_sent();
}

static void carrier_consumed(struct stream *s, size_t len)
{
    (void)s, (void)len;
}

static void carrier_shutdown(struct stream *s)
{
    (void)s;
}

static void carrier_close(struct stream *s)
{
    stream_fini(s);
    play->carrier_gone = true;
}

static const struct stream_ops carrier_ops = {
    .room = carrier_room,
    .writev = carrier_writev,
    .consumed = carrier_consumed,
    .shutdown = carrier_shutdown,
    .close = carrier_close,
    .reset = carrier_close,
};

/* The owner. */

static void free_mux(void)
{
    mux_free(play->m);
    play->m = NULL;
}

static void act_on(struct stream **talk, uint8_t what, uint8_t how_much)
{
    static const uint8_t zeros[300000];
    struct stream *s = *talk;
    size_t len;
    switch (what % 8) {
    case 0:
        stream_peek(s, &len);
        stream_consume(s, len);
        break;
    case 1:
        stream_peek(s, &len);
        stream_consume(s, len * how_much / 255);
        break;
    case 2: stream_write(s, zeros, how_much); break;
    case 3: stream_write(s, zeros, how_much * (sizeof(zeros) / 255)); break;
    case 4: stream_shutdown(s); break;
    case 5:
        *talk = NULL;
        stream_close(s);
        break;
    case 6:
        *talk = NULL;
        stream_reset(s);
        break;
    case 7: break; /* leaves it unread */
    }
}

static void on_talk(void *arg, struct stream *s, enum stream_event event)
{
    struct stream **talk = arg;
    require(*talk == s);
    uint8_t luck = next_luck();
    if (event == STREAM_ERROR) {
        *talk = NULL;
        stream_close(s);
    } else if (luck == 255) {
        free_mux();
    } else {
        act_on(talk, luck, next_luck());
    }
}

static void keep(struct stream *s)
{
    for (size_t i = 0; i < TALKS; i++) {
        if (play->talks[i])
            continue;
        play->talks[i] = s;
        stream_own(s, on_talk, &play->talks[i]);
        return;
    }
    stream_close(s);
}

static void accepted(void *arg, struct stream *s)
{
    uint8_t luck = next_luck();
    (void)arg;
    keep(s);
    if (luck == 255)
        free_mux();
    else if (luck > 200 && play->talks[luck % TALKS])
        act_on(&play->talks[luck % TALKS], luck, luck);
}

static void down(void *arg, int error)
{
    (void)arg, (void)error;
    require(play->m && !mux_count(play->m));
    if (next_luck() % 2)
        free_mux();
}

static const struct mux_events events = {.accepted = accepted, .down = down};

/* The script. */

static void arrive(const uint8_t *p, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, p, len);
    if (!play->carrier_gone)
        stream_deliver(&play->carrier, copy, len);
    free(copy);
}

static void arrive_frame(void)
{
    static const uint32_t lengths[] = {0, 1, 100, 131071, 131072, 262144, 262145, UINT32_MAX};
    static uint8_t frame[YAMUX_HEADER_LEN + 262145];
    uint8_t a = next_step(), b = next_step();
    struct yamux_header h = {.type = a % 8 < 3   ? YAMUX_DATA
                                     : a % 8 < 6 ? YAMUX_WINDOW
                                                 : (uint8_t)(a % 8 - 4),
                             .flags = (a >> 3) & 15,
                             .id = b & 31,
                             .length = lengths[b >> 5]};
    bool whole = a < 128;
    yamux_header_write(frame, &h);
    if (h.type == YAMUX_WINDOW && h.id < IDS && play->sent[h.id].allowed < UINT64_MAX / 2)
        play->sent[h.id].allowed += h.length;
    arrive(frame,
           YAMUX_HEADER_LEN + (whole && h.type == YAMUX_DATA && h.length <= 262145 ? h.length : 0));
}

static void arrive_bytes(void)
{
    size_t len = next_step(), left = (size_t)(play->back - play->front);
    len = len < left ? len : left;
    /* Any window may be in there, so what is sent cannot be counted any more. */
    for (size_t i = 0; i < IDS; i++)
        play->sent[i].allowed = UINT64_MAX / 2;
    play->front += len;
    arrive(play->front - len, len);
}

static void more_room(void)
{
    bool was_full = !play->room;
    play->room = (size_t)next_step() << 12;
    if (was_full && play->room && !play->carrier_gone)
        stream_deliver_drained(&play->carrier);
}

static void call_mux(uint8_t what)
{
    struct stream *s;
    if (!play->m)
        return;
    switch (what % 8) {
    case 0: mux_go_away(play->m); break;
    case 1: ystream_sweep(play->m); break;
    case 2: (void)yamux_rtt_us(play->m); break;
    default:
        s = mux_open(play->m);
        if (s)
            keep(s);
    }
}

/* A window is what the peer may send, what lies unread and what is to be given back. */
static void check_windows(void)
{
    const struct yamux *m = (const struct yamux *)(const void *)play->m;
    if (!m || m->state != YAMUX_UP || !m->slots)
        return;
    uint32_t seen = 0;
    for (size_t i = 0; i < (size_t)1 << m->slot_bits; i++) {
        for (const struct ystream *s = m->slots[i]; s; s = s->chain) {
            uint64_t coming = m->sink == s ? m->payload_left : 0;
            seen++;
            if (!s->base.closed && !s->peer_ended)
                require(s->credit + coming + stream_held(&s->base) + s->returned == s->window);
        }
    }
    require(seen == m->count);
}

static void step(void)
{
    uint8_t what = next_step();
    struct stream **talk = &play->talks[what >> 3 & (TALKS - 1)];
    switch (what & 7) {
    case 0:
    case 1:
    case 2: arrive_frame(); break;
    case 3: arrive_bytes(); break;
    case 4:
        if (*talk)
            act_on(talk, next_step(), next_step());
        break;
    case 5: call_mux(what >> 3); break;
    case 6: more_room(); break;
    case 7: loop_turn(play->loop, 0); break;
    }
    check_windows();
}

static void finish(void)
{
    if (!play->carrier_gone && next_luck() % 2)
        stream_deliver_eof(&play->carrier);
    loop_turn(play->loop, 0);
    free_mux();
    for (size_t i = 0; i < TALKS; i++)
        stream_close(play->talks[i]);
    loop_turn(play->loop, 0);
    require(play->carrier_gone);
    loop_free(play->loop);
    buf_fini(&play->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct play p = {.front = data, .back = data + len, .room = 1 << 20};
    play = &p;
    key_init();
    p.loop = loop_new();
    stream_init(&p.carrier, &carrier_ops, p.loop);
    p.role = next_step() % 2 ? YAMUX_CLIENT : YAMUX_SERVER;
    p.m = yamux_new(&p.carrier, p.role, &events, NULL);
    while (p.front < p.back)
        step();
    finish();
    return 0;
}
