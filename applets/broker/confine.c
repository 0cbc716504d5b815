#include "applets/broker/confine.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/key.h"
#include "core/landlock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/seccomp.h"

#define ACCOUNT   "berth"
#define UID_FIRST 61184u
#define UID_COUNT 4336u

/* ---- who ---- */

static int of_account(const struct passwd *pw, uid_t *uid, gid_t *gid)
{
    *uid = pw->pw_uid;
    *gid = pw->pw_gid;
    return 0;
}

/* One that is nobody's, always the same for the same place. */
static void made_up(const char *state, uid_t *uid, gid_t *gid)
{
    uint8_t hash[SHA256_LEN];
    key_sha256(state, strlen(state), hash);
    unsigned n = ((unsigned)hash[0] << 8 | hash[1]) % UID_COUNT;
    for (unsigned tries = 0; tries < UID_COUNT; tries++, n = (n + 1) % UID_COUNT) {
        *uid = UID_FIRST + n;
        *gid = UID_FIRST + n;
        if (!getpwuid(*uid) && !getgrgid(*gid))
            return;
    }
}

static int choose(const char *state, const char *name, uid_t *uid, gid_t *gid)
{
    const struct passwd *pw = getpwnam(name ? name : ACCOUNT);
    if (pw)
        return of_account(pw, uid, gid);
    if (name) {
        log_error("--user %s: there is no such account", name);
        return -1;
    }
    made_up(state, uid, gid);
    return 0;
}

int confine_user(const char *state, const char *name, uid_t *uid, gid_t *gid)
{
    struct stat st;
    *uid = geteuid();
    *gid = getegid();
    if (*uid != 0) {
        if (!name)
            return 0;
        log_error("--user: only root can become another user");
        return -1;
    }
    if (stat(state, &st) < 0) {
        log_error("%s: %s", state, strerror(errno));
        return -1;
    }
    if (st.st_uid != 0 && !name) {
        *uid = st.st_uid;
        *gid = st.st_gid;
        return 0;
    }
    if (choose(state, name, uid, gid) < 0)
        return -1;
    if (st.st_uid != 0 && st.st_uid != *uid) {
        log_error("%s is another user's: --user %s cannot have it", state, name);
        return -1;
    }
    if (chown(state, *uid, *gid) == 0)
        return 0;
    log_error("%s cannot be given to uid %u: %s", state, *uid, strerror(errno));
    return -1;
}

int confine_become(uid_t uid, gid_t gid)
{
    if (uid == geteuid())
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return -1;
    if (setuid(0) == 0) { /* for good, that is */
        errno = EPERM;
        return -1;
    }
    return 0;
}

/* ---- what ---- */

/* Memory, descriptors, sockets, the state's files, time, and the child that resolves names. Not: exec, mount,
 * ptrace, keys, modules, namespaces, setuid, … */
static const char *const calls[] = {
    "read",
    "readv",
    "pread64",
    "write",
    "writev",
    "pwrite64",
    "lseek",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "ioctl",
    "sendfile",
    "pipe",
    "pipe2",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "flock",
    "open",
    "openat",
    "stat",
    "fstat",
    "lstat",
    "newfstatat",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchown",
    "getcwd",
    "readlink",
    "readlinkat",
    "getdents64",
    "umask",
    "utimensat",
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "brk",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "eventfd2",
    "signalfd4",
    "timerfd_create",
    "timerfd_settime",
    "pidfd_open",
    "pidfd_send_signal",
    "socket",
    "socketpair",
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "sendmmsg",
    "recvmmsg",
    "shutdown",
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "nanosleep",
    "clock_nanosleep",
    "getrandom",
    "futex",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sigaltstack",
    "restart_syscall",
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getrusage",
    "prlimit64",
    "getrlimit",
    "uname",
    "sysinfo",
    "sched_yield",
    "sched_getaffinity",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "clone",
    "fork",
    "vfork",
    "wait4",
    "waitid",
    "kill",
    "tgkill",
    "exit",
    "exit_group",
};

/* What a kernel cannot restrict is said, and lived with: the front is one unprivileged user all the same. */
static int judged(const char *what, int got)
{
    if (got >= 0)
        return 0;
    if (errno == ENOSYS || errno == EOPNOTSUPP) {
        log_note("this kernel has no %s: the broker runs without it", what);
        return 0;
    }
    log_error("%s: %s", what, strerror(errno));
    return -1;
}

int confine_front(const char *state, bool connects)
{
    const struct landlock_path paths[] = {
        {state, LANDLOCK_READ | LANDLOCK_WRITE},
        {"/etc/resolv.conf", LANDLOCK_READ},
        {"/etc/hosts", LANDLOCK_READ},
        {"/etc/services", LANDLOCK_READ},
        {"/dev/null", LANDLOCK_READ | LANDLOCK_WRITE},
        {"/dev/urandom", LANDLOCK_READ},
    };
    const struct landlock_spec spec = {
        .paths = paths, .count = countof(paths), .may_connect = connects};
    if (judged("Landlock", landlock_restrict(&spec)) < 0)
        return -1;
    return judged("seccomp", seccomp_allow_only(calls, countof(calls)));
}
