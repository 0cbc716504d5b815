/* hint.h: FirewallHint: what keeps UDP from this machine, as far as it can tell. */
#ifndef AGENT_HINT_H
#define AGENT_HINT_H

#include "applets/service/service.h"

/* FirewallHint {port} is answered with Hint {text}: firewall_hint_text(). */
service_fn serve_firewall_hint;

/* What a master may ask its agent for: all that any agent does, and that. The service's owner is
 * the client, or NULL. */
extern const struct service_row agent_rows[];

#endif
