/* yamux_stream.h: one stream of a yamux session, as the session sees it. */
#ifndef NET_YAMUX_STREAM_H
#define NET_YAMUX_STREAM_H

#include "core/stream.h"
#include "net/yamux_frame.h"
#include "net/yamux_list.h"

struct yamux;

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
