/* fdstream_rig.h: a stream over descriptors, and the raw other end. */
#ifndef TESTS_UNIT_FDSTREAM_RIG_H
#define TESTS_UNIT_FDSTREAM_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "core/fdstream.h"
#include "tests/unit/probe.h"

/* A stream, its probe, and the raw other end. */
struct rig {
    unsigned before;
    struct loop *loop;
    struct probe p;
    int peer;
};

typedef void (*pair_fn)(int fd[2]);

static inline void rig_socket(struct rig *r, pair_fn pair)
{
    int fd[2];
    *r = (struct rig){.before = open_descriptors(), .loop = loop_new()};
    pair(fd);
    r->peer = fd[1];
    CHECK(!fcntl(r->peer, F_SETFL, O_NONBLOCK));
    probe_own(&r->p, fdstream_new(r->loop, fd[0], fd[0]));
}

/* Nothing may be left open, and nothing may keep the loop busy. */
static inline void rig_fini(struct rig *r)
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
static inline ssize_t read_soon(int fd, void *dst, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_INT(poll(&p, 1, 30000), 1);
    return p.revents ? read(fd, dst, len) : -1;
}

/* Reads all there is from a raw end; counts it. Sets *end at the end of file or an error. */
static inline size_t drain(int fd, int *end)
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

static inline size_t fill(int fd)
{
    static const uint8_t bytes[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = write(fd, bytes, sizeof(bytes))) > 0)
        total += (size_t)n;
    CHECK_INT(errno, EAGAIN);
    return total;
}

static inline void set_flag(void *arg)
{
    *(bool *)arg = true;
}

/* A loop with nothing to do sleeps until its timer. */
static inline bool spins(struct loop *loop)
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

static inline void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

#endif
