/* HTTP/1.1's server: one connection, and the exchange that is open on it.
 *
 * The connection feeds its parser no more than the exchange's stream can hold, so what lies
 * unread holds the client up. It acts from the carrier's events, from its timer and from a task
 * that the owner's calls post; nothing is told from inside a call. */
#include "net/http_server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/http_write.h"

#define HOLD_LIMIT   ((size_t)64 * 1024) /* bytes of a body that may lie unread */
#define LINGER_BYTES (1024u * 1024)      /* dropped while the client's end is awaited */

const struct http_server_limits http_server_limits = {
    .idle_ms = 60000,
    .head_ms = 10000,
    .body_ms = 10000,
    .body_min = 1024,
    .stall_ms = 60000,
    .linger_ms = 2000,
};

enum state {
    CONN_HEAD,   /* a request is awaited, or its head is coming */
    CONN_BUSY,   /* an exchange is open */
    CONN_LINGER, /* all is said; what comes is dropped until the client ends */
    CONN_GONE
};

static const char *const state_names[] = {"head", "busy", "linger", "gone"};
static_assert(countof(state_names) == CONN_GONE + 1, "a name for each state");

struct exchange {
    struct stream base;
    struct http_conn *c;        /* NULL: the connection is over */
    struct http_parser *parser; /* the connection's, and this exchange's when it has no other */
    bool orphan;
    struct http_body_out out;
    bool accepted;  /* the body is wanted */
    bool complete;  /* the request is all here */
    bool responded; /* the head is written */
    bool ended;     /* and the body's end */
    uint64_t body_left;
};

struct http_conn {
    struct stream *carrier;
    struct loop *loop;
    const struct http_server_limits *limits;
    const struct http_server_events *events;
    void *arg;
    struct http_parser *parser;
    struct exchange *x;
    enum state state;
    bool last;        /* no further request after the one that is open */
    bool finishing;   /* nor one that is awaited: http_conn_finish() */
    bool head_timing; /* the timer is a head's */
    size_t progress;  /* bytes of the body since the timer was set */
    size_t dropped;
    struct loop_timer timer;
    struct loop_task work;
};

static struct exchange *exchange_of(const struct stream *s)
{
    return container_of((struct stream *)(uintptr_t)s, struct exchange, base);
}

static void enter(struct http_conn *c, enum state state)
{
    log_trace("http: %s -> %s", state_names[c->state], state_names[state]);
    c->state = state;
}

/* The connection's end. */

static void let_go(struct http_conn *c, int error)
{
    struct exchange *x = c->x;
    enter(c, CONN_GONE);
    c->x = NULL;
    c->carrier = NULL;
    loop_timer_del(&c->timer);
    loop_task_del(&c->work);
    if (!x)
        return;
    x->c = NULL;
    x->orphan = true; /* the head is still to be read */
    c->parser = NULL;
    stream_deliver_error(&x->base, error);
}

