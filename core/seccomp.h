/* seccomp.h: which system calls a process may still make. */
#ifndef CORE_SECCOMP_H
#define CORE_SECCOMP_H

#include <stddef.h>

/* From now on this process, its threads and all it starts may make those system calls alone: every other
 * fails with EPERM, and is in the kernel's audit log where that is on. Names are Linux's; one that this
 * architecture does not have ("poll" on aarch64) is passed over. No privilege is gained by exec from then on.
 * -1 with errno: EOPNOTSUPP, ENOSYS where the kernel (or an emulator) has no filters, EINVAL for a name that no
 * architecture knows; nothing was changed then. Source: seccomp(2). */
int seccomp_allow_only(const char *const *names, size_t count);

#endif
