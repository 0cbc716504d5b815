/* udp_dial.h: the far end of a flow: one connected UDP socket, so that nobody but the target is
 * heard.
 *
 * A name is resolved first. Of several addresses the first that there is a way to is taken; when
 * it refuses a datagram before anything ever came back, the next. UDP knows no refusal: the flow
 * goes on, and the opener is told. */
#ifndef SERVICE_UDP_DIAL_H
#define SERVICE_UDP_DIAL_H

#include "applets/service/service.h"
#include "applets/service/udp_flow.h"

struct udp_dialling {
    struct udp_flows *flows;     /* the session's */
    const struct target *target; /* TARGET_UDP; copied */
    struct relay_count *count;   /* outlives the request; NULL is fine */
    /* A datagram came back (0), or none does (ECONNREFUSED). NULL is fine. */
    void (*heard)(void *arg, int error);
    void *arg;
};

/* Serves DialUdp or AcceptedUdp, whose field `flow` it reads. Where that flow is open, and to the
 * same target, it goes on on the request's stream. */
void service_dial_udp(struct request *r, const struct udp_dialling *d);

#endif
