/* netconf.h: one interface's address and default route, set by rtnetlink.
 *
 * For a machine whose network somebody else decides on: a VM's guest agent. Needs
 * CAP_NET_ADMIN. Nothing is run, and the loop is not held up. */
#ifndef NET_NETCONF_H
#define NET_NETCONF_H

#include <stdbool.h>
#include <stdint.h>

#define NETCONF_NAME_MAX  16 /* with its NUL: IFNAMSIZ */
#define NETCONF_PREFIX_V4 16 /* of an address that has none: agentiso's */
#define NETCONF_PREFIX_V6 64

struct netconf {
    int family; /* AF_INET or AF_INET6 */
    uint8_t address[16], gateway[16];
    uint8_t prefix_len;
};

/* `address`: "10.99.0.5", "10.99.0.5/24", "fd00::5/64"; `gateway`: without a length, of the
 * same family, another address within the same network. 0, or -1 with *why a static text. */
int netconf_parse(struct netconf *c, const char *address, const char *gateway, const char **why);
/* An address of either family, alone: what a name server may be. */
bool netconf_is_address(const char *text);

/* The interface that leads out: eth0 where there is one, else the first Ethernet one. 0, or -1
 * with errno; ENODEV: none. */
int netconf_find(char name[static NETCONF_NAME_MAX]);

/* Brings an interface up: lo, in a machine whose network nobody has touched yet. 0, or -1 with
 * errno. */
int netconf_up(const char *name);

/* Brings the interface and lo up and makes `c` its one address of that family (link-local ones
 * stay) and its gateway the default route. 0, or -1 with errno and *step a static text: what
 * it was doing. */
int netconf_apply(const char *name, const struct netconf *c, const char **step);

#endif
