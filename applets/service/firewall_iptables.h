/* firewall_iptables.h: iptables-save's and ip6tables-save's output (iptables(8)) read for one
 * packet. No I/O here. */
#ifndef SERVICE_FIREWALL_IPTABLES_H
#define SERVICE_FIREWALL_IPTABLES_H

#include "applets/service/firewall_rules.h"

/* Adds its chains, as of family "ip" or "ip6" by the packet. 0, or -1: it is no such text, or not
 * all of it. */
int firewall_iptables_read(struct ruleset *s, const char *text, const struct firewall_packet *p);

#endif
