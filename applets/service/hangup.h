/* hangup.h: a process group that nobody wants any more. */
#ifndef SERVICE_HANGUP_H
#define SERVICE_HANGUP_H

#include <stdint.h>
#include <sys/types.h>

#include "core/loop.h"

/* SIGHUP now, SIGKILL after grace_ms; 0: SIGKILL at once. `leader` leads the group, is this
 * process's child and has not been waited for: its exit is collected here, and only after
 * the SIGKILL, so that the number cannot have become somebody else's by then. */
void hangup_start(struct loop *loop, pid_t leader, uint64_t grace_ms);

#endif
