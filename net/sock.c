/* Listening, and knowing who is at the other end of a unix socket. */
#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fdstream.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "net/resolve.h"

#define BACKLOG  1024
#define BATCH    64    /* connections taken in one go, so that others get their turn */
#define PAUSE_MS 100   /* until accepting is tried again when descriptors have run out */
#define TOLD_MS  60000 /* how often that is logged */

struct listener {
    struct loop *loop;
    listener_fn *fn;
    void *arg;
    int fd;
    struct loop_fd watch;
    struct loop_timer pause;
    int error;
    uint64_t told_ms; /* when that was logged; 0: never */
    uint16_t port;
    char *path; /* unix */
    struct stat file;
    bool held;
    bool freed;
};

/* ---- accepting ---- */

void sock_address_text(const struct sockaddr *addr, char text[static TARGET_TEXT_MAX])
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;
    const struct sockaddr_vm *vm = (const struct sockaddr_vm *)addr;
    struct target t = {.kind = TARGET_TCP};
    if (addr->sa_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, t.host, sizeof(t.host));
        t.port = ntohs(v4->sin_port);
    } else if (addr->sa_family == AF_INET6) {
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], t.host, sizeof(t.host));
        else
            inet_ntop(AF_INET6, &v6->sin6_addr, t.host, sizeof(t.host));
        t.port = ntohs(v6->sin6_port);
    } else if (addr->sa_family == AF_VSOCK) {
        snprintf(text, TARGET_TEXT_MAX, "vsock:%u:%u", vm->svm_cid, vm->svm_port);
        return;
    } else {
        snprintf(text, TARGET_TEXT_MAX, "unix");
        return;
    }
    target_format(&t, text);
}

static bool out_of_resources(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* The one place that decides whether connections are accepted. */
static void update(struct listener *l)
{
    loop_fd_want(&l->watch, l->held || loop_timer_armed(&l->pause) ? 0 : EPOLLIN);
}

static void pause_accepting(struct listener *l, int error)
{
    uint64_t now = loop_now_ms(l->loop);
    l->error = error;
    loop_timer_set(&l->pause, PAUSE_MS);
    update(l);
    if (l->told_ms && now - l->told_ms < TOLD_MS)
        return;
    l->told_ms = now;
    log_error("no more connections are accepted for now: %s", strerror(error));
}

/* False when there is nothing to accept for now. */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(addr);
    char peer[TARGET_TEXT_MAX];
    int fd = accept4(l->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        l->error = 0;
        sock_address_text((const struct sockaddr *)&addr, peer);
        l->fn(l->arg, fdstream_new(l->loop, fd, fd), peer);
        return true;
    }
    if (out_of_resources(errno)) {
        pause_accepting(l, errno);
        return false;
    }
    /* What befell one connection before it was accepted says nothing about the next. */
    return errno != EAGAIN;
}

static void ready(void *arg, uint32_t events)
{
    struct listener *l = arg;
    (void)events;
    for (int i = 0; i < BATCH && !l->freed && !l->held && accept_one(l); i++)
        continue;
}

static void resume(void *arg)
{
    update(arg);
}

/* ---- listening ---- */

static bool is_own_socket(const struct stat *st)
{
    return S_ISSOCK(st->st_mode) && st->st_uid == geteuid();
}

static bool nobody_listens(const struct resolved *to)
{
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)&to->addr[0], to->len[0]) != 0 &&
           errno == ECONNREFUSED;
}

/* Makes way for the new socket, where what is there is this user's own and dead. */
static int clear_path(const char *path, const struct resolved *at)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : -1;
    if (is_own_socket(&st) && nobody_listens(at))
        return unlink(path);
    errno = EADDRINUSE;
    return -1;
}

static int listen_unix(struct listener *l, const char *path)
{
    struct resolved at;
    if (resolve_path(path, &at) != 0 || clear_path(path, &at) != 0)
        return -1;
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    mode_t mask = umask(0177);
    int bound = bind(fd, (const struct sockaddr *)&at.addr[0], at.len[0]);
    umask(mask);
    if (bound != 0 || lstat(path, &l->file) != 0)
        return -1;
    l->path = xstrdup(path);
    if (listen(fd, BACKLOG) != 0)
        return -1;
    l->fd = steal_fd(&fd);
    return 0;
}

