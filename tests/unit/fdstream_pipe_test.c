/* Streams over what is no socket: pipes, ptys, files. */
#include <stdlib.h>
#include <termios.h>

#include "tests/unit/fdstream_rig.h"

/* Pipes: `p` reads what is written to to[1], and writes what is read from from[0]. */
struct pipes {
    struct rig r;
    int to, from;
};

static void pipes_init(struct pipes *x, bool reads, bool writes)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};
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
