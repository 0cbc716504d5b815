/* direction.h: one way across the emulated path: packets in, the same packets out later, or never.
 *
 * A packet that is taken passes, in this order: the cut, the blocked protocols, the MTU, the bottleneck
 * (a first-in-first-out queue served at `rate`), the line (loss, duplication, delay). Times are of
 * CLOCK_MONOTONIC, in nanoseconds. Each kind of chance has a generator of its own, so that which of the
 * packets are lost is decided by the seed and the packets' order, not by the moment. */
#ifndef TESTS_WAN_DIRECTION_H
#define TESTS_WAN_DIRECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 65536
#define NEVER      INT64_MAX

/* Probabilities are 0 to 1. Zeroed, it changes nothing about what passes. */
struct shape {
    int64_t delay_ns;
    int64_t jitter_ns;    /* the delay wanders within ± this; the order stays */
    double loss;          /* mean share of the packets */
    double burst;         /* mean length, in packets, of the bad times; 0: each packet by itself */
    double bad;           /* share of the packets that a bad time loses */
    double reorder;       /* share of the packets that come late */
    int64_t reorder_ns;   /* by how much */
    double duplicate;     /* share of the packets that come twice */
    double rate_bps;      /* bits of IP packets a second; 0: no bottleneck */
    uint64_t queue_bytes; /* what the bottleneck's queue holds, but one packet always; when 0, */
    int64_t queue_ns;     /* that which takes this long to send at `rate` */
    uint64_t mtu;         /* larger packets vanish; 0: all are carried */
    bool cut;             /* nothing passes, and what was on its way is lost */
    bool blocked[UINT8_MAX + 1]; /* by IP protocol */
};

/* Packets, where nothing else is said. in + duplicated = out + all the lost + queued + flying. */
struct counts {
    uint64_t in, in_bytes, out, out_bytes;
    uint64_t lost;     /* by chance */
    uint64_t dropped;  /* the bottleneck's queue was full */
    uint64_t cut;      /* came in, or were on their way, while the path was cut */
    uint64_t blocked;  /* by protocol */
    uint64_t oversize; /* larger than the MTU */
    uint64_t overflow; /* the emulator's own memory was full: not part of the model */
    uint64_t refused;  /* the device did not take them: it is down, say */
    uint64_t duplicated, reordered;
    uint64_t late;       /* delivered more than LATE_NS after they were due */
    int64_t late_max_ns; /* the worst of all */
};

#define LATE_NS 1000000

/* A packet may leave this much before it is due: waking up for each by itself costs more than all the rest. */
#define EARLY_NS 100000

enum dice { DICE_LOSS, DICE_REORDER, DICE_DUPLICATE, DICE_JITTER, DICE_COUNT };

struct direction {
    int out; /* the TUN that packets are written to; borrowed */
    struct shape shape;
    struct counts counts;
    uint64_t dice[DICE_COUNT];
    bool in_bad_time;
    struct {
        int64_t since, from, to;
    } wander;
    struct packet *queue_head, **queue_tail; /* the head is sent at head_sent_at */
    int64_t head_sent_at, free_at;
    uint64_t queued, queued_bytes;
    struct packet **flying; /* a heap: the earliest due first */
    size_t flying_count, flying_cap;
    uint64_t held_bytes; /* of all packets, queued and flying */
    uint64_t serial;
};

void direction_init(struct direction *d, int out, uint64_t seed);

/* Starts every generator anew. */
void direction_seed(struct direction *d, uint64_t seed);

/* From now on packets are treated so; those already delayed keep the time they are due. */
void direction_reshape(struct direction *d, const struct shape *shape, int64_t now);

/* Takes an IP packet of 1 to PACKET_MAX bytes. */
void direction_take(struct direction *d, const uint8_t *bytes, size_t len, int64_t now);

/* When direction_release() has something to do; NEVER when nothing is held. */
int64_t direction_next(const struct direction *d);

/* Writes what is due within EARLY_NS, but not without bound: direction_next() may have passed already. */
void direction_release(struct direction *d, int64_t now);

#endif
