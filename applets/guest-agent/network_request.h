/* network_request.h: what the requests that set up a machine's network ask for, checked before
 * anything is changed. */
#ifndef GUEST_AGENT_NETWORK_REQUEST_H
#define GUEST_AGENT_NETWORK_REQUEST_H

#include "applets/service/command.h"
#include "core/buf.h"
#include "core/json.h"
#include "net/netconf.h"

struct network {
    struct netconf conf;
    struct buf resolv; /* the contents of resolv.conf */
};

/* {ip_address, gateway, dns} of a zeroed network. dns: at most 16 addresses; where it is absent
 * 1.1.1.1 and 8.8.8.8, as agentiso has it. 0, or -1 with *why. network_fini() is due in either
 * case. */
int network_read(struct network *n, const struct json_value *body, struct fault *why);
void network_fini(struct network *n);

/* {hostname}: a label of RFC 1123, 1 to 63 characters, inside `body`; NULL with *why. */
const char *network_read_hostname(const struct json_value *body, struct fault *why);

#endif