static void free_conn(void *p)
{
    struct http_conn *c = p;
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

static void end(struct http_conn *c, int error)
{
    struct stream *carrier = c->carrier;
    let_go(c, error);
    if (error)
        stream_reset(carrier);
    else
        stream_close(carrier);
    loop_reap(c->loop, c, free_conn);
    c->events->ended(c->arg, c);
}

/* A close while bytes lie unread is a reset, which takes the answer from the client (RFC 9112
 * section 9.6). */
static void linger(struct http_conn *c)
{
    enter(c, CONN_LINGER);
    stream_shutdown(c->carrier);
    loop_timer_set(&c->timer, c->limits->linger_ms);
    loop_task_post(&c->work);
}

static void await_request(struct http_conn *c)
{
    enter(c, CONN_HEAD);
    c->head_timing = false;
    loop_timer_set(&c->timer, c->limits->idle_ms);
    loop_task_post(&c->work);
}

/* Heads out. */

static void tell_answer(struct http_conn *c, int status)
{
    if (c->events->answered)
        c->events->answered(c->arg, c->x ? &c->x->base : NULL, status);
}

static void put_head(struct http_conn *c, int status, const char *fields, const char *framing)
{
    tell_answer(c, status);
    struct buf head = {0};
    struct tm tm;
    time_t now = time(NULL);
    char date[40];
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    buf_printf(&head, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s\r\n", status, http_status_text(status),
               date, fields, framing, c->last ? "Connection: close\r\n" : "");
    stream_write(c->carrier, buf_front(&head), head.len);
    buf_fini(&head);
}

/* An answer of our own to what never became an exchange, or cannot go on. */
static void refuse(struct http_conn *c, int status, const char *reason)
{
    char framing[64];
    c->last = true;
    snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", strlen(reason) + 1);
    put_head(c, status, "Content-Type: text/plain\r\n", framing);
    stream_write(c->carrier, reason, strlen(reason));
    stream_write(c->carrier, "\n", 1);
    linger(c);
}

/* The exchange cannot go on; its owner learns why, the client too unless it is mid-answer. */
static void break_exchange(struct http_conn *c, int status, int error)
{
    struct exchange *x = c->x;
    if (x->responded) {
        end(c, error);
        return;
    }
    refuse(c, status, http_status_text(status));
    c->x = NULL;
    x->c = NULL;
    x->orphan = true;
    c->parser = NULL; /* a lingering connection parses nothing */
    stream_deliver_error(&x->base, error);
}

/* The exchange's stream. */

static size_t room(const struct stream *s)
{
    const struct exchange *x = exchange_of(s);
    return x->c ? stream_room(x->c->carrier) : 0;
}

static void writev_body(struct stream *s, const struct iovec *iov, int n)
{
    struct exchange *x = exchange_of(s);
    if (x->c && x->responded && !x->ended)
        http_put_body(&x->out, x->c->carrier, iov, n);
}

static void consumed(struct stream *s, size_t len)
{
    struct http_conn *c = exchange_of(s)->c;
    if (!c)
        return;
    c->progress += len; /* what the owner held back is no slowness of the client's */
    loop_task_post(&c->work);
}

static void end_response(struct stream *s)
{
    struct exchange *x = exchange_of(s);
    if (!x->c || x->ended)
        return;
    if (!x->responded)
        http_respond(s, 500, "", 0);
    x->ended = true;
    if (http_put_end(&x->out, x->c->carrier) == 0)
        return;
    x->c->last = true;
    stream_reset(x->c->carrier);
    x->c->carrier = NULL;
    loop_task_post(&x->c->work);
}

static void close_exchange(struct stream *s)
{
    struct exchange *x = exchange_of(s);
    struct http_conn *c = x->c;
    end_response(s);
    stream_fini(s);
    loop_reap(s->loop, x, free_exchange);
    if (!c)
        return;
    c->x = NULL;
    if (!c->carrier)
        return;
    if (c->last || !x->complete)
        linger(c);
    else
        await_request(c);
}

static void reset_exchange(struct stream *s)
{
    struct exchange *x = exchange_of(s);
    struct http_conn *c = x->c;
    stream_fini(s);
    loop_reap(s->loop, x, free_exchange);
    if (!c)
        return;
    c->x = NULL;
    stream_reset(c->carrier);
    c->carrier = NULL;
    loop_task_post(&c->work);
}

static const struct stream_ops ops = {
    .room = room,
    .writev = writev_body,
    .consumed = consumed,
    .shutdown = end_response,
    .close = close_exchange,
    .reset = reset_exchange,
};

/* Requests in. */

static void begin_exchange(struct http_conn *c)
{
    const struct http_head *h = http_parser_head(c->parser);
    struct exchange *x = xcalloc(1, sizeof(*x));
    stream_init(&x->base, &ops, c->loop);
    x->c = c;
    x->parser = c->parser;
    c->x = x;
    c->last |= !h->keep_alive || h->minor == 0;
    loop_timer_del(&c->timer);
    enter(c, CONN_BUSY);
    /* Without a body the end is there already, and what the owner is told must be so. */
    x->complete = h->length == 0;
    x->base.eof = x->complete;
    c->events->request(c->arg, &x->base);
}

static void deliver_body(struct http_conn *c)
{
    struct exchange *x = c->x;
    size_t len;
    assert(x); /* a body has its head before it */
    const uint8_t *body = http_parser_body(c->parser, &len);
    c->progress += len;
    if (len > x->body_left) {
        break_exchange(c, 413, EMSGSIZE);
        return;
    }
    x->body_left -= len;
    stream_deliver(&x->base, body, len);
}

static void complete(struct http_conn *c)
{
    if (!c->x || c->x->complete)
        return;
    c->x->complete = true;
    loop_timer_del(&c->timer);
    stream_deliver_eof(&c->x->base);
}

static void refused(struct http_conn *c)
{
    if (c->x)
        break_exchange(c, http_status_of(c->parser), EPROTO);
    else
        refuse(c, http_status_of(c->parser), http_reason_of(c->parser));
}

static void act(struct http_conn *c, enum http_event event)
{
    switch (event) {
    case HTTP_GOT_HEAD: begin_exchange(c); break;
    case HTTP_GOT_END: complete(c); break;
    case HTTP_BROKEN: refused(c); break;
    case HTTP_GOT_BODY:
    case HTTP_GOT_NOTHING: break;
    }
}

/* How much the parser may be given now. No request is read while the answers to those before it wait
 * for a client that does not take them. */
static size_t wanted(const struct http_conn *c)
{
    const struct exchange *x = c->x;
    if (c->state == CONN_HEAD)
        return stream_room(c->carrier) ? SIZE_MAX : 0;
    if (c->state != CONN_BUSY || !x || !x->accepted || x->complete)
        return 0;
    size_t held = stream_held(&x->base);
    size_t left = held < HOLD_LIMIT ? HOLD_LIMIT - held : 0;
    return left < x->base.want ? left : x->base.want;
}

static void watch_head(struct http_conn *c)
{
    if (c->state != CONN_HEAD || c->head_timing || !wanted(c) || !http_parser_inside(c->parser))
        return;
    c->head_timing = true;
    loop_timer_set(&c->timer, c->limits->head_ms);
}

static void drop_input(struct http_conn *c)
{
    size_t len;
    while (stream_peek(c->carrier, &len)) {
        c->dropped += len;
        stream_consume(c->carrier, len);
    }
    if (c->dropped > LINGER_BYTES || stream_ended(c->carrier))
        end(c, 0);
}

static void receive(struct http_conn *c)
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
            deliver_body(c);
        if (c->carrier)
            stream_consume(c->carrier, used);
        if (event != HTTP_GOT_BODY)
            act(c, event);
    }
    watch_head(c);
    if (c->state == CONN_LINGER)
        drop_input(c);
}

