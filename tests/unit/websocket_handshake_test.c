/* How an HTTP connection becomes a WebSocket: our two sides with each other, and each with what it must
 * refuse. */
#include "net/websocket_handshake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/http_server.h"
#include "net/websocket.h"
#include "tests/unit/probe.h"
#include "tests/unit/wire.h"

struct rig {
    struct loop *loop;
    struct stream *wire[2];
    struct http_conn *server;
    struct probe upgraded; /* the server's end, as a stream of bytes */
    struct probe client;
    const char *protocol;
    char *origin;
    struct websocket_dial *dial;
    unsigned dialled;
    int error, status;
    char refusal[8];
};

static void on_request(void *arg, struct stream *x)
{
    struct rig *r = arg;
    const char *origin = http_field(http_request_head(x), "Origin");
    r->origin = origin ? xstrdup(origin) : NULL;
    struct stream *carrier = websocket_accept(x, r->protocol);
    if (carrier)
        probe_own(&r->upgraded, websocket_stream_new(carrier, WS_SERVER));
}

static void on_ended(void *arg, struct http_conn *c)
{
    struct rig *r = arg;
    (void)c;
    r->server = NULL;
}

static const struct http_server_events events = {.request = on_request, .ended = on_ended};

static void on_dialled(void *arg, struct stream *carrier, int error, int status)
{
    struct rig *r = arg;
    r->dialled++;
    r->error = error;
    r->status = status;
    if (r->dial) {
        size_t len;
        const char *text = websocket_refusal(r->dial, &len);
        snprintf(r->refusal, sizeof r->refusal, "%.*s", (int)len, text ? text : "");
    }
    if (carrier)
        probe_own(&r->client, websocket_stream_new(carrier, WS_CLIENT));
}

static void rig_init(struct rig *r, size_t chunk)
{
    *r = (struct rig){.loop = loop_new()};
    wire_new(r->loop, chunk, 4096, r->wire);
}

static void serve(struct rig *r)
{
    r->server = http_serve(r->wire[1], &http_server_limits, &events, r);
}

static void rig_fini(struct rig *r)
{
    probe_fini(&r->client);
    probe_fini(&r->upgraded);
    http_conn_free(r->server);
    for (int i = 0; i < 20; i++)
        loop_turn(r->loop, 0);
    loop_free(r->loop);
    free(r->origin);
}

static const struct websocket_request request = {
    .host = "a", .target = "/ws", .patience_ms = 30000};

TEST(websocket_handshake_joins_our_two_sides)
{
    for (size_t chunk = 1; chunk < 1000; chunk = chunk * 7 + 1) {
        struct rig r;
        rig_init(&r, chunk);
        struct websocket_request with = request;
        r.protocol = with.protocol = "berth";
        with.fields = "Origin: https://b\r\n";
        serve(&r);
        CHECK(websocket_dial(r.wire[0], &with, on_dialled, &r));
        TURN_UNTIL(r.loop, r.dialled && r.upgraded.s);
        CHECK_INT(r.error, 0);
        CHECK_INT(r.status, 101);
        CHECK_STR(r.origin, "https://b");
        stream_write(r.client.s, "there", 5);
        stream_write(r.upgraded.s, "back", 4);
        TURN_UNTIL(r.loop, probe_got(&r.client, "back") && probe_got(&r.upgraded, "there"));
        stream_shutdown(r.client.s);
        TURN_UNTIL(r.loop, r.client.eofs && r.upgraded.eofs);
        rig_fini(&r);
    }
}

#define GET "GET /ws HTTP/1.1\r\nHost: a\r\n"
#define UP  "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define V   "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* The answer to a key is the one in RFC 6455 section 1.3. */
TEST(websocket_accept_answers_and_refuses)
{
    static const struct {
        const char *in, *out, *has;
    } rows[] = {
        {GET UP V KEY "\r\n", "HTTP/1.1 101 ",
         "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"},
        {GET V KEY "\r\n", "HTTP/1.1 426 ", "\r\nUpgrade: websocket\r\n"},
        {GET "Upgrade: h2c\r\nConnection: Upgrade\r\n" V KEY "\r\n", "HTTP/1.1 400 ", ""},
        {GET "Upgrade: websocket\r\n" V KEY "\r\n", "HTTP/1.1 426 ", ""},
        {GET UP V "\r\n", "HTTP/1.1 400 ", "Sec-WebSocket-Key"},
        {GET UP V KEY KEY "\r\n", "HTTP/1.1 400 ", "Sec-WebSocket-Key"},
        {GET UP V "Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n", "HTTP/1.1 400 ", "Sec-WebSocket-Key"},
        {GET UP KEY "\r\n", "HTTP/1.1 426 ", "\r\nSec-WebSocket-Version: 13\r\n"},
        {GET UP KEY "Sec-WebSocket-Version: 8\r\n\r\n", "HTTP/1.1 426 ",
         "\r\nSec-WebSocket-Version: 13\r\n"},
        {"POST /ws HTTP/1.1\r\nHost: a\r\n" UP V KEY "\r\n", "HTTP/1.1 405 ", "Allow: GET"},
        {"GET /ws HTTP/1.0\r\nHost: a\r\n" UP V KEY "\r\n", "HTTP/1.1 4", ""},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        rig_init(&r, 100);
        serve(&r);
        probe_own(&r.client, r.wire[0]);
        stream_write(r.client.s, rows[i].in, strlen(rows[i].in));
        TURN_UNTIL(r.loop, r.client.got.len > 0);
        for (int turn = 0; turn < 50; turn++)
            loop_turn(r.loop, 0);
        buf_append(&r.client.got, "", 1);
        const char *got = (const char *)buf_front(&r.client.got);
        CHECK(!strncmp(got, rows[i].out, strlen(rows[i].out)));
        CHECK(strstr(got, rows[i].has));
        CHECK((r.upgraded.s != NULL) == (i == 0));
        rig_fini(&r);
    }
}

