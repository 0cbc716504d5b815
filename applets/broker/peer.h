/* peer.h: where a connection comes from, as what it may do is counted.
 *
 * An IPv4 address is itself, of an IPv6 address the network counts (its first 64 bits): who has one address
 * of it has them all. "192.0.2.1", "2001:db8:0:1::", "::1". */
#ifndef BROKER_PEER_H
#define BROKER_PEER_H

#include <stdbool.h>

#include "net/http.h"

#define PEER_ROOM 32 /* with its NUL */

/* Of "192.0.2.1:4711", "[2001:db8::1]:4711", and either without a port. False: it is none. */
bool peer_parse(char peer[static PEER_ROOM], const char *text);
bool peer_is_loopback(const char *peer);
/* Whom the nearest proxy has the request from: the last element of X-Forwarded-For, which that proxy has added;
 * those before it are anybody's to say. False: there is none, or it is no address, and `peer` stays. */
bool peer_forwarded(char peer[static PEER_ROOM], const struct http_head *head);

#endif
