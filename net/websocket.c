/* A WebSocket on its carrier: messages out and in, pings, and the two halves of the end. */
#include "net/websocket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"

enum state {
    STATE_OPEN,
    STATE_CLOSING, /* our close is sent, the peer's is awaited */
    STATE_FAILED,  /* our close is sent, what comes is dropped until the carrier ends */
    STATE_ENDED    /* ended() was told */
};

static const char *const state_names[] = {"open", "closing", "failed", "ended"};
static_assert(countof(state_names) == STATE_ENDED + 1, "a name for each state");

struct websocket {
    struct stream *carrier;
    struct loop *loop;
    const struct websocket_events *events;
    void *arg;
    struct ws_reader reader;
    struct buf message; /* gathered so far */
    enum state state;
    bool pieces, paused, freed;
    bool pong_due;
    bool heard, asked; /* since the watch looked last; and it has sent a ping then */
    uint32_t silence_ms;
    uint16_t code; /* what ended() will say of a failure */
    uint8_t pong[WS_CONTROL_MAX];
    size_t pong_len;
    struct loop_timer patience;
    struct loop_timer watch;
    struct loop_task work;
};

static void enter(struct websocket *w, enum state state)
{
    log_trace("websocket: %s -> %s", state_names[w->state], state_names[state]);
    w->state = state;
}

/* Sending. */

/* In as few writes as can be: each may be a system call. */
static void put_masked(struct stream *s, struct iovec header, const uint8_t *data, size_t len)
{
    uint8_t piece[WS_HEADER_MAX + WS_PIECE];
    const uint8_t *mask = (uint8_t *)header.iov_base + header.iov_len - 4;
    size_t lead = header.iov_len;
    memcpy(piece, header.iov_base, lead);
    for (size_t at = 0; at < len || lead; lead = 0) {
        size_t n = len - at < WS_PIECE ? len - at : WS_PIECE;
        if (n)
            memcpy(piece + lead, data + at, n);
        ws_mask(piece + lead, n, mask, at);
        stream_write(s, piece, lead + n);
        at += n;
    }
}

static void put_frame(struct websocket *w, enum ws_opcode opcode, const void *data, size_t len)
{
    uint8_t header[WS_HEADER_MAX], mask[4];
    bool masked = w->reader.role == WS_CLIENT;
    if (masked)
        key_random(mask, sizeof(mask));
    size_t n = ws_header(header, WS_FIN | (uint8_t)opcode, len, masked ? mask : NULL);
    if (masked) {
        put_masked(w->carrier, (struct iovec){header, n}, data, len);
        return;
    }
    const struct iovec iov[] = {{.iov_base = header, .iov_len = n},
                                {.iov_base = (void *)(uintptr_t)data, .iov_len = len}};
    stream_writev(w->carrier, iov, len ? 2 : 1);
}

