/* The server on a connection: order, bodies both ways, limits, ends, upgrades. The client is played
 * by hand, one byte of the carrier in a turn and many. */
#include "net/http_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/wire.h"

struct rig {
    struct loop *loop;
    struct http_conn *c;
    struct probe client;
    struct probe upgraded;
    struct stream *open; /* the exchange that waits for the test's answer */
    struct buf body;     /* of the request */
    unsigned requests, ends, eofs;
    int error;
    bool by_hand; /* the test answers */
    uint64_t limit;
    struct http_server_limits limits;
};

static void answer(struct rig *r, struct stream *x)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%s:%.*s", http_target(http_request_head(x)),
                       (int)r->body.len, (const char *)buf_front(&r->body));
    r->body.len = 0;
    http_answer(x, 200, "", text, (size_t)len);
}

static void exchange_event(void *arg, struct stream *x, enum stream_event event)
{
    struct rig *r = arg;
    size_t len;
    const uint8_t *data;
    if (event == STREAM_DATA) {
        while ((data = stream_peek(x, &len))) {
            buf_append(&r->body, data, len);
            stream_consume(x, len);
        }
    } else if (event == STREAM_ERROR) {
        r->error = stream_error(x);
        r->open = NULL;
        stream_close(x);
    } else if (event == STREAM_EOF) {
        r->eofs++;
        if (!r->by_hand)
            answer(r, x);
    }
}

static void on_request(void *arg, struct stream *x)
{
    struct rig *r = arg;
    r->requests++;
    r->open = x;
    stream_own(x, exchange_event, r);
    if (!r->by_hand && http_accept_body(x, r->limit) != 0)
        http_answer(x, 413, "", "no", 2);
}

static void on_ended(void *arg, struct http_conn *c)
{
    struct rig *r = arg;
    CHECK(c == r->c);
    r->ends++;
    r->c = NULL;
}

static const struct http_server_events events = {.request = on_request, .ended = on_ended};

static void rig_init(struct rig *r, size_t chunk)
{
    struct stream *wire[2];
    *r = (struct rig){.loop = loop_new(), .limit = 1000, .limits = http_server_limits};
    wire_new(r->loop, chunk, 4096, wire);
    probe_own(&r->client, wire[0]);
    r->c = http_serve(wire[1], &r->limits, &events, r);
}

static void rig_fini(struct rig *r)
{
    probe_fini(&r->client);
    probe_fini(&r->upgraded);
    http_conn_free(r->c);
    buf_fini(&r->body);
    for (int i = 0; i < 5; i++)
        loop_turn(r->loop, 0);
    loop_free(r->loop);
}

static void say(struct rig *r, const char *text)
{
    stream_write(r->client.s, text, strlen(text));
}

/* What the client got, without the lines of Date, which change. */
static char *heard(struct rig *r)
{
    char *text = xstrndup(r->client.got.len ? (const char *)buf_front(&r->client.got) : "",
                          r->client.got.len);
    for (char *date; (date = strstr(text, "Date: "));) {
        const char *end = strstr(date, "\r\n"), *next = end ? end + 2 : "";
        memmove(date, next, strlen(next) + 1);
    }
    return text;
}

static bool hears(struct rig *r, const char *text)
{
    char *got = heard(r);
    bool same = !strcmp(got, text);
    free(got);
    return same;
}

static void check_heard(struct rig *r, const char *text)
{
    for (int i = 0; i < 20000 && !hears(r, text); i++)
        loop_turn(r->loop, 0);
    char *got = heard(r);
    CHECK_STR(got, text);
    free(got);
}

static void check_ended(struct rig *r)
{
    TURN_UNTIL(r->loop, r->client.eofs == 1);
    stream_shutdown(r->client.s);
    TURN_UNTIL(r->loop, r->ends == 1);
}

#define HOST  "Host: a\r\n"
#define OK(n) "HTTP/1.1 200 OK\r\nContent-Length: " #n "\r\n\r\n"

