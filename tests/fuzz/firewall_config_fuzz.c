/* Configuration files of firewalls, and the table of a process's connections. */
#include <assert.h>
#include <string.h>

#include "applets/service/firewall_config.h"
#include "core/mem.h"
#include "net/ssh_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = xstrndup((const char *)data, size);
    struct firewall_chain c;
    (void)firewall_ufw_enabled(text);
    if (firewall_conf_closer(text, &c))
        assert(strlen(c.family) < FIREWALL_NAME_MAX && strlen(c.table) < FIREWALL_NAME_MAX &&
               strlen(c.name) < FIREWALL_NAME_MAX);
    union ssh_peer peer;
    unsigned long inode;
    for (const char *at = text; ssh_peer_next(&at, &peer, &inode);)
        assert(peer.sa.sa_family == AF_INET || peer.sa.sa_family == AF_INET6);
    return 0;
}