static void work(void *arg)
{
    struct http_conn *c = arg;
    if (!c->carrier)
        end(c, ECONNRESET);
    else if (c->state == CONN_HEAD && c->finishing)
        end(c, 0);
    else
        receive(c);
}

static void body_too_slow(struct http_conn *c)
{
    bool slow = wanted(c) && c->progress < c->limits->body_min;
    c->progress = 0;
    if (slow)
        break_exchange(c, 408, ETIMEDOUT);
    else
        loop_timer_set(&c->timer, c->limits->body_ms);
}

static void timed_out(void *arg)
{
    struct http_conn *c = arg;
    if (c->state == CONN_BUSY)
        body_too_slow(c);
    else if (c->state == CONN_HEAD && c->head_timing)
        refuse(c, 408, "the head took too long");
    else
        end(c, 0);
}

static void client_ended(struct http_conn *c)
{
    c->last = true;
    if (c->state != CONN_BUSY || !c->x)
        end(c, 0);
    else if (!c->x->complete)
        end(c, ECONNRESET);
}

static void drained(struct http_conn *c)
{
    if (c->x)
        stream_deliver_drained(&c->x->base);
    else
        receive(c);
}

static void carrier_event(void *arg, struct stream *s, enum stream_event event)
{
    struct http_conn *c = arg;
    switch (event) {
    case STREAM_DATA: receive(c); break;
    case STREAM_DRAINED: drained(c); break;
    case STREAM_EOF: client_ended(c); break;
    case STREAM_ERROR: end(c, stream_error(s)); break;
    case STREAM_OPEN: break;
    }
}

/* The owner's calls. */

