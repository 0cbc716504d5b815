/* dgram.h: UDP sockets: one that hears whoever speaks to it, or one that knows a single peer.
 *
 * A datagram is 0 to DGRAM_MAX bytes. What the socket does not take at once is lost, as UDP may
 * lose it anywhere. The kernel cuts those that are too long for the path, and joins them. */
#ifndef NET_DGRAM_H
#define NET_DGRAM_H

#include "core/loop.h"
#include "net/quic_addr.h"
#include "net/target.h"

#define DGRAM_MAX 65527 /* bytes: over IPv6; over IPv4 it is 65507 */

struct dgram;

/* Who speaks, and which of our addresses was spoken to: an answer takes the same way back. */
struct dgram_path {
    struct quic_addr remote, local;
};

/* Both may close the socket. */
struct dgram_events {
    /* `from` is NULL where the socket is connected. The memory is the socket's. */
    void (*received)(void *arg, const struct dgram_path *from, const uint8_t *data, size_t len);
    /* Connected: why one that was sent before did not arrive (ECONNREFUSED, …); told inside
     * dgram_send() too. */
    void (*failed)(void *arg, int error);
};

/* `bind` as for listener_new(), but that nothing but TARGET_UDP is taken. NULL with errno. */
struct dgram *dgram_bind(struct loop *loop, const struct target *bind,
                         const struct dgram_events *events, void *arg);
/* From a port that the system chooses. NULL with errno. */
struct dgram *dgram_connect(struct loop *loop, const struct quic_addr *to,
                            const struct dgram_events *events, void *arg);
void dgram_close(struct dgram *d); /* safe inside its callbacks; NULL is fine */
uint16_t dgram_port(const struct dgram *d);
/* `to`: where it came from; NULL where the socket is connected. */
void dgram_send(struct dgram *d, const struct dgram_path *to, const void *data, size_t len);

#endif