static void put_close(struct websocket *w, uint16_t code, const char *reason)
{
    uint8_t body[WS_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    size_t len = strnlen(reason, sizeof(body) - 2);
    memcpy(body + 2, reason, len);
    put_frame(w, WS_CLOSE, body, code == WS_NO_CODE ? 0 : 2 + len);
    w->pong_due = false;
}

static void put_pong(struct websocket *w)
{
    if (!w->pong_due || !stream_room(w->carrier))
        return;
    w->pong_due = false;
    put_frame(w, WS_PONG, w->pong, w->pong_len);
}

/* The end. */

/* A peer that takes nothing would keep the carrier for ever, as nobody has it any more. */
static void let_go(struct stream *carrier)
{
    if (!carrier->stall_ms)
        stream_limit_stall(carrier, WS_STALL_MS);
    stream_close(carrier);
}

static void end(struct websocket *w, uint16_t code, const char *reason, size_t len)
{
    struct stream *carrier = w->carrier;
    enter(w, STATE_ENDED);
    loop_timer_del(&w->patience);
    loop_timer_del(&w->watch);
    loop_task_del(&w->work);
    w->carrier = NULL;
    let_go(carrier);
    w->events->ended(w->arg, code, reason, len);
}

/* The carrier is not closed at once: a reset over bytes that lie unread would take our close
 * frame from the peer. */
static void fail(struct websocket *w, uint16_t code)
{
    if (w->state == STATE_OPEN)
        put_close(w, code, "");
    w->code = code;
    enter(w, STATE_FAILED);
    stream_shutdown(w->carrier);
    loop_timer_set(&w->patience, WS_CLOSE_MS);
}

static void closed_by_peer(struct websocket *w, const uint8_t *reason)
{
    if (w->state == STATE_OPEN)
        put_close(w, w->reader.code, "");
    end(w, w->reader.code, (const char *)reason, w->reader.out_len);
}

static void lost_patience(void *arg)
{
    struct websocket *w = arg;
    end(w, w->state == STATE_FAILED ? w->code : WS_ABNORMAL, "", 0);
}

static void look(void *arg)
{
    struct websocket *w = arg;
    bool dead = w->asked && !w->heard && !w->paused;
    if (w->state != STATE_OPEN)
        return; /* which has a limit of its own */
    if (dead) {
        end(w, WS_ABNORMAL, "", 0);
        return;
    }
    bool silent = !w->heard;
    w->asked = silent && !w->paused;
    w->heard = false;
    if (w->asked || (silent && stream_room(w->carrier)))
        put_frame(w, WS_PING, "", 0);
    loop_timer_set(&w->watch, w->silence_ms);
}

/* Receiving. */

static void tell_whole(struct websocket *w, const uint8_t *piece)
{
    const struct ws_reader *r = &w->reader;
    if (r->last && !w->message.len) {
        w->events->data(w->arg, r->text, piece, r->out_len, true);
        return;
    }
    buf_append(&w->message, piece, r->out_len);
    if (!r->last)
        return;
    struct buf whole = w->message;
    w->message = (struct buf){0};
    w->events->data(w->arg, r->text, buf_front(&whole), whole.len, true);
    buf_fini(&whole);
}

static void tell_data(struct websocket *w, const uint8_t *piece)
{
    if (w->state != STATE_OPEN)
        return;
    if (w->pieces)
        w->events->data(w->arg, w->reader.text, piece, w->reader.out_len, w->reader.last);
    else
        tell_whole(w, piece);
}

static void keep_ping(struct websocket *w, const uint8_t *payload)
{
    w->pong_due = w->state == STATE_OPEN;
    w->pong_len = w->reader.out_len;
    memcpy(w->pong, payload, w->pong_len);
    put_pong(w);
}

static void act(struct websocket *w, enum ws_event event, const uint8_t *out)
{
    switch (event) {
    case WS_GOT_DATA: tell_data(w, out); break;
    case WS_GOT_PING: keep_ping(w, out); break;
    case WS_GOT_CLOSE: closed_by_peer(w, out); break;
    case WS_BROKEN: fail(w, w->reader.code); break;
    case WS_GOT_PONG:
    case WS_GOT_NOTHING: break;
    }
}

static bool reading(const struct websocket *w)
{
    return !w->freed && (w->state == STATE_CLOSING || (w->state == STATE_OPEN && !w->paused));
}

static void receive(struct websocket *w)
{
    uint8_t out[WS_PIECE];
    const uint8_t *in;
    size_t len, used;
    while (reading(w) && (in = stream_peek(w->carrier, &len))) {
        w->heard = true;
        enum ws_event event = ws_read(&w->reader, in, len, &used, out);
        stream_consume(w->carrier, used);
        act(w, event, out);
    }
    while (!w->freed && w->state == STATE_FAILED && stream_peek(w->carrier, &len))
        stream_consume(w->carrier, len);
}

static void work(void *arg)
{
    receive(arg);
}

static void drained(struct websocket *w)
{
    w->heard = true; /* it takes what is sent */
    put_pong(w);
    if (w->state == STATE_OPEN && websocket_room(w))
        w->events->drained(w->arg);
}

static void carrier_event(void *arg, struct stream *s, enum stream_event event)
{
    struct websocket *w = arg;
    (void)s;
    switch (event) {
    case STREAM_DATA: receive(w); break;
    case STREAM_DRAINED: drained(w); break;
    case STREAM_EOF:
    case STREAM_ERROR: lost_patience(w); break;
    case STREAM_OPEN: break;
    }
}

/* The owner's calls. */

struct websocket *websocket_new(struct stream *carrier, const struct websocket_options *options,
                                const struct websocket_events *events, void *arg)
{
    struct websocket *w = xcalloc(1, sizeof(*w));
    w->carrier = carrier;
    w->loop = carrier->loop;
    w->events = events;
    w->arg = arg;
    w->pieces = options->pieces;
    ws_reader_init(&w->reader, options->role, options->message_max);
    loop_timer_init(w->loop, &w->patience, lost_patience, w);
    loop_timer_init(w->loop, &w->watch, look, w);
    loop_task_init(w->loop, &w->work, work, w);
    stream_own(carrier, carrier_event, w);
    return w;
}

void websocket_send(struct websocket *w, enum ws_opcode kind, const void *data, size_t len)
{
    if (w->state == STATE_OPEN)
        put_frame(w, kind, data, len);
}

size_t websocket_room(const struct websocket *w)
{
    return w->state == STATE_OPEN ? stream_room(w->carrier) : 0;
}

void websocket_pause(struct websocket *w, bool pause)
{
    bool was = w->paused;
    w->paused = pause;
    w->heard |= was; /* or could have been */
    if (was && !pause && w->state == STATE_OPEN)
        loop_task_post(&w->work);
}

void websocket_ping(struct websocket *w)
{
    if (w->state == STATE_OPEN)
        put_frame(w, WS_PING, "", 0);
}

void websocket_watch(struct websocket *w, uint32_t silence_ms)
{
    w->silence_ms = silence_ms;
    w->heard = true;
    look(w);
}

void websocket_close(struct websocket *w, enum ws_code code, const char *reason)
{
    if (w->state != STATE_OPEN)
        return;
    put_close(w, (uint16_t)code, reason);
    enter(w, STATE_CLOSING);
    loop_timer_set(&w->patience, WS_CLOSE_MS);
    loop_task_post(&w->work); /* what was held back by a pause */
}

void websocket_free(struct websocket *w)
{
    if (!w || w->freed)
        return;
    w->freed = true;
    loop_timer_del(&w->patience);
    loop_timer_del(&w->watch);
    loop_task_del(&w->work);
    buf_fini(&w->message);
    stream_reset(w->carrier);
    w->carrier = NULL;
    w->state = STATE_ENDED;
    loop_reap(w->loop, w, free);
}
