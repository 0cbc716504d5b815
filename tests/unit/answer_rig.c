#include "tests/unit/answer_rig.h"

#include "core/mem.h"
#include "tests/unit/wire.h"

static void on_request(void *arg, struct stream *exchange)
{
    struct answer_rig *r = arg;
    r->serve(r->arg, exchange);
}

static void on_ended(void *arg, struct http_conn *c)
{
    struct answer_rig *r = arg;
    (void)c;
    r->c = NULL;
}

static const struct http_server_events events = {.request = on_request, .ended = on_ended};

void answer_rig_init(struct answer_rig *r, void (*serve)(void *arg, struct stream *exchange),
                     void *arg)
{
    struct stream *wire[2];
    *r = (struct answer_rig){.loop = loop_new(), .serve = serve, .arg = arg};
    r->answers = http_parser_new(HTTP_RESPONSES);
    wire_new(r->loop, 65536, 65536, wire);
    probe_own(&r->client, wire[0]);
    r->c = http_serve(wire[1], &http_server_limits, &events, r);
}

void answer_rig_fini(struct answer_rig *r)
{
    probe_fini(&r->client);
    http_conn_free(r->c);
    http_parser_free(r->answers);
    buf_fini(&r->body);
    for (int i = 0; i < 5; i++)
        loop_turn(r->loop, 0);
    loop_free(r->loop);
}

/* True when the answer is complete. */
static bool read_answer(struct answer_rig *r)
{
    size_t used, len;
    while (!r->over) {
        struct buf *in = &r->client.got;
        enum http_event e = http_parse(r->answers, buf_front(in), in->len, &used);
        const uint8_t *body = e == HTTP_GOT_BODY ? http_parser_body(r->answers, &len) : NULL;
        if (body)
            buf_append(&r->body, body, len);
        buf_consume(in, used);
        r->over = e == HTTP_GOT_END || e == HTTP_BROKEN;
        if (e == HTTP_GOT_NOTHING)
            return false;
    }
    return true;
}

void answer_rig_say(struct answer_rig *r, const char *method, const char *path, const char *fields)
{
    cleanup_free char *text =
        xasprintf("%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, path, fields);
    r->over = false;
    r->body.len = 0;
    http_parser_no_body(r->answers, strcmp(method, "HEAD") == 0);
    stream_write(r->client.s, text, strlen(text));
}

const struct http_head *answer_rig_ask(struct answer_rig *r, const char *method, const char *path,
                                       const char *fields)
{
    answer_rig_say(r, method, path, fields);
    TURN_UNTIL(r->loop, read_answer(r));
    return http_parser_head(r->answers);
}

bool answer_rig_body_is(const struct answer_rig *r, const void *data, size_t len)
{
    return r->body.len == len && memcmp(buf_front(&r->body), data, len) == 0;
}

const char *answer_field(const struct http_head *h, const char *name)
{
    const char *value = http_field(h, name);
    return value ? value : "";
}
