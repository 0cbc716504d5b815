/* yamux.h: HashiCorp's yamux, version 0, as a mux over any byte stream.
 *
 * https://github.com/hashicorp/yamux/blob/master/spec.md. Frames are 12 bytes of header:
 * version, type (data, window update, ping, go away), flags (SYN, ACK, FIN, RST), stream id,
 * length. The client opens odd ids, the server even ones. Each stream's window begins at
 * 256 KiB and grows while its reader keeps up and the path is long.
 *
 * A stream that its owner closed sends what is queued, then FIN; bytes that lay unread or
 * still come for it make the end a RST. It is forgotten, and no longer counted, when the
 * peer has ended too, or 30 s later. At most 256 streams wait for the peer's ACK, which is
 * what Go's takes by default: those opened beyond that may be written to, and begin when
 * others are acknowledged. */
#ifndef NET_YAMUX_H
#define NET_YAMUX_H

#include "core/mux.h"

#define YAMUX_WINDOW_FIRST (256u * 1024)      /* bytes; the spec's initial window */
#define YAMUX_WINDOW_MAX   (4u * 1024 * 1024) /* bytes; as far as a window grows */
#define YAMUX_STREAMS_MAX  65536u             /* open at once; more are reset */

enum yamux_role { YAMUX_CLIENT, YAMUX_SERVER };

/* Takes the carrier. When the mux is freed the carrier is closed. */
struct mux *yamux_new(struct stream *carrier, enum yamux_role role, const struct mux_events *events,
                      void *arg);

/* From now on: a ping after `silence_ms` without a byte from the peer, and when there is none for
 * `dead_ms` more, down() with ETIMEDOUT. */
void yamux_keep_alive(struct mux *m, uint32_t silence_ms, uint32_t dead_ms);
/* Windows grow beyond the first ones only while all connections that share `grown` have grown by no more than
 * `limit` bytes. It outlives the connection's streams; to be said before any has grown. */
void yamux_share_growth(struct mux *m, size_t *grown, size_t limit);
/* The ping now, as the path may be another, with `dead_ms` for the answer; only where it is kept alive. */
void yamux_probe(struct mux *m, uint32_t dead_ms);

/* Round trip of the last ping, microseconds; 0 before the first answer. */
uint64_t yamux_rtt_us(const struct mux *m);

#endif
