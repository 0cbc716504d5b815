/* HTTP/1.1's client: one connection, and the exchange that is open on it. Like the server, it feeds its
 * parser no more than the exchange's stream can hold. */
#include "net/http_client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/http_write.h"

#define HOLD_LIMIT   ((size_t)64 * 1024) /* bytes of a body that may lie unread */
#define INTERIMS_MAX 16u                 /* responses before the response */

const struct http_client_limits http_client_limits = {
    .head_ms = 60000,
    .body_ms = 60000,
    .body_min = 1,
    .stall_ms = 60000,
};

enum state {
    CLIENT_IDLE, /* the next request may be sent */
    CLIENT_HEAD, /* an exchange is open, the response's head is awaited */
    CLIENT_BODY, /* the head was told */
    CLIENT_DONE, /* the response is complete, the exchange still open */
    CLIENT_GONE  /* no carrier any more */
};

static const char *const state_names[] = {"idle", "head", "body", "done", "gone"};
static_assert(countof(state_names) == CLIENT_GONE + 1, "a name for each state");

struct exchange {
    struct stream base;
    struct http_client *c;      /* NULL: the connection is over */
    struct http_parser *parser; /* the client's, and this exchange's when it has no other */
    bool orphan;
    struct http_body_out out;
    bool sent; /* the request's end is written */
    bool upgrade;
    uint64_t body_left;
};

struct http_client {
    struct stream *carrier;
    struct loop *loop;
    const struct http_client_limits *limits;
    struct http_parser *parser;
    struct exchange *x;
    enum state state;
    bool freed;
    bool last; /* the connection serves no further request */
    unsigned interims;
    size_t progress; /* bytes of the body since the timer was set */
    struct loop_timer timer;
    struct loop_task work;
};

static struct exchange *exchange_of(const struct stream *s)
{
    return container_of((struct stream *)(uintptr_t)s, struct exchange, base);
}

static void enter(struct http_client *c, enum state state)
{
    log_trace("http client: %s -> %s", state_names[c->state], state_names[state]);
    c->state = state;
}

/* The connection's end. */

/* What an exchange has already, its owner may still read: `error` is 0 where that is all there is. */
static void part(struct http_client *c, int error)
{
    struct exchange *x = c->x;
    c->x = NULL;
    if (!x)
        return;
    x->c = NULL;
    x->orphan = true;
    c->parser = NULL;
    if (error)
        stream_deliver_error(&x->base, error);
}

static void end(struct http_client *c, int error)
{
    struct stream *carrier = c->carrier;
    part(c, c->state == CLIENT_DONE ? 0 : error);
    enter(c, CLIENT_GONE);
    c->carrier = NULL;
    loop_timer_del(&c->timer);
    loop_task_del(&c->work);
    if (error)
        stream_reset(carrier);
    else
        stream_close(carrier);
}

static void free_client(void *p)
{
    struct http_client *c = p;
    http_parser_free(c->parser);
    free(c);
}

static void free_exchange(void *p)
{
    struct exchange *x = p;
    if (x->orphan)
        http_parser_free(x->parser);
    free(x);
}

/* The exchange's stream. */

static size_t room(const struct stream *s)
{
    const struct exchange *x = exchange_of(s);
    return x->c && !x->sent ? stream_room(x->c->carrier) : 0;
}

/* The response's time begins: until now it was ours to send. */
static void sent(struct exchange *x)
{
    x->sent = true;
    if (x->c->state == CLIENT_HEAD)
        loop_timer_set(&x->c->timer, x->c->limits->head_ms);
}

static void writev_body(struct stream *s, const struct iovec *iov, int n)
{
    struct exchange *x = exchange_of(s);
    if (!x->c || x->sent)
        return;
    http_put_body(&x->out, x->c->carrier, iov, n);
    if (x->out.framing == HTTP_FRAME_LENGTH && !x->out.left && !x->out.over)
        sent(x);
}

static void consumed(struct stream *s, size_t len)
{
    struct http_client *c = exchange_of(s)->c;
    if (!c)
        return;
    c->progress += len; /* what the owner held back is no slowness of the server's */
    loop_task_post(&c->work);
}

/* A request that is shorter or longer than it said cannot be mended on the wire. */
static void end_request(struct stream *s)
{
    struct exchange *x = exchange_of(s);
    if (!x->c || x->sent)
        return;
    if (http_put_end(&x->out, x->c->carrier) == 0)
        sent(x);
    else
        end(x->c, EPROTO);
}

static void close_exchange(struct stream *s)
{
    struct exchange *x = exchange_of(s);
    struct http_client *c = x->c;
    stream_fini(s);
    loop_reap(s->loop, x, free_exchange);
    if (!c)
        return;
    bool again = c->state == CLIENT_DONE && x->sent && !c->last;
    c->x = NULL;
    if (!again) {
        end(c, c->state == CLIENT_DONE ? 0 : ECANCELED);
        return;
    }
    enter(c, CLIENT_IDLE);
    loop_task_post(&c->work);
}

