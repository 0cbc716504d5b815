#include "core/fdstream.h"

#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/fdstream_rig.h"

static void half_close(pair_fn pair)
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

static void half_close_first(pair_fn pair)
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
static void ends_after(pair_fn pair, void (*end_it)(struct stream *s), size_t unread)
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
    pair_fn pairs[] = {unix_pair, tcp_pair};
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

static void held_up(pair_fn pair)
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

static void room(pair_fn pair)
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
    CHECK(fdstream_unsent(r.p.s) > 0);
    CHECK(fdstream_unsent(r.p.s) <= sizeof(bytes));
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
