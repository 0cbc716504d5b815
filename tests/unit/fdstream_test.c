#include "core/fdstream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>

#include "core/mem.h"
#include "tests/unit/probe.h"

/* A stream, its probe, and the raw other end. */
struct rig {
    unsigned before;
    struct loop *loop;
    struct probe p;
    int peer;
};

typedef void pair_fn(int fd[2]);

static void rig_socket(struct rig *r, pair_fn *pair)
{
    int fd[2];
    *r = (struct rig){.before = open_descriptors(), .loop = loop_new()};
    pair(fd);
    r->peer = fd[1];
    CHECK(!fcntl(r->peer, F_SETFL, O_NONBLOCK));
    probe_own(&r->p, fdstream_new(r->loop, fd[0], fd[0]));
}

/* Nothing may be left open, and nothing may keep the loop busy. */
static void rig_fini(struct rig *r)
{
    probe_fini(&r->p);
    if (r->peer >= 0)
        close(r->peer);
    loop_turn(r->loop, 0);
    loop_turn(r->loop, 0);
    loop_free(r->loop);
    CHECK_INT(open_descriptors(), r->before);
}

/* Reads once there is something, if that is soon. */
static ssize_t read_soon(int fd, void *dst, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_INT(poll(&p, 1, 30000), 1);
    return p.revents ? read(fd, dst, len) : -1;
}

/* Reads all there is from a raw end; counts it. Sets *end at the end of file or an error. */
static size_t drain(int fd, int *end)
{
    static uint8_t bytes[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        total += (size_t)n;
    if (n == 0)
        *end = -1;
    else if (errno != EAGAIN)
        *end = errno;
    return total;
}

static size_t fill(int fd)
{
    static const uint8_t bytes[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = write(fd, bytes, sizeof(bytes))) > 0)
        total += (size_t)n;
    CHECK_INT(errno, EAGAIN);
    return total;
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

/* A loop with nothing to do sleeps until its timer. */
static bool spins(struct loop *loop)
{
    struct loop_timer t;
    unsigned turns = 0;
    bool fired = false;
    loop_timer_init(loop, &t, set_flag, &fired);
    loop_timer_set(&t, 30);
    for (; !fired && turns < 1000; turns++)
        loop_turn(loop, -1);
    loop_timer_del(&t);
    return turns > 20;
}

static void half_close(pair_fn *pair)
{
    struct rig r;
    char bytes[8];
    rig_socket(&r, pair);
    CHECK_INT(write(r.peer, "hi", 2), 2);
    shutdown(r.peer, SHUT_WR);
    TURN_UNTIL(r.loop, r.p.eofs);
    CHECK(probe_got(&r.p, "hi"));
    CHECK(!spins(r.loop));
    stream_write(r.p.s, "bye", 3);
    stream_shutdown(r.p.s);
    stream_write(r.p.s, "dropped", 7);
    CHECK(!spins(r.loop));
    CHECK_INT(read_soon(r.peer, bytes, sizeof(bytes)), 3);
    CHECK_INT(read_soon(r.peer, bytes, sizeof(bytes)), 0);
    CHECK_INT(r.p.eofs, 1);
    CHECK_INT(r.p.errors, 0);
    rig_fini(&r);
}

TEST(fdstream_half_close_peer_first)
{
    half_close(unix_pair);
    half_close(tcp_pair);
}

static void half_close_first(pair_fn *pair)
{
    struct rig r;
    char bytes[8];
    rig_socket(&r, pair);
    stream_write(r.p.s, "bye", 3);
    stream_shutdown(r.p.s);
    CHECK_INT(read_soon(r.peer, bytes, sizeof(bytes)), 3);
    CHECK_INT(read_soon(r.peer, bytes, sizeof(bytes)), 0);
    CHECK_INT(write(r.peer, "hi", 2), 2);
    TURN_UNTIL(r.loop, r.p.got.len == 2);
    CHECK_INT(r.p.eofs, 0);
    close(r.peer);
    r.peer = -1;
    TURN_UNTIL(r.loop, r.p.eofs);
    CHECK(!spins(r.loop));
    CHECK_INT(r.p.errors, 0);
    rig_fini(&r);
}

TEST(fdstream_half_close_we_first)
{
    half_close_first(unix_pair);
    half_close_first(tcp_pair);
}

/* Sends so much that most is queued, then ends in one of two ways; the peer must get it all. */
static void ends_after(pair_fn *pair, void (*end_it)(struct stream *s), size_t unread)
{
    enum { LEN = 24 << 20 };
    struct rig r;
    int end = 0, window = 16384;
    size_t total = 0;
    uint8_t *bytes = xcalloc(1, LEN);
    rig_socket(&r, pair);
    r.p.hold = true;
    /* So that most of it is still in our kernel when the queue is empty. */
    CHECK(!setsockopt(r.peer, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window)));
    CHECK_INT(write(r.peer, bytes, unread), (ssize_t)unread);
    loop_turn(r.loop, 0);
    CHECK_INT(write(r.peer, bytes, unread), (ssize_t)unread);
    stream_write(r.p.s, bytes, LEN);
    CHECK(fdstream_unsent(r.p.s) > 0);
    end_it(r.p.s);
    if (end_it == stream_close)
        r.p.s = NULL;
    for (unsigned idle = 0; !end && idle < 1000; idle++) {
        size_t n = drain(r.peer, &end);
        total += n;
        loop_turn(r.loop, n ? 0 : 10);
        idle = n ? 0 : idle;
    }
    CHECK_INT(total, LEN);
    CHECK_INT(end, -1);
    CHECK_INT(r.p.errors, 0);
    free(bytes);
    rig_fini(&r);
}