/* "@" stands for the right answer to the key that was sent. */
static char *answer_to(struct rig *r, const char *with)
{
    char accept[WS_ACCEPT_LEN + 1];
    TURN_UNTIL(r->loop,
               r->client.got.len > 4 &&
                   !memcmp(buf_front(&r->client.got) + r->client.got.len - 4, "\r\n\r\n", 4));
    buf_append(&r->client.got, "", 1);
    const char *key = strstr((const char *)buf_front(&r->client.got), "Sec-WebSocket-Key: ");
    CHECK(key);
    cleanup_free char *sent = xstrndup(key ? key + 19 : "", WS_KEY_LEN);
    CHECK(ws_key_ok(sent));
    ws_accept(accept, sent);
    size_t before = strcspn(with, "@");
    return with[before] ? xasprintf("%.*s%s%s", (int)before, with, accept, with + before + 1)
                        : xstrdup(with);
}

#define OK "HTTP/1.1 101 x\r\n" UP

TEST(websocket_dial_refuses_what_is_no_handshake)
{
    static const struct {
        const char *out;
        int error, status;
    } rows[] = {
        {OK "Sec-WebSocket-Accept: @\r\n\r\n", 0, 101},
        {OK "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", EPROTO, 101},
        {OK "\r\n", EPROTO, 101},
        {OK "Sec-WebSocket-Accept: @\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
         EPROTO, 101},
        {OK "Sec-WebSocket-Accept: @\r\nSec-WebSocket-Protocol: x\r\n\r\n", EPROTO, 101},
        {"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: @\r\n\r\n",
         EPROTO, 101},
        {"HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno", ECONNREFUSED, 403},
        {"HTTP/1.1 302 x\r\nLocation: /\r\n\r\n", ECONNREFUSED, 302},
        {"HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", ECONNREFUSED, 200},
        {"what?\r\n", EPROTO, 0},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        rig_init(&r, 100);
        r.dial = websocket_dial(r.wire[0], &request, on_dialled, &r);
        probe_own(&r.client, r.wire[1]);
        cleanup_free char *answer = answer_to(&r, rows[i].out);
        stream_write(r.client.s, answer, strlen(answer));
        struct probe by_hand = r.client;
        r.client = (struct probe){0};
        stream_own(by_hand.s, probe_event, &by_hand);
        TURN_UNTIL(r.loop, r.dialled == 1);
        CHECK_INT(r.error, rows[i].error);
        CHECK_INT(r.status, rows[i].status);
        CHECK_STR(r.refusal, rows[i].status == 403 ? "no" : "");
        CHECK((r.client.s != NULL) == (i == 0));
        probe_fini(&by_hand);
        rig_fini(&r);
    }
}

TEST(websocket_dial_has_patience_and_can_be_cancelled)
{
    struct rig r;
    rig_init(&r, 100);
    struct websocket_request brief = request;
    brief.patience_ms = 20;
    CHECK(websocket_dial(r.wire[0], &brief, on_dialled, &r));
    probe_own(&r.client, r.wire[1]);
    TURN_UNTIL(r.loop, r.dialled == 1);
    CHECK_INT(r.error, ETIMEDOUT);
    rig_fini(&r);
    rig_init(&r, 100);
    struct websocket_dial *d = websocket_dial(r.wire[0], &request, on_dialled, &r);
    probe_own(&r.client, r.wire[1]);
    websocket_dial_cancel(d);
    TURN_UNTIL(r.loop, r.client.errors == 1);
    CHECK(!r.dialled);
    rig_fini(&r);
}
