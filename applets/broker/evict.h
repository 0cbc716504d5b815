/* evict.h: what a user has open goes with the user, their devices, and the codes by which others could have
 * joined. */
#ifndef BROKER_EVICT_H
#define BROKER_EVICT_H

#include "applets/broker/front.h"

/* Ends the user's leases, revokes their devices and closes the connections, and ends their codes. Once, from the
 * loop: 0, or the store's errno after as many as could be. */
typedef void evict_fn(void *arg, int error);
void evict(struct front *f, const struct principal *who, evict_fn *fn, void *arg);

#endif
