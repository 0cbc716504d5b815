/* Listening, and unix sockets that are this user's own: with real sockets. */
#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/test.h"

#define NOBODY 65534

struct guest { /* what a listener was given */
    struct stream *stream;
    char peer[TARGET_TEXT_MAX];
    int count;
    struct listener *free_it, *hold_it;
};

static void on_guest(void *arg, struct stream *s, const char *peer)
{
    struct guest *g = arg;
    stream_reset(g->stream);
    g->stream = s;
    g->count++;
    snprintf(g->peer, sizeof(g->peer), "%s", peer);
    listener_free(g->free_it);
    g->free_it = NULL;
    if (g->hold_it)
        listener_hold(g->hold_it, true);
    g->hold_it = NULL;
}

/* So that a test fails, rather than hangs. */
static int impatient(int fd)
{
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

/* Until `count` guests have come, or nothing happens for long. */
static void await(struct loop *loop, const struct guest *g, int count)
{
    uint64_t end = loop_now_ms(loop) + 10000;
    while (g->count < count && loop_now_ms(loop) < end)
        loop_turn(loop, 1000);
    CHECK_INT(g->count, count);
}

static struct target tcp(const char *host, uint16_t port)
{
    struct target t = {.kind = TARGET_TCP, .port = port};
    snprintf(t.host, sizeof(t.host), "%s", host);
    return t;
}

/* A blocking client; -1 with errno. */
static int client(const char *host, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool six = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
    inet_pton(AF_INET, host, &v4.sin_addr);
    cleanup_fd int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const void *addr = six ? (const void *)&v6 : (const void *)&v4;
    if (connect(fd, addr, six ? sizeof(v6) : sizeof(v4)) != 0)
        return -1;
    return impatient(steal_fd(&fd));
}

static unsigned own_port(int fd)
{
    struct sockaddr_in6 sa = {0}; /* the port is where sockaddr_in has it */
    socklen_t len = sizeof(sa);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    return ntohs(sa.sin6_port);
}

static bool have_v6(void)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    cleanup_fd int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
        return true;
    fprintf(stderr, "v6 is not tested: this machine has no ::1\n");
    return false;
}

TEST(sock_listener_accepts)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target any_port = tcp("127.0.0.1", 0);
    struct listener *l = listener_new(loop, &any_port, on_guest, &g);
    if (!l) {
        test_fail(__FILE__, __LINE__, "cannot listen");
        return;
    }
    CHECK(listener_port(l) > 0);
    int fd = client("127.0.0.1", listener_port(l));
    await(loop, &g, 1);
    char peer[64];
    snprintf(peer, sizeof(peer), "127.0.0.1:%u", own_port(fd));
    CHECK_STR(g.peer, peer);
    char byte = 0;
    stream_write(g.stream, "x", 1);
    CHECK_INT(read(fd, &byte, 1), 1);
    CHECK_INT(byte, 'x');
    CHECK_INT(listener_error(l), 0);
    stream_reset(g.stream);
    CHECK_INT(read(fd, &byte, 1), -1);
    CHECK_INT(errno, ECONNRESET);
    close(fd);
    listener_free(l);
    CHECK_INT(client("127.0.0.1", listener_port(l)), -1);
    CHECK_INT(errno, ECONNREFUSED);
    loop_free(loop);
}

TEST(sock_listener_more_than_a_batch)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target any_port = tcp("127.0.0.1", 0);
    struct listener *l = listener_new(loop, &any_port, on_guest, &g);
    int fds[100];
    for (size_t i = 0; i < countof(fds); i++)
        fds[i] = client("127.0.0.1", listener_port(l));
    loop_turn(loop, 1000);
    CHECK_INT(g.count, 64); /* others get their turn in between */
    await(loop, &g, (int)countof(fds));
    for (size_t i = 0; i < countof(fds); i++)
        close(fds[i]);
    stream_reset(g.stream);
    listener_free(l);
    loop_free(loop);
}

TEST(sock_listener_every_address)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target any = tcp("", 0);
    struct listener *l = listener_new(loop, &any, on_guest, &g);
    char peer[64];
    int four = client("127.0.0.1", listener_port(l));
    await(loop, &g, 1);
    snprintf(peer, sizeof(peer), "127.0.0.1:%u", own_port(four));
    CHECK_STR(g.peer, peer);
    close(four);
    if (have_v6()) {
        int six = client("::1", listener_port(l));
        await(loop, &g, 2);
        snprintf(peer, sizeof(peer), "[::1]:%u", own_port(six));
        CHECK_STR(g.peer, peer);
        close(six);
    }
    stream_reset(g.stream);
    listener_free(l);
    loop_free(loop);
}

