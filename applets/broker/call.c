#include "applets/broker/auth.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/http_query.h"
#include "net/http_server.h"

#define BODY_MAX    (1u << 20)
#define BODY_NOBODY (1u << 16) /* of who has proven nothing: a token or a code, that is */
#define FIELDS                                                                                     \
    "Content-Type: application/json\r\nCache-Control: no-store\r\n"                                \
    "X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"

/* ---- its life ---- */

/* It may have a token, or a code. */
static void forget_body(struct call *c)
{
    if (c->body.data)
        key_wipe(c->body.data, c->body.cap);
    buf_fini(&c->body);
}

static void release(void *p)
{
    struct call *c = p;
    if (c->token)
        key_wipe(c->token, strlen(c->token));
    free(c->token);
    forget_body(c);
    free(c->peer);
    free(c);
}

void call_end(struct call *c)
{
    struct front *f = c->front;
    lease_end(&c->lease);
    if (c->abort)
        c->abort(c);
    c->abort = NULL;
    stream_close(c->exchange);
    c->exchange = NULL;
    room_give(&f->room, c->counted, c->held);
    tally_give(&f->under_way, c->counted);
    if (c->next)
        c->next->prev = c->prev;
    *(c->prev ? &c->prev->next : &f->calls) = c->next;
    loop_reap(f->loop, c, release);
}

static void on_exchange(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    if (event == STREAM_ERROR)
        call_end(arg);
}

struct stream *call_take(struct call *c)
{
    struct stream *exchange = c->exchange;
    stream_own(exchange, NULL, NULL);
    c->exchange = NULL;
    return exchange;
}

/* Whose path it is: exactly, or with one part more where the pattern ends in "*". */
static bool is_path(const struct route *r, const char *target, size_t len)
{
    size_t own = strlen(r->path);
    if (r->path[own - 1] != '*')
        return own == len && memcmp(r->path, target, len) == 0;
    own--;
    return len > own && memcmp(r->path, target, own) == 0 && !memchr(target + own, '/', len - own);
}

/* NULL with *known: another method would have one. */
static const struct route *find_route(const struct http_head *head, bool *known)
{
    const char *target = http_target(head);
    const char *method = strcmp(head->method, "HEAD") == 0 ? "GET" : head->method;
    size_t len = http_path_len(target);
    *known = false;
    for (const struct route *r = routes; r->method; r++) {
        if (!is_path(r, target, len))
            continue;
        if (strcmp(r->method, method) == 0)
            return r;
        *known = true;
    }
    return NULL;
}

const struct route *call_route(const struct http_head *head)
{
    bool known;
    return find_route(head, &known);
}

/* False, and it was answered: who asks has enough under way. */
static bool count(struct call *c)
{
    c->counted = tally_take(&c->front->under_way, c->who.id, CALLS_EACH);
    if (!c->counted)
        call_error_with(c, API_RATE_LIMITED, "Retry-After: 1\r\n",
                        "You have as many requests under way as one may have.");
    return c->counted;
}

/* Who has proven who they are is limited by that, all others by their address. */
static void go_on(struct call *c)
{
    enum front_limit kind = c->route->limit;
    uint32_t wait = front_limit(c->front, kind, kind == LIMIT_NOBODY ? c->peer : c->who.id);
    if (wait) {
        call_limited(c, wait);
    } else if (c->route->anybody) {
        c->route->fn(c);
    } else if (count(c)) {
        front_proven(c->front, c->exchange);
        c->route->fn(c);
    }
}

void call_begin(struct front *f, struct stream *exchange, const char *peer)
{
    struct call *c = xcalloc(1, sizeof *c);
    bool known;
    c->front = f;
    c->exchange = exchange;
    c->peer = xstrdup(peer);
    c->next = f->calls;
    if (c->next)
        c->next->prev = c;
    f->calls = c;
    stream_own(exchange, on_exchange, c);
    c->route = find_route(http_request_head(exchange), &known);
    if (!c->route)
        call_error(c, known ? API_METHOD_NOT_ALLOWED : API_NOT_FOUND,
                   known ? "Not what can be done here." : "There is nothing here.");
    else if (c->route->anybody)
        go_on(c);
    else
        call_authenticate(c, go_on);
}

/* ---- the request ---- */

const char *call_field(const struct call *c, const char *name)
{
    return http_field(http_request_head(c->exchange), name);
}

bool call_accepts_events(const struct call *c)
{
    const struct http_head *head = http_request_head(c->exchange);
    return strcmp(head->method, "HEAD") != 0 &&
           http_field_lists(head, "Accept", "text/event-stream");
}

int call_param(struct call *c, const char *name, bool needed, char **value)
{
    *value = http_query(http_target(http_request_head(c->exchange)), name);
    if (*value || (errno == ENOENT && !needed))
        return 0;
    call_error(c, API_INVALID_REQUEST, "The parameter %s is %s.", name,
               errno == ENOENT ? "missing" : "malformed, or given twice");
    return -1;
}

int call_path_rest(struct call *c, char **value)
{
    const char *target = http_target(http_request_head(c->exchange));
    size_t own = strlen(c->route->path) - 1;
    *value = http_decode(target + own, http_path_len(target) - own);
    if (*value)
        return 0;
    call_error(c, API_INVALID_REQUEST, "The path is malformed.");
    return -1;
}

static void take_json(struct call *c)
{
    struct json *doc = json_parse(buf_front(&c->body), c->body.len);
    forget_body(c);
    stream_own(c->exchange, on_exchange, c);
    if (doc && json_is_object(json_root(doc)))
        c->on_json(c, json_root(doc));
    else
        call_error(c, API_INVALID_REQUEST, "The body is not a JSON object.");
    json_free(doc);
}