struct http_conn *http_serve(struct stream *carrier, const struct http_server_limits *limits,
                             const struct http_server_events *events, void *arg)
{
    struct http_conn *c = xcalloc(1, sizeof(*c));
    c->carrier = carrier;
    c->loop = carrier->loop;
    c->limits = limits;
    c->events = events;
    c->arg = arg;
    c->parser = http_parser_new(HTTP_REQUESTS);
    loop_timer_init(c->loop, &c->timer, timed_out, c);
    loop_task_init(c->loop, &c->work, work, c);
    stream_own(carrier, carrier_event, c);
    stream_limit_stall(carrier, limits->stall_ms);
    stream_need_reader(carrier, true); /* a response that nobody reads is to end at once */
    await_request(c);
    return c;
}

void http_conn_finish(struct http_conn *c)
{
    c->last = c->finishing = true;
    if (c->state == CONN_HEAD)
        loop_task_post(&c->work);
}

void http_conn_free(struct http_conn *c)
{
    if (!c || c->state == CONN_GONE)
        return;
    struct stream *carrier = c->carrier;
    let_go(c, ECONNRESET);
    stream_reset(carrier);
    loop_reap(c->loop, c, free_conn);
}

const struct http_head *http_request_head(const struct stream *exchange)
{
    return http_parser_head(exchange_of(exchange)->parser);
}

bool http_is_answered(const struct stream *exchange)
{
    return exchange_of(exchange)->responded;
}

void *http_request_arg(const struct stream *exchange)
{
    const struct http_conn *c = exchange_of(exchange)->c;
    return c ? c->arg : NULL;
}

int http_accept_body(struct stream *exchange, uint64_t limit)
{
    struct exchange *x = exchange_of(exchange);
    const struct http_head *h = http_request_head(exchange);
    if (h->length > 0 && (uint64_t)h->length > limit) {
        errno = EMSGSIZE;
        return -1;
    }
    if (!x->c || x->complete || x->accepted)
        return 0;
    x->accepted = true;
    x->body_left = limit;
    x->c->progress = 0;
    if (h->expect_continue && !x->responded)
        stream_write(x->c->carrier, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    loop_timer_set(&x->c->timer, x->c->limits->body_ms);
    loop_task_post(&x->c->work);
    return 0;
}

/* The framing of a response, and the line that says so. */
static void choose_framing(struct exchange *x, int status, int64_t length, char line[static 64])
{
    const struct http_head *h = http_request_head(&x->base);
    bool bodiless = status == 204 || status == 304;
    line[0] = '\0';
    if (length >= 0 && !bodiless)
        snprintf(line, 64, "Content-Length: %lld\r\n", (long long)length);
    else if (length < 0 && !bodiless && h->minor > 0)
        snprintf(line, 64, "Transfer-Encoding: chunked\r\n");
    x->out.left = length > 0 ? (uint64_t)length : 0;
    if (bodiless || !strcmp(h->method, "HEAD"))
        x->out.framing = HTTP_FRAME_NONE;
    else if (length >= 0)
        x->out.framing = HTTP_FRAME_LENGTH;
    else
        x->out.framing = h->minor > 0 ? HTTP_FRAME_CHUNKS : HTTP_FRAME_END;
}

void http_respond(struct stream *exchange, int status, const char *fields, int64_t length)
{
    struct exchange *x = exchange_of(exchange);
    char framing[64];
    if (!x->c || !x->c->carrier || x->responded)
        return;
    x->responded = true;
    choose_framing(x, status, length, framing);
    x->c->last |= !x->complete && !x->accepted;
    put_head(x->c, status, fields, framing);
}

void http_answer(struct stream *exchange, int status, const char *fields, const void *body,
                 size_t len)
{
    http_respond(exchange, status, fields, (int64_t)len);
    stream_write(exchange, body, len);
    stream_close(exchange);
}

struct stream *http_upgrade(struct stream *exchange, const char *fields)
{
    struct exchange *x = exchange_of(exchange);
    struct http_conn *c = x->c;
    struct stream *carrier = c ? c->carrier : NULL;
    if (carrier) {
        tell_answer(c, 101);
        stream_write(carrier, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n", 55);
        stream_write(carrier, fields, strlen(fields));
        stream_write(carrier, "\r\n", 2);
        stream_limit_stall(carrier, 0);
        stream_need_reader(carrier, false);
        stream_own(carrier, NULL, NULL);
        c->carrier = NULL;
        c->x = NULL;
        x->c = NULL;
        loop_task_post(&c->work);
    }
    stream_close(exchange);
    return carrier;
}