TEST(sock_listener_localhost)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target localhost = tcp("localhost", 0);
    struct listener *l = listener_new(loop, &localhost, on_guest, &g);
    int fd = client("127.0.0.1", listener_port(l));
    await(loop, &g, 1);
    close(fd);
    CHECK_INT(client("127.0.0.2", listener_port(l)), -1);
    CHECK_INT(errno, ECONNREFUSED);
    stream_reset(g.stream);
    listener_free(l);
    loop_free(loop);
}

static void check_no_listener(struct loop *loop, const struct target *bind, int error)
{
    struct guest g = {0};
    errno = 0;
    struct listener *l = listener_new(loop, bind, on_guest, &g);
    CHECK(!l);
    CHECK_INT(errno, error);
    listener_free(l);
}

TEST(sock_listener_refusals)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = tcp("127.0.0.1", 0);
    struct listener *l = listener_new(loop, &t, on_guest, &g);
    struct target same = tcp("127.0.0.1", listener_port(l)), every = tcp("", listener_port(l));
    check_no_listener(loop, &same, EADDRINUSE);
    check_no_listener(loop, &every, EADDRINUSE);
    listener_free(l);
    struct target foreign = tcp("192.0.2.1", 0), name = tcp("example.com", 0);
    check_no_listener(loop, &foreign, EADDRNOTAVAIL);
    check_no_listener(loop, &name, EADDRNOTAVAIL);
    loop_free(loop);
}

/* A port whose connections linger in TIME_WAIT can be listened on again at once. */
TEST(sock_listener_again)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = tcp("127.0.0.1", 0);
    struct listener *l = listener_new(loop, &t, on_guest, &g);
    t.port = listener_port(l);
    int fd = client("127.0.0.1", t.port);
    await(loop, &g, 1);
    stream_close(g.stream);
    g.stream = NULL;
    listener_free(l);
    loop_turn(loop, 0);
    char byte;
    CHECK_INT(read(fd, &byte, 1), 0);
    close(fd);
    l = listener_new(loop, &t, on_guest, &g);
    CHECK(l);
    listener_free(l);
    loop_free(loop);
}

TEST(sock_listener_freed_in_its_callback)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = tcp("127.0.0.1", 0);
    g.free_it = listener_new(loop, &t, on_guest, &g);
    int one = client("127.0.0.1", listener_port(g.free_it));
    int two = client("127.0.0.1", listener_port(g.free_it));
    await(loop, &g, 1);
    loop_turn(loop, 20);
    CHECK_INT(g.count, 1);
    stream_reset(g.stream);
    close(one);
    close(two);
    loop_free(loop);
}

TEST(sock_listener_holds)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = tcp("127.0.0.1", 0);
    struct listener *l = listener_new(loop, &t, on_guest, &g);
    listener_hold(l, true);
    int one = client("127.0.0.1", listener_port(l)), two = client("127.0.0.1", listener_port(l));
    int turns = 0;
    for (uint64_t end = loop_now_ms(loop) + 50; loop_now_ms(loop) < end; turns++)
        loop_turn(loop, 50);
    CHECK(turns < 20); /* what waits does not wake it */
    CHECK_INT(g.count, 0);
    listener_hold(l, false);
    g.hold_it = l; /* at the first */
    await(loop, &g, 1);
    loop_turn(loop, 50);
    CHECK_INT(g.count, 1);
    listener_hold(l, false);
    await(loop, &g, 2);
    stream_reset(g.stream);
    close(one);
    close(two);
    listener_free(l);
    loop_free(loop);
}

TEST(sock_listener_out_of_descriptors)
{
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = tcp("127.0.0.1", 0);
    struct listener *l = listener_new(loop, &t, on_guest, &g);
    struct rlimit was, now;
    int fd = client("127.0.0.1", listener_port(l));
    int lowest = dup(fd);
    close(lowest);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = was;
    now.rlim_cur = (rlim_t)lowest;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &now), 0);
    loop_turn(loop, 1000);
    /* It pauses between its tries. */
    uint64_t end = loop_now_ms(loop) + 250;
    int turns = 0;
    for (; loop_now_ms(loop) < end; turns++)
        loop_turn(loop, 1000);
    CHECK(turns < 20);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &was), 0);
    CHECK_INT(listener_error(l), EMFILE);
    CHECK_INT(g.count, 0);
    await(loop, &g, 1); /* by itself */
    CHECK_INT(listener_error(l), 0);
    stream_reset(g.stream);
    close(fd);
    listener_free(l);
    loop_free(loop);
}

