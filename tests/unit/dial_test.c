/* Dialling: with real sockets, some of them made not to answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "net/sock.h"
#include "tests/unit/netns.h"
#include "tests/unit/test.h"

#define MOST 20 /* connections that fill a queue of one */

struct outcome {
    struct stream *stream;
    int error;
    int count;
};

static void on_dialled(void *arg, struct stream *s, int error)
{
    struct outcome *o = arg;
    o->stream = s;
    o->error = error;
    o->count++;
}

/* So that a test fails, rather than hangs. */
static int impatient(int fd)
{
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static void await(struct loop *loop, const struct outcome *o)
{
    uint64_t end = loop_now_ms(loop) + 10000;
    while (!o->count && loop_now_ms(loop) < end)
        loop_turn(loop, 1000);
    CHECK_INT(o->count, 1);
}

static struct target tcp(const char *host, unsigned port)
{
    struct target t = {.kind = TARGET_TCP, .port = (uint16_t)port};
    snprintf(t.host, sizeof(t.host), "%s", host);
    return t;
}

/* Dials until it has ended. */
static struct outcome dial(const struct target *t)
{
    struct loop *loop = loop_new();
    struct outcome o = {0};
    CHECK(dial_start(loop, t, on_dialled, &o));
    CHECK_INT(o.count, 0);
    await(loop, &o);
    CHECK(!o.stream == (o.error != 0));
    stream_reset(o.stream);
    o.stream = o.stream ? (struct stream *)&o : NULL; /* gone with the loop; only whether */
    loop_free(loop);
    return o;
}

/* A bound socket of 127.0.0.1 or ::1 (alone); port 0: any. -1 with errno. */
static int bound(const char *host, unsigned port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    bool six = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
    int on = 1;
    inet_pton(AF_INET, host, &v4.sin_addr);
    cleanup_fd int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (six)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    const void *addr = six ? (const void *)&v6 : (const void *)&v4;
    if (fd < 0 || bind(fd, addr, six ? sizeof(v6) : sizeof(v4)) != 0)
        return -1;
    return impatient(steal_fd(&fd));
}

static unsigned port_of(int fd)
{
    struct sockaddr_in6 sa = {0}; /* the port is where sockaddr_in has it */
    socklen_t len = sizeof(sa);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    return ntohs(sa.sin6_port);
}

/* Two sockets with one port: four at 127.0.0.1, six at ::1. */
static bool bound_pair(int *four, int *six)
{
    for (int i = 0; i < 50; i++) {
        *four = bound("127.0.0.1", 0);
        *six = bound("::1", port_of(*four));
        if (*six >= 0)
            return true;
        close(*four);
        if (errno != EADDRINUSE)
            break;
    }
    fprintf(stderr, "v6 is not tested: this machine has no ::1\n");
    return false;
}

/* Connects to it until its queue is full and nobody gets an answer any more. */
static void fill_queue(int listening, int fds[static MOST])
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(sa);
    CHECK_INT(listen(listening, 0), 0);
    CHECK_INT(getsockname(listening, (struct sockaddr *)&sa, &len), 0);
    for (int i = 0; i < MOST; i++) {
        fds[i] = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fds[i], (const struct sockaddr *)&sa, len); /* refused, when full */
    }
}

static void close_all(const int fds[static MOST])
{
    for (int i = 0; i < MOST; i++)
        close(fds[i]);
}

TEST(dial_connects)
{
    struct loop *loop = loop_new();
    struct outcome o = {0};
    int listening = bound("127.0.0.1", 0);
    CHECK_INT(listen(listening, 1), 0);
    struct target t = tcp("127.0.0.1", port_of(listening));
    dial_start(loop, &t, on_dialled, &o);
    CHECK_INT(o.count, 0);
    await(loop, &o);
    CHECK_INT(o.error, 0);
    CHECK(o.stream);
    char byte = 0;
    int fd = impatient(accept(listening, NULL, NULL));
    stream_write(o.stream, "x", 1);
    CHECK_INT(read(fd, &byte, 1), 1);
    CHECK_INT(byte, 'x');
    stream_reset(o.stream);
    CHECK_INT(read(fd, &byte, 1), -1);
    CHECK_INT(errno, ECONNRESET);
    close(fd);
    close(listening);
    loop_free(loop);
}

