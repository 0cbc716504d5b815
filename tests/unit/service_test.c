#include "applets/service/service.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/service_rig.h"

static int64_t number(const struct json_value *body, const char *key)
{
    int64_t n = -1;
    CHECK_INT(json_get_int(body, key, &n), 1);
    return n;
}

static void until_served(struct rig *g)
{
    rig_patience();
    while (g->sv.requests && rig_turn(g))
        ;
}

TEST(service_ping)
{
    struct rig g;
    rig_init(&g);
    g.sv.version = "1.2.3";
    g.sv.started_ms -= 5000;
    rig_open(&g, "{\"type\":\"Ping\"}");
    const struct json_value *pong = rig_expect(&g, MSG_PONG);
    CHECK_STR(json_get_str(pong, "version"), "1.2.3");
    CHECK(number(pong, "uptime_secs") >= 5);
    rig_expect_end(&g);
    rig_fini(&g);
}

TEST(service_request_in_pieces)
{
    static const char text[] = "\0\0\0\x0f{\"type\":\"Ping\"}";
    struct rig g;
    rig_init(&g);
    rig_connect(&g);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        rig_send(&g, text + i, 1);
        loop_turn(g.loop, 0);
    }
    rig_expect(&g, MSG_PONG);
    rig_fini(&g);
}

TEST(service_refuses_what_is_no_request)
{
    static const struct {
        const char *request, *why;
    } rows[] = {
        {"{\"type\":\"Hello\"}", "Hello is not a request that is served here"},
        {"{\"type\":\"ExecResult\"}", "ExecResult is not a request that is served here"},
        {"{\"type\":\"Nonsense\"}", "bad request: unknown type"},
        {"{\"command\":\"id\"}", "bad request: no type"},
        {"{\"type\":", "bad request: bad JSON"},
        {"x", "bad request: it does not begin with {"},
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "%s", rows[i].request);
        CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST), rows[i].why);
    }
    rig_fini(&g);
}

static void serve_nothing(struct request *r)
{
    message_send(r->stream, MSG_OK);
    request_end(r);
}

/* Whoever gives its own table serves that and no more. */
TEST(service_own_table)
{
    static const struct service_row rows[] = {{MSG_LIST, serve_nothing}, {MSG_COUNT, NULL}};
    struct rig g;
    rig_init(&g);
    g.sv.rows = rows;
    rig_open(&g, "{\"type\":\"List\"}");
    rig_expect(&g, MSG_OK);
    rig_expect_end(&g);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"echo > %s/ran\"}", g.dir);
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST),
              "Exec is not a request that is served here");
    CHECK(access(rig_path(&g, "ran"), F_OK) != 0);
    rig_fini(&g);
}

TEST(service_refuses_bad_frames)
{
    static const char too_long[] = "\x00\x40\x00\x01{", empty[4] = "";
    struct rig g;
    rig_init(&g);
    rig_connect(&g);
    rig_send(&g, too_long, sizeof too_long - 1);
    rig_expect_error(&g, ERR_INVALID_REQUEST);
    rig_connect(&g);
    rig_send(&g, empty, sizeof empty);
    rig_expect_error(&g, ERR_INVALID_REQUEST);
    rig_fini(&g);
}

TEST(service_refuses_half_a_request)
{
    struct rig g;
    rig_init(&g);
    rig_connect(&g);
    rig_send(&g, "\0\0\0\x0f{\"ty", 8);
    shutdown(g.fd, SHUT_WR);
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST), "bad request: it ended half-way");
    until_served(&g);
    CHECK(!g.sv.requests);
    rig_fini(&g);
}

TEST(service_waits_so_long_for_a_request)
{
    struct rig g;
    rig_init(&g);
    rig_connect(&g);
    rig_send(&g, "\0\0\0\x0f{\"ty", 8);
    loop_turn(g.loop, 1000);
    CHECK(g.sv.requests && loop_timer_armed(&g.sv.requests->timer));
    CHECK_INT(g.sv.requests->timer.due_ms > loop_now_ms(g.loop) + 20000, 1);
    loop_timer_set(&g.sv.requests->timer, 0);
    CHECK_STR(rig_expect_error(&g, ERR_TIMEOUT), "no request within 30 s");
    rig_fini(&g);
}

/* The answer has to survive what the opener still had on its way. */
TEST(service_drops_what_follows)
{
    static char more[300000];
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Ping\"}");
    rig_send_message(&g, "{\"type\":\"Ping\"}");
    rig_send(&g, more, sizeof more);
    rig_expect(&g, MSG_PONG);
    rig_expect_end(&g);
    rig_send(&g, more, sizeof more);
    CHECK(g.sv.requests != NULL);
    rig_close(&g);
    until_served(&g);
    CHECK(!g.sv.requests);
    rig_fini(&g);
}

