#include "applets/service/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/service/hangup.h"
#include "core/buf.h"
#include "core/mem.h"
#include "core/proc.h"

#define READ_BYTES (64 * 1024)

struct program {
    struct loop *loop;
    program_fn *fn;
    void *arg;
    pid_t pid;
    int fd; /* its standard output; -1 once that has ended */
    struct loop_fd watch;
    struct loop_child child;
    struct loop_timer limit;
    struct buf text;
    bool exited;
    int status;
};

/* ---- finding ---- */

static char *in_dir(const char *dir, size_t len, const char *name)
{
    char *path = xasprintf("%.*s/%s", (int)len, dir, name);
    if (len && *dir == '/' && access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static char *in_path(const char *path, const char *name)
{
    char *found = NULL;
    while (!found && *path) {
        size_t len = strcspn(path, ":");
        found = in_dir(path, len, name);
        path += len + (path[len] == ':');
    }
    return found;
}

char *program_find(const char *name)
{
    const char *path = getenv("PATH");
    char *found = path ? in_path(path, name) : NULL;
    return found ? found : in_path("/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin", name);
}

/* ---- its end ---- */

static void let_go(struct program *p)
{
    loop_fd_del(&p->watch);
    loop_timer_del(&p->limit);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    if (!p->exited) {
        loop_child_del(&p->child);
        hangup_start(p->loop, p->pid, 0);
    }
}

static void release(void *arg)
{
    struct program *p = arg;
    buf_fini(&p->text);
    free(p);
}

void program_cancel(struct program *p)
{
    if (!p)
        return;
    let_go(p);
    loop_reap(p->loop, p, release);
}

static void tell(struct program *p, int code)
{
    program_fn *fn = p->fn;
    void *arg = p->arg;
    let_go(p);
    buf_append(&p->text, "", 1);
    loop_reap(p->loop, p, release);
    fn(arg, code, code < 0 ? "" : (const char *)buf_front(&p->text));
}

static void give_up(void *arg)
{
    tell(arg, -1);
}

/* ---- its output ---- */

/* False: no more now, or ever. */
static bool read_some(struct program *p)
{
    ssize_t n = read(p->fd, buf_reserve(&p->text, READ_BYTES), READ_BYTES);
    if (n > 0) {
        buf_commit(&p->text, (size_t)n);
        return p->text.len <= PROGRAM_TEXT_MAX;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        loop_fd_del(&p->watch);
        close(p->fd);
        p->fd = -1;
    }
    return false;
}

static void check(struct program *p)
{
    if (p->text.len > PROGRAM_TEXT_MAX)
        give_up(p);
    else if (p->exited)
        tell(p, WIFEXITED(p->status) ? WEXITSTATUS(p->status) : -1);
}

static void on_readable(void *arg, uint32_t events)
{
    struct program *p = arg;
    (void)events;
    read_some(p);
    check(p);
}

/* What it left running may hold the pipe: what is in there now is all that counts. */
static void on_exit_of(void *arg, int status)
{
    struct program *p = arg;
    p->exited = true;
    p->status = status;
    while (p->fd >= 0 && read_some(p))
        ;
    check(p);
}

/* ---- its start ---- */

/* This process's environment with the C locale; what it holds is borrowed. */
static char **environment(void)
{
    static char locale[] = "LC_ALL=C";
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **env = xcalloc(n + 2, sizeof *env);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "LC_ALL=", 7) != 0)
            env[kept++] = environ[i];
    env[kept] = locale;
    return env;
}

static pid_t spawn(const char *const *argv, int out)
{
    cleanup_free char *file = program_find(argv[0]);
    cleanup_free char **env = environment();
    if (!file) {
        errno = ENOENT;
        return -1;
    }
    return proc_spawn(&(struct proc_spec){.file = file,
                                          .argv = (char *const *)(uintptr_t)argv,
                                          .env = env,
                                          .in = PROC_NULL,
                                          .out = out,
                                          .err = PROC_NULL,
                                          .session = true});
}

struct program *program_start(struct loop *loop, const char *const *argv, program_fn *fn, void *arg)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    cleanup_fd int from = ends[0], to = ends[1];
    if (fcntl(from, F_SETFL, O_NONBLOCK) < 0)
        return NULL;
    pid_t pid = spawn(argv, to);
    if (pid < 0)
        return NULL;
    struct program *p = xcalloc(1, sizeof *p);
    *p = (struct program){.loop = loop, .fn = fn, .arg = arg, .pid = pid, .fd = steal_fd(&from)};
    loop_timer_init(loop, &p->limit, give_up, p);
    if (loop_fd_add(loop, &p->watch, p->fd, on_readable, p) < 0 ||
        loop_child_add(loop, &p->child, pid, on_exit_of, p) < 0) {
        int error = errno;
        program_cancel(p);
        errno = error;
        return NULL;
    }
    loop_fd_want(&p->watch, EPOLLIN);
    loop_timer_set(&p->limit, PROGRAM_LIMIT_MS);
    return p;
}
