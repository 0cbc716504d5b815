/* ssh_host.h: the name or address that ssh connects to for a host of its configuration: asked of
 * the ssh program itself (`ssh -G`), which connects to nothing for it. */
#ifndef NET_SSH_HOST_H
#define NET_SSH_HOST_H

#include "core/loop.h"

struct ssh_host;
/* `hostname` lives as long as the call; NULL: ssh cannot tell. */
typedef void ssh_host_fn(void *arg, const char *hostname);
/* `args`: as in ssh_options. Never calls back before it returned. NULL with errno. */
struct ssh_host *ssh_host_ask(struct loop *loop, const char *host, char *const *args,
                              ssh_host_fn *fn, void *arg);
void ssh_host_cancel(struct ssh_host *h); /* before the callback only; NULL is fine */

#endif