TEST(service_lingers_only_so_long)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Ping\"}");
    rig_expect(&g, MSG_PONG);
    rig_expect_end(&g);
    CHECK(g.sv.requests && loop_timer_armed(&g.sv.requests->timer));
    loop_timer_set(&g.sv.requests->timer, 0);
    loop_turn(g.loop, 1000);
    CHECK(!g.sv.requests);
    rig_fini(&g);
}

TEST(service_fini_ends_all)
{
    struct rig g;
    int ends[6][2];
    static const char *const requests[] = {
        "{\"type\":\"Exec\",\"command\":\"sleep 1000\"}",
        "{\"type\":\"ExecStream\",\"command\":\"cat\",\"stdin\":true}",
        "{\"type\":\"ExecStream\",\"command\":\"cat\",\"pty\":{}}",
        "{\"type\":\"FilePut\",\"path\":\"%s/f\",\"size\":10}",
        "{\"type\":\"Sync\"}",
        "{\"type\":\"Dial\",\"target\":\"no-such-host.invalid:1\"}",
    };
    rig_init(&g);
    for (size_t i = 0; i < countof(requests); i++) {
        cleanup_free char *text = xasprintf("%s", requests[i]);
        if (strstr(text, "%s")) {
            free(text);
            text = xasprintf("{\"type\":\"FilePut\",\"path\":\"%s/f\",\"size\":10}", g.dir);
        }
        rig_open(&g, "%s", text);
        ends[i][0] = g.fd;
        g.fd = -1;
        loop_turn(g.loop, 100);
        loop_turn(g.loop, 0);
    }
    service_fini(&g.sv);
    for (size_t i = 0; i < countof(requests); i++)
        close(ends[i][0]);
    CHECK(access(rig_path(&g, "f"), F_OK) != 0);
    CHECK_INT(rmdir(g.dir), 0); /* no temporary file either */
    rig_fini(&g);
}

/* Sync. */

TEST(service_sync)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Sync\"}");
    rig_expect(&g, MSG_OK);
    rig_expect_end(&g);
    rig_fini(&g);
}

TEST(service_sync_forgotten)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Sync\"}");
    loop_turn(g.loop, 100);
    service_fini(&g.sv);
    rig_fini(&g);
}

/* Dial. */

static int listen_tcp(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int accepted(struct rig *g, int listener)
{
    int fd;
    rig_patience();
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0 && rig_turn(g))
        ;
    return fd;
}

/* What the far end reads, up to the end or `len` bytes; the rest of `text` is zero. */
static ssize_t far_read(struct rig *g, int fd, char *text, size_t len)
{
    size_t at = 0;
    memset(text, 0, len + 1);
    rig_patience();
    while (at < len) {
        ssize_t n = recv(fd, text + at, len - at, MSG_DONTWAIT);
        if (n == 0)
            break;
        if (n > 0)
            at += (size_t)n;
        else if (errno != EAGAIN)
            return -1;
        else if (!rig_turn(g))
            return -1;
    }
    return (ssize_t)at;
}

static void dial_both_ways(struct rig *g, int listener, const char *target)
{
    char text[64];
    struct relay_count count = {0};
    g->sv.count = &count;
    rig_open(g, "{\"type\":\"Dial\",\"target\":\"%s\"}", target);
    rig_send(g, "early", 5);
    shutdown(g->fd, SHUT_WR);
    int far = accepted(g, listener);
    CHECK_INT(far_read(g, far, text, 6), 5);
    CHECK_STR(text, "early");
    CHECK_INT(count.open, 1);
    rig_expect(g, MSG_OK);
    CHECK_INT(send(far, "late", 4, MSG_NOSIGNAL), 4);
    CHECK(rig_bytes(g, 4) && memcmp(buf_front(&g->got), "late", 4) == 0);
    buf_consume(&g->got, 4);
    close(far);
    rig_expect_end(g);
    until_served(g);
    CHECK_INT(count.open, 0);
    CHECK_INT(count.up_bytes, 5);
    CHECK_INT(count.down_bytes, 4);
    g->sv.count = NULL;
}

TEST(service_dial_tcp)
{
    struct rig g;
    uint16_t port;
    char target[64];
    rig_init(&g);
    int listener = listen_tcp(&port);
    snprintf(target, sizeof target, "127.0.0.1:%u", port);
    dial_both_ways(&g, listener, target);
    snprintf(target, sizeof target, "localhost:%u", port);
    dial_both_ways(&g, listener, target);
    close(listener);
    rig_fini(&g);
}