TEST(http_server_answers_pipelined_requests_in_order)
{
    for (size_t chunk = 1; chunk < 1000; chunk = chunk * 5 + 2) {
        struct rig r;
        rig_init(&r, chunk);
        say(&r, "GET /1 HTTP/1.1\r\n" HOST "\r\n"
                "POST /2 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                "POST /3 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
                "HEAD /4 HTTP/1.1\r\n" HOST "\r\n"
                "GET /5 HTTP/1.1\r\n" HOST "\r\n");
        check_heard(&r, OK(3) "/1:" OK(6) "/2:abc" OK(4) "/3:x" OK(3) OK(3) "/5:");
        CHECK_INT(r.requests, 5);
        CHECK(!r.ends);
        rig_fini(&r);
    }
}

TEST(http_server_reads_the_next_request_when_one_is_answered)
{
    struct rig r;
    rig_init(&r, 1000);
    r.by_hand = true;
    say(&r, "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(r.loop, r.requests == 1);
    for (int i = 0; i < 10; i++)
        loop_turn(r.loop, 0);
    CHECK_INT(r.requests, 1);
    answer(&r, r.open);
    TURN_UNTIL(r.loop, r.requests == 2);
    answer(&r, r.open);
    check_heard(&r, OK(3) "/1:" OK(3) "/2:");
    rig_fini(&r);
}

TEST(http_server_closes_where_either_side_said_so)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"GET /1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n/1:"},
        {"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n/1:"},
        {"GET / HTTP/1.1\r\n\r\n",
         "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
         "Content-Length: 16\r\nConnection: close\r\n\r\nHost is missing\n"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n",
         "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        rig_init(&r, 10);
        say(&r, rows[i].in);
        check_heard(&r, rows[i].out);
        check_ended(&r);
        rig_fini(&r);
    }
}

