/* yamux.c: the mux: its life, and what the peer's frames mean.
 *
 * Everything the peer sends is taken from the carrier at once: the windows bound it. A
 * frame's payload is handed up from the carrier's own memory as it comes, piece by piece. So
 * while `reading` is set the carrier must not be written to nor closed: a mux that is freed
 * by a callback then leaves only when the call is back here.
 *
 * Where the spec leaves a peer's mistake open we do what the Go implementation does: a bad
 * version or type, a SYN for a stream that exists, a second FIN and too much payload end
 * the session; payload for a stream that is not known is dropped, for it may have been sent
 * before our RST came. Beyond Go, a SYN with an id that is not the peer's to give ends the
 * session too, and the dropped payload's sender is told by RST. */
#include "net/yamux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "net/yamux_internal.h"

#define GROWN_MAX    (64u * 1024 * 1024) /* bytes that all windows together may grow by */
#define MANY_ANSWERS 4096  /* bytes to be sent that are not left for the end of the turn */
#define PING_IDLE_MS 15000 /* how old the round trip may be while anything comes */

/* Going down. */

static void lose_streams(struct yamux *m)
{
    for (size_t i = 0; m->count; i++)
        while (m->slots[i])
            ystream_retire(m->slots[i], ECONNRESET);
}

static void go_down(struct yamux *m, int error)
{
    m->state = YAMUX_DOWN;
    m->error = error;
    loop_timer_del(&m->silence);
    lose_streams(m);
    loop_task_post(&m->tell_down);
}

static void tell_down(void *arg)
{
    struct yamux *m = arg;
    m->mux.events->down(m->mux.arg, m->error);
}

static void protocol_error(struct yamux *m, const struct yamux_header *h, const char *what)
{
    uint8_t frame[YAMUX_HEADER_LEN];
    struct yamux_header away = {.type = YAMUX_GO_AWAY, .length = YAMUX_PROTOCOL_ERROR};
    log_trace("yamux: %s (version %u, type %u, flags %u, stream %u, length %u)", what, h->version,
              h->type, h->flags, h->id, h->length);
    yamux_header_write(frame, &away);
    stream_write(m->carrier, frame, sizeof(frame));
    go_down(m, EPROTO);
}

/* An end of the carrier breaks nothing if no byte is missing that anybody waits for. */
static bool anybody_waits(const struct yamux *m)
{
    for (size_t i = 0; m->slots && i < (size_t)1 << m->slot_bits; i++)
        for (const struct ystream *s = m->slots[i]; s; s = s->chain)
            if (!s->base.closed || s->out.len)
                return true;
    return false;
}

static void carrier_ended(struct yamux *m)
{
    bool whole = !m->header_len && !m->payload_left;
    bool agreed = m->away_sent || m->peer_away || !anybody_waits(m);
    go_down(m, whole && agreed ? 0 : ECONNRESET);
}

/* Frames that belong to no stream. */

void yamux_want_ping(struct yamux *m, uint64_t after_ms)
{
    if (m->ping_due || m->ping_out || loop_now_ms(m->loop) - m->ping_ms < after_ms)
        return;
    m->ping_due = true;
    loop_task_post(&m->flush);
}

/* The floor is the path without our own queues on it; it creeps up, for paths change. */
static void take_pong(struct yamux *m, uint32_t id)
{
    if (!m->ping_out || id != m->ping_id)
        return;
    m->ping_out = false;
    uint64_t rtt = loop_clock_us() - m->ping_us, ceiling = m->rtt_floor_us + m->rtt_floor_us / 4;
    m->rtt_us = rtt ? rtt : 1;
    m->rtt_floor_us = ceiling && ceiling < m->rtt_us ? ceiling : m->rtt_us;
}

static void on_ping(struct yamux *m, const struct yamux_header *h)
{
    struct yamux_header pong = {.type = YAMUX_PING, .flags = YAMUX_ACK, .length = h->length};
    if (!(h->flags & YAMUX_SYN))
        take_pong(m, h->length);
    else if (!yamux_send_urgent(m, &pong))
        protocol_error(m, h, "a flood of pings");
}

static void on_go_away(struct yamux *m, const struct yamux_header *h)
{
    log_trace("yamux: the peer goes away: %u", h->length);
    if (h->length == YAMUX_NORMAL)
        m->peer_away = true;
    else
        go_down(m, h->length == YAMUX_PROTOCOL_ERROR ? EPROTO : ECONNRESET);
}

/* Whether the peer is still there. */

static void doubt(struct yamux *m, uint32_t dead_ms)
{
    m->doubted = true;
    loop_timer_set(&m->silence, dead_ms);
    yamux_want_ping(m, 0);
}

static void heard(struct yamux *m)
{
    m->heard_ms = loop_now_ms(m->loop);
    if (m->doubted)
        loop_timer_set(&m->silence, m->silence_ms);
    m->doubted = false;
}

static void on_silence(void *arg)
{
    struct yamux *m = arg;
    uint64_t silent_ms = loop_now_ms(m->loop) - m->heard_ms;
    if (m->doubted)
        go_down(m, ETIMEDOUT);
    else if (silent_ms < m->silence_ms)
        loop_timer_set(&m->silence, m->silence_ms - silent_ms);
    else
        doubt(m, m->dead_ms);
}

