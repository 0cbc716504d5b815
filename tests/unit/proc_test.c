#include "core/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "tests/unit/test.h"

/* A NULL-terminated list of words, as exec wants it. */
#define WORDS(...) ((char *const *)(uintptr_t)(const char *const[]){__VA_ARGS__, NULL})
#define SH(script) WORDS("sh", "-c", script)

static const struct proc_spec nothing = {.in = PROC_NULL, .out = PROC_NULL, .err = PROC_NULL};

static int wait_for(pid_t pid)
{
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    return status;
}

/* Until the last writer is gone. */
static char *read_rest(int fd)
{
    struct buf all = {0};
    ssize_t n;
    do {
        n = read(fd, buf_reserve(&all, 4096), 4096);
        buf_commit(&all, n > 0 ? (size_t)n : 0);
    } while (n > 0);
    char *text = xstrndup(all.len ? (char *)buf_front(&all) : "", all.len);
    buf_fini(&all);
    return text;
}

/* Runs it to its end; what it wrote to standard output, as heap text. */
static char *output_of(struct proc_spec spec, int *code)
{
    int ends[2];
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    spec.out = ends[1];
    pid_t pid = proc_spawn(&spec);
    close(ends[1]);
    CHECK(pid > 0);
    char *text = read_rest(ends[0]);
    close(ends[0]);
    int status = pid > 0 ? wait_for(pid) : 0;
    if (code)
        *code = proc_exit_code(status);
    return text;
}

static void check_output(struct proc_spec spec, const char *want)
{
    int code;
    cleanup_free char *text = output_of(spec, &code);
    CHECK_STR(text, want);
    CHECK_INT(code, 0);
}

static int spawn_error(struct proc_spec spec)
{
    pid_t pid = proc_spawn(&spec);
    int error = errno;
    CHECK_INT(pid, -1);
    if (pid > 0)
        wait_for(pid);
    return pid > 0 ? 0 : error;
}

TEST(proc_exit_codes)
{
    static const struct {
        const char *script;
        int code;
    } rows[] = {{"exit 0", 0}, {"exit 7", 7}, {"kill -TERM $$", 128 + SIGTERM}};
    for (size_t i = 0; i < countof(rows); i++) {
        struct proc_spec spec = nothing;
        spec.argv = SH(rows[i].script);
        pid_t pid = proc_spawn(&spec);
        CHECK(pid > 0);
        if (pid > 0)
            CHECK_INT(proc_exit_code(wait_for(pid)), rows[i].code);
    }
}

TEST(proc_tells_why_it_failed)
{
    struct proc_spec spec = nothing;
    spec.argv = WORDS("/no/such/program");
    CHECK_INT(spawn_error(spec), ENOENT);
    spec.argv = WORDS("/etc/passwd");
    CHECK_INT(spawn_error(spec), EACCES);
    spec.argv = SH("true");
    spec.dir = "/no/such/dir";
    CHECK_INT(spawn_error(spec), ENOENT);
    spec.dir = NULL;
    spec.in = 9999;
    CHECK_INT(spawn_error(spec), EBADF);
    spec.in = PROC_NULL;
    spec.session = spec.controlling = true;
    CHECK_INT(spawn_error(spec), ENOTTY);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* what failed is not left to be reaped */
    CHECK_INT(errno, ECHILD);
}

TEST(proc_environment_and_directory)
{
    struct proc_spec spec = nothing;
    spec.argv = SH("echo \"$A $(env | grep -c ^HOME=)\"; pwd");
    spec.env = WORDS("A=b c", "PATH=/usr/bin:/bin");
    spec.dir = "/";
    check_output(spec, "b c 0\n/\n");
    setenv("BERTH_UNIT", "inherited", 1);
    spec.argv = SH("echo $BERTH_UNIT");
    spec.env = NULL;
    check_output(spec, "inherited\n");
    unsetenv("BERTH_UNIT");
}

/* As a login shell is started: by one name, called by another. */
TEST(proc_file_is_not_argv0)
{
    struct proc_spec spec = nothing;
    spec.file = "sh";
    spec.argv = WORDS("-other", "-c", "echo $0");
    check_output(spec, "-other\n");
    spec.file = "/no/such/program";
    CHECK_INT(spawn_error(spec), ENOENT);
}

/* What a child of ours blocks or ignores: the signals that a libc keeps to itself apart, which
 * whoever started the tests may have ignored for good (glibc's posix_spawn does). */
static unsigned long long signals(struct proc_spec spec, const char *which)
{
    const unsigned long long kept_by_libc = 7ull << 31; /* 32, 33, 34 */
    spec.argv = WORDS("grep", which, "/proc/self/status");
    cleanup_free char *text = output_of(spec, NULL);
    const char *number = strchr(text, '\t');
    CHECK(number != NULL);
    return number ? strtoull(number, NULL, 16) & ~kept_by_libc : 0;
}

