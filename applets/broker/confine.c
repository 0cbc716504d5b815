#include "applets/broker/confine.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
static const int calls[] = {
    SYS_read,
    SYS_readv,
    SYS_pread64,
    SYS_write,
    SYS_writev,
    SYS_pwrite64,
    SYS_lseek,
    SYS_close,
    SYS_close_range,
    SYS_dup,
    SYS_dup3,
    SYS_fcntl,
    SYS_ioctl,
    SYS_sendfile,
    SYS_pipe2,
    SYS_fsync,
    SYS_fdatasync,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_flock,
    SYS_openat,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_mkdirat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_getcwd,
    SYS_readlinkat,
    SYS_getdents64,
    SYS_umask,
    SYS_utimensat,
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_ppoll,
    SYS_pselect6,
    SYS_eventfd2,
    SYS_signalfd4,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_socket,
    SYS_socketpair,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_connect,
    SYS_getsockname,
    SYS_getpeername,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_recvmmsg,
    SYS_shutdown,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_getrandom,
    SYS_futex,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getrusage,
    SYS_prlimit64,
    SYS_getrlimit,
    SYS_uname,
    SYS_sysinfo,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_set_tid_address,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_clone,
    SYS_wait4,
    SYS_waitid,
    SYS_kill,
    SYS_tgkill,
    SYS_exit,
    SYS_exit_group,
#ifdef SYS_open /* the older architectures' own */
    SYS_dup2,
    SYS_pipe,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_unlink,
    SYS_rename,
    SYS_mkdir,
    SYS_chmod,
    SYS_readlink,
    SYS_epoll_wait,
    SYS_poll,
    SYS_select,
    SYS_fork,
    SYS_vfork,
#endif
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
    prctl(PR_SET_DUMPABLE, 0); /* nor does its own user trace it, or read its memory */
    if (judged("Landlock", landlock_restrict(&spec)) < 0)
        return -1;
    return judged("seccomp", seccomp_allow_only(calls, countof(calls)));
}