/* One RST is enough for any number of frames on the way. False: too much waits already. */
static bool refuse(struct yamux *m, uint32_t id)
{
    struct yamux_header rst = {.type = YAMUX_WINDOW, .flags = YAMUX_RST, .id = id};
    if (id == m->refused_last)
        return true;
    if (!yamux_send_urgent(m, &rst))
        return false;
    m->refused_last = id;
    return true;
}

/* Frames of streams. */

static void on_syn(struct yamux *m, const struct yamux_header *h)
{
    uint32_t theirs = m->role == YAMUX_CLIENT ? 0 : 1;
    if (!h->id || h->id % 2 != theirs) {
        protocol_error(m, h, "a new stream with an id that is not the peer's to give");
    } else if (yamux_find(m, h->id)) {
        protocol_error(m, h, "a new stream with the id of another");
    } else if (m->away_sent || m->count >= YAMUX_STREAMS_MAX) {
        m->refused_last = 0;
        if (!refuse(m, h->id))
            protocol_error(m, h, "a flood of new streams");
    } else {
        struct ystream *s = ystream_new(m, h->id, GREET_ACK);
        m->mux.events->accepted(m->mux.arg, &s->base);
    }
}

static void on_data(struct yamux *m, struct ystream *s, const struct yamux_header *h)
{
    if (h->length > s->credit) {
        protocol_error(m, h, "more payload than the window allows");
        return;
    }
    s->credit -= h->length;
    if (!h->length) {
        if (h->flags & YAMUX_FIN)
            ystream_peer_ended(s);
        return;
    }
    m->sink = s->peer_ended ? NULL : s;
    m->sink_fin = h->flags & YAMUX_FIN;
    if (s->base.closed)
        ystream_abort(s);
}

static void on_window(struct yamux *m, struct ystream *s, const struct yamux_header *h)
{
    if (!ystream_more_window(s, h->length))
        protocol_error(m, h, "a window past the end of numbers");
    else if (h->flags & YAMUX_FIN)
        ystream_peer_ended(s);
}

static void on_unknown(struct yamux *m, const struct yamux_header *h)
{
    if (h->type == YAMUX_DATA && h->length && h->id && !(h->flags & YAMUX_RST))
        refuse(m, h->id);
}

static void on_stream_frame(struct yamux *m, const struct yamux_header *h)
{
    if (h->type == YAMUX_DATA)
        m->payload_left = h->length;
    if (h->flags & YAMUX_SYN)
        on_syn(m, h);
    if (m->state != YAMUX_UP)
        return;
    struct ystream *s = yamux_find(m, h->id);
    if (!s || ystream_unspoken(s)) {
        on_unknown(m, h);
        return;
    }
    ystream_acked(s);
    if (h->flags & YAMUX_RST)
        ystream_retire(s, ECONNRESET);
    else if ((h->flags & YAMUX_FIN) && s->peer_ended)
        protocol_error(m, h, "a stream's end after its end");
    else if (h->type == YAMUX_DATA)
        on_data(m, s, h);
    else
        on_window(m, s, h);
}

static void on_header(struct yamux *m)
{
    struct yamux_header h = yamux_header_read(m->header);
    m->header_len = 0;
    m->sink = NULL;
    if (h.version != 0 || h.type > YAMUX_GO_AWAY)
        protocol_error(m, &h, "not a frame of yamux");
    else if (h.type == YAMUX_PING)
        on_ping(m, &h);
    else if (h.type == YAMUX_GO_AWAY)
        on_go_away(m, &h);
    else
        on_stream_frame(m, &h);
}

/* The carrier. */

static void take_header(struct yamux *m, const uint8_t *p, size_t len)
{
    size_t missing = YAMUX_HEADER_LEN - m->header_len;
    if (len > missing)
        len = missing;
    memcpy(m->header + m->header_len, p, len);
    m->header_len += len;
    stream_consume(m->carrier, len);
    if (m->header_len == YAMUX_HEADER_LEN)
        on_header(m);
}

static void take_payload(struct yamux *m, const uint8_t *p, size_t len)
{
    if (len > m->payload_left)
        len = m->payload_left;
    m->payload_left -= (uint32_t)len;
    if (m->sink)
        stream_deliver(&m->sink->base, p, len);
    stream_consume(m->carrier, len);
    if (m->state == YAMUX_UP && !m->payload_left && m->sink && m->sink_fin)
        ystream_peer_ended(m->sink);
}

static void leave(struct yamux *m, bool flush)
{
    if (flush)
        yamux_flush(m);
    lose_streams(m);
    loop_task_del(&m->flush);
    loop_task_del(&m->tell_down);
    loop_timer_del(&m->sweep);
    loop_timer_del(&m->silence);
    buf_fini(&m->urgent);
    stream_close(m->carrier);
    free(m->slots);
    loop_reap(m->loop, m, free);
}

