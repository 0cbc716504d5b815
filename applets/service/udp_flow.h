/* udp_flow.h: flows of forwarded UDP through a session (PROTOCOLS, section 4).
 *
 * A flow is one sender's address at a UDP listener. Who has the listener opens it, by a request on
 * a stream of the session: DialUdp {target, flow} from the master, AcceptedUdp {id, peer, flow}
 * from the agent. `flow` is a u32, even where the master opened it, odd where the agent did, and
 * unique among those that are open in the session. Ok comes when the other side has a socket; the
 * stream's end is the flow's end. Error (ConnectionRefused) behind the Ok says that the target
 * refused a datagram; the flow goes on.
 *
 * From Ok on a datagram travels as a datagram of QUIC: u32 flow | payload. Before that, where it is
 * too long, and over ssh, it is a data frame of channel 0 on the flow's stream, an empty one too.
 * Order is not kept, what does not fit is lost, and an unknown flow is nobody's: dropped.
 *
 * Nothing old is kept: while the session is down datagrams are dropped; UDP_FLOW_QUEUE bytes of a
 * flow wait in its stream, UDP_FLOW_CROWDED where there are many flows; 256 KiB of all of them wait
 * as datagrams of QUIC.
 *
 * When the session takes another way the opener asks again, by the same request with the same
 * number on a new stream, and the flow goes on there: the target sees no other port. */
#ifndef SERVICE_UDP_FLOW_H
#define SERVICE_UDP_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "applets/service/session.h"
#include "applets/service/udp_names.h"
#include "core/message.h"
#include "net/dgram.h"

#define UDP_FLOW_QUEUE   (256u * 1024) /* bytes */
#define UDP_FLOW_CROWDED (64u * 1024)  /* bytes, of each where there are more than … */
#define UDP_FLOW_MANY    64u           /* … so many in the session */
#define UDP_FLOWS_MAX    16384u /* of both sides in a session: the peer's requests are refused then */

struct udp_flow;

/* The first two may end the flow. */
struct udp_flow_events {
    /* The memory is valid during the call. */
    void (*datagram)(void *arg, const uint8_t *data, size_t len);
    /* Opener: the target, ECONNREFUSED, or the peer, another errno, will not have it. */
    void (*refused)(void *arg, int error);
    /* Its stream has ended, and it is gone. 0: in order. */
    void (*over)(void *arg, int error);
    /* Opener: DialUdp or AcceptedUdp, but for the flow's number. */
    struct draft (*request)(void *arg);
};

/* All of one session, both sides'. */
struct udp_flows {
    struct session *session;
    struct udp_flow **slots; /* chains by number; a power of two */
    size_t n, n_slots;
    uint32_t last;          /* number of the one opened last */
    struct udp_names names; /* of the targets on this side: udp_dial.c */
};

void udp_flows_init(struct udp_flows *all, struct session *session, enum session_side side);
/* Ends those that are left, which are told. */
void udp_flows_fini(struct udp_flows *all);
/* For session_events. */
void udp_flows_datagram(struct udp_flows *all, const uint8_t *data, size_t len);
/* The session took another way, or has one again. */
void udp_flows_moved(struct udp_flows *all);

/* NULL with errno. */
struct udp_flow *udp_flow_open(struct udp_flows *all, const struct udp_flow_events *events,
                               void *arg);

/* The other side. `stream` has brought the request, and is taken. NULL: the number is not the
 * peer's to give, or in use. What comes waits for one of the two behind it. */
struct udp_flow *udp_flow_accept(struct udp_flows *all, uint32_t number, struct stream *stream,
                                 const struct udp_flow_events *events, void *arg);
void udp_flow_agree(struct udp_flow *f); /* Ok */
/* Error; the flow is over once the opener has ended it. */
void udp_flow_refuse(struct udp_flow *f, enum error_code code, const char *text);
/* The request has come again, on another stream, which is taken. */
void udp_flow_move(struct udp_flow *f, struct stream *stream);
/* Tells the opener that the target refuses. */
void udp_flow_tell_refused(struct udp_flow *f);
struct udp_flow *udp_flow_find(const struct udp_flows *all, uint32_t number);
bool udp_flow_is_peers(const struct udp_flow *f); /* the other side opened it */
void *udp_flow_owner(const struct udp_flow *f);   /* `arg` */

/* False: it was dropped. */
bool udp_flow_send(struct udp_flow *f, const void *data, size_t len);
/* Without over(). NULL is fine. */
void udp_flow_end(struct udp_flow *f);

#endif
