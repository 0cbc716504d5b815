/* The client on a connection: order, bodies both ways, limits, ends, upgrades. The server is played by
 * hand, and by ours. */
#include "net/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/http_server.h"
#include "tests/unit/probe.h"
#include "tests/unit/wire.h"

struct rig {
    struct loop *loop;
    struct http_client *c;
    struct probe server;   /* its end of the wire */
    struct probe response; /* the exchange */
    struct http_client_limits limits;
};

static void rig_init(struct rig *r, size_t chunk)
{
    struct stream *wire[2];
    *r = (struct rig){.loop = loop_new(), .limits = http_client_limits};
    wire_new(r->loop, chunk, 4096, wire);
    probe_own(&r->server, wire[0]);
    r->c = http_client_new(wire[1], &r->limits);
}

static void rig_fini(struct rig *r)
{
    probe_fini(&r->response);
    probe_fini(&r->server);
    http_client_free(r->c);
    for (int i = 0; i < 5; i++)
        loop_turn(r->loop, 0);
    loop_free(r->loop);
}

static const struct http_request get = {
    .method = "GET", .target = "/", .host = "a", .body_max = 1000};

static void ask(struct rig *r, const struct http_request *request)
{
    struct stream *x = http_client_send(r->c, request);
    CHECK(x);
    probe_own(&r->response, x);
}

static void say(struct rig *r, const char *text)
{
    stream_write(r->server.s, text, strlen(text));
}

/* What the server was asked, forgotten by and by. */
static void check_asked(struct rig *r, const char *text)
{
    TURN_UNTIL(r->loop, r->server.got.len >= strlen(text));
    CHECK(probe_got(&r->server, text));
    r->server.got.len = 0;
}

