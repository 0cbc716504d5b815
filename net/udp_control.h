/* udp_control.h: what travels beside a datagram (cmsg(3)): which of our addresses it came to, and
 * from which one an answer leaves. */
#ifndef NET_UDP_CONTROL_H
#define NET_UDP_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/quic_addr.h"

struct udp_control {
    _Alignas(struct cmsghdr) uint8_t bytes[256];
};

struct cmsghdr *udp_control_next(struct msghdr *msg, struct cmsghdr *c);
/* Asks the kernel to tell the address of each datagram. */
void udp_control_want(int fd, int family);
/* If it tells that, takes it into `local`, which has the socket's family. */
bool udp_control_take(struct quic_addr *local, const struct cmsghdr *c);
/* Appends; msg->msg_control has room for all that there may be, zeroed. */
void udp_control_put(struct msghdr *msg, int level, int type, const void *data, size_t len);
/* The datagram leaves from `local`, unless that is unknown or any. */
void udp_control_put_source(struct msghdr *msg, const struct quic_addr *local);

#endif