TEST(fdstream_close_sends_what_is_queued)
{
    ends_after(unix_pair, stream_close, 0);
    ends_after(tcp_pair, stream_close, 0);
}

TEST(fdstream_close_sends_all_though_the_peer_was_not_heard)
{
    ends_after(tcp_pair, stream_close, 1000);
}

TEST(fdstream_shutdown_comes_after_what_is_queued)
{
    ends_after(unix_pair, stream_shutdown, 0);
    ends_after(tcp_pair, stream_shutdown, 0);
}

TEST(fdstream_close_gives_up_when_the_peer_is_gone)
{
    uint8_t *bytes = xcalloc(1, 16 << 20);
    pair_fn *pairs[] = {unix_pair, tcp_pair};
    for (size_t i = 0; i < countof(pairs); i++) {
        struct rig r;
        rig_socket(&r, pairs[i]);
        stream_write(r.p.s, bytes, 16 << 20);
        stream_close(r.p.s);
        r.p.s = NULL;
        CHECK(open_descriptors() > r.before + 1);
        close(r.peer);
        r.peer = -1;
        TURN_UNTIL(r.loop, open_descriptors() == r.before + 1); /* the loop's own */
        rig_fini(&r);
    }
    free(bytes);
}

TEST(fdstream_closed_is_released_with_the_loop)
{
    uint8_t *bytes = xcalloc(1, 16 << 20);
    struct rig r;
    rig_socket(&r, tcp_pair);
    stream_write(r.p.s, bytes, 16 << 20);
    stream_close(r.p.s);
    r.p.s = NULL;
    free(bytes);
    rig_fini(&r);
}

static void held_up(pair_fn *pair)
{
    struct rig r;
    size_t sent = 0, n;
    unsigned full = 0;
    rig_socket(&r, pair);
    r.p.hold = true;
    while (full < 5 && sent < (size_t)64 << 20) {
        sent += n = fill(r.peer);
        full = n ? 0 : full + 1;
        loop_turn(r.loop, 5);
    }
    CHECK_INT(full, 5);
    CHECK(stream_held(r.p.s) > 0);
    CHECK(stream_held(r.p.s) <= 256 * 1024);
    CHECK(!spins(r.loop));
    r.p.hold = false;
    probe_drink(&r.p);
    TURN_UNTIL(r.loop, r.p.got.len == sent);
    rig_fini(&r);
}