static void on_body(void *arg, struct stream *s, enum stream_event event)
{
    struct call *c = arg;
    size_t len;
    const uint8_t *data;
    switch (event) {
    case STREAM_DATA:
        data = stream_peek(s, &len);
        buf_append(&c->body, data, len);
        stream_consume(s, len);
        break;
    case STREAM_EOF: take_json(c); break;
    case STREAM_ERROR: call_end(c); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

void call_read_json(struct call *c, void (*fn)(struct call *c, const struct json_value *body))
{
    unsigned max = c->route->anybody ? BODY_NOBODY : BODY_MAX;
    int64_t said = http_request_head(c->exchange)->length;
    size_t most = said >= 0 && said < max ? (size_t)said : max;
    c->on_json = fn;
    stream_own(c->exchange, on_body, c);
    if (http_accept_body(c->exchange, max) < 0)
        call_error(c, API_PAYLOAD_TOO_LARGE, "A body has at most %u bytes.", max);
    else if (most > ROOM_SURE && !call_hold(c, most))
        call_no_room(c);
    else if (stream_ended(c->exchange)) /* there is none, and that was told before */
        take_json(c);
}

/* ---- answers ---- */

static const struct {
    int status;
    const char *name;
} errors[API_ERROR_COUNT] = {
    [API_INVALID_REQUEST] = {400, "invalid_request"},
    [API_UNAUTHORIZED] = {401, "unauthorized"},
    [API_FORBIDDEN] = {403, "forbidden"},
    [API_NOT_FOUND] = {404, "not_found"},
    [API_METHOD_NOT_ALLOWED] = {405, "method_not_allowed"},
    [API_AGENT_NOT_CONNECTED] = {409, "agent_not_connected"},
    [API_AGENT_AMBIGUOUS] = {409, "agent_ambiguous"},
    [API_CONFLICT] = {409, "conflict"},
    [API_PAYLOAD_TOO_LARGE] = {413, "payload_too_large"},
    [API_RANGE] = {416, "range_not_satisfiable"},
    [API_RATE_LIMITED] = {429, "rate_limited"},
    [API_INTERNAL] = {500, "internal"},
    [API_AGENT_ERROR] = {502, "agent_error"},
    [API_AGENT_DISCONNECTED] = {502, "agent_disconnected"},
    [API_TIMEOUT] = {504, "timeout"},
};

const char *api_error_name(enum api_error code)
{
    return errors[code].name;
}

static void on_answered(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    if (event == STREAM_DRAINED || event == STREAM_ERROR)
        call_end(arg);
}

/* What nobody takes is kept, and so it counts: only the route's part is over. */
static void await_taking(struct call *c)
{
    lease_end(&c->lease);
    if (c->abort)
        c->abort(c);
    c->abort = NULL;
    stream_own(c->exchange, on_answered, c);
}

static void answer(struct call *c, int status, const char *fields, struct json_out *out)
{
    size_t len;
    cleanup_free char *text = json_out_text(out, false, &len);
    cleanup_free char *all = xasprintf("%s%s", FIELDS, fields);
    if (len > c->held + ROOM_SURE && !call_hold(c, len - c->held)) {
        json_out_free(out);
        call_no_room(c);
        return;
    }
    http_respond(c->exchange, status, all, (int64_t)len);
    stream_write(c->exchange, text, len);
    json_out_free(out);
    if (stream_room(c->exchange) == 0)
        await_taking(c);
    else
        call_end(c);
}

void call_error_with(struct call *c, enum api_error code, const char *fields, const char *text)
{
    struct json_out *out = json_out_new();
    json_put_str(out, json_out_root(out), "error", errors[code].name);
    json_put_str(out, json_out_root(out), "message", text);
    answer(c, errors[code].status, fields, out);
}

void call_error(struct call *c, enum api_error code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    bool who = code == API_UNAUTHORIZED;
    call_error_with(c, code, who ? "WWW-Authenticate: Bearer realm=\"berth\"\r\n" : "", text);
}

void call_fault(struct call *c, const char *what, int error)
{
    log_error("%s: %s", what, strerror(error));
    call_error(c, API_INTERNAL, "The broker could not do that now; its log says why.");
}

void call_limited(struct call *c, uint32_t wait_ms)
{
    unsigned seconds = wait_ms / 1000 + 1;
    cleanup_free char *field = xasprintf("Retry-After: %u\r\n", seconds);
    cleanup_free char *text = xasprintf("That is too often; try again in %u s.", seconds);
    call_error_with(c, API_RATE_LIMITED, field, text);
}

void call_json(struct call *c, const char *fields, struct json_out *out)
{
    answer(c, 200, fields, out);
}

void call_empty(struct call *c, const char *fields)
{
    cleanup_free char *all = xasprintf("Cache-Control: no-store\r\n%s", fields);
    http_answer(c->exchange, 204, all, NULL, 0);
    c->exchange = NULL;
    call_end(c);
}

void call_text(struct call *c, const char *text)
{
    http_answer(c->exchange, 200,
                "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n", text,
                strlen(text));
    c->exchange = NULL;
    call_end(c);
}

void call_time(char text[static CALL_TIME_LEN + 1], int64_t s)
{
    struct tm tm;
    time_t t = (time_t)s;
    if (!gmtime_r(&t, &tm) || strftime(text, CALL_TIME_LEN + 1, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        text[0] = '\0';
}
