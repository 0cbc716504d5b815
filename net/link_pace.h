/* link_pace.h: how many bytes a link lets out before the other end acknowledges them.
 * Arithmetic only: times and counts in, one limit out.
 *
 * Below a link lie buffers that take megabytes: the agent's socket, two pipes, ssh's channel
 * window, TCP's queue. Whoever fills them makes every later byte, an echo on another stream,
 * wait behind all of it. A path is full when rate * round trip bytes are under way (its
 * bandwidth-delay product); more only makes a queue. So the limit is
 *
 *     rate * (min_rtt + max(min_rtt, 25 ms))
 *
 * that is twice the product on a long path: enough to find out at once when it became faster,
 * while the queue adds one round trip at most; on a short path, 25 ms of queue. `rate` is the
 * highest delivery rate of the last rounds, `min_rtt` the lowest round trip of the last 10 s.
 *
 * This is BBR's model (Cardwell et al., "BBR: Congestion-Based Congestion Control", 2016)
 * without its pacing: TCP underneath does that. From it come the rate sample, taken between
 * two acks of which the second answers what was sent after the first; rounds; samples that
 * an idle sender cannot lower the rate by; a start that triples the limit each round until
 * the rate stops growing; and the probe: when nothing has shown the lowest round trip for
 * 10 s the limit is lowered until the queue is gone and one round trip was seen without it.
 * From Vegas comes the alarm: two rounds in which every round trip was far above what our own
 * limit explains mean another path; the rate is then forgotten and a probe begun. */
#ifndef NET_LINK_PACE_H
#define NET_LINK_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_PACE_START (64u * 1024) /* bytes; the limit on a new path, and while it starts */
#define LINK_PACE_MIN   (32u * 1024) /* bytes; the limit is never lower but for a probe */
#define LINK_PACE_MARKS 128          /* sends whose time is remembered */

struct link_pace_mark { /* what was known when the bytes from `seq` on were sent */
    uint64_t seq, sent_us;
    uint64_t acked, acked_us; /* the last ack before */
    bool idle;                /* the sender had nothing more to send, or was probing */
};

struct link_pace {
    uint64_t limit, max; /* bytes */
    uint64_t sent, acked, acked_us;
    uint64_t rtt_us;     /* smoothed; 0: not known yet */
    uint64_t min_rtt_us; /* 0: not known yet */
    uint64_t min_at_us;  /* when it was seen last */
    uint64_t rate[2];    /* bytes a second: highest of the current rounds, and of those before */
    uint64_t last_rate;
    /* The round: from an ack to the ack of something that was sent after it. */
    uint64_t round_end, round_rtt_us; /* the lowest of the round */
    unsigned rounds;                  /* since rate[] moved on */
    /* The start: over after three rounds without a quarter more. */
    bool starting;
    uint64_t start_rate;
    unsigned flat;
    unsigned inflated; /* rounds in a row */
    /* The probe. */
    bool probing;
    uint64_t drained_us, probe_rtt_us; /* 0: not yet */
    /* A ring of n marks from `first` on. */
    struct link_pace_mark marks[LINK_PACE_MARKS];
    unsigned first, n;
    uint64_t next_mark; /* where the next one is due, and when the last one was made */
    uint64_t marked_us;
};

/* A new path; everything up to `seq` counts as acknowledged. The limit never exceeds `max`. */
void link_pace_start(struct link_pace *p, uint64_t seq, uint64_t max, uint64_t now_us);
/* The bytes up to `seq` were sent. `full`: the limit is why there were not more. */
void link_pace_sent(struct link_pace *p, uint64_t seq, bool full, uint64_t now_us);
/* The bytes up to `seq` <= the last one sent were acknowledged. */
void link_pace_acked(struct link_pace *p, uint64_t seq, uint64_t now_us);

#endif
