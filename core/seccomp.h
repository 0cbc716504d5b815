/* seccomp.h: which system calls a process may still make. */
#ifndef CORE_SECCOMP_H
#define CORE_SECCOMP_H

#include <stddef.h>

#define SECCOMP_CALLS_MAX 2039

/* From now on this process, its threads and all it starts may make those system calls alone: every other
 * fails with EPERM, and one that is made as another architecture's (an i386 program's) kills the process.
 * Never, even so: a clone into new namespaces, typing into a terminal (TIOCSTI), a unix socket that is not
 * half of a pair. `calls`: SYS_… of <sys/syscall.h>. No privilege is gained by exec from then on. -1 with errno: EOPNOTSUPP,
 * ENOSYS where the kernel (or an emulator) has no filters, E2BIG over SECCOMP_CALLS_MAX, EBUSY where a thread has
 * a filter of its own; nothing was changed then but for exec. Source: seccomp(2). */
int seccomp_allow_only(const int *calls, size_t count);

#endif
