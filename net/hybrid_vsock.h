/* hybrid_vsock.h: a VM's vsock ports behind a unix socket on its host, as Firecracker, Cloud
 * Hypervisor and vhost-device-vsock have them (Firecracker's docs/vsock.md).
 *
 * Who has connected to that socket writes "CONNECT <port>\n" in one piece. The answer is
 * "OK <n>\n", n being whatever it is, and payload may follow at once; or the end, where nobody
 * listens on that port inside the VM. */
#ifndef NET_HYBRID_VSOCK_H
#define NET_HYBRID_VSOCK_H

#include <stddef.h>
#include <stdint.h>

#include "core/stream.h"

#define HYBRID_LINE_MAX 32 /* bytes of the answer, with its newline */

void hybrid_ask(struct stream *s, uint32_t port);

/* The answer so far. Zeroed is ready. */
struct hybrid_answer {
    char line[HYBRID_LINE_MAX];
    size_t len;
};

enum hybrid_status { HYBRID_MORE, HYBRID_OK, HYBRID_BAD };

/* Takes bytes from in[*len], none behind the line's end, and sets *len to how many it took.
 * BAD as soon as it cannot become that line. */
enum hybrid_status hybrid_feed(struct hybrid_answer *a, const uint8_t *in, size_t *len);
/* The same from a stream's waiting bytes, consuming exactly the line's. */
enum hybrid_status hybrid_read(struct hybrid_answer *a, struct stream *s);

#endif