TEST(fdstream_reader_holds_the_sender_up)
{
    held_up(unix_pair);
    held_up(tcp_pair);
}

static void room(pair_fn *pair)
{
    static const uint8_t bytes[10000];
    struct rig r;
    size_t sent = 0, got = 0;
    int end = 0;
    rig_socket(&r, pair);
    while (stream_room(r.p.s) && sent < (size_t)64 << 20) {
        stream_write(r.p.s, bytes, sizeof(bytes));
        sent += sizeof(bytes);
    }
    CHECK(fdstream_unsent(r.p.s) >= FDSTREAM_LIMIT);
    CHECK(fdstream_unsent(r.p.s) < FDSTREAM_LIMIT + sizeof(bytes));
    loop_turn(r.loop, 0);
    CHECK_INT(r.p.draineds, 0);
    CHECK(!spins(r.loop));
    for (int i = 0; got < sent && i < 1000; i++) {
        got += drain(r.peer, &end);
        loop_turn(r.loop, 5);
    }
    CHECK_INT(r.p.draineds, 1);
    CHECK_INT(stream_room(r.p.s), FDSTREAM_LIMIT);
    CHECK(!spins(r.loop));
    rig_fini(&r);
}

TEST(fdstream_room_and_drained)
{
    room(unix_pair);
    room(tcp_pair);
}

