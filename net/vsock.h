/* vsock.h: AF_VSOCK, the sockets between a VM and its host (vsock(7)): the host is CID 2, a VM
 * has one of 3 and above.
 *
 * Streams over it are like others but for one thing: AF_VSOCK knows no reset. The peer of a
 * stream that is reset sees the end, as it does when it is closed. */
#ifndef NET_VSOCK_H
#define NET_VSOCK_H

#include <stdint.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h> /* VMADDR_CID_ANY, VMADDR_CID_LOCAL, VMADDR_CID_HOST */

#include "net/sock.h"

struct vsock_addr {
    uint32_t cid, port;
};

/* Whether there is anything that carries AF_VSOCK: a listener can be had without. 0 and this
 * machine's own CID (VMADDR_CID_LOCAL: it has only loopback); or -1 with errno:
 * EAFNOSUPPORT  the kernel lacks vsock (its module is not loaded)
 * ENODEV        it has vsock, and no transport (vmw_vsock_virtio_transport in a VM,
 *               vhost_vsock on a host, vsock_loopback)
 * else          why /dev/vsock, which would tell, cannot be opened (ENOENT, EACCES) */
int vsock_transport(uint32_t *cid);

/* CID and port may be VMADDR_CID_ANY and VMADDR_PORT_ANY. NULL with errno: EAFNOSUPPORT,
 * EADDRINUSE, EADDRNOTAVAIL (that CID is not this machine's), EACCES (a port below 1024). */
struct listener *vsock_listen(struct loop *loop, const struct vsock_addr *at, listener_fn *fn,
                              void *arg);
/* The CID at the other end of a connected socket; -1 with errno (EPROTOTYPE: not AF_VSOCK). */
int vsock_peer_cid(int fd, uint32_t *cid);

/* As dial_start() does. ENODEV: nothing leads to that CID; ECONNREFUSED: nobody listens there. */
struct dial *vsock_dial(struct loop *loop, const struct vsock_addr *to, dial_fn *fn, void *arg);

#endif