/* ---- unix ---- */

static char dir[] = "/tmp/berth-sock-XXXXXX";

static struct target in_dir(const char *name)
{
    struct target t = {.kind = TARGET_UNIX};
    snprintf(t.path, sizeof(t.path), "%s/%s", dir, name);
    return t;
}

static void begin_dir(void)
{
    strcpy(dir, "/tmp/berth-sock-XXXXXX");
    CHECK(mkdtemp(dir));
}

static void end_dir(void)
{
    CHECK_INT(rmdir(dir), 0); /* so nothing may have been left */
}

static int bind_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    return impatient(fd);
}

static bool root(const char *test)
{
    if (geteuid() == 0)
        return true;
    fprintf(stderr, "%s: not tested: another user's socket is only root's to make\n", test);
    return false;
}

TEST(sock_listener_unix)
{
    begin_dir();
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = in_dir("s");
    struct stat st;
    mode_t mask = umask(0);
    struct listener *l = listener_new(loop, &t, on_guest, &g);
    CHECK_INT(umask(mask), 0);
    CHECK(l && listener_port(l) == 0);
    CHECK_INT(stat(t.path, &st), 0);
    CHECK_INT(st.st_mode, S_IFSOCK | 0600);
    int fd = impatient(sock_connect_own(t.path));
    CHECK(fd >= 0);
    await(loop, &g, 1);
    CHECK_STR(g.peer, "unix");
    stream_write(g.stream, "x", 1);
    char byte = 0;
    CHECK_INT(read(fd, &byte, 1), 1);
    stream_reset(g.stream);
    close(fd);
    check_no_listener(loop, &t, EADDRINUSE); /* it lives */
    listener_free(l);
    CHECK_INT(stat(t.path, &st), -1);
    loop_free(loop);
    end_dir();
}

/* 0, or the errno: EAGAIN, when the queue is full. */
static int connect_unix(const char *path, int *fd)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, path, strlen(path));
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return connect(*fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 ? 0 : errno;
}

TEST(sock_listener_backlog)
{
    begin_dir();
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = in_dir("s");
    struct listener *l = listener_new(loop, &t, on_guest, &g);
    int fds[6];
    CHECK_INT(listener_backlog(l, 3), 0);
    for (size_t i = 0; i < countof(fds); i++)
        CHECK_INT(connect_unix(t.path, &fds[i]), i < 4 ? 0 : EAGAIN);
    await(loop, &g, 4);
    for (size_t i = 0; i < countof(fds); i++)
        close(fds[i]);
    stream_reset(g.stream);
    listener_free(l);
    loop_free(loop);
    end_dir();
}

TEST(sock_listener_over_a_socket)
{
    begin_dir();
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = in_dir("s");
    int fd, bound = bind_unix(t.path);
    CHECK_INT(fcntl(bound, F_SETFL, O_NONBLOCK), 0);
    struct listener *l = listener_over(loop, bound, on_guest, &g);
    CHECK(l);
    CHECK_INT(connect_unix(t.path, &fd), 0);
    await(loop, &g, 1);
    stream_reset(g.stream);
    close(fd);
    listener_free(l);
    CHECK_INT(fcntl(bound, F_GETFD), -1);
    CHECK_INT(unlink(t.path), 0); /* the caller's */
    CHECK(!listener_over(loop, socket(AF_UNIX, SOCK_DGRAM, 0), on_guest, &g));
    CHECK_INT(errno, EOPNOTSUPP);
    loop_free(loop);
    end_dir();
}

TEST(sock_listener_unix_takes_a_dead_path)
{
    begin_dir();
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = in_dir("s");
    close(bind_unix(t.path));
    struct listener *l = listener_new(loop, &t, on_guest, &g);
    CHECK(l);
    int fd = impatient(sock_connect_own(t.path));
    await(loop, &g, 1);
    stream_reset(g.stream);
    close(fd);
    listener_free(l);
    loop_free(loop);
    end_dir();
}