static int listen_address(struct listener *l, const struct sockaddr_storage *addr, socklen_t len)
{
    const int on = 1, off = 0;
    cleanup_fd int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (addr->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (const struct sockaddr *)addr, len) != 0 || listen(fd, BACKLOG) != 0)
        return -1;
    l->fd = steal_fd(&fd);
    return 0;
}

static int listen_host(struct listener *l, const char *host, uint16_t port)
{
    struct resolved at;
    if (!resolve_now(host, port, &at)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    return listen_address(l, &at.addr[0], at.len[0]);
}

static int listen_everywhere(struct listener *l, uint16_t port)
{
    if (listen_host(l, "::", port) == 0)
        return 0;
    if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
        return -1;
    return listen_host(l, "0.0.0.0", port);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(own);
    if (getsockname(fd, (struct sockaddr *)&own, &len) != 0)
        return 0;
    if (own.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&own)->sin_port);
    if (own.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&own)->sin6_port);
    return 0;
}

static int listen_on(struct listener *l, const struct target *bind)
{
    if (bind->kind == TARGET_UNIX)
        return listen_unix(l, bind->path);
    if (bind->kind == TARGET_UDP) {
        errno = EPROTONOSUPPORT;
        return -1;
    }
    if (bind->host[0] == '\0')
        return listen_everywhere(l, bind->port);
    return listen_host(l, bind->host, bind->port);
}

static struct listener *make(struct loop *loop, listener_fn *fn, void *arg)
{
    struct listener *l = xcalloc(1, sizeof(*l));
    l->loop = loop;
    l->fn = fn;
    l->arg = arg;
    l->fd = -1;
    loop_timer_init(loop, &l->pause, resume, l);
    return l;
}

/* `listening`: 0, or -1 with errno. */
static struct listener *begin(struct listener *l, int listening)
{
    if (listening != 0 || loop_fd_add(l->loop, &l->watch, l->fd, ready, l) != 0) {
        int error = errno;
        listener_free(l);
        errno = error;
        return NULL;
    }
    update(l);
    l->port = port_of(l->fd);
    return l;
}

struct listener *listener_new(struct loop *loop, const struct target *bind, listener_fn *fn,
                              void *arg)
{
    struct listener *l = make(loop, fn, arg);
    return begin(l, listen_on(l, bind));
}

struct listener *listener_over(struct loop *loop, int fd, listener_fn *fn, void *arg)
{
    struct listener *l = make(loop, fn, arg);
    l->fd = fd;
    return begin(l, listen(fd, BACKLOG));
}

int listener_backlog(struct listener *l, int n)
{
    return listen(l->fd, n);
}

void listener_hold(struct listener *l, bool hold)
{
    l->held = hold;
    update(l);
}

static void free_listener(void *p)
{
    struct listener *l = p;
    free(l->path);
    free(l);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void listener_free(struct listener *l)
{
    struct stat now;
    if (!l || l->freed)
        return;
    l->freed = true;
    loop_fd_del(&l->watch);
    loop_timer_del(&l->pause);
    /* Before the close: a successor that finds nobody listening puts its own socket there. */
    if (l->path && lstat(l->path, &now) == 0 && same_file(&l->file, &now))
        unlink(l->path);
    if (l->fd >= 0)
        close(l->fd);
    loop_reap(l->loop, l, free_listener);
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}

int listener_error(const struct listener *l)
{
    return l->error;
}

/* ---- who is there ---- */

int sock_peer_uid(int fd, uid_t *uid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return -1;
    *uid = peer.uid;
    return 0;
}

static int refuse_foreign(void)
{
    errno = EPERM;
    return -1;
}

int sock_connect_own(const char *path)
{
    struct resolved to;
    struct stat st;
    uid_t uid;
    if (resolve_path(path, &to) != 0 || lstat(path, &st) != 0)
        return -1;
    if (!is_own_socket(&st))
        return refuse_foreign();
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to.addr[0], to.len[0]) != 0)
        return -1;
    if (sock_peer_uid(fd, &uid) != 0)
        return -1;
    return uid == geteuid() ? steal_fd(&fd) : refuse_foreign();
}