static void reset_exchange(struct stream *s)
{
    struct exchange *x = exchange_of(s);
    stream_fini(s);
    loop_reap(s->loop, x, free_exchange);
    if (!x->c)
        return;
    x->c->x = NULL;
    end(x->c, ECANCELED);
}

static const struct stream_ops ops = {
    .room = room,
    .writev = writev_body,
    .consumed = consumed,
    .shutdown = end_request,
    .close = close_exchange,
    .reset = reset_exchange,
};

/* Responses in. */

static void complete(struct http_client *c)
{
    if (c->state == CLIENT_HEAD) /* of an interim response */
        return;
    enter(c, CLIENT_DONE);
    loop_timer_del(&c->timer);
    stream_deliver_eof(&c->x->base);
}

static void begin_body(struct http_client *c, const struct http_head *h)
{
    c->last |= !h->keep_alive || h->status == 101;
    c->progress = 0;
    enter(c, CLIENT_BODY);
    loop_timer_del(&c->timer);
    if (c->limits->body_ms && h->status != 101)
        loop_timer_set(&c->timer, c->limits->body_ms);
    stream_deliver_open(&c->x->base);
}

static void take_head(struct http_client *c)
{
    const struct http_head *h = http_parser_head(c->parser);
    bool asked = h->status == 101 && h->upgrade && c->x->upgrade;
    if (h->status >= 200 || asked)
        begin_body(c, h);
    else if (h->status < 100 || h->status == 101 || ++c->interims > INTERIMS_MAX)
        end(c, EPROTO);
}

static void take_body(struct http_client *c)
{
    struct exchange *x = c->x;
    size_t len;
    const uint8_t *body = http_parser_body(c->parser, &len);
    c->progress += len;
    if (len > x->body_left) {
        end(c, EMSGSIZE);
        return;
    }
    x->body_left -= len;
    stream_deliver(&x->base, body, len);
}

static void act(struct http_client *c, enum http_event event)
{
    switch (event) {
    case HTTP_GOT_HEAD: take_head(c); break;
    case HTTP_GOT_END: complete(c); break;
    case HTTP_BROKEN: end(c, EPROTO); break;
    case HTTP_GOT_BODY:
    case HTTP_GOT_NOTHING: break;
    }
}

/* How much the parser may be given now. Behind 101 comes another protocol. */
static size_t wanted(const struct http_client *c)
{
    if (c->state == CLIENT_HEAD)
        return SIZE_MAX;
    if (c->state != CLIENT_BODY || http_parser_head(c->parser)->status == 101)
        return 0;
    const struct stream *s = &c->x->base;
    size_t held = stream_held(s);
    size_t left = held < HOLD_LIMIT ? HOLD_LIMIT - held : 0;
    return left < s->want ? left : s->want;
}

/* Bytes that nobody asked for: whose answer would they be? */
static void refuse_unasked(struct http_client *c)
{
    size_t len;
    if (c->state == CLIENT_IDLE && stream_peek(c->carrier, &len))
        end(c, EPROTO);
}

static void receive(struct http_client *c)
{
    enum http_event event = HTTP_GOT_HEAD;
    while (wanted(c)) {
        size_t len = 0, used, most = wanted(c);
        const uint8_t *in = stream_peek(c->carrier, &len);
        /* After an event there may be another one without more bytes. */
        if (!in && event == HTTP_GOT_NOTHING)
            break;
        event = http_parse(c->parser, in, len < most ? len : most, &used);
        if (event == HTTP_GOT_BODY)
            take_body(c);
        if (c->carrier)
            stream_consume(c->carrier, used);
        if (event != HTTP_GOT_BODY)
            act(c, event);
    }
    refuse_unasked(c);
}

static void work(void *arg)
{
    receive(arg);
}

static void timed_out(void *arg)
{
    struct http_client *c = arg;
    bool slow = c->state == CLIENT_HEAD || (wanted(c) && c->progress < c->limits->body_min);
    c->progress = 0;
    if (slow)
        end(c, ETIMEDOUT);
    else
        loop_timer_set(&c->timer, c->limits->body_ms);
}

static void server_ended(struct http_client *c)
{
    c->last = true;
    if (c->state == CLIENT_BODY && http_parse_end(c->parser) == HTTP_GOT_END)
        complete(c);
    if (c->state != CLIENT_GONE)
        end(c, c->state == CLIENT_IDLE || c->state == CLIENT_DONE ? 0 : ECONNRESET);
}

static void drained(struct http_client *c)
{
    if (c->x)
        stream_deliver_drained(&c->x->base);
}