TEST(http_server_bounds_a_body_of_unknown_length)
{
    struct rig r;
    rig_init(&r, 100);
    r.limit = 3;
    say(&r, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n");
    TURN_UNTIL(r.loop, r.error != 0);
    CHECK_INT(r.error, EMSGSIZE);
    check_heard(&r, "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\n"
                    "Content-Length: 18\r\nConnection: close\r\n\r\nContent Too Large\n");
    check_ended(&r);
    rig_fini(&r);
}

TEST(http_server_says_continue_when_the_body_is_wanted)
{
    struct rig r;
    rig_init(&r, 100);
    r.by_hand = true;
    say(&r, "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    TURN_UNTIL(r.loop, r.requests == 1);
    CHECK_INT(r.client.got.len, 0);
    CHECK_INT(http_accept_body(r.open, 2), 0);
    check_heard(&r, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&r, "hi");
    TURN_UNTIL(r.loop, r.eofs == 1);
    answer(&r, r.open);
    check_heard(&r, "HTTP/1.1 100 Continue\r\n\r\n" OK(4) "/:hi");
    rig_fini(&r);
}

TEST(http_server_streams_a_response)
{
    struct rig r;
    rig_init(&r, 1000);
    r.by_hand = true;
    say(&r, "GET /s HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(r.loop, r.requests == 1);
    http_respond(r.open, 200, "X: y\r\n", HTTP_CHUNKED);
    stream_write(r.open, "hello", 5);
    stream_write(r.open, "", 0);
    stream_write(r.open, "0123456789abcdef", 16);
    stream_close(r.open);
    check_heard(&r, "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    say(&r, "GET /s HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(r.loop, r.requests == 2);
    http_respond(r.open, 200, "", 10);
    stream_write(r.open, "short", 5);
    stream_close(r.open);
    TURN_UNTIL(r.loop, r.client.errors == 1 && r.ends == 1);
    rig_fini(&r);
}

/* Neither side's bytes pile up when the other does not take them. */
TEST(http_server_holds_up_who_is_too_fast)
{
    static char zeros[65536];
    struct rig r;
    rig_init(&r, 65536);
    r.by_hand = true;
    say(&r, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 1048576\r\n\r\n");
    TURN_UNTIL(r.loop, r.requests == 1);
    stream_want(r.open, 0);
    CHECK_INT(http_accept_body(r.open, 1 << 20), 0);
    for (int i = 0; i < 16; i++) {
        stream_write(r.client.s, zeros, sizeof(zeros));
        for (int turn = 0; turn < 5; turn++)
            loop_turn(r.loop, 0);
    }
    CHECK_INT(r.body.len, 0);
    CHECK(!stream_room(r.client.s));
    stream_want(r.open, SIZE_MAX);
    TURN_UNTIL(r.loop, r.eofs == 1);
    CHECK_INT(r.body.len, 1 << 20);
    r.client.hold = true;
    http_respond(r.open, 200, "", HTTP_CHUNKED);
    for (int i = 0; stream_room(r.open); i++) {
        CHECK(i < 1000);
        stream_write(r.open, zeros, 1000);
        loop_turn(r.loop, 0);
    }
    stream_reset(r.open);
    TURN_UNTIL(r.loop, r.ends == 1);
    rig_fini(&r);
}

TEST(http_server_gives_up_on_the_slow)
{
    static const struct {
        const char *in;
        int error;
        const char *status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost", 0, "HTTP/1.1 408"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 900\r\n\r\nx", ETIMEDOUT, "HTTP/1.1 408"},
        {"", 0, ""},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        rig_init(&r, 100);
        r.limits = (struct http_server_limits){
            .idle_ms = 60, .head_ms = 20, .body_ms = 20, .body_min = 100, .linger_ms = 20};
        http_conn_free(r.c);
        probe_fini(&r.client);
        struct stream *wire[2];
        wire_new(r.loop, 100, 4096, wire);
        probe_own(&r.client, wire[0]);
        r.c = http_serve(wire[1], &r.limits, &events, &r);
        say(&r, rows[i].in);
        TURN_UNTIL(r.loop, r.ends == 1);
        TURN_UNTIL(r.loop, r.client.eofs + r.client.errors > 0);
        CHECK_INT(r.error, rows[i].error);
        char *got = heard(&r);
        CHECK(!strncmp(got, rows[i].status, strlen(rows[i].status)));
        free(got);
        rig_fini(&r);
    }
}

TEST(http_server_tells_that_the_client_is_gone)
{
    struct rig r;
    rig_init(&r, 100);
    r.by_hand = true;
    say(&r, "GET /x HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(r.loop, r.requests == 1);
    struct stream *x = r.open;
    stream_reset(r.client.s);
    r.client.s = NULL;
    TURN_UNTIL(r.loop, r.ends == 1);
    CHECK_STR(http_target(http_request_head(x)), "/x");
    TURN_UNTIL(r.loop, r.error == ECONNRESET);
    rig_fini(&r);
}

/* What came behind the request belongs to the new protocol. */
TEST(http_server_gives_its_carrier_up)
{
    for (size_t chunk = 1; chunk < 1000; chunk += 499) {
        struct rig r;
        rig_init(&r, chunk);
        r.by_hand = true;
        say(&r, "GET /w HTTP/1.1\r\n" HOST "Upgrade: x\r\nConnection: upgrade\r\n\r\nearly");
        TURN_UNTIL(r.loop, r.requests == 1);
        CHECK(http_request_head(r.open)->upgrade);
        probe_own(&r.upgraded, http_upgrade(r.open, "Upgrade: x\r\n"));
        TURN_UNTIL(r.loop, probe_got(&r.upgraded, "early") && r.ends == 1);
        stream_write(r.upgraded.s, "late", 4);
        check_heard(&r, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                        "Upgrade: x\r\n\r\nlate");
        rig_fini(&r);
    }
}

TEST(http_server_may_be_freed_while_an_exchange_is_open)
{
    struct rig r;
    rig_init(&r, 100);
    r.by_hand = true;
    say(&r, "GET /x HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(r.loop, r.requests == 1);
    http_conn_free(r.c);
    r.c = NULL;
    TURN_UNTIL(r.loop, r.error == ECONNRESET);
    CHECK(!r.ends);
    rig_fini(&r);
}

/* Answers that are not taken hold the next requests up, and nothing piles up here. */
TEST(http_server_reads_no_request_while_its_answers_wait)
{
    struct rig r;
    rig_init(&r, 4096);
    r.client.hold = true;
    for (int i = 0; i < 1000; i++)
        say(&r, "GET /0123456789abcdefghijklmnopqrstuvwxyz HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 500; i++)
        loop_turn(r.loop, 0);
    CHECK(r.requests < 200);
    r.client.hold = false;
    probe_drink(&r.client);
    TURN_UNTIL(r.loop, r.requests == 1000);
    rig_fini(&r);
}
