/* Dialling: one address after the other, the next one without waiting for a slow one to fail
 * (RFC 8305 §5); the first to connect wins. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h> /* wants sys/socket.h in front of it */

#include "core/fdstream.h"
#include "core/loop.h"
#include "core/mem.h"
#include "net/resolve.h"
#include "net/sock.h"

#define DIAL_TIMEOUT_MS  30000
#define VSOCK_LIMIT_SECS 3600 /* of the kernel; that of the dial is shorter */
#define NEXT_MS          250  /* until the next address is tried beside the one before */
#define BUSY_MS          20 /* until an address is tried again whose queue of connections was full */

struct attempt {
    struct dial *dial;
    struct loop_fd watch;
    int fd;
};

struct dial {
    struct loop *loop;
    dial_fn *fn;
    void *arg;
    struct resolve *resolve; /* NULL once it has answered */
    struct resolved to;
    struct attempt attempts[RESOLVE_MAX]; /* one for each address */
    size_t next;                          /* the address to be tried next */
    size_t pending;                       /* attempts under way */
    struct loop_timer step, deadline;
    struct loop_task finish;
    int fd;    /* the connected one, or -1 */
    int error; /* the most telling one so far */
};

/* The further back, the more it says about what was dialled. */
static size_t telling(int error)
{
    static const int order[] = {0,           EAFNOSUPPORT, EINVAL,    EADDRNOTAVAIL,
                                ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EPERM,
                                EACCES,      ECONNREFUSED};
    for (size_t i = 0; i < countof(order); i++)
        if (order[i] == error)
            return i;
    return countof(order);
}

static void failed(struct dial *d, int error)
{
    if (telling(error) > telling(d->error))
        d->error = error;
}

/* It may be connected by now, and its other end must not take this for a proper end. */
static void abandon(int fd)
{
    const struct linger abort_it = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
    close(fd);
}

void dial_cancel(struct dial *d)
{
    resolve_cancel(d->resolve);
    loop_timer_del(&d->step);
    loop_timer_del(&d->deadline);
    loop_task_del(&d->finish);
    for (size_t i = 0; i < d->next; i++) {
        loop_fd_del(&d->attempts[i].watch);
        if (d->attempts[i].fd >= 0)
            abandon(d->attempts[i].fd);
    }
    if (d->fd >= 0)
        abandon(d->fd);
    loop_reap(d->loop, d, free);
}

static void finish(void *arg)
{
    struct dial *d = arg;
    dial_fn *fn = d->fn;
    void *fn_arg = d->arg;
    int fd = steal_fd(&d->fd), error = d->error;
    struct stream *s = fd >= 0 ? fdstream_new(d->loop, fd, fd) : NULL;
    dial_cancel(d);
    fn(fn_arg, s, s ? 0 : error);
}

/* A port of this machine that nobody listens on can be chosen as the connection's own, and
 * TCP then connects it with itself. */
static bool connected_to_itself(int fd, const struct sockaddr_storage *to, socklen_t to_len)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);
    return getsockname(fd, (struct sockaddr *)&own, &len) == 0 && len == to_len &&
           memcmp(&own, to, len) == 0;
}

static int outcome(int fd, uint32_t events)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (!(events & (EPOLLERR | EPOLLHUP)))
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return errno;
    return error == ECONNRESET ? ECONNREFUSED : error; /* so AF_VSOCK calls it */
}

/* The kernel gives a connection to a VM 2 s, which a guest that has much to do may exceed. */
static void set_patience(int fd, sa_family_t family)
{
    const struct timeval limit = {.tv_sec = VSOCK_LIMIT_SECS};
    if (family == AF_VSOCK)
        setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit));
}

static void advance(struct dial *d);

static void attempt_ended(void *arg, uint32_t events)
{
    struct attempt *a = arg;
    struct dial *d = a->dial;
    size_t i = (size_t)(a - d->attempts);
    int error = outcome(a->fd, events);
    loop_fd_del(&a->watch);
    d->pending--;
    if (!error && connected_to_itself(a->fd, &d->to.addr[i], d->to.len[i]))
        error = ECONNREFUSED;
    if (!error) {
        d->fd = steal_fd(&a->fd);
        finish(d);
        return;
    }
    close(steal_fd(&a->fd));
    failed(d, error);
    advance(d);
}

/* 0: connected; EINPROGRESS: attempt_ended() will tell; else it failed. */
static int attempt_start(struct dial *d, size_t i)
{
    struct attempt *a = &d->attempts[i];
    const struct sockaddr *to = (const struct sockaddr *)&d->to.addr[i];
    a->dial = d;
    a->fd = -1;
    cleanup_fd int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    set_patience(fd, to->sa_family);
    if (connect(fd, to, d->to.len[i]) == 0) {
        d->fd = steal_fd(&fd);
        return 0;
    }
    if (errno != EINPROGRESS || loop_fd_add(d->loop, &a->watch, fd, attempt_ended, a) != 0)
        return errno;
    loop_fd_want(&a->watch, EPOLLOUT);
    a->fd = steal_fd(&fd);
    d->pending++;
    return EINPROGRESS;
}

/* Tries further addresses until one takes its time. */
static void advance(struct dial *d)
{
    loop_timer_del(&d->step);
    while (d->next < d->to.n && d->fd < 0) {
        int error = attempt_start(d, d->next++);
        switch (error) {
        case 0: break;
        case EINPROGRESS:
            if (d->next < d->to.n)
                loop_timer_set(&d->step, NEXT_MS);
            return;
        case EAGAIN:
            d->next--;
            loop_timer_set(&d->step, BUSY_MS);
            return;
        default: failed(d, error);
        }
    }
    if (d->fd >= 0 || d->pending == 0)
        loop_task_post(&d->finish);
}

static void step(void *arg)
{
    advance(arg);
}

static void timed_out(void *arg)
{
    struct dial *d = arg;
    failed(d, ETIMEDOUT);
    finish(d);
}

static void resolved(void *arg, const struct resolved *addresses)
{
    struct dial *d = arg;
    d->resolve = NULL;
    d->to = *addresses;
    failed(d, addresses->error);
    advance(d);
}

static struct dial *make(struct loop *loop, dial_fn *fn, void *arg)
{
    struct dial *d = xcalloc(1, sizeof(*d));
    d->loop = loop;
    d->fn = fn;
    d->arg = arg;
    d->fd = -1;
    loop_timer_init(loop, &d->step, step, d);
    loop_timer_init(loop, &d->deadline, timed_out, d);
    loop_task_init(loop, &d->finish, finish, d);
    loop_timer_set(&d->deadline, DIAL_TIMEOUT_MS);
    return d;
}

struct dial *dial_start(struct loop *loop, const struct target *t, dial_fn *fn, void *arg)
{
    struct dial *d = make(loop, fn, arg);
    if (t->kind == TARGET_UDP) {
        failed(d, EPROTONOSUPPORT);
        advance(d);
    } else if (t->kind == TARGET_UNIX) {
        failed(d, resolve_path(t->path, &d->to) == 0 ? 0 : errno);
        advance(d);
    } else if (resolve_now(t->host, t->port, &d->to)) {
        advance(d);
    } else {
        d->resolve = resolve_start(loop, t->host, t->port, resolved, d);
    }
    return d;
}

struct dial *dial_addresses(struct loop *loop, const struct resolved *to, dial_fn *fn, void *arg)
{
    struct dial *d = make(loop, fn, arg);
    resolved(d, to);
    return d;
}

void dial_limit(struct dial *d, uint64_t limit_ms)
{
    loop_timer_set(&d->deadline, limit_ms);
}