TEST(service_dial_unix)
{
    struct rig g;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char target[128];
    rig_init(&g);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", rig_path(&g, "socket"));
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, 8) == 0);
    snprintf(target, sizeof target, "unix:%s", address.sun_path);
    dial_both_ways(&g, listener, target);
    close(listener);
    rig_open(&g, "{\"type\":\"Dial\",\"target\":\"%s\"}", target);
    rig_expect_error(&g, ERR_CONNECTION_REFUSED);
    rig_open(&g, "{\"type\":\"Dial\",\"target\":\"%s.gone\"}", target);
    const char *why = rig_expect_error(&g, ERR_NOT_FOUND);
    CHECK(strstr(why, "socket.gone: No such file or directory") != NULL);
    rig_fini(&g);
}

TEST(service_dial_refused)
{
    struct rig g;
    uint16_t port;
    char want[64];
    static char early[100000];
    rig_init(&g);
    close(listen_tcp(&port));
    snprintf(want, sizeof want, "localhost:%u: Connection refused", port);
    rig_open(&g, "{\"type\":\"Dial\",\"target\":\"localhost:%u\"}", port);
    rig_send(&g, early, sizeof early);
    CHECK_STR(rig_expect_error(&g, ERR_CONNECTION_REFUSED), want);
    rig_fini(&g);
}

TEST(service_dial_no_such_host)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Dial\",\"target\":\"no-such-host.invalid:80\"}");
    CHECK_STR(rig_expect_error(&g, ERR_NOT_FOUND), "no-such-host.invalid:80: no such host");
    rig_fini(&g);
}

TEST(service_dial_bad_target)
{
    static const char *const fields[] = {
        "\"x\":1",
        "\"target\":\"\"",
        "\"target\":\"localhost\"",
        "\"target\":7",
        "\"target\":\":80\"",
        "\"target\":\"localhost:0\"",
        "\"target\":\"h:x\"",
        "\"target\":\"*:80\"",
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(fields); i++) {
        rig_open(&g, "{\"type\":\"Dial\",%s}", fields[i]);
        CHECK(strncmp(rig_expect_error(&g, ERR_INVALID_REQUEST), "target: ", 8) == 0);
    }
    rig_fini(&g);
}

static void reset_by_opener(struct rig *g)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(g->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    rig_close(g);
}

/* A listener whose queue is full answers nobody. */
TEST(service_dial_reset_while_dialling)
{
    struct rig g;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int filler[8], tcp[2];
    uint16_t port, own_port;
    struct relay_count count = {0};
    rig_init(&g);
    g.sv.count = &count;
    int listener = listen_tcp(&port);
    listen(listener, 0);
    here.sin_port = htons(port);
    for (size_t i = 0; i < countof(filler); i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        CHECK(connect(filler[i], (struct sockaddr *)&here, sizeof here) == 0 ||
              errno == EINPROGRESS);
    }
    int own = listen_tcp(&own_port);
    here.sin_port = htons(own_port);
    tcp[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(tcp[0], (struct sockaddr *)&here, sizeof here) == 0);
    tcp[1] = accept4(own, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    service_serve(&g.sv, fdstream_new(g.loop, tcp[1], tcp[1]));
    g.fd = tcp[0];
    rig_send_message(&g, "{\"type\":\"Dial\",\"target\":\"127.0.0.1:%u\"}", port);
    for (int i = 0; i < 3; i++)
        loop_turn(g.loop, 100);
    CHECK(g.sv.requests && g.sv.requests->state);
    CHECK_INT(count.open, 1);
    reset_by_opener(&g);
    until_served(&g);
    CHECK_INT(count.open, 0);
    CHECK(!g.sv.requests);
    for (size_t i = 0; i < countof(filler); i++)
        close(filler[i]);
    close(own);
    close(listener);
    rig_fini(&g);
}

TEST(service_fini_resets_dialled)
{
    struct rig g;
    uint16_t port;
    char text[8];
    struct relay_count count = {0};
    rig_init(&g);
    g.sv.count = &count;
    int listener = listen_tcp(&port);
    rig_open(&g, "{\"type\":\"Dial\",\"target\":\"127.0.0.1:%u\"}", port);
    rig_expect(&g, MSG_OK);
    int far = accepted(&g, listener);
    CHECK_INT(count.open, 1);
    service_fini(&g.sv);
    CHECK_INT(count.open, 0);
    CHECK_INT(far_read(&g, far, text, 1), -1);
    CHECK_INT(errno, ECONNRESET);
    close(far);
    close(listener);
    rig_fini(&g);
}
