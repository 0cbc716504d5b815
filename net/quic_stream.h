/* quic_stream.h: one stream of a QUIC connection, as the connection sees it. */
#ifndef NET_QUIC_STREAM_H
#define NET_QUIC_STREAM_H

#include "core/stream.h"
#include "net/quic_queue.h"
#include "net/yamux_list.h"

struct quic_conn;

enum quic_sending { QUIC_SEND_OPEN, QUIC_SEND_FIN, QUIC_SEND_ENDED, QUIC_SEND_RESET };

struct quic_stream {
    struct stream base;
    struct quic_conn *m;    /* NULL: it ended both ways, or the connection is gone */
    struct list_node all;   /* in m->streams */
    struct list_node ready; /* in m->prompt, m->ready or m->held */
    struct list_node aborting;
    struct quic_queue out;
    int64_t id; /* -1: not begun */
    enum quic_sending sending;
    unsigned stuck;  /* rounds of m->sweep that a closed one made no progress in */
    bool early;      /* the peer's, which has not been heard of yet but by a later one */
    bool said;       /* the peer was sent something */
    bool blocked;    /* by its flow control */
    bool peer_ended; /* FIN or RESET_STREAM came */
    bool full;       /* the owner was shown no room: tell DRAINED */
};

struct quic_stream *quic_stream_new(struct quic_conn *m, int64_t id);
void quic_stream_begin(struct quic_stream *s, int64_t id);
void quic_stream_schedule(struct quic_stream *s);
bool quic_stream_sendable(const struct quic_stream *s);
void quic_stream_sent(struct quic_stream *s, size_t len, bool fin);
void quic_stream_acked(struct quic_stream *s, size_t len);
void quic_stream_received(struct quic_stream *s, const uint8_t *data, size_t len, bool fin);
void quic_stream_was_reset(struct quic_stream *s);
/* It is out of ngtcp2: by its end, or with the connection. */
void quic_stream_retire(struct quic_stream *s, int error);
void quic_stream_abort_due(struct quic_stream *s);
void quic_stream_sweep(struct quic_conn *m);
/* Bytes that nobody holds any more. */
void quic_conn_credit(struct quic_conn *m, size_t len);

#endif
