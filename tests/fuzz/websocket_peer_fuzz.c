/* A WebSocket between a peer and an owner, both of whom may do anything: the first byte says in which role
 * and how it is owned, the rest is a script as in http_server_fuzz.c. Whatever we say has to be frames
 * that our own reader takes, and nothing comes behind a close. */
#include "net/websocket.h"

#include "core/utf8.h"
#include "tests/fuzz/carrier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX 5000u

static struct websocket *w;
static struct stream *bytes; /* or as a stream */
static bool over, lazy;

static void on_data(void *arg, bool text, const uint8_t *data, size_t len, bool last)
{
    require(!arg && !over && len <= MESSAGE_MAX);
    require(!text || !last || utf8_valid(data, len));
}

static void on_drained(void *arg)
{
    require(!arg && !over);
}

static void on_ended(void *arg, uint16_t code, const char *reason, size_t len)
{
    require(!arg && !over && code >= 1000 && (!len || utf8_valid(reason, len)));
    over = true;
    websocket_free(w);
    w = NULL;
}

static const struct websocket_events events = {
    .data = on_data, .drained = on_drained, .ended = on_ended};

static void on_stream(void *arg, struct stream *s, enum stream_event event)
{
    size_t len;
    require(!arg && s == bytes);
    while (event == STREAM_DATA && !lazy && stream_peek(s, &len))
        stream_consume(s, len);
    require(stream_held(s) <= 2 * 256 * 1024);
    if (event != STREAM_ERROR)
        return;
    bytes = NULL;
    stream_close(s);
}

static void own_messages(uint8_t how)
{
    static const uint8_t zeros[500];
    switch (how % 8) {
    case 0: websocket_send(w, WS_TEXT, "hello", 5); break;
    case 1: websocket_send(w, WS_BINARY, zeros, how * 15u); break;
    case 2: websocket_ping(w); break;
    case 3: websocket_pause(w, how & 16); break;
    case 4: websocket_close(w, WS_GOING_AWAY, "bye"); break;
    case 5: websocket_close(w, WS_NORMAL, ""); break;
    case 6: require(websocket_room(w) <= 65536); break;
    case 7:
        if (how < 24)
            break;
        websocket_free(w);
        w = NULL;
        break;
    }
}

static void end_stream(void (*how)(struct stream *s))
{
    struct stream *s = bytes;
    bytes = NULL;
    how(s);
}

static void own_stream(uint8_t how)
{
    static const uint8_t zeros[500];
    switch (how % 8) {
    case 0:
    case 1: stream_write(bytes, zeros, how * 15u); break;
    case 2: stream_want(bytes, how & 16 ? SIZE_MAX : 0); break;
    case 3: lazy = how & 16; break;
    case 4: stream_shutdown(bytes); break;
    case 5: end_stream(stream_close); break;
    case 6:
        if (how > 15)
            end_stream(stream_reset);
        break;
    case 7: break;
    }
}

static void step(uint8_t what, struct input *in)
{
    uint8_t how = what >> 3;
    switch (what & 7) {
    case 0: carrier_deliver(in, next(in)); break;
    case 1: carrier_deliver(in, how * 64u); break;
    case 2:
        if (w)
            own_messages(how);
        else if (bytes)
            own_stream(how);
        break;
    case 3:
    case 7: loop_turn(loop, 0); break;
    case 4:
    case 5: carrier_set_room(how & 1 ? 65536 : 0); break;
    case 6:
        if (how == 31)
            stream_deliver_error(&carrier.s, ECONNRESET);
        else if (how > 15)
            stream_deliver_eof(&carrier.s);
        break;
    }
}

static void check_said(enum ws_role other)
{
    static uint8_t out[WS_PIECE];
    struct ws_reader r;
    size_t used;
    bool closed = false;
    ws_reader_init(&r, other, 0);
    for (size_t at = 0; at < carrier.out.len; at += used) {
        const uint8_t *said = buf_front(&carrier.out) + at;
        enum ws_event event = ws_read(&r, said, carrier.out.len - at, &used, out);
        require(event != WS_BROKEN && event != WS_GOT_NOTHING && !closed);
        closed = event == WS_GOT_CLOSE;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum ws_role role = data[0] & 1 ? WS_SERVER : WS_CLIENT;
    const struct websocket_options options = {
        .role = role, .message_max = MESSAGE_MAX, .pieces = data[0] & 4};
    struct input in = {.at = data + 1, .left = size - 1};
    over = lazy = false;
    w = NULL;
    bytes = NULL;
    if (data[0] & 2) {
        bytes = websocket_stream_new(carrier_begin(), role);
        stream_own(bytes, on_stream, NULL);
    } else {
        w = websocket_new(carrier_begin(), &options, &events, NULL);
    }
    while (in.left)
        step(next(&in), &in);
    loop_turn(loop, 0);
    check_said(role == WS_SERVER ? WS_CLIENT : WS_SERVER);
    websocket_free(w);
    stream_reset(bytes);
    stream_deliver_error(&carrier.s, ECONNRESET); /* what a closed stream still waits for */
    carrier_end();
    return 0;
}
