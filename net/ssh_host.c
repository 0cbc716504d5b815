#include "net/ssh_host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/proc.h"

#define ANSWER_MAX (64u * 1024) /* bytes: what a pipe holds, for ssh to end without a reader */
#define LIMIT_MS   10000

struct ssh_host {
    struct loop *loop;
    ssh_host_fn *fn;
    void *arg;
    int out;
    struct loop_child child;
    struct loop_timer limit;
};

/* Lines of a keyword in small letters, a space and the value; NULL: it is not among them. */
static char *find_hostname(char *text)
{
    static const char key[] = "hostname ";
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")))
        if (strncmp(line, key, sizeof key - 1) == 0 && line[sizeof key - 1])
            return line + sizeof key - 1;
    return NULL;
}

static void dismiss(struct ssh_host *h)
{
    loop_timer_del(&h->limit);
    loop_child_del(&h->child);
    close(h->out);
    loop_reap(h->loop, h, free);
}

static void on_exit_of_ssh(void *arg, int status)
{
    struct ssh_host *h = arg;
    cleanup_free char *text = xmalloc(ANSWER_MAX + 1);
    ssize_t n = read(h->out, text, ANSWER_MAX);
    text[n > 0 ? n : 0] = '\0';
    dismiss(h);
    h->fn(h->arg, status == 0 ? find_hostname(text) : NULL);
}

static void on_limit(void *arg)
{
    struct ssh_host *h = arg;
    kill(h->child.pid, SIGKILL); /* its exit is the answer */
}

static pid_t spawn(const char *host, char *const *args, int out)
{
    size_t n = 0;
    while (args[n])
        n++;
    cleanup_free const char **argv = xcalloc(n + 5, sizeof *argv);
    argv[0] = "ssh";
    argv[1] = "-G";
    for (size_t i = 0; i < n; i++)
        argv[2 + i] = args[i];
    argv[n + 2] = "--";
    argv[n + 3] = host;
    struct proc_spec spec = {.argv = (char *const *)(void *)argv,
                             .in = PROC_NULL,
                             .out = out,
                             .err = PROC_NULL,
                             .session = true};
    return proc_spawn(&spec);
}

struct ssh_host *ssh_host_ask(struct loop *loop, const char *host, char *const *args,
                              ssh_host_fn *fn, void *arg)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return NULL;
    cleanup_fd int from = ends[0], to = ends[1];
    fcntl(to, F_SETFL, 0); /* ssh's end is an ordinary one */
    pid_t pid = spawn(host, args, to);
    if (pid < 0)
        return NULL;
    struct ssh_host *h = xcalloc(1, sizeof *h);
    h->loop = loop;
    h->fn = fn;
    h->arg = arg;
    loop_timer_init(loop, &h->limit, on_limit, h);
    if (loop_child_add(loop, &h->child, pid, on_exit_of_ssh, h) < 0) {
        int error = errno;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        free(h);
        errno = error;
        return NULL;
    }
    h->out = steal_fd(&from);
    loop_timer_set(&h->limit, LIMIT_MS);
    return h;
}

void ssh_host_cancel(struct ssh_host *h)
{
    if (!h)
        return;
    pid_t pid = h->child.pid;
    dismiss(h);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