TEST(proc_signals)
{
    struct proc_spec spec = nothing;
    sigset_t some, before;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGCHLD);
    sigprocmask(SIG_BLOCK, &some, &before); /* and SIGPIPE is ignored in all of these tests */
    CHECK_INT(signals(spec, "SigBlk"), 0);
    CHECK_INT(signals(spec, "SigIgn"), 0);
    spec.ignore_signals = true;
    CHECK_INT(signals(spec, "SigBlk"), 0);
    CHECK_INT(signals(spec, "SigIgn"), 7);
    sigset_t after;
    sigprocmask(SIG_SETMASK, &before, &after);
    CHECK(sigismember(&after, SIGUSR1) && !sigismember(&after, SIGTERM));
}

/* What whoever runs the tests left open is no leak of ours. */
static void mark_close_on_exec(void)
{
    for (int fd = 3; fd < 1024; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

TEST(proc_leaks_no_descriptors)
{
    mark_close_on_exec();
    struct proc_spec spec = nothing;
    spec.argv = WORDS("ls", "/proc/self/fd");
    check_output(spec, "0\n1\n2\n3\n"); /* 3 is the directory that ls reads */
}

TEST(proc_null)
{
    struct proc_spec spec = nothing;
    spec.argv = SH("cat; readlink /proc/$$/fd/0 /proc/$$/fd/2; echo lost >&2");
    check_output(spec, "/dev/null\n/dev/null\n");
}

/* In a process of its own, whose descriptors may be turned upside down. */
static int in_a_fork(int (*story)(int to_parent), char **told)
{
    int ends[2];
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        mark_close_on_exec();
        _exit(story(fcntl(ends[1], F_DUPFD_CLOEXEC, 100)));
    }
    close(ends[1]);
    *told = read_rest(ends[0]);
    close(ends[0]);
    return proc_exit_code(wait_for(pid));
}

static int run_spec(const struct proc_spec *spec)
{
    pid_t pid = proc_spawn(spec);
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid ? proc_exit_code(status) : 99;
}

/* 0, 1, 2 are given as 2, 0, 1: each is needed after another has been put in its place. */
static int story_rotated(int to_parent)
{
    int ends[2];
    if (pipe(ends) < 0 || write(ends[1], "in", 2) != 2)
        return 98;
    int in = fcntl(ends[0], F_DUPFD_CLOEXEC, 100);
    close(ends[0]);
    close(ends[1]);
    dup2(to_parent, 0);
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 1);
    dup2(in, 2);
    close(in);
    struct proc_spec spec = {
        .argv = SH("cat; readlink /proc/$$/fd/2"), .in = 2, .out = 0, .err = 1};
    return run_spec(&spec);
}

TEST(proc_descriptors_in_any_order)
{
    char *told;
    CHECK_INT(in_a_fork(story_rotated, &told), 0);
    CHECK_STR(told, "in/dev/null\n");
    free(told);
}

static int story_same(int to_parent)
{
    struct proc_spec spec = {.argv = SH("echo out; echo err >&2"), .in = PROC_NULL};
    spec.out = spec.err = to_parent;
    return run_spec(&spec);
}

TEST(proc_one_descriptor_twice)
{
    char *told;
    CHECK_INT(in_a_fork(story_same, &told), 0);
    CHECK_STR(told, "out\nerr\n");
    free(told);
}

static int story_closed(int to_parent)
{
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    struct proc_spec spec = {.argv = SH("readlink /proc/$$/fd/0; ls /proc/$$/fd"),
                             .in = PROC_NULL,
                             .out = to_parent,
                             .err = PROC_NULL};
    struct proc_spec missing = spec;
    missing.argv = WORDS("/no/such/program");
    if (proc_spawn(&missing) != -1 || errno != ENOENT)
        return 97;
    return run_spec(&spec);
}

TEST(proc_without_standard_descriptors)
{
    char *told;
    CHECK_INT(in_a_fork(story_closed, &told), 0);
    CHECK_STR(told, "/dev/null\n0\n1\n2\n");
    free(told);
}

static int story_inherit(int to_parent)
{
    dup2(to_parent, 1);
    close(0);
    close(2);
    struct proc_spec spec = {.argv = WORDS("ls", "/proc/self/fd"),
                             .in = PROC_INHERIT,
                             .out = PROC_INHERIT,
                             .err = PROC_INHERIT};
    return run_spec(&spec);
}

TEST(proc_inherits)
{
    char *told;
    mark_close_on_exec();
    CHECK_INT(in_a_fork(story_inherit, &told), 0);
    CHECK_STR(told, "0\n1\n"); /* 0 is the directory that ls reads */
    free(told);
}

