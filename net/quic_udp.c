/* quic_udp.c: a UDP socket for QUIC. */
#include "net/quic_udp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/udp_control.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef IP_PMTUDISC_PROBE
#define IP_PMTUDISC_PROBE 3
#endif
#ifndef IPV6_PMTUDISC_PROBE
#define IPV6_PMTUDISC_PROBE 3
#endif

#define BUFFER_BYTES (8 * 1024 * 1024) /* asked of the kernel for each direction */
#define READS_A_TURN 16
#define ECN_MASK     3

struct quic_udp {
    struct loop *loop;
    struct loop_fd watch;
    const struct quic_udp_events *events;
    void *arg;
    struct quic_addr local;
    bool segments; /* the kernel cuts batches */
    bool closed;
};

static void set(int fd, int level, int name, int value)
{
    if (setsockopt(fd, level, name, &value, sizeof(value)))
        log_trace("quic: socket option %d of level %d: %s", name, level, strerror(errno));
}

static void set_buffer(int fd, int forced, int name)
{
    int bytes = BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)))
        set(fd, SOL_SOCKET, name, bytes);
}

static void set_options(int fd, int family)
{
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    if (family == AF_INET6) {
        set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    }
    udp_control_want(fd, family);
    set(fd, IPPROTO_IP, IP_RECVTOS, 1);
    set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    set(fd, IPPROTO_UDP, UDP_GRO, 1);
}

/* ---- receiving ---- */

static int int_of(const struct cmsghdr *c)
{
    int value = 0;
    memcpy(&value, CMSG_DATA(c), sizeof(value));
    return value;
}

static void take_control(struct quic_batch *in, const struct cmsghdr *c)
{
    bool six = c->cmsg_level == IPPROTO_IPV6, four = c->cmsg_level == IPPROTO_IP;
    if (udp_control_take(&in->local, c))
        return;
    if (six && c->cmsg_type == IPV6_TCLASS)
        in->ecn = (unsigned)int_of(c) & ECN_MASK;
    else if (four && c->cmsg_type == IP_TOS)
        in->ecn = *CMSG_DATA(c) & ECN_MASK;
    else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
        in->segment = (size_t)int_of(c);
}

static void hand_up(struct quic_udp *u, struct quic_batch *in)
{
    size_t segment = in->segment ? in->segment : in->len, left = in->len;
    for (; left && !u->closed; in->data += in->segment, left -= in->segment) {
        in->len = in->segment = left < segment ? left : segment;
        u->events->received(u->arg, u, in);
    }
}

/* False: nothing more is there. Errors are those of datagrams sent before: nobody's. */
static bool receive(struct quic_udp *u)
{
    static uint8_t bytes[65536];
    struct udp_control control;
    struct quic_batch in = {.data = bytes, .local = u->local};
    struct iovec iov = {bytes, sizeof(bytes)};
    struct msghdr msg = {.msg_name = &in.remote.sa,
                         .msg_namelen = sizeof(in.remote.in6),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(u->watch.fd, &msg, 0);
    if (n < 0)
        return errno != EAGAIN;
    in.remote.len = msg.msg_namelen;
    in.len = (size_t)n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = udp_control_next(&msg, c))
        take_control(&in, c);
    if (!(msg.msg_flags & MSG_TRUNC))
        hand_up(u, &in);
    return true;
}

static void on_socket(void *arg, uint32_t events)
{
    struct quic_udp *u = arg;
    if (events & EPOLLOUT) {
        loop_fd_want(&u->watch, EPOLLIN);
        u->events->writable(u->arg, u);
    }
    for (int i = 0; i < READS_A_TURN && !u->closed && receive(u); i++)
        continue;
}

/* ---- sending ---- */

static bool is_mapped(const struct quic_addr *a)
{
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
}

static ssize_t transmit(struct quic_udp *u, struct quic_batch *out, size_t off, size_t len)
{
    struct udp_control control = {{0}};
    struct iovec iov = {out->data + off, len};
    struct msghdr msg = {.msg_name = &out->remote.sa,
                         .msg_namelen = out->remote.len,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes};
    int ecn = (int)out->ecn;
    udp_control_put_source(&msg, &out->local);
    if (ecn && out->remote.sa.sa_family == AF_INET6 && !is_mapped(&out->remote))
        udp_control_put(&msg, IPPROTO_IPV6, IPV6_TCLASS, &ecn, sizeof(ecn));
    else if (ecn)
        udp_control_put(&msg, IPPROTO_IP, IP_TOS, &ecn, sizeof(ecn));
    if (len > out->segment) {
        uint16_t segment = (uint16_t)out->segment;
        udp_control_put(&msg, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
    }
    if (!msg.msg_controllen)
        msg.msg_control = NULL;
    ssize_t n;
    do
        n = sendmsg(u->watch.fd, &msg, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool full(void)
{
    return errno == EAGAIN || errno == ENOBUFS;
}

static int wait_for_room(struct quic_udp *u)
{
    loop_fd_want(&u->watch, EPOLLIN | EPOLLOUT);
    errno = EAGAIN;
    return -1;
}

/* What went out is taken off the batch, so that the rest alone is given again. */
static int send_apart(struct quic_udp *u, struct quic_batch *out)
{
    while (out->len) {
        size_t len = out->len < out->segment ? out->len : out->segment;
        if (transmit(u, out, 0, len) < 0) {
            if (full())
                return wait_for_room(u);
            if (errno == EINVAL && out->ecn) {
                out->ecn = 0;
                continue;
            }
        }
        out->data += len;
        out->len -= len;
    }
    return 0;
}

int quic_udp_send(struct quic_udp *u, struct quic_batch *out)
{
    if (out->len > out->segment && u->segments) {
        if (transmit(u, out, 0, out->len) >= 0)
            return 0;
        if (full())
            return wait_for_room(u);
        if (errno == EIO || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOPROTOOPT) {
            log_trace("quic: no segmentation: %s", strerror(errno));
            u->segments = false;
        }
    }
    return send_apart(u, out);
}

/* ---- life ---- */

static int bind_socket(int fd, const struct quic_addr *at)
{
    if (at->sa.sa_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return bind(fd, &at->sa, at->len);
}

struct quic_udp *quic_udp_open(struct loop *loop, const struct quic_addr *at,
                               const struct quic_udp_events *events, void *arg)
{
    cleanup_fd int fd = socket(at->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind_socket(fd, at))
        return NULL;
    set_options(fd, at->sa.sa_family);
    struct quic_udp *u = xcalloc(1, sizeof(*u));
    u->loop = loop;
    u->events = events;
    u->arg = arg;
    u->segments = true;
    u->local.len = sizeof(u->local.in6);
    if (getsockname(fd, &u->local.sa, &u->local.len) ||
        loop_fd_add(loop, &u->watch, fd, on_socket, u)) {
        free(u);
        return NULL;
    }
    loop_fd_want(&u->watch, EPOLLIN);
    steal_fd(&fd);
    return u;
}

void quic_udp_close(struct quic_udp *u)
{
    if (!u || u->closed)
        return;
    u->closed = true;
    int fd = u->watch.fd;
    loop_fd_del(&u->watch);
    close(fd);
    loop_reap(u->loop, u, free);
}

struct quic_addr quic_udp_local(const struct quic_udp *u)
{
    return u->local;
}
