/* Server-sent events. */
#include "net/http_sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/http_server.h"

struct sse {
    struct stream *exchange;
    const struct sse_events *events;
    void *arg;
    uint32_t alive_ms;
    struct loop_timer alive;
};

static void drained(struct sse *e)
{
    if (e->events->drained)
        e->events->drained(e->arg);
}

static void exchange_event(void *arg, struct stream *s, enum stream_event event)
{
    struct sse *e = arg;
    (void)s;
    switch (event) {
    case STREAM_DRAINED: drained(e); break;
    case STREAM_ERROR: e->events->gone(e->arg); break;
    case STREAM_OPEN:
    case STREAM_DATA:
    case STREAM_EOF: break;
    }
}

/* A client that takes nothing is not hurried by more: the exchange's own limit ends that. */
static void say_alive(void *arg)
{
    struct sse *e = arg;
    if (stream_room(e->exchange))
        stream_write(e->exchange, ":\n\n", 3);
    loop_timer_set(&e->alive, e->alive_ms);
}

struct sse *sse_begin(struct stream *exchange, const char *fields, uint32_t alive_ms,
                      const struct sse_events *events, void *arg)
{
    struct sse *e = xcalloc(1, sizeof(*e));
    cleanup_free char *all = xasprintf("Content-Type: text/event-stream\r\n"
                                       "Cache-Control: no-store\r\n%s",
                                       fields);
    e->exchange = exchange;
    e->events = events;
    e->arg = arg;
    e->alive_ms = alive_ms;
    loop_timer_init(exchange->loop, &e->alive, say_alive, e);
    loop_timer_set(&e->alive, alive_ms);
    stream_own(exchange, exchange_event, e);
    stream_want(exchange, 0);
    http_respond(exchange, 200, all, HTTP_CHUNKED);
    return e;
}

static size_t line_end(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len && text[at] != '\r' && text[at] != '\n')
        at++;
    return at;
}

void sse_send(struct sse *e, const char *type, const void *data, size_t len)
{
    const char *text = data;
    struct buf event = {0};
    if (type)
        buf_printf(&event, "event: %s\n", type);
    for (;;) {
        size_t line = line_end(text, len);
        buf_append(&event, "data: ", 6);
        buf_append(&event, text, line);
        buf_append(&event, "\n", 1);
        if (line == len)
            break;
        line += line + 1 < len && !memcmp(text + line, "\r\n", 2) ? 2 : 1;
        text += line;
        len -= line;
    }
    buf_append(&event, "\n", 1);
    stream_write(e->exchange, buf_front(&event), event.len);
    buf_fini(&event);
    loop_timer_set(&e->alive, e->alive_ms);
}

void sse_id(struct sse *e, uint64_t id)
{
    char line[32];
    int len = snprintf(line, sizeof(line), "id: %llu\n", (unsigned long long)id);
    stream_write(e->exchange, line, (size_t)len);
}

size_t sse_room(const struct sse *e)
{
    return stream_room(e->exchange);
}

static void free_sse(void *p)
{
    free(p);
}

void sse_end(struct sse *e)
{
    if (!e || !e->exchange)
        return;
    struct loop *loop = e->exchange->loop;
    loop_timer_del(&e->alive);
    stream_close(e->exchange);
    e->exchange = NULL;
    loop_reap(loop, e, free_sse);
}