static void carrier_event(void *arg, struct stream *s, enum stream_event event)
{
    struct http_client *c = arg;
    switch (event) {
    case STREAM_DATA: receive(c); break;
    case STREAM_DRAINED: drained(c); break;
    case STREAM_EOF: server_ended(c); break;
    case STREAM_ERROR: end(c, stream_error(s)); break;
    case STREAM_OPEN: break;
    }
}

/* Requests out. */

static bool text_ok(const char *text, const char *but)
{
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr(but, *p))
            return false;
    return *text;
}

/* Lines with a name, a colon and no end but their own. */
static bool fields_ok(const char *fields)
{
    while (*fields) {
        size_t name = strcspn(fields, ": \t\r\n"), line = strcspn(fields, "\r\n");
        if (!name || fields[name] != ':' || strncmp(fields + line, "\r\n", 2) != 0)
            return false;
        fields += line + 2;
    }
    return true;
}

static bool request_ok(const struct http_request *r)
{
    return text_ok(r->method, "") && text_ok(r->host, "/?#@") && text_ok(r->target, "#") &&
           (*r->target == '/' || !strcmp(r->target, "*")) &&
           (!r->upgrade || text_ok(r->upgrade, "")) && (!r->fields || fields_ok(r->fields)) &&
           (r->length >= 0 || r->length == HTTP_CHUNKED);
}

static void put_request(struct stream *carrier, const struct http_request *r)
{
    struct buf head = {0};
    buf_printf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", r->method, r->target, r->host,
               r->fields ? r->fields : "");
    if (r->upgrade)
        buf_printf(&head, "Connection: Upgrade\r\nUpgrade: %s\r\n", r->upgrade);
    if (r->length == HTTP_CHUNKED)
        buf_printf(&head, "Transfer-Encoding: chunked\r\n");
    else if (r->length || !strcmp(r->method, "POST") || !strcmp(r->method, "PUT"))
        buf_printf(&head, "Content-Length: %lld\r\n", (long long)r->length);
    buf_append(&head, "\r\n", 2);
    stream_write(carrier, buf_front(&head), head.len);
    buf_fini(&head);
}

static struct exchange *exchange_new(struct http_client *c, const struct http_request *r)
{
    struct exchange *x = xcalloc(1, sizeof(*x));
    stream_init(&x->base, &ops, c->loop);
    x->c = c;
    x->parser = c->parser;
    x->upgrade = r->upgrade;
    x->body_left = r->body_max;
    x->out.framing = r->length < 0 ? HTTP_FRAME_CHUNKS : HTTP_FRAME_LENGTH;
    x->out.left = r->length > 0 ? (uint64_t)r->length : 0;
    return x;
}

/* The owner's calls. */

struct http_client *http_client_new(struct stream *carrier, const struct http_client_limits *limits)
{
    struct http_client *c = xcalloc(1, sizeof(*c));
    c->carrier = carrier;
    c->loop = carrier->loop;
    c->limits = limits;
    c->parser = http_parser_new(HTTP_RESPONSES);
    loop_timer_init(c->loop, &c->timer, timed_out, c);
    loop_task_init(c->loop, &c->work, work, c);
    stream_own(carrier, carrier_event, c);
    stream_limit_stall(carrier, limits->stall_ms);
    return c;
}

bool http_client_ready(const struct http_client *c)
{
    return c->state == CLIENT_IDLE;
}

struct stream *http_client_send(struct http_client *c, const struct http_request *r)
{
    errno = c->state == CLIENT_GONE ? ENOTCONN : c->state == CLIENT_IDLE ? EINVAL : EBUSY;
    if (errno != EINVAL || !request_ok(r))
        return NULL;
    c->x = exchange_new(c, r);
    c->interims = 0;
    enter(c, CLIENT_HEAD);
    http_parser_no_body(c->parser, !strcmp(r->method, "HEAD"));
    put_request(c->carrier, r);
    if (!r->length)
        sent(c->x);
    return &c->x->base;
}

void http_client_free(struct http_client *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    if (c->state != CLIENT_GONE)
        end(c, c->state == CLIENT_IDLE ? 0 : ECONNRESET);
    loop_reap(c->loop, c, free_client);
}

const struct http_head *http_response_head(const struct stream *exchange)
{
    return http_parser_head(exchange_of(exchange)->parser);
}

struct stream *http_client_upgraded(struct stream *exchange)
{
    struct http_client *c = exchange_of(exchange)->c;
    struct stream *carrier = c ? c->carrier : NULL;
    if (carrier) {
        stream_limit_stall(carrier, 0);
        stream_own(carrier, NULL, NULL);
        c->carrier = NULL;
    }
    stream_close(exchange);
    return carrier;
}
