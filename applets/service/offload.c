#include "applets/service/offload.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"

struct offload {
    struct loop *loop;
    struct loop_child watch;
    offload_fn *fn; /* NULL: forgotten */
    void *arg;
};

static void close_span(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
        return;
    long limit = sysconf(_SC_OPEN_MAX); /* before Linux 5.9 */
    for (unsigned fd = first; fd <= last && (long)fd < limit; fd++)
        close((int)fd);
}

/* A copy of a connection's descriptor would keep it open beyond its close. */
static void close_others(const int keep[static OFFLOAD_KEEP])
{
    bool in_order = keep[0] < keep[1];
    const int sorted[OFFLOAD_KEEP] = {keep[!in_order], keep[in_order]};
    unsigned first = STDERR_FILENO + 1;
    for (size_t i = 0; i < OFFLOAD_KEEP; i++) {
        if (sorted[i] < (int)first)
            continue;
        close_span(first, (unsigned)sorted[i] - 1);
        first = (unsigned)sorted[i] + 1;
    }
    close_span(first, ~0u);
}

static void exited(void *arg, int status)
{
    struct offload *o = arg;
    if (o->fn)
        o->fn(o->arg, WIFEXITED(status) ? WEXITSTATUS(status) : EIO);
    loop_reap(o->loop, o, free);
}

static int watch(struct offload *o, pid_t pid)
{
    if (loop_child_add(o->loop, &o->watch, pid, exited, o) == 0)
        return 0;
    int error = errno;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    errno = error;
    return -1;
}

struct offload *offload_start(struct loop *loop, const int keep[static OFFLOAD_KEEP],
                              offload_work *work, offload_fn *fn, void *arg)
{
    struct offload *o = xcalloc(1, sizeof *o);
    *o = (struct offload){.loop = loop, .fn = fn, .arg = arg};
    pid_t pid = fork();
    if (pid == 0) {
        close_others(keep);
        _exit(work(arg));
    }
    if (pid > 0 && watch(o, pid) == 0)
        return o;
    free(o);
    return NULL;
}

void offload_forget(struct offload *o)
{
    o->fn = NULL;
}
