/* yamux_internal.h: what the files of yamux share. Nobody else includes it.
 *
 * yamux.c        the mux: its life, and what the peer's frames mean
 * yamux_stream.c one stream: its life, its windows, the owner's calls
 * yamux_send.c   what goes out, and in which order
 * yamux_table.c  streams by id
 * yamux_frame.c  the header of a frame */
#ifndef NET_YAMUX_INTERNAL_H
#define NET_YAMUX_INTERNAL_H

#include "core/loop.h"
#include "core/mem.h"
#include "net/yamux.h"
#include "net/yamux_frame.h"
#include "net/yamux_list.h"
#include "net/yamux_stream.h"

enum yamux_state { YAMUX_UP, YAMUX_DOWN, YAMUX_FREED };

struct yamux {
    struct mux mux;
    struct stream *carrier;
    struct loop *loop;
    enum yamux_role role;
    enum yamux_state state;
    int error;    /* for the owner's down() */
    bool reading; /* the carrier's bytes are being looked at further up the call stack */
    bool away_due, away_sent, peer_away;
    uint32_t next_id;

    /* What is being received. */
    uint8_t header[YAMUX_HEADER_LEN];
    size_t header_len;
    uint32_t payload_left; /* bytes of the current data frame */
    struct ystream *sink;  /* who gets them; NULL: nobody */
    bool sink_fin;         /* the frame carries FIN too */

    struct ystream **slots; /* 1 << slot_bits chains, or NULL */
    unsigned slot_bits;
    uint32_t count, multiplier;

    /* What is to be sent: see yamux_send.c. */
    struct buf urgent;
    struct list_node control, ready, held, linger;
    uint32_t unacked;      /* streams in GREET_SYN and GREET_SENT */
    uint32_t refused_last; /* the last id that was answered by RST without being a stream */
    size_t own_grown;      /* bytes by which all windows exceed the first ones … */
    size_t *grown;         /* … of this connection, or of several */
    size_t growth_limit;

    bool ping_due, ping_out;
    uint32_t ping_id;
    uint64_t ping_ms, ping_us; /* when the last one was sent */
    uint64_t rtt_us, rtt_floor_us;

    uint32_t silence_ms, dead_ms; /* silence_ms 0: it is not kept alive */
    uint64_t heard_ms;
    bool doubted; /* a sign of life is awaited */

    struct loop_task flush, tell_down;
    struct loop_timer sweep, silence;
};

/* yamux.c */
void yamux_want_ping(struct yamux *m, uint64_t after_ms); /* unless one is out or as recent */

/* yamux_send.c */
void yamux_flush(struct yamux *m);
/* Queues a frame that belongs to no stream. False when too many wait already. */
bool yamux_send_urgent(struct yamux *m, const struct yamux_header *h);

/* yamux_table.c */
struct ystream *yamux_find(const struct yamux *m, uint32_t id);
void yamux_add(struct yamux *m, struct ystream *s);
void yamux_remove(struct yamux *m, struct ystream *s);

#endif
