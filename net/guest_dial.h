/* guest_dial.h: where a guest agent is, and a connection to it: one for each operation. */
#ifndef NET_GUEST_DIAL_H
#define NET_GUEST_DIAL_H

#include <stdint.h>

#include "core/stream.h"
#include "net/sock.h"

#define GUEST_PORT        5000
#define GUEST_RELAY_PORT  5001        /* messages of other agents, relayed by the host */
#define GUEST_DIAL_MS     10000       /* what a dial may take, for callers without own mind */
#define GUEST_FRAME_LIMIT (16u << 20) /* bytes of a frame, both ways: agentiso's */

enum guest_kind {
    GUEST_VSOCK,  /* AF_VSOCK, where the host kernel has vhost-vsock */
    GUEST_HYBRID, /* a unix socket of the machine monitor (net/hybrid_vsock.h) */
    GUEST_UNIX    /* the agent's own unix socket: in a container */
};

struct guest_place {
    enum guest_kind kind;
    uint32_t cid;     /* VSOCK */
    uint32_t port;    /* VSOCK and HYBRID */
    const char *path; /* HYBRID and UNIX: the caller's, who keeps it */
};

/* As people write it: "vsock:3:5000", "unix:/run/vm.sock:5000", "unix:/run/berth.sock". Heap. */
char *guest_place_text(const struct guest_place *place);

/* Never calls back before it returned. The stream is the callee's; what the guest sent already
 * waits in it. Else NULL and why: ECONNREFUSED (nobody listens: in the guest, or on the unix
 * socket), ENOENT (no such socket), EACCES, ENODEV (nothing leads to that CID), EAFNOSUPPORT
 * (no vsock here), EPROTO (no hybrid vsock is there), ETIMEDOUT, … */
struct guest_dial;
struct guest_dial *guest_dial(struct loop *loop, const struct guest_place *place, uint64_t limit_ms,
                              dial_fn *fn, void *arg);
/* Forgets it: no callback. Not to be called after the callback. */
void guest_dial_cancel(struct guest_dial *d);

#endif
