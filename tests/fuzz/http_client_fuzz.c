/* The HTTP client between a server and an owner, both of whom may do anything: a script as in
 * http_server_fuzz.c. */
#include "net/http_client.h"

#include "tests/fuzz/carrier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 1000u

static struct http_client *client;
static struct stream *exchange; /* NULL: none is ours */
static struct stream *upgraded;
static size_t body;
static bool lazy, opened, upgrading;

static void drink(struct stream *s, size_t most)
{
    size_t len;
    require(stream_held(s) <= 2 * 65536);
    while (stream_peek(s, &len) && most) {
        len = len < most ? len : most;
        most -= len;
        body += len;
        require(body <= BODY_MAX && opened);
        stream_consume(s, len);
    }
}

static void let_go(void (*how)(struct stream *s))
{
    struct stream *s = exchange;
    exchange = NULL;
    how(s);
}

static void on_open(struct stream *s)
{
    const struct http_head *h = http_response_head(s);
    require(!opened && (h->status >= 200 || (h->status == 101 && upgrading)));
    opened = true;
}

static void on_exchange(void *arg, struct stream *s, enum stream_event event)
{
    require(!arg && s == exchange);
    if (event == STREAM_OPEN)
        on_open(s);
    if (event == STREAM_DATA && !lazy)
        drink(s, SIZE_MAX);
    if (event == STREAM_EOF)
        require(opened);
    if (event == STREAM_ERROR)
        let_go(stream_close);
}

static void ask(uint8_t how)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT"};
    const struct http_request request = {.method = methods[how % 4],
                                         .target = "/",
                                         .host = "a",
                                         .length = how & 8 ? HTTP_CHUNKED : how % 4 * 10,
                                         .upgrade = how & 16 ? "x" : NULL,
                                         .body_max = BODY_MAX};
    struct stream *s = http_client_send(client, &request);
    require(s && !exchange);
    exchange = s;
    body = 0;
    opened = false;
    upgrading = request.upgrade;
    stream_own(s, on_exchange, NULL);
}

static void upgrade(void)
{
    if (!opened || http_response_head(exchange)->status != 101)
        return;
    upgraded = http_client_upgraded(exchange);
    exchange = NULL;
}

/* What the exchange's owner does. */
static void own(uint8_t how)
{
    static const uint8_t bytes[300];
    if (!exchange)
        return;
    switch (how % 7) {
    case 0: stream_write(exchange, bytes, how); break;
    case 1: stream_shutdown(exchange); break;
    case 2: let_go(stream_close); break;
    case 3: let_go(how & 16 ? stream_reset : stream_close); break;
    case 4: upgrade(); break;
    case 5: lazy = how & 16; break;
    case 6: drink(exchange, how); break;
    }
}

static void step(uint8_t what, struct input *in)
{
    uint8_t how = what >> 3;
    switch (what & 7) {
    case 0: carrier_deliver(in, next(in)); break;
    case 1: carrier_deliver(in, how * 64u); break;
    case 2: own(how); break;
    case 3: loop_turn(loop, 0); break;
    case 4: carrier_set_room(how & 1 ? 65536 : 0); break;
    case 5: stream_want(exchange ? exchange : &carrier.s, how & 1 ? SIZE_MAX : how); break;
    case 6:
        if (how == 31)
            stream_deliver_error(&carrier.s, ECONNRESET);
        else if (how > 15)
            stream_deliver_eof(&carrier.s);
        break;
    case 7:
        if (http_client_ready(client))
            ask(how);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.at = data, .left = size};
    lazy = false;
    upgraded = NULL;
    client = http_client_new(carrier_begin(), &http_client_limits);
    while (in.left)
        step(next(&in), &in);
    loop_turn(loop, 0);
    if (size & 1)
        http_client_free(client);
    if (exchange)
        let_go(stream_close);
    if (!(size & 1))
        http_client_free(client);
    stream_close(upgraded);
    carrier_end();
    return 0;
}
