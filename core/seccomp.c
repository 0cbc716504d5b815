#include "core/seccomp.h"

#include <errno.h>
#include <seccomp.h>

static int add_all(scmp_filter_ctx filter, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number == __NR_SCMP_ERROR)
            return -EINVAL;
        /* Negative: known, but not here. */
        int got = number < 0 ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
        if (got < 0)
            return got;
    }
    return 0;
}

int seccomp_allow_only(const char *const *names, size_t count)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter) {
        errno = ENOMEM;
        return -1;
    }
    int got = add_all(filter, names, count);
    if (!got)
        got = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* What went wrong in the kernel is told as it is, not as ECANCELED. */
    if (!got)
        got = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
    if (!got)
        got = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!got)
        got = seccomp_load(filter);
    seccomp_release(filter);
    errno = -got;
    return got ? -1 : 0;
}