TEST(dial_refused)
{
    int fd = bound("127.0.0.1", 0);
    struct target t = tcp("127.0.0.1", port_of(fd)), localhost = tcp("localhost", port_of(fd));
    struct outcome o = dial(&t);
    CHECK_INT(o.error, ECONNREFUSED);
    /* Also where ::1 fails otherwise. */
    o = dial(&localhost);
    CHECK_INT(o.error, ECONNREFUSED);
    close(fd);
}

TEST(dial_name_by_a_child)
{
    int listening = bound("127.0.0.1", 0);
    CHECK_INT(listen(listening, 1), 0);
    struct target t = tcp("127.1", port_of(listening));
    struct outcome o = dial(&t);
    CHECK_INT(o.error, 0);
    close(listening);
}

TEST(dial_no_such_name)
{
    struct target t = tcp("", 80);
    struct outcome o = dial(&t);
    CHECK_INT(o.error, ENOENT);
}

TEST(dial_next_when_one_is_refused)
{
    int four, six;
    if (!bound_pair(&four, &six))
        return;
    CHECK_INT(listen(six, 1), 0);
    struct target t = tcp("localhost", port_of(six));
    struct outcome o = dial(&t);
    CHECK_INT(o.error, 0);
    close(four);
    close(six);
}

TEST(dial_next_when_one_is_slow)
{
    int four, six, fds[MOST];
    if (!bound_pair(&four, &six))
        return;
    CHECK_INT(listen(six, 1), 0);
    fill_queue(four, fds);
    struct target t = tcp("localhost", port_of(six));
    struct outcome o = dial(&t);
    CHECK_INT(o.error, 0);
    int fd = accept4(six, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(fd >= 0);
    close(fd);
    close_all(fds);
    close(four);
    close(six);
}

/* The first is slow, the second refuses; the first then answers after all. */
TEST(dial_slow_one_stays_in_the_race)
{
    int four, six, fds[MOST];
    if (!bound_pair(&four, &six))
        return;
    struct loop *loop = loop_new();
    struct outcome o = {0};
    struct target t = tcp("localhost", port_of(four));
    fill_queue(four, fds);
    dial_start(loop, &t, on_dialled, &o);
    loop_turn(loop, 600); /* the second's turn comes, and fails at once */
    loop_turn(loop, 20);
    CHECK_INT(o.count, 0);
    close_all(fds);
    CHECK_INT(listen(four, MOST), 0);
    CHECK_INT(fcntl(four, F_SETFL, O_NONBLOCK), 0);
    for (int fd; (fd = accept(four, NULL, NULL)) >= 0;)
        close(fd);
    await(loop, &o);
    CHECK_INT(o.error, 0);
    stream_reset(o.stream);
    loop_free(loop);
    close(four);
    close(six);
}

TEST(dial_cancelled)
{
    struct loop *loop = loop_new();
    struct outcome o = {0};
    int listening = bound("127.0.0.1", 0);
    CHECK_INT(listen(listening, 1), 0);
    struct target now = tcp("127.0.0.1", port_of(listening)), name = tcp("127.1", 80);
    struct target path = {.kind = TARGET_UNIX, .path = "/no/such/socket"};
    dial_cancel(dial_start(loop, &now, on_dialled, &o));
    dial_cancel(dial_start(loop, &name, on_dialled, &o));
    dial_cancel(dial_start(loop, &path, on_dialled, &o));
    loop_turn(loop, 20);
    loop_turn(loop, 20);
    CHECK_INT(o.count, 0);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
    char byte;
    int fd = impatient(accept(listening, NULL, NULL));
    CHECK(read(fd, &byte, 1) == 0 || errno == ECONNRESET); /* the dial's end was closed */
    close(fd);
    close(listening);
    loop_free(loop);
}

/* With one port to choose from, TCP connects a socket with itself. */
TEST(dial_never_connects_to_itself)
{
    int home = netns_enter(__func__);
    if (home < 0)
        return;
    CHECK_INT(netns_lo_up(), 0);
    CHECK_INT(netns_write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000"), 0);
    struct target t = tcp("127.0.0.1", 40000);
    struct outcome o = dial(&t);
    CHECK_INT(o.error, ECONNREFUSED);
    CHECK_INT(netns_leave(home), 0);
}

/* 127.0.0.1 refuses, and there is no ::1. */
TEST(dial_tells_the_most_telling_error)
{
    int home = netns_enter(__func__);
    if (home < 0)
        return;
    CHECK_INT(netns_write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"), 0);
    CHECK_INT(netns_lo_up(), 0);
    struct target t = tcp("localhost", 80), six = tcp("::1", 80);
    struct outcome o = dial(&six);
    CHECK(o.error && o.error != ECONNREFUSED);
    o = dial(&t);
    CHECK_INT(o.error, ECONNREFUSED);
    CHECK_INT(netns_leave(home), 0);
}

TEST(dial_unreachable)
{
    int home = netns_enter(__func__);
    if (home < 0)
        return;
    struct target t = tcp("192.0.2.1", 80);
    struct outcome o = dial(&t);
    CHECK_INT(o.error, ENETUNREACH);
    CHECK_INT(netns_leave(home), 0);
}

/* ---- unix ---- */

static int bound_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    return impatient(fd);
}

TEST(dial_unix)
{
    char dir[] = "/tmp/berth-dial-XXXXXX";
    CHECK(mkdtemp(dir));
    struct target t = {.kind = TARGET_UNIX};
    snprintf(t.path, sizeof(t.path), "%s/s", dir);
    struct outcome o = dial(&t);
    CHECK_INT(o.error, ENOENT);
    int listening = bound_unix(t.path);
    o = dial(&t);
    CHECK_INT(o.error, ECONNREFUSED);
    CHECK_INT(listen(listening, 1), 0);
    o = dial(&t);
    CHECK_INT(o.error, 0);
    close(listening);
    CHECK_INT(unlink(t.path), 0);
    CHECK_INT(rmdir(dir), 0);
}

TEST(dial_unix_cancelled)
{
    char dir[] = "/tmp/berth-dial-XXXXXX", byte;
    CHECK(mkdtemp(dir));
    struct loop *loop = loop_new();
    struct outcome o = {0};
    struct target t = {.kind = TARGET_UNIX};
    snprintf(t.path, sizeof(t.path), "%s/s", dir);
    int listening = bound_unix(t.path);
    CHECK_INT(listen(listening, 1), 0);
    dial_cancel(dial_start(loop, &t, on_dialled, &o));
    int fd = impatient(accept(listening, NULL, NULL));
    CHECK_INT(read(fd, &byte, 1), 0);
    loop_turn(loop, 20);
    CHECK_INT(o.count, 0);
    close(fd);
    close(listening);
    CHECK_INT(unlink(t.path), 0);
    CHECK_INT(rmdir(dir), 0);
    loop_free(loop);
}

TEST(dial_unix_awaits_room_in_the_queue)
{
    char dir[] = "/tmp/berth-dial-XXXXXX";
    CHECK(mkdtemp(dir));
    struct target t = {.kind = TARGET_UNIX};
    struct loop *loop = loop_new();
    struct outcome o = {0};
    int fds[MOST];
    snprintf(t.path, sizeof(t.path), "%s/s", dir);
    int listening = bound_unix(t.path);
    fill_queue(listening, fds);
    dial_start(loop, &t, on_dialled, &o);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 30);
    CHECK_INT(o.count, 0);
    close(impatient(accept(listening, NULL, NULL)));
    await(loop, &o);
    CHECK_INT(o.error, 0);
    stream_reset(o.stream);
    close_all(fds);
    close(listening);
    CHECK_INT(unlink(t.path), 0);
    CHECK_INT(rmdir(dir), 0);
    loop_free(loop);
}
