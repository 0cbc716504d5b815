/* registry.h: which agents are connected now, and whose they are.
 *
 * A connection is put in once its device has proven its key, and taken out when it ends. Of two
 * connections of one device the later one counts: the earlier one is told that it is replaced, and
 * its end, whenever that comes, takes nothing of the later one's away. Whoever looks an agent up
 * does so under the principal that was proven: there is no way to name another's. */
#ifndef BROKER_REGISTRY_H
#define BROKER_REGISTRY_H

#include "applets/broker/devices.h"

struct registry;
struct registry *registry_new(void);
void registry_free(struct registry *r); /* empty by then */

/* Inside a connection, which is its owner and outlives its place here. */
struct agent_link {
    struct device device; /* filled in before registry_put(), not changed while it is in */
    /* Another connection of the same device has come, and this one is out. It ends itself. */
    void (*replaced)(struct agent_link *link);
    struct agent_link *next, *prev; /* of the same principal; inside */
    struct principal_row *row;      /* inside; NULL: it is out */
};

void registry_put(struct registry *r, struct agent_link *link);
/* Of one that is out: nothing. */
void registry_take(struct registry *r, struct agent_link *link);
size_t registry_count(const struct registry *r);

/* The principal's agent of that name; with NULL the only one. NULL with errno: ENOENT: none (of that
 * name) is connected; ENOTUNIQ: there are several, and none was named. */
struct agent_link *registry_find(const struct registry *r, const struct principal *who,
                                 const char *name);
/* All of the principal's, the latest first: for (link = registry_first(…); link; link = link->next). */
struct agent_link *registry_first(const struct registry *r, const struct principal *who);

#endif
