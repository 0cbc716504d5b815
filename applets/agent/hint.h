/* hint.h: FirewallHint: what keeps UDP from this machine, as far as it can tell. */
#ifndef AGENT_HINT_H
#define AGENT_HINT_H

#include "applets/service/service.h"

/* FirewallHint {port} is answered with Hint {text}: firewall_hint_text(). The service's owner
 * is the client, or NULL. */
service_fn serve_firewall_hint;

#endif
