/* The bytes of a WebSocket's binary messages as a stream. */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/websocket.h"

#define HOLD_LIMIT ((size_t)256 * 1024) /* bytes the owner may leave unread */

struct ws_stream {
    struct stream base;
    struct websocket *w;
    bool text_came;
    struct loop_task orphaned; /* for a loop that ends before the peer has agreed */
};

static struct ws_stream *of(struct stream *s)
{
    return container_of(s, struct ws_stream, base);
}

static size_t room(const struct stream *s)
{
    const struct ws_stream *ws = (const void *)s; /* its first member */
    return ws->w ? websocket_room(ws->w) : 0;
}

static void writev_message(struct stream *s, const struct iovec *iov, int n)
{
    struct buf whole = {0};
    for (int i = 0; i < n; i++)
        buf_append(&whole, iov[i].iov_base, iov[i].iov_len);
    if (of(s)->w && whole.len)
        websocket_send(of(s)->w, WS_BINARY, buf_front(&whole), whole.len);
    buf_fini(&whole);
}

static bool held_up(const struct ws_stream *ws)
{
    return stream_held(&ws->base) >= HOLD_LIMIT || !ws->base.want;
}

static void consumed(struct stream *s, size_t len)
{
    (void)len;
    if (of(s)->w)
        websocket_pause(of(s)->w, held_up(of(s)));
}

static void end_politely(struct stream *s)
{
    if (of(s)->w)
        websocket_close(of(s)->w, WS_NORMAL, "");
}

static void forget(struct ws_stream *ws)
{
    websocket_free(ws->w);
    ws->w = NULL;
    loop_reap(ws->base.loop, ws, free);
}

static void abandon(void *arg)
{
    forget(arg);
}

/* The WebSocket lives on until the peer has agreed, then takes the stream's memory with it. */
static void close_stream(struct stream *s)
{
    stream_fini(s);
    if (!of(s)->w) {
        loop_reap(s->loop, of(s), free);
        return;
    }
    loop_task_at_end(&of(s)->orphaned);
    end_politely(s);
}

static void reset_stream(struct stream *s)
{
    stream_fini(s);
    forget(of(s));
}

static const struct stream_ops ops = {
    .room = room,
    .writev = writev_message,
    .consumed = consumed,
    .shutdown = end_politely,
    .close = close_stream,
    .reset = reset_stream,
};

static void on_data(void *arg, bool text, const uint8_t *data, size_t len, bool last)
{
    struct ws_stream *ws = arg;
    (void)last;
    if (text && !ws->text_came) {
        ws->text_came = true;
        stream_deliver_error(&ws->base, EPROTO);
        websocket_close(ws->w, WS_UNSUPPORTED, "binary messages only");
        return;
    }
    stream_deliver(&ws->base, data, len);
    if (ws->w)
        websocket_pause(ws->w, held_up(ws));
}

static void on_drained(void *arg)
{
    struct ws_stream *ws = arg;
    stream_deliver_drained(&ws->base);
}

static bool is_our_complaint(uint16_t code)
{
    return code == WS_PROTOCOL_ERROR || code == WS_BAD_DATA || code == WS_TOO_BIG;
}

static void on_ended(void *arg, uint16_t code, const char *reason, size_t len)
{
    struct ws_stream *ws = arg;
    (void)reason, (void)len;
    loop_task_del(&ws->orphaned);
    websocket_free(ws->w);
    ws->w = NULL;
    if (ws->base.closed)
        loop_reap(ws->base.loop, ws, free);
    else if (code == WS_NORMAL || code == WS_GOING_AWAY || code == WS_NO_CODE)
        stream_deliver_eof(&ws->base);
    else
        stream_deliver_error(&ws->base, is_our_complaint(code) ? EPROTO : ECONNRESET);
}

static const struct websocket_events events = {
    .data = on_data,
    .drained = on_drained,
    .ended = on_ended,
};

struct stream *websocket_stream_new(struct stream *carrier, enum ws_role role)
{
    const struct websocket_options options = {.role = role, .pieces = true};
    struct ws_stream *ws = xcalloc(1, sizeof(*ws));
    stream_init(&ws->base, &ops, carrier->loop);
    loop_task_init(carrier->loop, &ws->orphaned, abandon, ws);
    ws->w = websocket_new(carrier, &options, &events, ws);
    return &ws->base;
}

void websocket_stream_watch(struct stream *s, uint32_t silence_ms)
{
    websocket_watch(of(s)->w, silence_ms);
}
