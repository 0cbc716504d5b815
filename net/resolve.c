/* Names to addresses. getaddrinfo() blocks and cannot be cancelled; a child process can be. */
#include "net/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"

/* The child writes before the parent reads, so the answer must fit what a pipe surely holds. */
_Static_assert(sizeof(struct resolved) <= PIPE_BUF, "an answer is one write");

struct resolve {
    struct loop *loop;
    resolve_fn *fn;
    void *arg;
    int pipe;
    struct loop_child child;
    struct loop_task failed;
    int error; /* why there is no child */
};

/* ---- addresses ---- */

static void add(struct resolved *out, const void *addr, size_t len)
{
    memcpy(&out->addr[out->n], addr, len);
    out->len[out->n++] = (socklen_t)len;
}

static void add_v4(struct resolved *out, struct in_addr addr, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = addr};
    add(out, &sa, sizeof(sa));
}

static void add_v6(struct resolved *out, struct in6_addr addr, uint32_t scope, uint16_t port)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6,
                              .sin6_port = htons(port),
                              .sin6_addr = addr,
                              .sin6_scope_id = scope};
    add(out, &sa, sizeof(sa));
}

/* An interface by its name or number; 0 when there is none. */
static uint32_t scope_of(const char *text)
{
    char *end;
    unsigned index = if_nametoindex(text);
    if (index)
        return index;
    unsigned long number = strtoul(text, &end, 10);
    return *end || number > INT_MAX ? 0 : (uint32_t)number;
}

static bool scoped_v6(const char *host, uint16_t port, struct resolved *out)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    const char *percent = strchr(host, '%');
    if (!percent || (size_t)(percent - host) >= sizeof(text))
        return false;
    memcpy(text, host, (size_t)(percent - host));
    text[percent - host] = '\0';
    uint32_t scope = scope_of(percent + 1);
    if (!scope || inet_pton(AF_INET6, text, &addr) != 1)
        return false;
    add_v6(out, addr, scope, port);
    return true;
}

bool resolve_now(const char *host, uint16_t port, struct resolved *out)
{
    struct in_addr v4 = {.s_addr = htonl(INADDR_LOOPBACK)};
    struct in6_addr v6 = IN6ADDR_LOOPBACK_INIT;
    out->n = 0;
    out->error = 0;
    if (strcasecmp(host, "localhost") == 0) {
        add_v4(out, v4, port);
        add_v6(out, v6, 0, port);
    } else if (inet_pton(AF_INET, host, &v4) == 1) {
        add_v4(out, v4, port);
    } else if (inet_pton(AF_INET6, host, &v6) == 1) {
        add_v6(out, v6, 0, port);
    } else {
        return scoped_v6(host, port, out);
    }
    return true;
}

int resolve_path(const char *path, struct resolved *out)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    out->n = 0;
    out->error = 0;
    if (len >= sizeof(sa.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(sa.sun_path, path, len);
    add(out, &sa, sizeof(sa));
    return 0;
}

/* ---- names: in the child ---- */

static void close_all_but(int fd)
{
    if (dup2(fd, 0) != 0)
        _exit(1);
    if (syscall(SYS_close_range, 1, ~0U, 0) == 0)
        return;
    for (long i = sysconf(_SC_OPEN_MAX); i > 0; i--)
        close((int)i);
}

static const struct addrinfo *next_of(const struct addrinfo *ai, int family, bool same)
{
    while (ai && (ai->ai_family == family) != same)
        ai = ai->ai_next;
    return ai;
}

/* One of the first family, one of the others, and so on until neither has more. */
static void take_turns(struct resolved *out, const struct addrinfo *list)
{
    int first = list->ai_family;
    const struct addrinfo *next[2] = {list, next_of(list, first, false)};
    for (unsigned turn = 0; out->n < RESOLVE_MAX && (next[0] || next[1]); turn ^= 1) {
        const struct addrinfo *ai = next[turn];
        if (!ai)
            continue;
        add(out, ai->ai_addr, ai->ai_addrlen);
        next[turn] = next_of(ai->ai_next, first, turn == 0);
    }
}

static int error_of_gai(int code)
{
    switch (code) {
    case EAI_SYSTEM: return errno;
    case EAI_AGAIN:
    case EAI_FAIL: return EHOSTUNREACH;
    default: return ENOENT;
    }
}

static _Noreturn void look_up(const char *host, uint16_t port, int fd)
{
    struct resolved out = {.n = 0};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[8];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_all_but(fd);
    snprintf(service, sizeof(service), "%u", port);
    int code = getaddrinfo(host, service, &hints, &list);
    if (code == 0)
        take_turns(&out, list);
    else
        out.error = error_of_gai(code);
    _exit(write(0, &out, sizeof(out)) != (ssize_t)sizeof(out));
}

/* ---- names: in the parent ---- */

static void forget(struct resolve *r)
{
    loop_task_del(&r->failed);
    if (r->pipe >= 0)
        close(r->pipe);
    loop_reap(r->loop, r, free);
}

static void answer(struct resolve *r, const struct resolved *out)
{
    forget(r);
    r->fn(r->arg, out);
}

static void child_ended(void *arg, int status)
{
    struct resolve *r = arg;
    struct resolved out;
    (void)status;
    if (read(r->pipe, &out, sizeof(out)) != (ssize_t)sizeof(out))
        out = (struct resolved){.error = EIO};
    answer(r, &out);
}

static void child_failed(void *arg)
{
    struct resolve *r = arg;
    answer(r, &(struct resolved){.error = r->error});
}

static void kill_child(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* 0, or -1 with errno. */
static int start_child(struct resolve *r, const char *host, uint16_t port)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    r->pipe = ends[0];
    pid_t pid = fork();
    if (pid == 0)
        look_up(host, port, ends[1]);
    int error = errno;
    close(ends[1]);
    errno = error;
    if (pid < 0)
        return -1;
    if (loop_child_add(r->loop, &r->child, pid, child_ended, r) == 0)
        return 0;
    error = errno;
    kill_child(pid);
    errno = error;
    return -1;
}

struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port, resolve_fn *fn,
                              void *arg)
{
    struct resolve *r = xcalloc(1, sizeof(*r));
    r->loop = loop;
    r->fn = fn;
    r->arg = arg;
    r->pipe = -1;
    loop_task_init(loop, &r->failed, child_failed, r);
    if (start_child(r, host, port) != 0) {
        r->error = errno;
        loop_task_post(&r->failed);
    }
    return r;
}

void resolve_cancel(struct resolve *r)
{
    if (!r)
        return;
    pid_t pid = r->child.pid;
    loop_child_del(&r->child);
    if (pid > 0)
        kill_child(pid);
    forget(r);
}
