/* quic_udp.h: a UDP socket for QUIC: many datagrams a call, ECN, and answers that leave from
 * the address that was spoken to.
 *
 * Datagrams are sent by UDP_SEGMENT and received by UDP_GRO where the kernel can (udp(7)); what
 * it turns out not to do is given up for the socket's life and done one by one. The kernel never
 * fragments: one that is too long for the path is lost, as path MTU discovery wants it. */
#ifndef NET_QUIC_UDP_H
#define NET_QUIC_UDP_H

#include "core/loop.h"
#include "net/quic_addr.h"

#define QUIC_UDP_MAX      65527 /* bytes of one datagram, and of a batch */
#define QUIC_UDP_SEGMENTS 64    /* datagrams of a batch */

/* Datagrams of one size, but for the last, which may be shorter. */
struct quic_batch {
    uint8_t *data;
    size_t len, segment; /* bytes: of all; of one */
    struct quic_addr local, remote;
    unsigned ecn; /* the two bits of RFC 3168 */
};

struct quic_udp;

struct quic_udp_events {
    /* One datagram; `in->segment` is its length. The memory is the socket's. */
    void (*received)(void *arg, struct quic_udp *u, const struct quic_batch *in);
    void (*writable)(void *arg, struct quic_udp *u); /* after quic_udp_send() gave EAGAIN */
};

/* Bound to `at`, whose port may be 0. An IPv6 socket takes IPv4 too, as mapped addresses.
 * NULL with errno. */
struct quic_udp *quic_udp_open(struct loop *loop, const struct quic_addr *at,
                               const struct quic_udp_events *events, void *arg);
/* Safe inside its callbacks. NULL is fine. */
void quic_udp_close(struct quic_udp *u);
struct quic_addr quic_udp_local(const struct quic_udp *u);
/* 0: sent, or lost as any datagram may be. -1: EAGAIN, the whole batch is to be given again
 * once `writable` was called. */
int quic_udp_send(struct quic_udp *u, struct quic_batch *out);

#endif
