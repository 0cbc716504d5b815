/* guest_peer.h: what stands in for a machine monitor or a guest agent: a unix socket whose
 * other end the test holds, byte by byte. */
#ifndef TESTS_UNIT_GUEST_PEER_H
#define TESTS_UNIT_GUEST_PEER_H

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "core/mem.h"
#include "net/guest_dial.h"
#include "tests/unit/probe.h"

struct peer {
    struct loop *loop;
    unsigned descriptors;
    char dir[32], path[64];
    int listening; /* -1: nobody */
    int fd;        /* the connection; -1: none yet */
};

static inline void peer_init(struct peer *p)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    *p = (struct peer){.fd = -1, .dir = "/tmp/berth-guest-XXXXXX"};
    p->descriptors = open_descriptors();
    p->loop = loop_new();
    CHECK(mkdtemp(p->dir));
    snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
    memcpy(sa.sun_path, p->path, strlen(p->path));
    p->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(p->listening, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    CHECK_INT(listen(p->listening, 4), 0);
}

static inline void peer_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Nothing may be left open. */
static inline void peer_fini(struct peer *p)
{
    peer_close(&p->fd);
    peer_close(&p->listening);
    unlink(p->path);
    CHECK_INT(rmdir(p->dir), 0);
    loop_turn(p->loop, 0);
    loop_turn(p->loop, 0);
    loop_free(p->loop);
    CHECK_INT(open_descriptors(), p->descriptors);
}

static inline struct guest_place peer_place(const struct peer *p, enum guest_kind kind)
{
    return (struct guest_place){.kind = kind, .port = GUEST_PORT, .path = p->path};
}

/* Turns the loop until there is something to read at that end. */
static inline void peer_await(struct peer *p, int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    uint64_t give_up_ms = loop_now_ms(p->loop) + 30000;
    while (poll(&ready, 1, 0) == 0 && loop_now_ms(p->loop) < give_up_ms)
        loop_turn(p->loop, 20);
    CHECK(ready.revents);
}

static inline void peer_accept(struct peer *p)
{
    peer_await(p, p->listening);
    p->fd = accept4(p->listening, NULL, NULL, SOCK_CLOEXEC);
    CHECK(p->fd >= 0);
}

/* Exactly this comes in one piece. */
static inline void peer_expect(struct peer *p, const char *text)
{
    char got[256] = "";
    peer_await(p, p->fd);
    CHECK(recv(p->fd, got, sizeof(got) - 1, MSG_DONTWAIT) >= 0);
    CHECK_STR(got, text);
}

/* Nothing but the end comes, or a reset. */
static inline void peer_expect_end(struct peer *p)
{
    char byte;
    peer_await(p, p->fd);
    ssize_t n = recv(p->fd, &byte, 1, MSG_DONTWAIT);
    CHECK(n == 0 || (n < 0 && errno == ECONNRESET));
}

static inline void peer_send(struct peer *p, const char *text)
{
    CHECK_INT(send(p->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

#endif
