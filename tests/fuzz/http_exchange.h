/* http_exchange.h: an HTTP exchange, whichever side of it we are, whose owner and whose carrier may do anything. */
#ifndef TESTS_FUZZ_HTTP_EXCHANGE_H
#define TESTS_FUZZ_HTTP_EXCHANGE_H

#include "tests/fuzz/carrier.h"

#define BODY_MAX 1000u

static struct stream *exchange; /* NULL: none is ours */
static struct stream *upgraded;
static size_t body;
static bool lazy;
static bool taking; /* a body may come */

static void drink(struct stream *s, size_t most)
{
    size_t len;
    require(stream_held(s) <= 2 * 65536);
    while (stream_peek(s, &len) && most) {
        len = len < most ? len : most;
        most -= len;
        body += len;
        require(body <= BODY_MAX && taking);
        stream_consume(s, len);
    }
}

static void let_go(void (*how)(struct stream *s))
{
    struct stream *s = exchange;
    exchange = NULL;
    how(s);
}

/* What happens to the carrier, or to both: the low 3 bits but 2 and 7, which are the target's own. */
static void exchange_step(uint8_t what, struct input *in)
{
    uint8_t how = what >> 3;
    switch (what & 7) {
    case 0: carrier_deliver(in, next(in)); break;
    case 1: carrier_deliver(in, how * 64u); break;
    case 3: loop_turn(loop, 0); break;
    case 4: carrier_set_room(how & 1 ? 65536 : 0); break;
    case 5: stream_want(exchange ? exchange : &carrier.s, how & 1 ? SIZE_MAX : how); break;
    case 6:
        if (how == 31)
            stream_deliver_error(&carrier.s, ECONNRESET);
        else if (how > 15)
            stream_deliver_eof(&carrier.s);
        break;
    }
}

#endif
