/* The WebSocket handshake. */
#include "net/websocket_handshake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/websocket_frame.h"

#define VERSION     "13"
#define REFUSAL_MAX 65536u /* bytes of the body of another answer */

/* The server's side (RFC 6455 section 4.2). */

static const char *offer_fault(const struct http_head *h)
{
    const char *key = http_field(h, "Sec-WebSocket-Key");
    if (!h->upgrade || h->minor < 1 || !http_field_lists(h, "Upgrade", "websocket") ||
        !http_field_lists(h, "Connection", "Upgrade"))
        return "This is a WebSocket's place: an upgrade to one is needed.\n";
    if (!key || !ws_key_ok(key))
        return "Sec-WebSocket-Key is missing, repeated or no key.\n";
    return NULL;
}

static void answer_text(struct stream *exchange, int status, const char *fields, const char *text)
{
    cleanup_free char *all = xasprintf("Content-Type: text/plain\r\n%s", fields);
    http_answer(exchange, status, all, text, strlen(text));
}

/* True when it was refused. */
static bool refuse(struct stream *exchange)
{
    const struct http_head *h = http_request_head(exchange);
    const char *version = http_field(h, "Sec-WebSocket-Version"), *fault = offer_fault(h);
    if (strcmp(h->method, "GET") != 0)
        answer_text(exchange, 405, "Allow: GET\r\n", "A WebSocket begins with GET.\n");
    else if (fault)
        answer_text(exchange, h->upgrade ? 400 : 426, "Upgrade: websocket\r\n", fault);
    else if (!version || strcmp(version, VERSION) != 0)
        answer_text(exchange, 426, "Sec-WebSocket-Version: " VERSION "\r\n",
                    "Only version " VERSION " of WebSocket is spoken here.\n");
    else
        return false;
    return true;
}

struct stream *websocket_accept(struct stream *exchange, const char *protocol)
{
    char accept[WS_ACCEPT_LEN + 1];
    if (refuse(exchange))
        return NULL;
    ws_accept(accept, http_field(http_request_head(exchange), "Sec-WebSocket-Key"));
    cleanup_free char *chosen =
        protocol ? xasprintf("Sec-WebSocket-Protocol: %s\r\n", protocol) : xstrdup("");
    cleanup_free char *fields =
        xasprintf("Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n%s", accept, chosen);
    return http_upgrade(exchange, fields);
}

/* The client's (section 4.1). */

struct websocket_dial {
    struct http_client_limits limits;
    struct http_client *client;
    struct stream *exchange;
    struct loop *loop;
    websocket_dialled_fn *fn;
    void *arg;
    char *protocol;
    char key[WS_KEY_LEN + 1];
    int status; /* of another answer than 101, whose body is coming */
    bool over;
    struct buf refusal; /* the body of another answer than 101 */
    struct loop_timer patience;
};

static void free_dial(void *p)
{
    struct websocket_dial *d = p;
    buf_fini(&d->refusal);
    free(d->protocol);
    free(d);
}

static void let_go(struct websocket_dial *d)
{
    d->over = true;
    loop_timer_del(&d->patience);
    stream_reset(d->exchange);
    http_client_free(d->client);
    loop_reap(d->loop, d, free_dial);
}

static void fail(struct websocket_dial *d, int error, int status)
{
    let_go(d);
    d->fn(d->arg, NULL, error, status);
}

/* With a status there was an answer, even if the rest of it never comes. */
static void end(struct websocket_dial *d, int error)
{
    fail(d, d->status ? ECONNREFUSED : error, d->status);
}

static void lost_patience(void *arg)
{
    end(arg, ETIMEDOUT);
}

/* A protocol that was not offered, or an extension, which we never offer, would be misunderstood. */
static bool is_ours(const struct websocket_dial *d, const struct http_head *h)
{
    char want[WS_ACCEPT_LEN + 1];
    const char *accept = http_field(h, "Sec-WebSocket-Accept");
    const char *protocol = http_field(h, "Sec-WebSocket-Protocol");
    ws_accept(want, d->key);
    return accept && !strcmp(accept, want) && http_field_lists(h, "Upgrade", "websocket") &&
           http_field_lists(h, "Connection", "Upgrade") &&
           !http_field_count(h, "Sec-WebSocket-Extensions") &&
           http_field_count(h, "Sec-WebSocket-Protocol") == (protocol != NULL) &&
           (!protocol || (d->protocol && !strcmp(protocol, d->protocol)));
}

static void judge(struct websocket_dial *d)
{
    const struct http_head *h = http_response_head(d->exchange);
    if (h->status != 101) {
        d->status = h->status; /* why is in the body */
    } else if (!is_ours(d, h)) {
        fail(d, EPROTO, 101);
    } else {
        struct stream *carrier = http_client_upgraded(d->exchange);
        d->exchange = NULL;
        let_go(d);
        d->fn(d->arg, carrier, carrier ? 0 : ECONNRESET, 101);
    }
}

static void take_refusal(struct websocket_dial *d)
{
    const uint8_t *data;
    size_t len;
    while ((data = stream_peek(d->exchange, &len)) != NULL) {
        buf_append(&d->refusal, data, len);
        stream_consume(d->exchange, len);
    }
}

static void exchange_event(void *arg, struct stream *s, enum stream_event event)
{
    struct websocket_dial *d = arg;
    switch (event) {
    case STREAM_OPEN: judge(d); break;
    case STREAM_DATA: take_refusal(d); break;
    case STREAM_EOF: end(d, EPROTO); break;
    case STREAM_ERROR: end(d, stream_error(s)); break;
    case STREAM_DRAINED: break;
    }
}

static struct stream *ask(struct websocket_dial *d, const struct websocket_request *r)
{
    struct buf fields = {0};
    buf_printf(&fields, "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: " VERSION "\r\n%s", d->key,
               r->fields ? r->fields : "");
    if (r->protocol)
        buf_printf(&fields, "Sec-WebSocket-Protocol: %s\r\n", r->protocol);
    buf_append(&fields, "", 1);
    const struct http_request request = {.method = "GET",
                                         .host = r->host,
                                         .target = r->target,
                                         .fields = (const char *)buf_front(&fields),
                                         .upgrade = "websocket",
                                         .body_max = REFUSAL_MAX};
    struct stream *exchange = http_client_send(d->client, &request);
    buf_fini(&fields);
    return exchange;
}

struct websocket_dial *websocket_dial(struct stream *carrier,
                                      const struct websocket_request *request,
                                      websocket_dialled_fn *fn, void *arg)
{
    struct websocket_dial *d = xcalloc(1, sizeof(*d));
    d->limits = (struct http_client_limits){.head_ms = request->patience_ms};
    d->loop = carrier->loop;
    d->fn = fn;
    d->arg = arg;
    d->protocol = request->protocol ? xstrdup(request->protocol) : NULL;
    ws_new_key(d->key);
    loop_timer_init(d->loop, &d->patience, lost_patience, d);
    loop_timer_set(&d->patience, request->patience_ms);
    d->client = http_client_new(carrier, &d->limits);
    d->exchange = ask(d, request);
    if (!d->exchange) {
        let_go(d);
        errno = EINVAL;
        return NULL;
    }
    stream_own(d->exchange, exchange_event, d);
    return d;
}

void websocket_dial_cancel(struct websocket_dial *d)
{
    if (d && !d->over)
        let_go(d);
}

const char *websocket_refusal(const struct websocket_dial *d, size_t *len)
{
    *len = d->refusal.len;
    return (const char *)buf_front(&d->refusal);
}
