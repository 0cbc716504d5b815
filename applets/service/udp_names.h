/* udp_names.h: the addresses of flows' targets: a name is looked up once for all that ask within
 * some seconds. Who resolves names through a forward has a flow for each question. */
#ifndef SERVICE_UDP_NAMES_H
#define SERVICE_UDP_NAMES_H

#include "net/resolve.h"
#include "net/target.h"
#include "net/yamux_list.h"

#define UDP_NAME_MS   10000 /* an answer is taken for so long */
#define UDP_NAMES_MAX 64u   /* answers kept */

/* Zeroed is ready. */
struct udp_names {
    struct udp_name *first; /* the newest */
    unsigned n;
};

/* Embedded in who waits; zeroed: it does not. */
struct udp_name_wait {
    struct list_node node;
    resolve_fn *fn;
    void *arg;
};

/* Fills *out and returns true where nothing has to be looked up. Else false, and `fn` is called
 * once, from the loop, unless the wait is cancelled before. */
bool udp_names_find(struct udp_names *all, struct loop *loop, const struct target *t,
                    struct udp_name_wait *w, struct resolved *out);
void udp_names_cancel(struct udp_name_wait *w);
/* Nobody waits any more. */
void udp_names_fini(struct udp_names *all);

#endif