TEST(sock_listener_unix_leaves_what_is_not_its_own)
{
    begin_dir();
    struct loop *loop = loop_new();
    struct target link = in_dir("link"), folder = in_dir("dir"), fifo = in_dir("fifo");
    struct target file = in_dir("file"), dead = in_dir("dead");
    struct stat st;
    close(bind_unix(dead.path));
    CHECK_INT(symlink(dead.path, link.path), 0);
    CHECK_INT(mkdir(folder.path, 0700), 0);
    CHECK_INT(mkfifo(fifo.path, 0600), 0);
    close(open(file.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    check_no_listener(loop, &link, EADDRINUSE);
    check_no_listener(loop, &folder, EADDRINUSE);
    check_no_listener(loop, &fifo, EADDRINUSE);
    check_no_listener(loop, &file, EADDRINUSE);
    if (root(__func__)) {
        CHECK_INT(chown(dead.path, NOBODY, NOBODY), 0);
        check_no_listener(loop, &dead, EADDRINUSE);
    }
    CHECK(lstat(link.path, &st) == 0 && S_ISLNK(st.st_mode));
    CHECK_INT(unlink(link.path), 0);
    CHECK_INT(rmdir(folder.path), 0);
    CHECK_INT(unlink(fifo.path), 0);
    CHECK_INT(unlink(file.path), 0);
    CHECK_INT(unlink(dead.path), 0);
    struct target nowhere = in_dir("no/such");
    check_no_listener(loop, &nowhere, ENOENT);
    loop_free(loop);
    end_dir();
}

TEST(sock_listener_unix_leaves_its_successor)
{
    begin_dir();
    struct loop *loop = loop_new();
    struct guest g = {0};
    struct target t = in_dir("s"), aside = in_dir("aside");
    struct listener *l = listener_new(loop, &t, on_guest, &g);
    CHECK_INT(rename(t.path, aside.path), 0);
    int fd = bind_unix(t.path);
    listener_free(l);
    CHECK_INT(unlink(t.path), 0);
    CHECK_INT(unlink(aside.path), 0);
    close(fd);
    loop_free(loop);
    end_dir();
}

TEST(sock_connect_own)
{
    begin_dir();
    struct target t = in_dir("s");
    uid_t uid = 4711;
    int listening = bind_unix(t.path);
    CHECK_INT(listen(listening, 1), 0);
    int fd = impatient(sock_connect_own(t.path));
    CHECK(fd >= 0);
    CHECK_INT(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_INT(sock_peer_uid(fd, &uid), 0);
    CHECK_INT(uid, geteuid());
    close(fd);
    close(listening);
    CHECK_INT(sock_connect_own(t.path), -1);
    CHECK_INT(errno, ECONNREFUSED);
    CHECK_INT(unlink(t.path), 0);
    CHECK_INT(sock_connect_own(t.path), -1);
    CHECK_INT(errno, ENOENT);
    CHECK_INT(sock_peer_uid(-1, &uid), -1);
    end_dir();
}

TEST(sock_connect_own_path_too_long)
{
    char path[200];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    CHECK_INT(sock_connect_own(path), -1);
    CHECK_INT(errno, ENAMETOOLONG);
}

static void check_not_own(const char *path)
{
    errno = 0;
    CHECK_INT(sock_connect_own(path), -1);
    CHECK_INT(errno, EPERM);
}

TEST(sock_connect_own_refuses_what_is_no_socket)
{
    begin_dir();
    struct target t = in_dir("s"), link = in_dir("link"), file = in_dir("file");
    int listening = bind_unix(t.path);
    CHECK_INT(listen(listening, 1), 0);
    CHECK_INT(symlink(t.path, link.path), 0);
    close(open(file.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    check_not_own(link.path);
    check_not_own(file.path);
    check_not_own(dir);
    close(listening);
    CHECK_INT(unlink(t.path), 0);
    CHECK_INT(unlink(link.path), 0);
    CHECK_INT(unlink(file.path), 0);
    end_dir();
}

/* listen() under another uid: SO_PEERCRED is about that moment. */
static void listen_as_nobody(int fd)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(setuid(NOBODY) != 0 || listen(fd, 1) != 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

TEST(sock_connect_own_refuses_other_users)
{
    if (!root(__func__))
        return;
    begin_dir();
    struct target t = in_dir("s");
    int listening = bind_unix(t.path);
    listen_as_nobody(listening);
    check_not_own(t.path); /* our file, their process */
    char byte;
    int fd = impatient(accept(listening, NULL, NULL));
    CHECK_INT(read(fd, &byte, 1), 0); /* not a byte was sent */
    close(fd);
    CHECK_INT(listen(listening, 1), 0);
    CHECK_INT(chown(t.path, NOBODY, NOBODY), 0);
    check_not_own(t.path); /* their file */
    CHECK_INT(fcntl(listening, F_SETFL, O_NONBLOCK), 0);
    CHECK_INT(accept(listening, NULL, NULL), -1); /* not even connected */
    CHECK_INT(errno, EAGAIN);
    close(listening);
    CHECK_INT(unlink(t.path), 0);
    end_dir();
}
