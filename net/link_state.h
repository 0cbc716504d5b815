/* link_state.h: what the link's own files share: link.c (carriers, Hello, the watchdog) and
 * link_flow.c (the bytes). Nobody else includes it but the tests. */
#ifndef NET_LINK_STATE_H
#define NET_LINK_STATE_H

#include "net/link.h"
#include "net/link_pace.h"
#include "net/link_wire.h"

enum link_state {
    LINK_APART,    /* no carrier */
    LINK_GREETING, /* a carrier; its other end's Hello is awaited */
    LINK_FLOWING,  /* both have said Hello */
    LINK_OVER,     /* lost: no carrier any more */
    LINK_FREED     /* only the stream's owner still holds on */
};

struct link {
    struct stream stream; /* the owner's end */
    link_fn *fn;
    void *arg;
    uint8_t session[SESSION_LEN];
    enum link_state state;
    int error;
    uint32_t hello_ms, stall_ms; /* how long the watchdog waits */

    struct stream *carrier;
    struct stream *lending; /* the carrier whose memory the stream's owner is looking at */
    bool has_peer;          /* the Hello in `peer` is yet to be looked at */
    struct link_hello peer;
    struct loop_task work;
    struct loop_timer watchdog;

    /* Sending. Sequence numbers count the stream's bytes from its beginning. */
    struct buf kept; /* not acknowledged; its first byte is number `acked` */
    uint64_t acked, sent;
    struct link_pace pace;
    bool full;           /* room was 0: DRAINED is due */
    uint64_t waiting_ms; /* since when sent > acked */

    /* Receiving. */
    struct link_head head;
    uint32_t data_left;              /* of the Data frame that is arriving */
    uint64_t received, acknowledged; /* as told by our last Ack or Hello */
    bool ack_now;
    bool held_up; /* the owner holds so much that the carrier is not read */
    uint64_t heard_ms;
    struct loop_timer ack_timer;
};

/* link.c */

void link_greeted(struct link *l, const struct link_hello *peer);
/* The carrier has failed: drops it and says LINK_DOWN. */
void link_fail(struct link *l, int error);
/* Ends the hold on a carrier that is not the link's any more. */
void link_release(struct link *l, struct stream *carrier);
/* Has the watchdog look after what is not acknowledged. */
void link_watch(struct link *l);

/* link_flow.c */

void link_flow_begin(struct link *l); /* a new carrier; what is not acknowledged is sent again */
/* The other end has the first `received` bytes. */
void link_flow_acked(struct link *l, uint64_t received);
void link_receive(struct link *l);
void link_flush(struct link *l);
void link_ack_due(void *arg); /* the ack timer */
size_t link_flow_room(const struct stream *s);
void link_flow_writev(struct stream *s, const struct iovec *iov, int n);
void link_flow_consumed(struct stream *s, size_t len);

/* link_greet.c: link_greet() with a time limit of its own. */
struct greeting *link_greet_within(struct stream *carrier, uint32_t limit_ms, link_greet_fn *fn,
                                   void *arg);

#endif
