/* What Landlock and seccomp leave a process, and both of them the broker: each tried in a child, which they hold
 * for good. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/broker/confine.h"
#include "core/landlock.h"
#include "core/mem.h"
#include "core/seccomp.h"
#include "core/store.h"
#include "tests/unit/test.h"

static char dir[] = "/tmp/berth-confine-XXXXXX", readable[64], writable[64], file[128];
static struct sockaddr_in listening = {.sin_family = AF_INET};

/* The first line of a child where something was not as expected; 0: all was. */
#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return __LINE__;                                                                       \
    } while (0)

static bool fails(int got, int error)
{
    return got == -1 && errno == error;
}

static int in_child(int (*run)(void))
{
    int ends[2];
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int line = run();
        _exit(write(ends[1], &line, sizeof line) != sizeof line);
    }
    close(ends[1]);
    int line = -1, status = -1;
    CHECK_INT(read(ends[0], &line, sizeof line), sizeof line);
    close(ends[0]);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    return line;
}

static int listen_somewhere(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof listening;
    listening.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(bind(fd, (struct sockaddr *)&listening, len), 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&listening, &len), 0);
    CHECK_INT(listen(fd, 1), 0);
    return fd;
}

static int tcp(int (*how)(int, const struct sockaddr *, socklen_t), struct sockaddr_in addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int got = how(fd, (struct sockaddr *)&addr, sizeof addr), error = errno;
    close(fd);
    errno = error;
    return got;
}

