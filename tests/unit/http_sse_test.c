/* Server-sent events: their lines, the comments between them, their end. */
#include "net/http_sse.h"

#include "net/http_server.h"
#include "tests/unit/probe.h"
#include "tests/unit/wire.h"

struct rig {
    struct loop *loop;
    struct http_conn *server;
    struct probe client;
    struct sse *sse;
    unsigned gone, drained;
};

static void on_gone(void *arg)
{
    struct rig *r = arg;
    r->gone++;
    sse_end(r->sse);
    r->sse = NULL;
}

static void on_drained(void *arg)
{
    struct rig *r = arg;
    r->drained++;
}

static const struct sse_events sse_events = {.drained = on_drained, .gone = on_gone};

static void on_request(void *arg, struct stream *x)
{
    struct rig *r = arg;
    r->sse = sse_begin(x, "X: y\r\n", 20, &sse_events, r);
}

static void on_ended(void *arg, struct http_conn *c)
{
    struct rig *r = arg;
    (void)c;
    r->server = NULL;
}

static const struct http_server_events events = {.request = on_request, .ended = on_ended};

static void rig_init(struct rig *r)
{
    struct stream *wire[2];
    *r = (struct rig){.loop = loop_new()};
    wire_new(r->loop, 1000, 4096, wire);
    probe_own(&r->client, wire[0]);
    r->server = http_serve(wire[1], &http_server_limits, &events, r);
    stream_write(r->client.s, "GET / HTTP/1.0\r\n\r\n", 18);
    TURN_UNTIL(r->loop, r->sse);
}

static void rig_fini(struct rig *r)
{
    sse_end(r->sse);
    probe_fini(&r->client);
    http_conn_free(r->server);
    for (int i = 0; i < 5; i++)
        loop_turn(r->loop, 0);
    loop_free(r->loop);
}

static bool heard(struct rig *r, const char *text)
{
    return r->client.got.len &&
           memmem(buf_front(&r->client.got), r->client.got.len, text, strlen(text));
}

TEST(sse_writes_events_line_by_line)
{
    struct rig r;
    rig_init(&r);
    sse_send(r.sse, NULL, "one", 3);
    sse_send(r.sse, "exit", "a\nb\r\nc\rd\n", 9);
    sse_id(r.sse, UINT64_MAX);
    sse_send(r.sse, NULL, "", 0);
    sse_end(r.sse);
    r.sse = NULL;
    TURN_UNTIL(r.loop, r.client.eofs == 1);
    CHECK(heard(&r, "\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX: y\r\n"));
    CHECK(heard(&r, "\r\n\r\ndata: one\n\nevent: exit\ndata: a\ndata: b\ndata: c\ndata: d\n"
                    "data: \n\nid: 18446744073709551615\ndata: \n\n"));
    rig_fini(&r);
}

TEST(sse_is_heard_of_while_nothing_is_said)
{
    struct rig r;
    rig_init(&r);
    TURN_UNTIL(r.loop, heard(&r, "\r\n\r\n:\n\n:\n\n"));
    rig_fini(&r);
}

TEST(sse_tells_that_its_client_is_gone_and_when_there_is_room)
{
    struct rig r;
    rig_init(&r);
    r.client.hold = true;
    for (int i = 0; sse_room(r.sse); i++) {
        CHECK(i < 1000);
        sse_send(r.sse, NULL, "0123456789", 10);
        loop_turn(r.loop, 0);
    }
    r.client.hold = false;
    probe_drink(&r.client);
    TURN_UNTIL(r.loop, r.drained > 0);
    stream_reset(r.client.s);
    r.client.s = NULL;
    TURN_UNTIL(r.loop, r.gone == 1);
    rig_fini(&r);
}
