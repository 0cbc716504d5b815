#include "net/ssh_process.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/proc.h"

#define SNDBUF_BYTES (1 << 20)

/* ssh takes the first value that it is given for an option, so what must be stands before the
 * user's own, and what is only better than the default behind them. */
static const char *const always[] = {
    "ssh", "-T", "-a", "-x", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none", NULL,
};
static const char *const unattended[] = {"-o", "BatchMode=yes", "-S", "none", NULL};
static const char *const unless_given[] = {"-o", "ConnectTimeout=15", NULL};

static size_t count_words(char *const *words)
{
    size_t n = 0;
    while (words[n])
        n++;
    return n;
}

static size_t add_words(const char **argv, size_t n, const char *const *words)
{
    while (*words)
        argv[n++] = *words++;
    return n;
}

static pid_t spawn(const struct ssh_options *o, const char *command, int io, int err)
{
    size_t most = countof(always) + countof(unattended) + countof(unless_given) + 4;
    cleanup_free const char **argv = xcalloc(most + count_words(o->args), sizeof *argv);
    size_t n = add_words(argv, 0, always);
    if (o->batch)
        n = add_words(argv, n, unattended);
    n = add_words(argv, n, (const char *const *)o->args);
    if (o->batch)
        n = add_words(argv, n, unless_given);
    add_words(argv, n, (const char *const[]){"--", o->host, command, NULL});
    struct proc_spec spec = {
        .argv = (char *const *)(void *)argv,
        .in = io,
        .out = io,
        .err = err,
        .ignore_signals = o->detached,
    };
    return proc_spawn(&spec);
}

pid_t ssh_spawn(const struct ssh_options *o, const char *command, int *io, int *err)
{
    int pair[2], ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    cleanup_fd int ours = pair[0], theirs = pair[1];
    /* As much as the system lets: ssh is woken less often. */
    setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &(int){SNDBUF_BYTES}, sizeof(int));
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    cleanup_fd int from = ends[0], to = ends[1];
    if (fcntl(from, F_SETFL, O_NONBLOCK) < 0)
        return -1;
    pid_t pid = spawn(o, command, theirs, to);
    if (pid < 0)
        return -1;
    *io = steal_fd(&ours);
    *err = steal_fd(&from);
    return pid;
}