static void read_carrier(struct yamux *m)
{
    const uint8_t *p;
    size_t len;
    m->reading = true;
    heard(m);
    while (m->state == YAMUX_UP && (p = stream_peek(m->carrier, &len))) {
        if (m->payload_left)
            take_payload(m, p, len);
        else
            take_header(m, p, len);
        if (m->urgent.len >= MANY_ANSWERS && m->state == YAMUX_UP)
            yamux_flush(m);
    }
    m->reading = false;
    if (m->state == YAMUX_FREED)
        leave(m, true);
    else
        yamux_want_ping(m, PING_IDLE_MS);
}

/* Once down, what still comes is taken so that the carrier's close is not a reset. */
static void skip_carrier(struct yamux *m)
{
    size_t len;
    stream_peek(m->carrier, &len);
    stream_consume(m->carrier, len);
}

static void flush(void *arg)
{
    struct yamux *m = arg;
    if (m->state != YAMUX_UP)
        return;
    if (stream_ended(m->carrier))
        carrier_ended(m); /* its former owner was told, so we are not */
    else
        yamux_flush(m);
}

static void on_carrier(void *arg, struct stream *carrier, enum stream_event event)
{
    struct yamux *m = arg;
    if (m->state != YAMUX_UP) {
        skip_carrier(m);
        return;
    }
    switch (event) {
    case STREAM_OPEN: break;
    case STREAM_DATA: read_carrier(m); break;
    case STREAM_DRAINED: yamux_flush(m); break;
    case STREAM_EOF: carrier_ended(m); break;
    case STREAM_ERROR: go_down(m, stream_error(carrier)); break;
    }
}

/* The owner's calls. */

static struct yamux *yamux_of(struct mux *m)
{
    return container_of(m, struct yamux, mux);
}

static struct stream *open_stream(struct mux *mux)
{
    struct yamux *m = yamux_of(mux);
    if (m->state != YAMUX_UP || m->away_sent || m->peer_away || m->next_id > UINT32_MAX - 2) {
        errno = ECONNABORTED;
        return NULL;
    }
    if (m->count >= YAMUX_STREAMS_MAX) {
        errno = EMFILE;
        return NULL;
    }
    struct ystream *s = ystream_new(m, m->next_id, GREET_HELD);
    m->next_id += 2;
    return &s->base;
}

static void go_away(struct mux *mux)
{
    struct yamux *m = yamux_of(mux);
    if (m->state != YAMUX_UP || m->away_sent)
        return;
    m->away_due = m->away_sent = true;
    loop_task_post(&m->flush);
}

static size_t count(const struct mux *mux)
{
    return ((const struct yamux *)(const void *)mux)->count;
}

static void free_mux(struct mux *mux)
{
    struct yamux *m = yamux_of(mux);
    bool up = m->state == YAMUX_UP;
    m->state = YAMUX_FREED;
    if (!m->reading)
        leave(m, up);
}

static const struct mux_ops ops = {
    .open = open_stream,
    .go_away = go_away,
    .count = count,
    .free = free_mux,
};

static void sweep(void *arg)
{
    ystream_sweep(arg);
}

void yamux_share_growth(struct mux *mux, size_t *grown, size_t limit)
{
    yamux_of(mux)->grown = grown;
    yamux_of(mux)->growth_limit = limit;
}

struct mux *yamux_new(struct stream *carrier, enum yamux_role role, const struct mux_events *events,
                      void *arg)
{
    struct yamux *m = xcalloc(1, sizeof(*m));
    m->mux = (struct mux){.ops = &ops, .events = events, .arg = arg};
    m->carrier = carrier;
    m->loop = carrier->loop;
    m->role = role;
    m->next_id = role == YAMUX_CLIENT ? 1 : 2;
    list_init(&m->control);
    list_init(&m->ready);
    list_init(&m->held);
    list_init(&m->linger);
    loop_task_init(m->loop, &m->flush, flush, m);
    loop_task_init(m->loop, &m->tell_down, tell_down, m);
    loop_timer_init(m->loop, &m->sweep, sweep, m);
    loop_timer_init(m->loop, &m->silence, on_silence, m);
    yamux_share_growth(&m->mux, &m->own_grown, GROWN_MAX);
    yamux_want_ping(m, 0);
    stream_own(carrier, on_carrier, m);
    return &m->mux;
}

uint64_t yamux_rtt_us(const struct mux *m)
{
    return ((const struct yamux *)(const void *)m)->rtt_us;
}

void yamux_keep_alive(struct mux *mux, uint32_t silence_ms, uint32_t dead_ms)
{
    struct yamux *m = yamux_of(mux);
    m->silence_ms = silence_ms;
    m->dead_ms = dead_ms;
    m->heard_ms = loop_now_ms(m->loop);
    m->doubted = false;
    if (m->state == YAMUX_UP)
        loop_timer_set(&m->silence, silence_ms);
}

void yamux_probe(struct mux *mux, uint32_t dead_ms)
{
    struct yamux *m = yamux_of(mux);
    if (m->state == YAMUX_UP && m->silence_ms && !m->doubted)
        doubt(m, dead_ms);
}
