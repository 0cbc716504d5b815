/* firewall_config.h: what a firewall's configuration says to those who may not read its rules. No
 * I/O here. */
#ifndef SERVICE_FIREWALL_CONFIG_H
#define SERVICE_FIREWALL_CONFIG_H

#include <stdbool.h>

#define FIREWALL_NAME_MAX 64

/* Names a chain; those of a configuration are cut at FIREWALL_NAME_MAX - 1 bytes. */
struct firewall_chain {
    char family[FIREWALL_NAME_MAX], table[FIREWALL_NAME_MAX], name[FIREWALL_NAME_MAX];
};

/* /etc/ufw/ufw.conf: it is switched on. */
bool firewall_ufw_enabled(const char *text);

/* /etc/nftables.conf: the first chain on hook input that drops or rejects anything. False: there
 * is none, or it is in a file that this one includes. */
bool firewall_conf_closer(const char *text, struct firewall_chain *closer);

#endif
