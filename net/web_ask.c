#include "net/web_ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/http_client.h"

struct web_ask {
    struct loop *loop;
    const struct web_server *server;
    web_ask_fn *fn;
    void *arg;
    char *target, *fields, *json;
    char method[8];
    struct web_dial *dial; /* until it is connected */
    struct http_client *client;
    struct stream *exchange;
    struct buf body;
    struct loop_timer limit;
    bool over;
};

/* ---- its end ---- */

static void release(void *p)
{
    struct web_ask *a = p;
    if (a->json)
        key_wipe(a->json, strlen(a->json));
    if (a->fields)
        key_wipe(a->fields, strlen(a->fields));
    free(a->target);
    free(a->fields);
    free(a->json);
    buf_fini(&a->body);
    free(a);
}

void web_ask_cancel(struct web_ask *a)
{
    if (a->over)
        return;
    a->over = true;
    if (a->dial)
        web_dial_cancel(a->dial);
    stream_close(a->exchange);
    http_client_free(a->client);
    loop_timer_del(&a->limit);
    loop_reap(a->loop, a, release);
}

static void tell(struct web_ask *a, const struct web_answer *answer)
{
    web_ask_fn *fn = a->fn;
    void *arg = a->arg;
    web_ask_cancel(a);
    fn(arg, answer);
}

static void fail(struct web_ask *a, const char *why)
{
    tell(a, &(struct web_answer){.why = why});
}

static void out_of_time(void *arg)
{
    fail(arg, "no answer in time");
}

/* ---- the exchange ---- */

static void take_body(struct web_ask *a)
{
    const uint8_t *data;
    size_t len;
    while ((data = stream_peek(a->exchange, &len)) != NULL) {
        buf_append(&a->body, data, len);
        stream_consume(a->exchange, len);
    }
}

static void complete(struct web_ask *a)
{
    struct web_answer answer = {.status = http_response_head(a->exchange)->status,
                                .len = a->body.len};
    buf_append(&a->body, "", 1);
    answer.body = (const char *)buf_front(&a->body);
    tell(a, &answer);
}

static const char *reason(int error)
{
    switch (error) {
    case EPROTO: return "what it answers is not HTTP";
    case EMSGSIZE: return "its answer is too long";
    case ECONNRESET: return "it ended the connection without an answer";
    default: return strerror(error);
    }
}

static void on_exchange(void *arg, struct stream *s, enum stream_event event)
{
    struct web_ask *a = arg;
    switch (event) {
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    case STREAM_DATA: take_body(a); break;
    case STREAM_EOF: complete(a); break;
    case STREAM_ERROR: fail(a, reason(stream_error(s))); break;
    }
}

static void connected(void *arg, struct stream *s, const char *why)
{
    struct web_ask *a = arg;
    size_t len = a->json ? strlen(a->json) : 0;
    a->dial = NULL;
    if (!s) {
        fail(a, why);
        return;
    }
    a->client = http_client_new(s, &http_client_limits);
    a->exchange = http_client_send(a->client, &(struct http_request){.method = a->method,
                                                                     .target = a->target,
                                                                     .host = a->server->url.host,
                                                                     .fields = a->fields,
                                                                     .length = (int64_t)len,
                                                                     .body_max = WEB_ANSWER_MAX});
    if (!a->exchange) {
        fail(a, strerror(errno));
        return;
    }
    stream_own(a->exchange, on_exchange, a);
    if (len)
        stream_write(a->exchange, a->json, len);
}

/* ---- the question ---- */

char *web_bearer(const char *token)
{
    for (const char *p = token; *p; p++)
        if (*p <= ' ' || *p > '~') {
            errno = EINVAL;
            return NULL;
        }
    return xasprintf("Authorization: Bearer %s\r\n", token);
}

struct web_ask *web_ask(struct loop *loop, const struct web_server *server,
                        const struct web_question *q, web_ask_fn *fn, void *arg)
{
    struct web_ask *a = xcalloc(1, sizeof *a);
    cleanup_free char *bearer = q->token ? web_bearer(q->token) : xstrdup("");
    *a = (struct web_ask){.loop = loop, .server = server, .fn = fn, .arg = arg};
    a->target = xasprintf("%s%s", server->url.path, q->path);
    a->fields = xasprintf("%sAccept: application/json\r\n%s", bearer ? bearer : "",
                          q->json ? "Content-Type: application/json\r\n" : "");
    a->json = q->json ? xstrdup(q->json) : NULL;
    snprintf(a->method, sizeof a->method, "%s", q->method);
    if (bearer)
        key_wipe(bearer, strlen(bearer));
    loop_timer_init(loop, &a->limit, out_of_time, a);
    loop_timer_set(&a->limit, q->limit_ms);
    a->dial = web_dial(loop, server, connected, a);
    return a;
}
