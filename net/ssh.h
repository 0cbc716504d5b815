/* ssh.h: one ssh connection that ends in this user's agent on a host.
 *
 * Runs the user's own ssh program with a remote command that any login shell takes. It finds
 * our binary in the host's cache or takes it over the same connection, runs
 * `berth agent --attach` and becomes a byte stream to it. Exactly one connection and one
 * authentication, upload included. */
#ifndef NET_SSH_H
#define NET_SSH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/stream.h"

struct ssh_options {
    const char *host;        /* [user@]host or an alias of ssh's configuration */
    char *const *args;       /* for ssh: -p, -i, -J, -F, -o …; NULL-terminated */
    char *const *agent_args; /* behind `berth agent --attach`: [A-Za-z0-9._:=/+-] only */
    bool batch;              /* never prompt, and pass nothing of ssh's on to standard error:
                                reconnects */
    bool detached;           /* ssh must survive the terminal */
};

enum ssh_event {
    SSH_UPLOAD, /* progress: ssh_upload() */
    SSH_UP,     /* the agent is being started: take ssh_stream() now */
    SSH_DOWN    /* never got there, or ended: ssh_error(). ssh_free() it */
};

struct ssh;
typedef void ssh_fn(void *arg, struct ssh *c, enum ssh_event event);

/* NULL with errno when the ssh program cannot be started. */
struct ssh *ssh_start(struct loop *loop, const struct ssh_options *o, ssh_fn *fn, void *arg);
/* Ends the process. Safe in callbacks. NULL is fine. */
void ssh_free(struct ssh *c);
/* The carrier; the callee's from then on. Once only, after SSH_UP. */
struct stream *ssh_stream(struct ssh *c);
/* One line: what failed, why, and what to do; to stand behind "HOST: ". After SSH_DOWN and
 * until ssh_free(). */
const char *ssh_error(const struct ssh *c);
/* SSH_DOWN: trying again by itself cannot help: a prompt would be needed, a host key changed,
 * no such host's architecture, no room for the binary. */
bool ssh_is_hopeless(const struct ssh *c);
void ssh_upload(const struct ssh *c, uint64_t *sent, uint64_t *total);
pid_t ssh_pid(const struct ssh *c);

/* Runs `script` (POSIX shell, no single quotes, backslashes or newlines) on the host by the
 * same rules of quoting; for `doctor`. Heap text: the remote command for ssh's last word. */
char *ssh_remote_command(const char *script);

#endif