static int open_once(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int held_by_landlock(void)
{
    const struct landlock_path paths[] = {{readable, LANDLOCK_READ},
                                          {writable, LANDLOCK_READ | LANDLOCK_WRITE},
                                          {"/no/such", LANDLOCK_READ}};
    char made[128], held[128];
    snprintf(made, sizeof made, "%s/made", writable);
    snprintf(held, sizeof held, "%s/made", readable);
    int inherited = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int version = landlock_restrict(&(struct landlock_spec){paths, 3, false, false});
    if (version < 0) {
        EXPECT(errno == ENOSYS || errno == EOPNOTSUPP);
        EXPECT(open_once("/etc/passwd", O_RDONLY) == 0);
        return 0;
    }
    EXPECT(open_once(file, O_RDONLY) == 0);
    EXPECT(fails(open_once(file, O_WRONLY), EACCES));
    EXPECT(fails(open_once(held, O_WRONLY | O_CREAT), EACCES));
    EXPECT(open_once(made, O_WRONLY | O_CREAT) == 0);
    EXPECT(version < 3 || fails(truncate(file, 0), EACCES));
    EXPECT(fails(unlink(file), EACCES));
    EXPECT(fails(open_once("/etc/passwd", O_RDONLY), EACCES));
    EXPECT(fails(open_once(dir, O_RDONLY | O_DIRECTORY), EACCES));
    EXPECT(fcntl(inherited, F_GETFD) == FD_CLOEXEC);
    char *const argv[] = {(char[]){"true"}, NULL};
    EXPECT(fails(execv("/bin/true", argv), EACCES));
    EXPECT(version < 4 || fails(tcp(connect, listening), EACCES));
    EXPECT(version < 4 || fails(tcp(bind, (struct sockaddr_in){.sin_family = AF_INET}), EACCES));
    EXPECT(unlink(made) == 0);
    EXPECT(version < 6 || fails(kill(getppid(), 0), EPERM));
    return 0;
}

static int network_left_open(void)
{
    int version = landlock_restrict(&(struct landlock_spec){NULL, 0, true, true});
    EXPECT(version < 0 || fails(open_once(file, O_RDONLY), EACCES));
    EXPECT(tcp(connect, listening) == 0);
    EXPECT(tcp(bind, (struct sockaddr_in){.sin_family = AF_INET}) == 0);
    return 0;
}

TEST(landlock_leaves_what_was_named)
{
    CHECK(mkdtemp(dir) != NULL);
    snprintf(readable, sizeof readable, "%s/r", dir);
    snprintf(writable, sizeof writable, "%s/w", dir);
    snprintf(file, sizeof file, "%s/file", readable);
    CHECK_INT(mkdir(readable, 0700), 0);
    CHECK_INT(mkdir(writable, 0700), 0);
    CHECK_INT(open_once(file, O_WRONLY | O_CREAT), 0);
    int listener = listen_somewhere();
    CHECK_INT(in_child(held_by_landlock), 0);
    CHECK_INT(in_child(network_left_open), 0);
    close(listener);
    CHECK_INT(unlink(file), 0);
    CHECK_INT(rmdir(readable), 0);
    CHECK_INT(rmdir(writable), 0);
    CHECK_INT(rmdir(dir), 0);
}

/* With what the sanitizers make at its end. */
static const int of_a_child[] = {SYS_write,          SYS_close,  SYS_exit_group,  SYS_ppoll,
                                 SYS_rt_sigprocmask, SYS_getpid, SYS_sigaltstack, SYS_futex,
                                 SYS_mmap,           SYS_munmap};

static int held_by_seccomp(void)
{
    if (seccomp_allow_only(of_a_child, countof(of_a_child)) < 0) {
        EXPECT(errno == ENOSYS || errno == EOPNOTSUPP);
        EXPECT(open_once("/etc/passwd", O_RDONLY) == 0);
        return 0;
    }
    EXPECT(getpid() > 0);
    EXPECT(fails(open_once("/etc/passwd", O_RDONLY), EPERM));
    EXPECT(fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
    char *const argv[] = {(char[]){"true"}, NULL};
    EXPECT(fails(execv("/bin/true", argv), EPERM));
    EXPECT(fails(fork(), EPERM));
    return 0;
}

static int one_too_many(void)
{
    static const int calls[SECCOMP_CALLS_MAX + 1];
    EXPECT(fails(seccomp_allow_only(calls, countof(calls)), E2BIG));
    EXPECT(open_once("/etc/passwd", O_RDONLY) == 0);
    return 0;
}

/* The last of as many as there may be counts too. */
static int as_many_as_may_be(void)
{
    static int calls[SECCOMP_CALLS_MAX];
    for (size_t i = 0; i < countof(calls); i++)
        calls[i] = SYS_read;
    memcpy(calls + countof(calls) - countof(of_a_child), of_a_child, sizeof of_a_child);
    EXPECT(seccomp_allow_only(calls, countof(calls)) == 0 || errno == ENOSYS ||
           errno == EOPNOTSUPP);
    EXPECT(getpid() > 0);
    return 0;
}

TEST(seccomp_leaves_what_was_named)
{
    CHECK_INT(in_child(held_by_seccomp), 0);
    CHECK_INT(in_child(one_too_many), 0);
    CHECK_INT(in_child(as_many_as_may_be), 0);
}

/* An emulator may not. */
static int tells_whether_it_can(void)
{
    return landlock_restrict(&(struct landlock_spec){NULL, 0, true, true}) >= 0;
}

static int stores(const char *folder)
{
    char path[128], *why = NULL;
    struct loop *loop = loop_new();
    snprintf(path, sizeof path, "%s/state", folder);
    struct store *s = store_sqlite_open(loop, path, &why);
    EXPECT(s != NULL);
    store_put(s, &(struct store_entry){.key = "a", .value = "1", .len = 1}, NULL, NULL);
    loop_turn(loop, 0);
    store_close(s);
    loop_turn(loop, 0);
    loop_free(loop);
    EXPECT(unlink(path) == 0);
    return 0;
}

static int held_front(void)
{
    EXPECT(confine_front(writable, false) == 0);
    EXPECT(stores(writable) == 0);
    EXPECT(open_once("/etc/passwd", O_RDONLY) < 0);
    EXPECT(open_once(file, O_RDONLY) < 0);
    char *const argv[] = {(char[]){"true"}, NULL};
    EXPECT(execv("/bin/true", argv) < 0);
    EXPECT(fails((int)ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM));
    EXPECT(fails(setuid(getuid()), EPERM));
    EXPECT(fails((int)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EPERM));
    EXPECT(fails((int)syscall(SYS_ioctl, 0, TIOCSTI, ""), EPERM));
    EXPECT(fails((int)syscall(SYS_ioctl, 0, TIOCSTI | 1UL << 32, ""), EPERM));
    EXPECT(fails(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), EPERM));
    EXPECT(tcp(connect, listening) < 0);
    return 0;
}

/* What fetches keys may connect. */
static int front_that_connects(void)
{
    EXPECT(confine_front(writable, true) == 0);
    EXPECT(tcp(connect, listening) == 0);
    EXPECT(open_once("/etc/passwd", O_RDONLY) < 0);
    return 0;
}

TEST(confined_front_has_its_state_alone)
{
    char folder[] = "/tmp/berth-front-XXXXXX";
    if (in_child(tells_whether_it_can) == 0)
        return;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(writable, sizeof writable, "%s/w", folder);
    snprintf(file, sizeof file, "%s/file", folder);
    CHECK_INT(mkdir(writable, 0700), 0);
    CHECK_INT(open_once(file, O_WRONLY | O_CREAT), 0);
    int listener = listen_somewhere();
    CHECK_INT(in_child(held_front), 0);
    CHECK_INT(in_child(front_that_connects), 0);
    close(listener);
    CHECK_INT(unlink(file), 0);
    CHECK_INT(rmdir(writable), 0);
    CHECK_INT(rmdir(folder), 0);
}
