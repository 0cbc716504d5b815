/* ssh_process.h: the user's own ssh program, with pipes to it. */
#ifndef NET_SSH_PROCESS_H
#define NET_SSH_PROCESS_H

#include <sys/types.h>

#include "net/ssh.h"

/* Runs `command` on o->host. *io becomes a blocking socket to ssh's standard input and output,
 * *err a non-blocking pipe from its standard error; both are the caller's. The pid, or -1 with
 * errno and neither touched. */
pid_t ssh_spawn(const struct ssh_options *o, const char *command, int *io, int *err);

#endif
