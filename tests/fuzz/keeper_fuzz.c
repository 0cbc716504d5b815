/* The keeper, with whatever a front could say that is none any more: each frame is answered with one message, or
 * the keeper ends. */
#include "applets/broker/keeper.h"

#include "core/message.h"
#include "tests/fuzz/carrier.h"

static size_t answers(void)
{
    struct frame_reader r = {0};
    struct message m;
    size_t n = 0;
    for (size_t at = 0; at < carrier.out.len;) {
        struct frame f;
        const char *why;
        size_t len = carrier.out.len - at;
        enum frame_status status = frame_feed(&r, buf_front(&carrier.out) + at, &len, &f);
        require(status == FRAME_READY);
        require(message_parse(&m, f.payload, f.len, &why) == 0);
        require(m.type == MSG_PONG || m.type == MSG_ERROR);
        message_fini(&m);
        at += len;
        n++;
    }
    frame_reader_fini(&r);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct stream *front = carrier_begin();
    keeper_serve(loop, front);
    while (in.left && !carrier.s.closed) {
        size_t len = next(&in);
        if (len)
            carrier_deliver(&in, len);
        else
            carrier_set_room(next(&in));
        loop_turn(loop, 0);
    }
    require(answers() <= size / 5);
    if (!carrier.s.closed)
        stream_deliver_eof(&carrier.s);
    loop_turn(loop, 0);
    require(carrier.s.closed);
    carrier_end();
    return 0;
}
