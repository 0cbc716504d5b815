/* What a terminal's client says: a script of whole text messages, pieces of them, binary ones, closes and bare
 * bytes, while the owner holds, shows and ends. A size that is told is one; nothing is told after the end. */
#include "applets/broker/viewer.h"

#include "net/websocket_frame.h"
#include "tests/fuzz/carrier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct viewer *viewer;
static size_t typed;

static void on_input(void *arg, const uint8_t *data, size_t len)
{
    require(!arg && viewer && len && data);
    typed += len;
}

static void on_resized(void *arg, uint16_t rows, uint16_t cols)
{
    require(!arg && viewer && rows && cols);
    if (rows == 4000) /* an owner may do so */
        viewer_end(viewer, 1000, "");
    if (rows == 4000)
        viewer = NULL;
}

static void on_drained(void *arg)
{
    require(!arg && viewer);
}

static void on_gone(void *arg, bool done)
{
    (void)done;
    require(!arg && viewer);
    viewer = NULL;
}

static const struct viewer_events events = {
    .input = on_input, .resized = on_resized, .drained = on_drained, .gone = on_gone};

/* A frame with the next bytes of the input. */
static void deliver_frame(struct input *in, uint8_t opcode_and_fin, size_t len)
{
    static const uint8_t mask[4];
    uint8_t header[WS_HEADER_MAX];
    len = len < in->left ? len : in->left;
    stream_deliver(&carrier.s, header, ws_header(header, opcode_and_fin, len, mask));
    carrier_deliver(in, len);
}

static void own(uint8_t how)
{
    static const uint8_t zeros[500];
    if (!viewer)
        return;
    switch (how % 4) {
    case 0: viewer_hold(viewer, how & 4); break;
    case 1: viewer_show(viewer, zeros, how * 15u); break;
    case 2: viewer_tell(viewer, "{}"); break;
    case 3:
        if (how < 24)
            break;
        viewer_end(viewer, VIEWER_TAKEN_OVER, "");
        viewer = NULL;
        break;
    }
}

static void step(uint8_t what, struct input *in)
{
    uint8_t how = what >> 3;
    switch (what & 7) {
    case 0: deliver_frame(in, WS_FIN | WS_TEXT, next(in)); break;
    case 1: deliver_frame(in, how & 1 ? WS_TEXT : WS_MORE, next(in)); break;
    case 2: deliver_frame(in, WS_FIN | WS_MORE, how * 50u); break;
    case 3: deliver_frame(in, WS_FIN | WS_BINARY, next(in)); break;
    case 4: deliver_frame(in, WS_FIN | WS_CLOSE, how); break;
    case 5: own(how); break;
    case 6: carrier_deliver(in, how); break;
    case 7:
        carrier_set_room(how & 1 ? 65536 : 0);
        loop_turn(loop, 0);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.at = data, .left = size};
    typed = 0;
    viewer = viewer_new(carrier_begin(), VIEWER_SILENCE_MS, &events, NULL);
    while (in.left)
        step(next(&in), &in);
    loop_turn(loop, 0);
    require(typed <= (size_t)WS_HEADER_MAX * size + size); /* a frame may swallow others */
    viewer_end(viewer, 1000, "");
    viewer = NULL;
    stream_deliver_error(&carrier.s, ECONNRESET); /* what a closed one still waits for */
    carrier_end();
    return 0;
}