TEST(fdstream_writev_keeps_the_order)
{
    enum { PART = 3 << 20 };
    struct rig r;
    int end = 0;
    size_t got = 0;
    uint8_t *bytes = xmalloc(2 * PART), *back = xmalloc(2 * PART);
    struct iovec iov[3] = {{bytes, PART}, {NULL, 0}, {bytes + PART, PART}};
    for (size_t i = 0; i < 2 * PART; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    rig_socket(&r, unix_pair);
    stream_writev(r.p.s, iov, 3);
    stream_shutdown(r.p.s);
    for (int i = 0; !end && got < 2 * PART && i < 10000; i++) {
        ssize_t n = read(r.peer, back + got, 2 * PART - got);
        if (n > 0)
            got += (size_t)n;
        else
            loop_turn(r.loop, 10);
    }
    CHECK(!memcmp(bytes, back, 2 * PART));
    free(bytes);
    free(back);
    rig_fini(&r);
}

TEST(fdstream_reset_by_peer)
{
    struct rig r;
    rig_socket(&r, tcp_pair);
    reset_socket(r.peer);
    r.peer = -1;
    TURN_UNTIL(r.loop, r.p.errors);
    CHECK_INT(r.p.error, ECONNRESET);
    CHECK_INT(r.p.eofs, 0);
    CHECK(!spins(r.loop));
    CHECK_INT(r.p.errors, 1);
    rig_fini(&r);
}

TEST(fdstream_reset_reaches_a_reader_that_is_held_up)
{
    struct rig r;
    rig_socket(&r, tcp_pair);
    r.p.hold = true;
    CHECK_INT(write(r.peer, "unread", 6), 6);
    TURN_UNTIL(r.loop, r.p.datas);
    reset_socket(r.peer);
    r.peer = -1;
    TURN_UNTIL(r.loop, r.p.errors);
    CHECK_INT(r.p.error, ECONNRESET);
    CHECK_INT(stream_held(r.p.s), 0);
    rig_fini(&r);
}

TEST(fdstream_reset_comes_after_what_was_sent)
{
    struct rig r;
    rig_socket(&r, tcp_pair);
    CHECK_INT(write(r.peer, "last words", 10), 10);
    reset_socket(r.peer);
    r.peer = -1;
    TURN_UNTIL(r.loop, r.p.errors);
    CHECK(probe_got(&r.p, "last words"));
    rig_fini(&r);
}

TEST(fdstream_reset_is_seen_by_the_peer)
{
    struct rig r;
    char byte;
    static const uint8_t bytes[4 << 20];
    rig_socket(&r, tcp_pair);
    stream_reset(r.p.s);
    r.p.s = NULL;
    CHECK_INT(read_soon(r.peer, &byte, 1), -1);
    CHECK_INT(errno, ECONNRESET);
    rig_fini(&r);

    rig_socket(&r, unix_pair);
    stream_write(r.p.s, bytes, sizeof(bytes));
    stream_reset(r.p.s);
    r.p.s = NULL;
    int end = 0;
    CHECK(drain(r.peer, &end) < sizeof(bytes));
    CHECK_INT(end, -1);
    rig_fini(&r);
}

TEST(fdstream_peer_gone_for_writing)
{
    struct rig r;
    rig_socket(&r, unix_pair);
    CHECK_INT(write(r.peer, "reply", 5), 5);
    close(r.peer);
    r.peer = -1;
    stream_write(r.p.s, "x", 1);
    stream_write(r.p.s, "y", 1);
    TURN_UNTIL(r.loop, r.p.errors);
    CHECK(probe_got(&r.p, "reply"));
    CHECK_INT(r.p.eofs, 1);
    CHECK_INT(r.p.error, EPIPE);
    CHECK(!spins(r.loop));
    rig_fini(&r);
}

TEST(fdstream_hang_up_while_held_up_does_not_spin)
{
    struct rig r;
    rig_socket(&r, unix_pair);
    r.p.hold = true;
    CHECK_INT(write(r.peer, "one", 3), 3);
    TURN_UNTIL(r.loop, r.p.datas);
    CHECK_INT(write(r.peer, "two", 3), 3);
    close(r.peer);
    r.peer = -1;
    CHECK(!spins(r.loop));
    CHECK_INT(r.p.errors, 0);
    r.p.hold = false;
    probe_drink(&r.p);
    TURN_UNTIL(r.loop, r.p.eofs);
    CHECK(probe_got(&r.p, "onetwo"));
    CHECK(!spins(r.loop));
    rig_fini(&r);
}

/* Pipes: `p` reads what is written to to[1], and writes what is read from from[0]. */
struct pipes {
    struct rig r;
    int to, from;
};

static void pipes_init(struct pipes *x, bool reads, bool writes)
{
    int to[2], from[2];
    x->r = (struct rig){.before = open_descriptors(), .loop = loop_new(), .peer = -1};
    CHECK(!pipe2(to, O_CLOEXEC) && !pipe2(from, O_CLOEXEC));
    x->to = to[1];
    x->from = from[0];
    if (!reads)
        close(to[0]);
    if (!writes)
        close(from[1]);
    CHECK(!fcntl(x->from, F_SETFL, O_NONBLOCK));
    probe_own(&x->r.p, fdstream_new(x->r.loop, reads ? to[0] : -1, writes ? from[1] : -1));
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void pipes_fini(struct pipes *x)
{
    close_fd(&x->to);
    close_fd(&x->from);
    rig_fini(&x->r);
}

TEST(fdstream_pipes)
{
    struct pipes x;
    char bytes[8];
    pipes_init(&x, true, true);
    CHECK_INT(write(x.to, "hi", 2), 2);
    TURN_UNTIL(x.r.loop, probe_got(&x.r.p, "hi"));
    stream_write(x.r.p.s, "bye", 3);
    stream_shutdown(x.r.p.s);
    CHECK_INT(read_soon(x.from, bytes, sizeof(bytes)), 3);
    CHECK_INT(read_soon(x.from, bytes, sizeof(bytes)), 0);
    CHECK_INT(write(x.to, "!", 1), 1);
    close_fd(&x.to);
    TURN_UNTIL(x.r.loop, x.r.p.eofs);
    CHECK(probe_got(&x.r.p, "hi!"));
    CHECK(!spins(x.r.loop));
    pipes_fini(&x);
}

TEST(fdstream_pipe_close_sends_what_is_queued)
{
    struct pipes x;
    static const uint8_t bytes[1 << 20];
    int end = 0;
    size_t total = 0;
    pipes_init(&x, true, true);
    stream_write(x.r.p.s, bytes, sizeof(bytes));
    stream_close(x.r.p.s);
    x.r.p.s = NULL;
    for (int i = 0; !end && i < 1000; i++) {
        total += drain(x.from, &end);
        if (!end)
            loop_turn(x.r.loop, 10);
    }
    CHECK_INT(end, -1);
    CHECK_INT(total, sizeof(bytes));
    pipes_fini(&x);
}

TEST(fdstream_pipe_held_up_does_not_spin)
{
    struct pipes x;
    pipes_init(&x, true, true);
    x.r.p.hold = true;
    CHECK_INT(write(x.to, "one", 3), 3);
    TURN_UNTIL(x.r.loop, x.r.p.datas);
    CHECK_INT(write(x.to, "two", 3), 3);
    close_fd(&x.to);
    CHECK(!spins(x.r.loop));
    x.r.p.hold = false;
    probe_drink(&x.r.p);
    TURN_UNTIL(x.r.loop, x.r.p.eofs);
    CHECK(probe_got(&x.r.p, "onetwo"));
    pipes_fini(&x);
}

TEST(fdstream_pipe_broken_output_does_not_lose_input)
{
    struct pipes x;
    static const uint8_t bytes[1 << 20];
    pipes_init(&x, true, true);
    x.r.p.hold = true;
    while (stream_room(x.r.p.s))
        stream_write(x.r.p.s, bytes, 65536);
    CHECK_INT(write(x.to, "still here", 10), 10);
    TURN_UNTIL(x.r.loop, x.r.p.datas);
    close_fd(&x.from);
    TURN_UNTIL(x.r.loop, x.r.p.draineds);
    stream_write(x.r.p.s, bytes, sizeof(bytes));
    CHECK(stream_room(x.r.p.s) > 0);
    CHECK(!spins(x.r.loop));
    CHECK_INT(x.r.p.errors, 0);
    close_fd(&x.to);
    x.r.p.hold = false;
    probe_drink(&x.r.p);
    TURN_UNTIL(x.r.loop, x.r.p.errors);
    CHECK(probe_got(&x.r.p, "still here"));
    CHECK_INT(x.r.p.eofs, 1);
    CHECK_INT(x.r.p.error, EPIPE);
    pipes_fini(&x);
}

TEST(fdstream_pipe_broken_output_after_the_end_was_held)
{
    struct pipes x;
    pipes_init(&x, true, true);
    x.r.p.hold = true;
    CHECK_INT(write(x.to, "x", 1), 1);
    TURN_UNTIL(x.r.loop, x.r.p.datas);
    close_fd(&x.from);
    close_fd(&x.to);
    CHECK(!spins(x.r.loop));
    probe_drink(&x.r.p);
    TURN_UNTIL(x.r.loop, x.r.p.errors);
    CHECK_INT(x.r.p.eofs, 1);
    pipes_fini(&x);
}

TEST(fdstream_pipe_one_way)
{
    struct pipes x;
    char byte;
    pipes_init(&x, false, true);
    CHECK(stream_ended(x.r.p.s));
    stream_write(x.r.p.s, "x", 1);
    CHECK(!spins(x.r.loop));
    CHECK_INT(read_soon(x.from, &byte, 1), 1);
    close_fd(&x.from);
    TURN_UNTIL(x.r.loop, x.r.p.errors);
    CHECK_INT(x.r.p.error, EPIPE);
    CHECK_INT(x.r.p.eofs, 0);
    pipes_fini(&x);

    pipes_init(&x, true, false);
    stream_write(x.r.p.s, "nowhere", 7);
    stream_shutdown(x.r.p.s);
    CHECK_INT(write(x.to, "x", 1), 1);
    close_fd(&x.to);
    TURN_UNTIL(x.r.loop, x.r.p.eofs);
    CHECK(probe_got(&x.r.p, "x"));
    CHECK_INT(x.r.p.errors, 0);
    pipes_fini(&x);
}

static int open_pty(int *terminal)
{
    struct termios raw;
    int pty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(!grantpt(pty) && !unlockpt(pty));
    *terminal = open(ptsname(pty), O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(!tcgetattr(*terminal, &raw));
    cfmakeraw(&raw);
    CHECK(!tcsetattr(*terminal, TCSANOW, &raw));
    return pty;
}

TEST(fdstream_pty)
{
    struct rig r = {.before = open_descriptors(), .loop = loop_new()};
    char bytes[8];
    int pty = open_pty(&r.peer);
    probe_own(&r.p, fdstream_new(r.loop, pty, pty));
    stream_write(r.p.s, "key", 3);
    CHECK_INT(read_soon(r.peer, bytes, sizeof(bytes)), 3);
    CHECK_INT(write(r.peer, "one", 3), 3);
    TURN_UNTIL(r.loop, probe_got(&r.p, "one"));
    r.p.hold = true;
    CHECK_INT(write(r.peer, "two", 3), 3);
    TURN_UNTIL(r.loop, r.p.datas == 2);
    close_fd(&r.peer);
    CHECK(!spins(r.loop));
    probe_drink(&r.p);
    TURN_UNTIL(r.loop, r.p.eofs);
    CHECK(probe_got(&r.p, "onetwo"));
    CHECK(!spins(r.loop));
    CHECK_INT(r.p.errors, 0);
    rig_fini(&r);
}

TEST(fdstream_pty_full_when_its_user_leaves)
{
    struct rig r = {.before = open_descriptors(), .loop = loop_new()};
    static const uint8_t bytes[300000];
    int pty = open_pty(&r.peer);
    probe_own(&r.p, fdstream_new(r.loop, pty, pty));
    stream_write(r.p.s, bytes, sizeof(bytes));
    CHECK(!spins(r.loop));
    close_fd(&r.peer);
    TURN_UNTIL(r.loop, r.p.eofs);
    CHECK(!spins(r.loop));
    rig_fini(&r);
}

TEST(fdstream_what_epoll_refuses)
{
    struct rig r = {.before = open_descriptors(), .loop = loop_new(), .peer = -1};
    char name[] = "/tmp/berth-fdstream-XXXXXX";
    int in = mkstemp(name), out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(!unlink(name));
    CHECK_INT(write(in, "content", 7), 7);
    CHECK_INT(lseek(in, 0, SEEK_SET), 0);
    probe_own(&r.p, fdstream_new(r.loop, in, out));
    stream_write(r.p.s, "gone", 4);
    TURN_UNTIL(r.loop, r.p.eofs);
    CHECK(probe_got(&r.p, "content"));
    CHECK_INT(r.p.errors, 0);
    CHECK(!spins(r.loop));
    rig_fini(&r);
}

TEST(fdstream_busy_one_leaves_time_for_others)
{
    struct rig r = {.before = open_descriptors(), .loop = loop_new(), .peer = -1};
    char name[] = "/tmp/berth-fdstream-XXXXXX";
    int big = mkstemp(name);
    CHECK(!unlink(name) && !ftruncate(big, 16 << 20));
    probe_own(&r.p, fdstream_new(r.loop, big, big));
    loop_turn(r.loop, 1000);
    CHECK(r.p.datas > 0);
    CHECK(r.p.datas <= 4);
    rig_fini(&r);
}

/* A listener on 127.0.0.1, and a socket whose connect to it is under way. */
static int connect_to_listener(int *listener, bool refuse)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(!bind(*listener, (struct sockaddr *)&addr, len));
    CHECK(!getsockname(*listener, (struct sockaddr *)&addr, &len));
    CHECK(refuse || !listen(*listener, 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(connect(fd, (struct sockaddr *)&addr, len) == -1 && errno == EINPROGRESS);
    return fd;
}

TEST(fdstream_connecting)
{
    struct rig r = {.before = open_descriptors(), .loop = loop_new()};
    char bytes[8];
    int listener, fd = connect_to_listener(&listener, false);
    probe_own(&r.p, fdstream_connecting(r.loop, fd));
    stream_write(r.p.s, "early", 5);
    CHECK_INT(fdstream_unsent(r.p.s), 5);
    TURN_UNTIL(r.loop, r.p.opens);
    r.peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    CHECK_INT(read_soon(r.peer, bytes, sizeof(bytes)), 5);
    CHECK_INT(write(r.peer, "hi", 2), 2);
    TURN_UNTIL(r.loop, probe_got(&r.p, "hi"));
    CHECK_INT(r.p.opens, 1);
    CHECK(!spins(r.loop));
    rig_fini(&r);
}

TEST(fdstream_connecting_refused)
{
    struct rig r = {.before = open_descriptors(), .loop = loop_new(), .peer = -1};
    int closed, fd = connect_to_listener(&closed, true);
    probe_own(&r.p, fdstream_connecting(r.loop, fd));
    stream_write(r.p.s, "early", 5);
    TURN_UNTIL(r.loop, r.p.errors);
    CHECK_INT(r.p.error, ECONNREFUSED);
    CHECK_INT(r.p.opens, 0);
    CHECK(!spins(r.loop));
    close(closed);
    rig_fini(&r);
}

TEST(fdstream_connecting_then_closed)
{
    struct rig r = {.before = open_descriptors(), .loop = loop_new()};
    char bytes[8];
    int listener, fd = connect_to_listener(&listener, false);
    struct stream *s = fdstream_connecting(r.loop, fd);
    probe_own(&r.p, s);
    stream_write(s, "early", 5);
    stream_shutdown(s);
    stream_close(s);
    r.p.s = NULL;
    TURN_UNTIL(r.loop, open_descriptors() == r.before + 2); /* the loop's and the listener */
    r.peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK_INT(read_soon(r.peer, bytes, sizeof(bytes)), 5);
    CHECK_INT(read_soon(r.peer, bytes, sizeof(bytes)), 0);
    CHECK_INT(r.p.opens + r.p.errors, 0);
    close(listener);
    fd = connect_to_listener(&listener, false);
    stream_close(fdstream_connecting(r.loop, fd));
    close(listener);
    rig_fini(&r);
}

TEST(fdstream_closed_in_a_callback)
{
    struct rig r;
    rig_socket(&r, tcp_pair);
    r.p.close_on_event = true;
    CHECK_INT(write(r.peer, "x", 1), 1);
    shutdown(r.peer, SHUT_WR);
    TURN_UNTIL(r.loop, !r.p.s);
    loop_turn(r.loop, 0);
    CHECK_INT(r.p.datas, 1);
    CHECK_INT(r.p.eofs, 0);
    rig_fini(&r);

    rig_socket(&r, unix_pair);
    r.p.close_on_event = true;
    close_fd(&r.peer);
    TURN_UNTIL(r.loop, !r.p.s);
    CHECK_INT(r.p.eofs, 1);
    rig_fini(&r);
}

TEST(fdstream_handover_with_bytes_pending)
{
    struct rig r;
    struct probe next = {0};
    rig_socket(&r, tcp_pair);
    r.p.hold = true;
    CHECK_INT(write(r.peer, "pending", 7), 7);
    shutdown(r.peer, SHUT_WR);
    TURN_UNTIL(r.loop, r.p.datas);
    probe_own(&next, r.p.s);
    r.p.s = NULL;
    CHECK_INT(next.datas, 0);
    TURN_UNTIL(r.loop, next.eofs);
    CHECK(probe_got(&next, "pending"));
    CHECK_INT(r.p.eofs, 0);
    probe_fini(&next);
    rig_fini(&r);
}
