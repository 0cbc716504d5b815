#include "core/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/mem.h"

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

#define LOAD(field)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(verdict) BPF_STMT(BPF_RET | BPF_K, verdict)
#define LOAD_ARG(n)     /* its lower half: what is above is no flag, and no request of ioctl's */  \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t))
/* Which of the next instructions comes next: 0, the next. */
#define EQUAL(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise)
#define ANY_OF(bits, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, then, otherwise)

#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define REFUSE RETURN(SECCOMP_RET_ERRNO | EPERM)

/* What no call does that may be made otherwise. */
static const struct sock_filter never[] = {
    EQUAL(SYS_clone, 0, 3),
    LOAD_ARG(0),
    ANY_OF(NEW_NAMESPACES, 0, 9),
    REFUSE,
    EQUAL(SYS_ioctl, 0, 3), /* as if it were typed where the process was started */
    LOAD_ARG(1),
    EQUAL(TIOCSTI, 0, 5),
    REFUSE,
    EQUAL(SYS_socket, 0, 4), /* Landlock lets anybody connect to a path */
    LOAD_ARG(0),
    EQUAL(AF_UNIX, 0, 1),
    REFUSE,
    LOAD(nr),
};

static struct sock_filter *append(struct sock_filter *at, const struct sock_filter *what, size_t n)
{
    memcpy(at, what, n * sizeof(*what));
    return at + n;
}

/* A jump reaches 255 instructions at most, so each call has its own verdict beside it. */
static struct sock_filter *write_filter(struct sock_filter *at, const int *calls, size_t count)
{
    const struct sock_filter first[] = {LOAD(arch), EQUAL(THIS_ARCH, 1, 0),
                                        RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr)};
    const struct sock_filter last = REFUSE;
    at = append(at, first, countof(first));
    at = append(at, never, countof(never));
    for (size_t i = 0; i < count; i++) {
        const struct sock_filter one[] = {EQUAL((uint32_t)calls[i], 0, 1),
                                          RETURN(SECCOMP_RET_ALLOW)};
        at = append(at, one, countof(one));
    }
    return append(at, &last, 1);
}

static int install(const struct sock_fprog *program)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    long got = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program);
    if (got > 0) /* a thread's id */
        errno = EBUSY;
    else if (got < 0 && errno == EINVAL)
        errno = EOPNOTSUPP;
    return got ? -1 : 0;
}

int seccomp_allow_only(const int *calls, size_t count)
{
    if (count > SECCOMP_CALLS_MAX) {
        errno = E2BIG;
        return -1;
    }
    cleanup_free struct sock_filter *filter =
        xcalloc(5 + countof(never) + 2 * count, sizeof(*filter));
    struct sock_filter *end = write_filter(filter, calls, count);
    const struct sock_fprog program = {.len = (unsigned short)(end - filter), .filter = filter};
    return install(&program);
}
