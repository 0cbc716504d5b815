/* proc.c: fork and exec, told apart: a pipe that exec closes brings back what went wrong before.
 *
 * Between fork and exec only async-signal-safe calls are made, and nothing is allocated. */
#include "core/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "core/mem.h"

static struct rlimit files_at_start; /* rlim_max 0: never raised */

static bool raise_files(const struct rlimit *now, rlim_t to)
{
    struct rlimit raised = {to, to};
    if (setrlimit(RLIMIT_NOFILE, &raised) < 0)
        return false;
    files_at_start = *now;
    return true;
}

void proc_raise_files(void)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0)
        return;
    if (now.rlim_max < PROC_FILES_WANTED && raise_files(&now, PROC_FILES_WANTED))
        return;
    if (now.rlim_cur < now.rlim_max)
        raise_files(&now, now.rlim_max);
}

/* ---- in the child ---- */

static void reset_signals(bool ignore)
{
    for (int sig = 1; sig < NSIG; sig++) {
        bool ours = ignore && (sig == SIGINT || sig == SIGQUIT || sig == SIGHUP);
        struct sigaction action = {.sa_handler = ours ? SIG_IGN : SIG_DFL};
        sigaction(sig, &action, NULL); /* fails for SIGKILL and the like, as it may */
    }
}

/* A copy of what becomes descriptor 0, 1 or 2, out of the way of those three. */
static int copy_above(int fd)
{
    if (fd == PROC_INHERIT)
        return PROC_INHERIT;
    if (fd == PROC_NULL)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static int place_descriptors(const struct proc_spec *spec)
{
    int wanted[] = {spec->in, spec->out, spec->err};
    for (size_t i = 0; i < countof(wanted); i++) {
        wanted[i] = copy_above(wanted[i]);
        if (wanted[i] == -1)
            return -1;
    }
    for (int i = 0; i < (int)countof(wanted); i++)
        if (wanted[i] != PROC_INHERIT && dup2(wanted[i], i) < 0)
            return -1;
    return 0;
}

/* What keeps the parent from being killed for want of memory is not meant for what it runs. */
static void be_killable(void)
{
    static const char path[] = "/proc/self/oom_score_adj";
    char sign = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && read(fd, &sign, 1) == 1 && sign == '-')
        (void)!pwrite(fd, "0", 1, 0);
    if (fd >= 0)
        close(fd);
}

static int prepare(const struct proc_spec *spec)
{
    if (place_descriptors(spec) < 0)
        return -1;
    if (spec->session && setsid() < 0)
        return -1;
    if (spec->session && spec->controlling && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
        return -1;
    if (spec->dir && chdir(spec->dir) < 0)
        return -1;
    be_killable();
    return files_at_start.rlim_max ? setrlimit(RLIMIT_NOFILE, &files_at_start) : 0;
}

static void execute(const struct proc_spec *spec)
{
    sigset_t none;
    sigemptyset(&none);
    reset_signals(spec->ignore_signals);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvpe(spec->file ? spec->file : spec->argv[0], spec->argv, spec->env ? spec->env : environ);
}

_Noreturn static void run_child(const struct proc_spec *spec, int report)
{
    if (prepare(spec) == 0)
        execute(spec);
    int error = errno;
    ssize_t n = write(report, &error, sizeof error);
    _exit(n < 0 ? 126 : 127);
}

/* ---- in the parent ---- */

/* The errno that the child sent before it ended, or 0 when exec closed the pipe. */
static int await_exec(int from_child, pid_t pid)
{
    int error = 0;
    ssize_t n;
    do
        n = read(from_child, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof error)
        return 0;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return error;
}

/* With every signal blocked, so that none of the parent's handlers runs in the child. */
static pid_t fork_blocked(const struct proc_spec *spec, int report)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        run_child(spec, report);
    int error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

pid_t proc_spawn(const struct proc_spec *spec)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    cleanup_fd int from_child = ends[0], low = ends[1];
    /* A parent that lacks one of 0, 1, 2 gets the pipe there, where the child would replace it. */
    cleanup_fd int report = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (report < 0)
        return -1;
    pid_t pid = fork_blocked(spec, report);
    int error = pid < 0 ? errno : 0;
    close(steal_fd(&low));
    close(steal_fd(&report));
    if (pid > 0)
        error = await_exec(from_child, pid);
    errno = error;
    return error ? -1 : pid;
}

/* A terminal of UTF-8 erases whole characters. */
static int speak_utf8(int terminal)
{
    struct termios mode;
    if (tcgetattr(terminal, &mode) < 0)
        return -1;
    mode.c_iflag |= IUTF8;
    return tcsetattr(terminal, TCSANOW, &mode);
}

int proc_pty(uint16_t rows, uint16_t cols, int *main_end, int *child_end)
{
    char name[64];
    cleanup_fd int outer = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (outer < 0 || grantpt(outer) < 0 || unlockpt(outer) < 0)
        return -1;
    int error = ptsname_r(outer, name, sizeof name);
    if (error) {
        errno = error;
        return -1;
    }
    cleanup_fd int inner = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (inner < 0 || proc_pty_resize(outer, rows, cols) < 0 || speak_utf8(inner) < 0)
        return -1;
    *main_end = steal_fd(&outer);
    *child_end = steal_fd(&inner);
    return 0;
}

int proc_pty_resize(int main_end, uint16_t rows, uint16_t cols)
{
    struct winsize size = {.ws_row = rows, .ws_col = cols};
    return ioctl(main_end, TIOCSWINSZ, &size);
}

int proc_exit_code(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
