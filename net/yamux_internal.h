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

/* What is still to be said about the opening of a stream. */
enum greeting {
    GREET_HELD, /* ours; too many others are not acknowledged yet, so it waits in `held` */
    GREET_SYN,  /* ours; its first frame will carry SYN */
    GREET_SENT, /* ours; the peer has not shown that it knows it */
    GREET_ACK,  /* the peer's; our first frame will carry ACK */
    GREET_DONE
};

/* How our direction ends: by what follows the queued bytes. */
enum sending { SEND_OPEN, SEND_FIN, SEND_RST, SEND_ENDED };

struct ystream {
    struct stream base;
    struct yamux *m;       /* NULL once it ended both ways, was reset, or the mux is gone */
    struct ystream *chain; /* the next one in its slot of the table */
    struct list_node control, ready, linger; /* control: in m->held while GREET_HELD */
    struct buf out;
    uint64_t deadline_ms; /* while it lingers: when it is given up */
    uint64_t epoch_us;    /* since when epoch_len bytes were consumed; 0: not begun */
    uint32_t epoch_len;
    /* Receiving: window == credit + bytes not yet consumed + returned. */
    uint32_t window;
    uint32_t credit;                 /* what the peer may still send */
    uint32_t returned;               /* consumed, and not yet told to the peer */
    uint32_t send_window, send_peak; /* what we may still send; the most that it was */
    uint32_t id;
    enum greeting greeting;
    enum sending sending;
    bool peer_ended; /* FIN came */
    bool full;       /* the owner was shown no room: tell DRAINED */
};

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
    uint64_t grown;        /* bytes by which all windows exceed the first ones */

    bool ping_due, ping_out;
    uint32_t ping_id;
    uint64_t ping_ms, ping_us; /* when the last one was sent */
    uint64_t rtt_us, rtt_floor_us;

    struct loop_task flush, tell_down;
    struct loop_timer sweep;
};

/* yamux.c */
uint64_t yamux_now_us(void);
void yamux_want_ping(struct yamux *m, uint64_t after_ms); /* unless one is out or as recent */

/* yamux_send.c */
void yamux_flush(struct yamux *m);
/* Queues a frame that belongs to no stream. False when too many wait already. */
bool yamux_send_urgent(struct yamux *m, const struct yamux_header *h);

/* yamux_table.c */
struct ystream *yamux_find(const struct yamux *m, uint32_t id);
void yamux_add(struct yamux *m, struct ystream *s);
void yamux_remove(struct yamux *m, struct ystream *s);

/* yamux_stream.c */
struct ystream *ystream_new(struct yamux *m, uint32_t id, enum greeting greeting);
/* After the peer's frame for it: */
void ystream_acked(struct ystream *s);
bool ystream_more_window(struct ystream *s, uint32_t len); /* false: more than 2^32 - 1 */
void ystream_peer_ended(struct ystream *s);                /* may call the owner */
/* The peer has not heard of it. */
bool ystream_unspoken(const struct ystream *s);
/* Takes it out of the mux; an owner who still holds it is told `error` unless that is 0. */
void ystream_retire(struct ystream *s, int error);
/* The end is RST now, whatever it was to be. */
void ystream_abort(struct ystream *s);
/* Puts it where what it has to send is looked for. */
void ystream_schedule(struct ystream *s);
bool ystream_sendable(const struct ystream *s);
/* The next control frame, if one is due. May retire the stream. */
bool ystream_take_control(struct ystream *s, struct yamux_header *h);
/* A data frame of the first `len` queued bytes, and after it was written. */
struct yamux_header ystream_take_data(struct ystream *s, uint32_t len);
void ystream_sent(struct ystream *s, uint32_t len);
void ystream_sweep(void *mux);

#endif
