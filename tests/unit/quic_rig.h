/* quic_rig.h: a QUIC client and a server of one process, over UDP on loopback. */
#ifndef TESTS_UNIT_QUIC_RIG_H
#define TESTS_UNIT_QUIC_RIG_H

#include "core/loop.h"
#include "net/quic.h"
#include "tests/unit/test.h"

/* A stream and what its owner has seen: it writes `goal` bytes of a pattern as there is room,
 * then ends if `fin`; it compares what comes. */
struct qtalk {
    struct qside *side;
    struct stream *s; /* NULL once it was closed */
    uint64_t got, wrote, goal;
    bool hold, echo, fin, eof, wrong;
    int error;
};

struct qside {
    struct mux *m;
    struct qtalk *talks[4096];
    size_t n;
    bool hold, echo;
    unsigned ups, downs, datagrams, drains, asks, answers;
    size_t datagram_len; /* of the last one */
    int down_error;
    void (*on_accept)(struct qside *side, struct qtalk *t);
    void (*on_event)(struct qtalk *t, enum stream_event event); /* before anything else */
    void (*on_down)(struct qside *side);
    void (*on_up)(struct qside *side);
    void (*on_datagram)(struct qside *side);
};

/* Between the two: a hop that loses, doubles and reorders by a seed, per mille. */
struct qrelay {
    int front, back; /* -1: none */
    struct loop_fd front_watch, back_watch;
    struct quic_addr client, server;
    uint64_t seed;
    unsigned lose, twice, later;
    size_t most;                   /* bytes of a datagram that passes; 0: any */
    int tos;                       /* of all that passes; -1: as it came */
    uint64_t marked;               /* that came with ECT(0) */
    bool cut, mute;                /* nothing passes; nothing reaches the client */
    uint64_t to_client, to_server; /* bytes passed on */
    uint8_t first[2048];           /* [first_len] what the client sent first */
    size_t first_len;
    uint8_t held[2048];
    size_t held_len;
    bool held_front;
};

struct qrig {
    struct loop *loop;
    struct quic_server *server;
    struct qside a, b; /* client, server */
    struct qrelay relay;
    struct quic_target target;
    uint8_t session[SESSION_LEN], psk[PSK_LEN];         /* the server's */
    uint8_t its_session[SESSION_LEN], its_psk[PSK_LEN]; /* the client's */
    bool any_session; /* the server knows all of them, by one key */
    uint64_t started_us;
};

/* A server, and no client yet. `relayed`: what the client is to speak to is the relay. */
void qrig_begin(struct qrig *r, bool relayed);
void qrig_begin_at(struct qrig *r, bool relayed, const struct quic_listen *at);
void qrig_connect(struct qrig *r);
void qrig_end(struct qrig *r);
/* Turns the loop once; false when the test has taken far too long. */
bool qrig_turn(struct qrig *r);
#define QRIG_UNTIL(r, cond)                                                                        \
    do {                                                                                           \
        while (!(cond) && qrig_turn(r))                                                            \
            continue;                                                                              \
        CHECK(cond);                                                                               \
    } while (0)
/* Some milliseconds of turns, whatever happens. */
void qrig_idle(struct qrig *r, unsigned ms);

/* Both ends, and `len` bytes each way on one stream. */
void qrig_bulk(struct qrig *r, bool relayed, uint64_t len);
bool qrig_bulk_over(const struct qrig *r);
void qrig_bulk_end(struct qrig *r, uint64_t len); /* awaits it, every byte once and in order */

struct qtalk *qrig_open(struct qside *side);
void qtalk_pump(struct qtalk *t, uint64_t goal, bool fin);
void qtalk_take(struct qtalk *t);
void qtalk_close(struct qtalk *t);
void qside_forget(struct qside *side); /* its talks that were closed */
void qtalk_reset(struct qtalk *t);

#endif
