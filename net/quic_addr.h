/* quic_addr.h: addresses of UDP sockets, of either family. */
#ifndef NET_QUIC_ADDR_H
#define NET_QUIC_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct quic_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
    socklen_t len; /* 0: unknown */
};

/* As it is to be spoken to through a socket of `family`. */
struct quic_addr quic_addr_for(int family, const struct quic_addr *a);
/* From numbers, "192.0.2.1" or "2001:db8::1%eth0"; `len` is 0 when it is neither. */
struct quic_addr quic_addr_parse(const char *text, uint16_t port);
/* The same machine's address, whatever the ports; a mapped IPv4 address is the IPv4 one. */
bool quic_addr_same_host(const struct quic_addr *a, const struct quic_addr *b);
bool quic_addr_equal(const struct quic_addr *a, const struct quic_addr *b); /* ports too */
/* An address that another machine may have: no loopback, no group, no broadcast, and none that means
 * something on one link alone. */
bool quic_addr_is_elsewhere(const struct quic_addr *a);
/* Our own address on the way there, as the routes are now, its port 0; `len` is 0 where no way
 * leads there. Nothing is sent. */
struct quic_addr quic_source(const struct quic_addr *remote);

#endif
