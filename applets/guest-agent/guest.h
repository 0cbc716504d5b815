/* guest.h: the agent inside a VM or container. */
#ifndef GUEST_AGENT_GUEST_H
#define GUEST_AGENT_GUEST_H

#include "applets/guest-agent/door.h"
#include "applets/service/workload.h"

struct guest {
    struct loop *loop;
    struct workload workload; /* of whoever asks, at either door */
    struct door main, relay;
    struct loop_timer power; /* runs between Shutdown's answer and the end */
};

/* The guest that a request was asked of. */
struct guest *guest_of(const struct request *r);

/* The requests that only a guest serves. */
service_fn serve_configure_network, serve_set_hostname, serve_configure_workspace; /* network.c */
service_fn serve_shutdown;                                                         /* power.c */

#endif