TEST(proc_session)
{
    struct proc_spec spec = nothing;
    int pid, group, session;
    spec.argv = WORDS("cat", "/proc/self/stat");
    cleanup_free char *in_ours = output_of(spec, NULL);
    CHECK_INT(sscanf(in_ours, "%d (cat) %*c %*d %d %d", &pid, &group, &session), 3);
    CHECK_INT(group, getpgrp());
    CHECK_INT(session, getsid(0));
    spec.session = true;
    cleanup_free char *in_its_own = output_of(spec, NULL);
    CHECK_INT(sscanf(in_its_own, "%d (cat) %*c %*d %d %d", &pid, &group, &session), 3);
    CHECK_INT(group, pid);
    CHECK_INT(session, pid);
}

/* What the hard limit ought to be raised to: that takes a capability, which root may lack. */
static rlim_t wanted_files(const struct rlimit *now)
{
    struct rlimit raised = {PROC_FILES_WANTED, PROC_FILES_WANTED};
    if (now->rlim_max >= PROC_FILES_WANTED || setrlimit(RLIMIT_NOFILE, &raised) < 0)
        return now->rlim_max;
    setrlimit(RLIMIT_NOFILE, now);
    return PROC_FILES_WANTED;
}

static int limits(int to_parent, struct rlimit before)
{
    struct rlimit raised;
    if (setrlimit(RLIMIT_NOFILE, &before) < 0)
        return 96;
    rlim_t wanted = wanted_files(&before);
    proc_raise_files();
    proc_raise_files();
    getrlimit(RLIMIT_NOFILE, &raised);
    if (raised.rlim_cur != wanted || raised.rlim_max != wanted)
        return 97;
    struct proc_spec spec = {.argv = SH("echo $(ulimit -Sn) $(ulimit -Hn)"),
                             .in = PROC_NULL,
                             .out = to_parent,
                             .err = PROC_NULL};
    return run_spec(&spec);
}

static int story_low_limits(int to_parent)
{
    return limits(to_parent, (struct rlimit){200, 300});
}

static int story_soft_limit(int to_parent)
{
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    before.rlim_cur = 200;
    return limits(to_parent, before);
}

TEST(proc_limit_on_files)
{
    char *told;
    CHECK_INT(in_a_fork(story_low_limits, &told), 0);
    CHECK_STR(told, "200 300\n"); /* a child's are as they were */
    free(told);
    CHECK_INT(in_a_fork(story_soft_limit, &told), 0);
    CHECK(strncmp(told, "200 ", 4) == 0);
    free(told);
}

static int oom_score(int to_parent, const char *own)
{
    cleanup_fd int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (write(fd, own, strlen(own)) < 0)
        return 77;
    struct proc_spec spec = {.argv = WORDS("cat", "/proc/self/oom_score_adj"),
                             .in = PROC_NULL,
                             .out = to_parent,
                             .err = PROC_NULL};
    return run_spec(&spec);
}

static int story_spared(int to_parent)
{
    return oom_score(to_parent, "-900");
}

static int story_not_spared(int to_parent)
{
    return oom_score(to_parent, "900");
}

TEST(proc_children_are_not_spared)
{
    char *told;
    int code = in_a_fork(story_spared, &told);
    CHECK(code == 0 || code == 77); /* not everybody may be spared */
    CHECK_STR(told, code == 0 ? "0\n" : "");
    free(told);
    CHECK_INT(in_a_fork(story_not_spared, &told), 0);
    CHECK_STR(told, "900\n");
    free(told);
}

TEST(proc_pty_has_a_size)
{
    int outer, inner;
    struct winsize size = {0};
    struct termios mode = {0};
    CHECK_INT(proc_pty(30, 100, &outer, &inner), 0);
    CHECK_INT(tcgetattr(inner, &mode), 0);
    CHECK(mode.c_iflag & IUTF8);
    CHECK_INT(ioctl(inner, TIOCGWINSZ, &size), 0);
    CHECK_INT(size.ws_row, 30);
    CHECK_INT(size.ws_col, 100);
    CHECK_INT(proc_pty_resize(outer, 50, 65535), 0);
    CHECK_INT(ioctl(inner, TIOCGWINSZ, &size), 0);
    CHECK_INT(size.ws_row, 50);
    CHECK_INT(size.ws_col, 65535);
    CHECK_INT(fcntl(outer, F_GETFD), FD_CLOEXEC);
    CHECK_INT(fcntl(inner, F_GETFD), FD_CLOEXEC);
    close(outer);
    close(inner);
}

TEST(proc_pty_is_the_childs_terminal)
{
    int outer, inner;
    CHECK_INT(proc_pty(24, 81, &outer, &inner), 0);
    struct proc_spec spec = {.argv = SH("stty size </dev/tty; tty >/dev/null && echo yes"),
                             .in = inner,
                             .out = inner,
                             .err = inner,
                             .session = true,
                             .controlling = true};
    pid_t pid = proc_spawn(&spec);
    CHECK(pid > 0);
    close(inner);
    cleanup_free char *told = read_rest(outer); /* EIO when the last one has closed it */
    CHECK_STR(told, "24 81\r\nyes\r\n");
    if (pid > 0)
        CHECK_INT(proc_exit_code(wait_for(pid)), 0);
    close(outer);
}
