/* An Attach's connection becomes a carrier: two descriptors come over it, they are the ssh
 * connection's, and the first thing on them is the Hello of a session's link. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/agent/client.h"
#include "core/fdstream.h"
#include "core/log.h"
#include "core/mem.h"

#define CARRIER_WAIT_MS 10000 /* for the descriptors to come */

struct carrier {
    struct agent *agent;
    struct carrier *next, *prev;
    int fd;               /* the control connection; -1: the carrier has it */
    struct loop_fd watch; /* until the descriptors have come */
    struct loop_timer patience;
    struct greeting *greeting;
    char *connection; /* sshd's SSH_CONNECTION: from, port, to, port; NULL: not known */
};

static void forget(struct carrier *k)
{
    loop_fd_del(&k->watch);
    loop_timer_del(&k->patience);
    if (k->next)
        k->next->prev = k->prev;
    *(k->prev ? &k->prev->next : &k->agent->carriers) = k->next;
    if (k->fd >= 0)
        close(k->fd);
    free(k->connection);
    k->connection = NULL;
    loop_reap(k->agent->loop, k, free);
}

/* "192.0.2.1 50000 198.51.100.2 22" */
static void note_addresses(struct client *c, const char *connection)
{
    char from[64], to[64];
    if (!connection || sscanf(connection, "%63s %*s %63s", from, to) != 2)
        return;
    free(c->from);
    free(c->to);
    c->from = xstrdup(from);
    c->to = xstrdup(to);
}

static void on_hello(void *arg, struct stream *stream, const struct link_hello *hello)
{
    struct carrier *k = arg;
    struct agent *agent = k->agent;
    k->greeting = NULL;
    if (!hello) {
        forget(k);
        return;
    }
    if (agent->stopping) {
        stream_reset(stream);
        forget(k);
        return;
    }
    struct client *c = client_find(agent, hello->session);
    if (!c && hello->received) {
        log_note("a session that is not known here was refused");
        k->greeting = link_refuse(stream, on_hello, k);
        return;
    }
    if (!c)
        c = client_new(agent, hello->session);
    note_addresses(c, k->connection);
    session_carry(c->session, stream, hello);
    client_greet_again(c);
    forget(k);
}

/* 0 and both descriptors, or -1. */
static int receive(int fd, int fds[static 2])
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control;
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof control.space};
    fds[0] = fds[1] = -1;
    if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != 1)
        return -1;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&msg);
    if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
        return -1;
    size_t len = rights->cmsg_len - CMSG_LEN(0);
    memcpy(fds, CMSG_DATA(rights), len < 2 * sizeof(int) ? len : 2 * sizeof(int));
    if (fds[0] >= 0 && fds[1] >= 0)
        return 0;
    if (fds[0] >= 0)
        close(fds[0]);
    return -1;
}

static void on_descriptors(void *arg, uint32_t events)
{
    struct carrier *k = arg;
    int fds[2];
    (void)events;
    if (receive(k->fd, fds) < 0) {
        forget(k);
        return;
    }
    loop_fd_del(&k->watch);
    loop_timer_del(&k->patience);
    struct stream *s = fdstream_new(k->agent->loop, fds[0], fds[1]);
    /* Its end tells `agent --attach` to go. */
    fdstream_keep(s, k->fd);
    k->fd = -1;
    k->greeting = link_greet(s, on_hello, k);
}

static void on_patience(void *arg)
{
    forget(arg);
}

void carrier_await(struct agent *agent, struct stream *s, const struct message *attach)
{
    const char *connection = json_get_str(attach->body, "connection");
    struct carrier *k = xcalloc(1, sizeof *k);
    k->agent = agent;
    k->connection = connection ? xstrdup(connection) : NULL;
    k->next = agent->carriers;
    if (k->next)
        k->next->prev = k;
    agent->carriers = k;
    loop_timer_init(agent->loop, &k->patience, on_patience, k);
    message_send(s, MSG_OK);
    k->fd = fdstream_release(s);
    if (loop_fd_add(agent->loop, &k->watch, k->fd, on_descriptors, k) < 0) {
        forget(k);
        return;
    }
    loop_fd_want(&k->watch, EPOLLIN);
    loop_timer_set(&k->patience, CARRIER_WAIT_MS);
}

void carrier_free_all(struct agent *agent)
{
    while (agent->carriers) {
        struct carrier *k = agent->carriers;
        if (k->greeting)
            link_greet_cancel(k->greeting);
        forget(k);
    }
}
