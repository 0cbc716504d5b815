/* The HTTP client between a server and an owner, both of whom may do anything: a script as in
 * http_server_fuzz.c. */
#include "net/http_client.h"

#include "tests/fuzz/http_exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_client *client;
static bool upgrading;

static void on_open(struct stream *s)
{
    const struct http_head *h = http_response_head(s);
    require(!taking && (h->status >= 200 || (h->status == 101 && upgrading)));
    taking = true;
}

static void on_exchange(void *arg, struct stream *s, enum stream_event event)
{
    require(!arg && s == exchange);
    if (event == STREAM_OPEN)
        on_open(s);
    if (event == STREAM_DATA && !lazy)
        drink(s, SIZE_MAX);
    if (event == STREAM_EOF)
        require(taking);
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
    taking = false;
    upgrading = request.upgrade;
    stream_own(s, on_exchange, NULL);
}

static void upgrade(void)
{
    if (!taking || http_response_head(exchange)->status != 101)
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
    case 2: own(how); break;
    case 7:
        if (http_client_ready(client))
            ask(how);
        break;
    default: exchange_step(what, in);
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
