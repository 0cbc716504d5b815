/* The HTTP server between a client and an owner, both of whom may do anything: a script, one step a byte:
 * what (low 3 bits), how (high 5 bits); the bytes that come follow their step and its length. */
#include "net/http_server.h"

#include "tests/fuzz/http_exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_conn *server;
static bool ended;

static void on_exchange(void *arg, struct stream *s, enum stream_event event)
{
    require(!arg && s == exchange);
    if (event == STREAM_DATA && !lazy)
        drink(s, SIZE_MAX);
    if (event == STREAM_ERROR)
        let_go(stream_close);
}

static void on_request(void *arg, struct stream *s)
{
    const struct http_head *h = http_request_head(s);
    require(!arg && !exchange && !ended);
    require(h->method && *http_target(h) && h->length != HTTP_UNTIL_END);
    require(http_field_count(h, "Host") == 1 || h->minor == 0);
    exchange = s;
    body = 0;
    taking = false;
    stream_own(s, on_exchange, NULL);
}

static void on_ended(void *arg, struct http_conn *c)
{
    require(!arg && c == server && !ended);
    ended = true;
    server = NULL;
}

static const struct http_server_events events = {.request = on_request, .ended = on_ended};

static void upgrade(void)
{
    if (!http_request_head(exchange)->upgrade)
        return;
    upgraded = http_upgrade(exchange, "Upgrade: x\r\n");
    exchange = NULL;
}

static void answer(void)
{
    struct stream *s = exchange;
    exchange = NULL;
    http_answer(s, 200, "X: y\r\n", "hello", 5);
}

/* What the exchange's owner does. */
static void own(uint8_t how)
{
    static const uint8_t bytes[300];
    if (!exchange)
        return;
    switch (how % 10) {
    case 0: taking |= http_accept_body(exchange, BODY_MAX) == 0; break;
    case 1: http_respond(exchange, 200, "", how & 16 ? HTTP_CHUNKED : 10); break;
    case 2: stream_write(exchange, bytes, how * 9u); break;
    case 3: stream_shutdown(exchange); break;
    case 4: answer(); break;
    case 5: let_go(stream_close); break;
    case 6: let_go(how & 16 ? stream_reset : stream_close); break;
    case 7: upgrade(); break;
    case 8: lazy = how & 16; break;
    case 9: drink(exchange, how); break;
    }
}

static void step(uint8_t what, struct input *in)
{
    uint8_t how = what >> 3;
    switch (what & 7) {
    case 2: own(how); break;
    case 7:
        if (server && how > 24)
            http_conn_finish(server);
        break;
    default: exchange_step(what, in);
    }
}

/* Whatever we said is made of heads of ours. */
static void check_said(void)
{
    static const char head[] = "HTTP/1.1 ";
    size_t len = carrier.out.len < sizeof(head) - 1 ? carrier.out.len : sizeof(head) - 1;
    require(!len || !memcmp(buf_front(&carrier.out), head, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.at = data, .left = size};
    lazy = ended = taking = false;
    upgraded = NULL;
    server = http_serve(carrier_begin(), &http_server_limits, &events, NULL);
    while (in.left)
        step(next(&in), &in);
    loop_turn(loop, 0);
    check_said();
    if (size & 1) /* with its exchange open, or after it */
        http_conn_free(server);
    if (exchange)
        let_go(stream_close);
    if (!(size & 1) && !ended)
        http_conn_free(server);
    stream_close(upgraded);
    carrier_end();
    return 0;
}
