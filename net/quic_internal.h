/* quic_internal.h: what the files of QUIC share. Nobody else includes it.
 *
 * quic_conn.c      a connection: its life
 * quic_callbacks.c what ngtcp2 asks and tells
 * quic_ask.c       what the owner asks
 * quic_stream.c    one stream: its life, the owner's calls
 * quic_send.c      what goes out, and in which order
 * quic_client.c    a connection with sockets of its own
 * quic_server.c    a socket that many connections share
 * quic_queue.c     bytes kept until they are acknowledged
 * quic_udp.c       the sockets
 *
 * While `busy` is set a call of ngtcp2's is further up the stack: it must not be deleted then,
 * nor written with. A connection that is freed by a callback leaves when that call is over. */
#ifndef NET_QUIC_INTERNAL_H
#define NET_QUIC_INTERNAL_H

#include <ngtcp2/ngtcp2.h>

#include "net/quic.h"
#include "net/quic_crypto_conn.h"
#include "net/quic_stream.h"
#include "net/yamux_list.h"

#define QUIC_CID_LEN 8
enum quic_state { QUIC_SHAKING, QUIC_UP, QUIC_DOWN, QUIC_FREED };

/* Where its packets go: a client's sockets or a server. */
struct quic_link_ops {
    /* Gives a batch real addresses for ngtcp2's names of them; the socket, NULL: none. */
    struct quic_udp *(*route)(const struct quic_conn *m, struct quic_batch *out);
    void (*cid_added)(struct quic_conn *m, const ngtcp2_cid *cid);
    void (*cid_removed)(struct quic_conn *m, const ngtcp2_cid *cid);
    void (*up)(struct quic_conn *m);
    void (*gone)(struct quic_conn *m);   /* it leaves: forget it */
    void (*before)(struct quic_conn *m); /* its packets are made */
};

struct quic_conn {
    struct mux mux; /* events: NULL until owned */
    const struct quic_events *events;
    struct loop *loop;
    ngtcp2_conn *conn;
    struct quic_crypto_conn *crypto;
    const struct quic_link_ops *link;
    void *over; /* the link's */
    enum quic_state state;
    unsigned busy;
    int error;
    bool server, away;
    bool say_close, drained; /* when it leaves; or has been told so */
    bool probe_due;
    bool moved;       /* what validates the new path goes first: it would count as the probe */
    bool tell_answer; /* the next one, to the owner */
    uint64_t heard;   /* quic_now() then */
    uint64_t asked;   /* quic_now() at the question, or the last answer; 0: none is awaited */
    bool path_good;
    struct list_node peers;    /* the server's */
    struct quic_route *routes; /* of it */
    struct quic_way *ways;     /* of it, too */
    uint8_t token_key[QUIC_SECRET_LEN];

    struct list_node streams, ready, prompt, held, aborts;
    size_t count;
    int64_t next_remote;  /* the lowest id that the peer has not opened */
    uint64_t held_bytes;  /* delivered to streams, not consumed */
    uint64_t credit_owed; /* of those, not given back to the connection's window yet */
    size_t unsent;        /* queued in all streams */
    struct buf notes;     /* datagrams that wait: a uint32_t of ours each, its length, and it */

    struct quic_batch pending; /* what the socket did not take; its data is allocated */
    uint8_t *pending_data;

    struct loop_task flush, tell_down, tell_drained;
    struct loop_timer expiry, sweep;
};

static inline struct quic_conn *quic_conn_of(struct mux *m)
{
    return (struct quic_conn *)(void *)m;
}

/* ---- quic_conn.c ---- */
uint64_t quic_now(void);             /* ngtcp2's time: CLOCK_MONOTONIC, nanoseconds */
extern uint64_t quic_clock_ahead_ns; /* of it; tests let hours pass */
struct quic_conn_config {
    const struct quic_link_ops *link;
    void *over;
    const struct quic_batch *first; /* server: the packet that began it */
    const ngtcp2_pkt_hd *header;    /* server: its header */
    struct quic_addr local, remote;
    const uint8_t *token_key; /* [QUIC_SECRET_LEN] */
    uint64_t handshake_timeout_ms;
    bool cubic;
};
struct quic_conn *quic_conn_new(struct loop *loop, const struct quic_conn_config *config,
                                struct quic_crypto_config *crypto);
/* `in` has names; `current`: of the path that is sent on. Whether it was the peer's indeed. */
bool quic_conn_read(struct quic_conn *m, const struct quic_batch *in, bool current);
void quic_conn_fail(struct quic_conn *m, int ngtcp2_error);
void quic_conn_down(struct quic_conn *m, int error);
void quic_conn_wake(struct quic_conn *m); /* flush at the end of the turn */
void quic_conn_schedule_expiry(struct quic_conn *m);
void quic_keylog(void *arg, const char *line);
/* ---- quic_callbacks.c ---- */
void quic_conn_callbacks(ngtcp2_callbacks *cb);
extern bool quic_authentic; /* a packet was opened with its keys since this was cleared */

/* ---- quic_send.c ---- */
void quic_conn_flush(struct quic_conn *m);
void quic_conn_writable(struct quic_conn *m);
void quic_conn_say_close(struct quic_conn *m, const ngtcp2_ccerr *why);

#endif