TEST(http_client_asks_one_thing_after_the_other)
{
    for (size_t chunk = 1; chunk < 1000; chunk = chunk * 5 + 2) {
        struct rig r;
        rig_init(&r, chunk);
        for (int i = 0; i < 3; i++) {
            CHECK(http_client_ready(r.c));
            ask(&r, &get);
            CHECK(!http_client_send(r.c, &get) && errno == EBUSY);
            check_asked(&r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            say(&r, i == 0   ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
                    : i == 1 ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"
                             : "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
                               "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 5\r\n\r\n"
                               "hello");
            TURN_UNTIL(r.loop, r.response.eofs == 1);
            CHECK(probe_got(&r.response, "hello") && r.response.opens == 1);
            CHECK_INT(http_response_head(r.response.s)->status, i == 2 ? 302 : 200);
            probe_fini(&r.response);
        }
        rig_fini(&r);
    }
}

TEST(http_client_sends_a_body_in_its_framing)
{
    struct rig r;
    rig_init(&r, 100);
    struct http_request put = {.method = "PUT",
                               .target = "/f?x=%20",
                               .host = "[::1]:80",
                               .fields = "X: y\r\n",
                               .length = HTTP_CHUNKED,
                               .body_max = 0};
    ask(&r, &put);
    stream_write(r.response.s, "hello", 5);
    stream_write(r.response.s, "", 0);
    stream_write(r.response.s, "!", 1);
    stream_shutdown(r.response.s);
    check_asked(&r, "PUT /f?x=%20 HTTP/1.1\r\nHost: [::1]:80\r\nX: y\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
    say(&r, "HTTP/1.1 204 No Content\r\n\r\n");
    TURN_UNTIL(r.loop, r.response.eofs == 1);
    probe_fini(&r.response);
    put.length = 3;
    put.fields = NULL;
    ask(&r, &put);
    stream_write(r.response.s, "abc", 3);
    CHECK(!stream_room(r.response.s));
    check_asked(&r, "PUT /f?x=%20 HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 3\r\n\r\nabc");
    say(&r, "HTTP/1.1 204 No Content\r\n\r\n");
    TURN_UNTIL(r.loop, r.response.eofs == 1);
    probe_fini(&r.response);
    CHECK(http_client_ready(r.c));
    ask(&r, &put);
    stream_write(r.response.s, "abcd", 4);
    stream_shutdown(r.response.s);
    TURN_UNTIL(r.loop, r.response.error == EPROTO && r.server.errors == 1);
    rig_fini(&r);
}

TEST(http_client_knows_what_has_no_body)
{
    struct rig r;
    rig_init(&r, 7);
    struct http_request head = get;
    head.method = "HEAD";
    ask(&r, &head);
    say(&r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    TURN_UNTIL(r.loop, r.response.eofs == 1);
    probe_fini(&r.response);
    ask(&r, &get);
    say(&r, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    TURN_UNTIL(r.loop, r.response.eofs == 1);
    probe_fini(&r.response);
    ask(&r, &get);
    say(&r, "HTTP/1.1 199 Interim\r\nContent-Length: 5\r\n\r\n"
            "HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n");
    TURN_UNTIL(r.loop, r.response.eofs == 1);
    CHECK_INT(http_response_head(r.response.s)->status, 204);
    CHECK(!r.response.got.len);
    probe_fini(&r.response);
    CHECK(http_client_ready(r.c));
    rig_fini(&r);
}

/* Each says how the server's answer goes, and what becomes of the exchange. */
TEST(http_client_refuses_what_is_no_good_answer)
{
    static const struct {
        const char *in;
        int error;
        bool ends;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\n\r\nto the end", 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nto theend", 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nto the end", ECONNRESET, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nto the en\r\n", ECONNRESET,
         true},
        {"", ECONNRESET, true},
        {"HTTP/1.1 200", ECONNRESET, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", EPROTO, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", EPROTO,
         false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", EPROTO, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", EPROTO, false},
        {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", EPROTO, false},
        {"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", EPROTO, false},
        {"HTTP/2.0 200 OK\r\n\r\n", EPROTO, false},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", EPROTO, false},
        {"SSH-2.0-OpenSSH_9.2\r\n", EPROTO, false},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        rig_init(&r, 10);
        ask(&r, &get);
        say(&r, rows[i].in);
        if (rows[i].ends)
            stream_shutdown(r.server.s);
        if (rows[i].error)
            TURN_UNTIL(r.loop, r.response.errors == 1);
        else
            TURN_UNTIL(r.loop, r.response.opens == 1 && (!rows[i].ends || r.response.eofs == 1));
        CHECK_INT(r.response.error, rows[i].error);
        probe_fini(&r.response);
        CHECK(!http_client_ready(r.c));
        CHECK(!http_client_send(r.c, &get) && errno == ENOTCONN);
        rig_fini(&r);
    }
}

TEST(http_client_bounds_what_comes)
{
    struct rig r;
    rig_init(&r, 1000);
    struct http_request little = get;
    little.body_max = 3;
    ask(&r, &little);
    say(&r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n");
    TURN_UNTIL(r.loop, r.response.error == EMSGSIZE);
    rig_fini(&r);
    rig_init(&r, 1000);
    ask(&r, &get);
    for (int i = 0; i < 17; i++)
        say(&r, "HTTP/1.1 100 Continue\r\n\r\n");
    TURN_UNTIL(r.loop, r.response.error == EPROTO);
    rig_fini(&r);
}

/* What nobody asked for would be taken for the next answer. */
TEST(http_client_leaves_who_speaks_unasked)
{
    struct rig r;
    rig_init(&r, 1000);
    say(&r, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    TURN_UNTIL(r.loop, r.server.errors == 1);
    CHECK(!http_client_ready(r.c));
    rig_fini(&r);
    rig_init(&r, 1000);
    ask(&r, &get);
    say(&r, "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    TURN_UNTIL(r.loop, r.response.eofs == 1);
    probe_fini(&r.response);
    TURN_UNTIL(r.loop, r.server.errors == 1);
    CHECK(!http_client_ready(r.c));
    rig_fini(&r);
}

TEST(http_client_sends_no_text_that_would_be_another)
{
    static const struct http_request rows[] = {
        {.method = "GET", .target = "/\r\nX: y", .host = "a"},
        {.method = "GET", .target = "/ x", .host = "a"},
        {.method = "GET", .target = "x", .host = "a"},
        {.method = "GET /", .target = "/", .host = "a"},
        {.method = "GET", .target = "/", .host = "a\r\nX: y"},
        {.method = "GET", .target = "/", .host = ""},
        {.method = "GET", .target = "/", .host = "a", .fields = "X: y"},
        {.method = "GET", .target = "/", .host = "a", .fields = "X: y\r\n\r\nGET / HTTP/1.1\r\n"},
        {.method = "GET", .target = "/", .host = "a", .fields = "X: y\nZ: z\r\n"},
        {.method = "GET", .target = "/", .host = "a", .fields = " X: y\r\n"},
        {.method = "GET", .target = "/", .host = "a", .upgrade = "x\r\nX: y"},
        {.method = "GET", .target = "/", .host = "a", .length = -2},
    };
    struct rig r;
    rig_init(&r, 1000);
    for (size_t i = 0; i < countof(rows); i++)
        CHECK(!http_client_send(r.c, &rows[i]) && errno == EINVAL);
    CHECK(http_client_ready(r.c));
    rig_fini(&r);
}

TEST(http_client_gives_up_on_the_slow)
{
    static const char *const rows[] = {"", "HTTP/1.1 200",
                                       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx"};
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        rig_init(&r, 100);
        r.limits = (struct http_client_limits){.head_ms = 20, .body_ms = 20, .body_min = 2};
        ask(&r, &get);
        say(&r, rows[i]);
        TURN_UNTIL(r.loop, r.response.errors == 1);
        CHECK_INT(r.response.error, ETIMEDOUT);
        rig_fini(&r);
    }
}

/* An answer that comes before the request was all sent is an answer; the connection serves no other. */
TEST(http_client_hears_an_early_answer)
{
    struct rig r;
    rig_init(&r, 100);
    struct http_request post = get;
    post.method = "POST";
    post.length = 100;
    ask(&r, &post);
    say(&r, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    TURN_UNTIL(r.loop, r.response.eofs == 1);
    CHECK(probe_got(&r.response, "no"));
    CHECK_INT(http_response_head(r.response.s)->status, 413);
    probe_fini(&r.response);
    CHECK(!http_client_ready(r.c));
    TURN_UNTIL(r.loop, r.server.eofs + r.server.errors == 1);
    rig_fini(&r);
}

/* What was complete stays readable when the connection goes. */
TEST(http_client_keeps_a_whole_answer)
{
    struct rig r;
    rig_init(&r, 1000);
    r.response.hold = true;
    ask(&r, &get);
    say(&r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    TURN_UNTIL(r.loop, r.response.datas == 1);
    for (int i = 0; i < 5; i++)
        loop_turn(r.loop, 0);
    stream_reset(r.server.s);
    r.server.s = NULL;
    for (int i = 0; i < 5; i++)
        loop_turn(r.loop, 0);
    CHECK(!r.response.errors);
    http_client_free(r.c);
    r.c = NULL;
    loop_turn(r.loop, 0);
    probe_drink(&r.response);
    TURN_UNTIL(r.loop, r.response.eofs == 1);
    CHECK(probe_got(&r.response, "hello"));
    CHECK_INT(http_response_head(r.response.s)->status, 200);
    rig_fini(&r);
}

TEST(http_client_gives_its_carrier_up)
{
    struct rig r;
    rig_init(&r, 1000);
    struct probe after = {0};
    struct http_request up = get;
    up.upgrade = "x";
    ask(&r, &up);
    check_asked(&r, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    say(&r, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nearly");
    TURN_UNTIL(r.loop, r.response.opens == 1);
    probe_own(&after, http_client_upgraded(r.response.s));
    r.response.s = NULL;
    TURN_UNTIL(r.loop, probe_got(&after, "early"));
    CHECK(!http_client_ready(r.c));
    stream_write(after.s, "late", 4);
    TURN_UNTIL(r.loop, probe_got(&r.server, "late"));
    probe_fini(&after);
    rig_fini(&r);
}

TEST(http_client_may_be_freed_while_an_exchange_is_open)
{
    struct rig r;
    rig_init(&r, 1000);
    ask(&r, &get);
    http_client_free(r.c);
    r.c = NULL;
    TURN_UNTIL(r.loop, r.response.error == ECONNRESET);
    rig_fini(&r);
}

/* ---- with our server ---- */

struct echo {
    struct stream *x;
    size_t sent;
};

#define BIG ((size_t)1000000)

/* Back comes what came, as it comes. */
static void pass_on(struct stream *x)
{
    size_t len, room;
    const uint8_t *data;
    while ((data = stream_peek(x, &len)) && (room = stream_room(x))) {
        len = len < room ? len : room;
        stream_write(x, data, len);
        stream_consume(x, len);
    }
}

static void echo_event(void *arg, struct stream *x, enum stream_event event)
{
    (void)arg;
    switch (event) {
    case STREAM_DATA:
    case STREAM_DRAINED: pass_on(x); break;
    case STREAM_EOF:
    case STREAM_ERROR: stream_close(x); break;
    case STREAM_OPEN: break;
    }
}

static void on_request(void *arg, struct stream *x)
{
    stream_own(x, echo_event, arg);
    CHECK(!http_accept_body(x, BIG));
    http_respond(x, 200, "", HTTP_CHUNKED);
}

static void on_ended(void *arg, struct http_conn *c)
{
    *(struct http_conn **)arg = NULL;
    (void)c;
}

static const struct http_server_events echo_events = {.request = on_request, .ended = on_ended};

static void pour(struct probe *p, size_t *sent)
{
    static const uint8_t bytes[3000];
    while (*sent < BIG && stream_room(p->s)) {
        size_t len = BIG - *sent < sizeof(bytes) ? BIG - *sent : sizeof(bytes);
        stream_write(p->s, bytes, len);
        *sent += len;
    }
    if (*sent == BIG)
        stream_shutdown(p->s);
}

TEST(http_client_and_server_stream_both_ways_at_once)
{
    struct loop *loop = loop_new();
    struct stream *wire[2];
    struct http_conn *server;
    struct probe p = {0};
    wire_new(loop, 5000, 8192, wire);
    server = http_serve(wire[0], &http_server_limits, &echo_events, &server);
    struct http_client *c = http_client_new(wire[1], &http_client_limits);
    const struct http_request post = {
        .method = "POST", .target = "/", .host = "a", .length = HTTP_CHUNKED, .body_max = BIG};
    for (int round = 0; round < 2; round++) {
        size_t sent = 0, got = 0;
        probe_own(&p, http_client_send(c, &post));
        for (int i = 0; i < 100000 && !p.eofs && !p.errors; i++) {
            pour(&p, &sent);
            loop_turn(loop, 0);
            got += p.got.len;
            p.got.len = 0;
        }
        CHECK_INT(got, BIG);
        CHECK_INT(p.eofs, 1);
        probe_fini(&p);
        CHECK(http_client_ready(c));
    }
    http_client_free(c);
    TURN_UNTIL(loop, !server);
    loop_free(loop);
}
