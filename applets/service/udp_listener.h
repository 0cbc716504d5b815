/* udp_listener.h: the UDP port of a forward: each address that speaks to it is a sender, and has a
 * flow of its own to the other side.
 *
 * A sender is forgotten after a time without a datagram either way, sooner where nothing ever came
 * back; when there are too many, the one idle longest goes. One whose flow has ended, or was
 * refused, is not heard for a second: a sender that insists costs no more than that. */
#ifndef SERVICE_UDP_LISTENER_H
#define SERVICE_UDP_LISTENER_H

#include <stdint.h>

#include "applets/service/udp_flow.h"
#include "core/relay.h"
#include "net/target.h"

#define UDP_SENDERS_MAX   1024u        /* of a listener */
#define UDP_IDLE_MS       (120 * 1000) /* a sender that was answered */
#define UDP_UNANSWERED_MS (60 * 1000)  /* one that never was */
#define UDP_MUTE_MS       1000

struct udp_listener;

struct udp_listener_options {
    const struct target *bind; /* TARGET_UDP */
    struct udp_flows *flows;   /* the session's */
    /* A sender's flow is `open`, what it sends is `up`. With the flows it outlives the listener. */
    struct relay_count *count;
    /* Whether a flow can be opened now; else the datagram is dropped. NULL: always. */
    bool (*ready)(void *arg);
    /* DialUdp or AcceptedUdp, but for the flow's number. */
    struct draft (*request)(void *arg, const char *peer);
    /* A datagram came back (0), or why none does: ECONNREFUSED, … NULL is fine. */
    void (*heard)(void *arg, int error);
    void *arg;
    unsigned senders;                /* 0: UDP_SENDERS_MAX */
    uint64_t idle_ms, unanswered_ms; /* 0: as above */
};

/* NULL with errno: as for dgram_bind(). */
struct udp_listener *udp_listener_new(struct loop *loop, const struct udp_listener_options *o);
/* Its flows end. NULL is fine. */
void udp_listener_free(struct udp_listener *l);
uint16_t udp_listener_port(const struct udp_listener *l);

#endif
