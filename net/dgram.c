#include "net/dgram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "net/resolve.h"
#include "net/udp_control.h"

#define BUFFER_BYTES (1024 * 1024) /* asked of the kernel: bursts of large datagrams fit */
#define TURN_BYTES   (64 * 1024) /* read in one go: what they become is sent before more is read */
#define TURN_READS   64
#define ITSELF_TRIES 4

struct dgram {
    struct loop *loop;
    struct loop_fd watch;
    const struct dgram_events *events;
    void *arg;
    struct quic_addr local;
    bool connected, closed;
};

/* ---- receiving ---- */

/* The length; -1 with errno. */
static ssize_t receive(struct dgram *d, struct dgram_path *from, uint8_t *data, size_t cap)
{
    struct udp_control control;
    struct iovec iov = {data, cap};
    struct msghdr msg = {.msg_name = &from->remote.sa,
                         .msg_namelen = sizeof from->remote.in6,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    if (d->connected)
        return recv(d->watch.fd, data, cap, 0);
    ssize_t n = recvmsg(d->watch.fd, &msg, 0);
    if (n < 0)
        return -1;
    from->remote.len = msg.msg_namelen;
    from->local = d->local;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = udp_control_next(&msg, c))
        udp_control_take(&from->local, c);
    return n;
}

static void on_socket(void *arg, uint32_t events)
{
    static uint8_t data[DGRAM_MAX + 1];
    struct dgram *d = arg;
    size_t bytes = 0;
    (void)events;
    for (int i = 0; i < TURN_READS && bytes < TURN_BYTES && !d->closed; i++) {
        struct dgram_path from = {0};
        ssize_t n = receive(d, &from, data, sizeof data);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n >= 0)
            d->events->received(d->arg, d->connected ? NULL : &from, data, (size_t)n);
        else if (d->connected)
            d->events->failed(d->arg, errno);
        bytes += n > 0 ? (size_t)n : 0;
    }
}

/* ---- sending ---- */

static ssize_t transmit(struct dgram *d, const struct dgram_path *to, const void *data, size_t len)
{
    struct udp_control control = {{0}};
    struct quic_addr remote;
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
    if (!to)
        return send(d->watch.fd, data, len, 0);
    remote = to->remote;
    msg.msg_name = &remote.sa;
    msg.msg_namelen = remote.len;
    udp_control_put_source(&msg, &to->local);
    if (!msg.msg_controllen)
        msg.msg_control = NULL;
    return sendmsg(d->watch.fd, &msg, 0);
}

/* A connected socket tells of an earlier datagram's fate in place of taking this one. */
void dgram_send(struct dgram *d, const struct dgram_path *to, const void *data, size_t len)
{
    if (transmit(d, to, data, len) >= 0 || errno != ECONNREFUSED)
        return;
    d->events->failed(d->arg, errno);
    if (!d->closed)
        (void)!transmit(d, to, data, len);
}

/* ---- life ---- */

static void set(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof value);
}

static int open_socket(int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
    set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
    return fd;
}

static int bind_address(const struct sockaddr *at, socklen_t len)
{
    cleanup_fd int fd = open_socket(at->sa_family);
    if (fd < 0)
        return -1;
    if (at->sa_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    udp_control_want(fd, at->sa_family);
    return bind(fd, at, len) == 0 ? steal_fd(&fd) : -1;
}

static int bind_host(const char *host, uint16_t port)
{
    struct resolved at;
    if (!resolve_now(host, port, &at)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    return bind_address((const struct sockaddr *)&at.addr[0], at.len[0]);
}

static int bind_target(const struct target *t)
{
    if (t->kind != TARGET_UDP) {
        errno = EPROTONOSUPPORT;
        return -1;
    }
    if (t->host[0])
        return bind_host(t->host, t->port);
    int fd = bind_host("::", t->port);
    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    return bind_host("0.0.0.0", t->port);
}

static int own_address(int fd, struct quic_addr *own)
{
    own->len = sizeof own->in6;
    return getsockname(fd, &own->sa, &own->len);
}

/* Takes the socket; -1: there is none. */
static struct dgram *make(struct loop *loop, int socket, const struct dgram_events *events,
                          void *arg)
{
    cleanup_fd int fd = socket;
    if (fd < 0)
        return NULL;
    struct dgram *d = xcalloc(1, sizeof *d);
    d->loop = loop;
    d->events = events;
    d->arg = arg;
    if (own_address(fd, &d->local) < 0 || loop_fd_add(loop, &d->watch, fd, on_socket, d) < 0) {
        free(d);
        return NULL;
    }
    loop_fd_want(&d->watch, EPOLLIN);
    steal_fd(&fd);
    return d;
}

struct dgram *dgram_bind(struct loop *loop, const struct target *bind,
                         const struct dgram_events *events, void *arg)
{
    return make(loop, bind_target(bind), events, arg);
}

/* A port of this machine that nobody listens on may be chosen as our own: it would echo. */
static int connect_socket(const struct quic_addr *to, int tries)
{
    struct quic_addr own;
    cleanup_fd int fd = open_socket(to->sa.sa_family);
    if (fd < 0 || connect(fd, &to->sa, to->len) < 0 || own_address(fd, &own) < 0)
        return -1;
    if (!quic_addr_equal(&own, to))
        return steal_fd(&fd);
    errno = ECONNREFUSED;
    return tries ? connect_socket(to, tries - 1) : -1; /* which cannot get the same port */
}

struct dgram *dgram_connect(struct loop *loop, const struct quic_addr *to,
                            const struct dgram_events *events, void *arg)
{
    struct dgram *d = make(loop, connect_socket(to, ITSELF_TRIES), events, arg);
    if (d)
        d->connected = true;
    return d;
}

void dgram_close(struct dgram *d)
{
    if (!d || d->closed)
        return;
    d->closed = true;
    int fd = d->watch.fd;
    loop_fd_del(&d->watch);
    close(fd);
    loop_reap(d->loop, d, free);
}

uint16_t dgram_port(const struct dgram *d)
{
    return ntohs(d->local.sa.sa_family == AF_INET6 ? d->local.in6.sin6_port : d->local.in.sin_port);
}
