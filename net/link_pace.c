/* link_pace.c: how many bytes a link lets out before the other end acknowledges them. */
#include "net/link_pace.h"

#define SLACK_US     25000            /* queue allowed where the round trip is shorter */
#define MIN_LIFE_US  10000000         /* how long a lowest round trip is believed */
#define RATE_ROUNDS  5                /* the highest rate of 5 to 10 rounds counts */
#define PROBE_MIN    ((uint64_t)8192) /* bytes */
#define MARK_MIN     ((uint64_t)4096) /* bytes between marks, at least */
#define MARK_US      25000            /* a send so long after the last mark is marked */
#define RATE_LIMIT   10000000000u     /* bytes a second; keeps products inside 64 bits */
#define RTT_LIMIT_US 60000000u
#define SECOND_US    1000000u

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* At least 1: it divides, and 0 stands for "not known". */
static uint64_t between_us(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 1;
}

static uint64_t top_rate(const struct link_pace *p)
{
    return most(p->rate[0], p->rate[1]);
}

/* The round trip that a full limit makes: the path's own and the queue's. */
static uint64_t full_rtt_us(const struct link_pace *p)
{
    return p->min_rtt_us + most(p->min_rtt_us, SLACK_US);
}

static uint64_t bytes_in(const struct link_pace *p, uint64_t us)
{
    return top_rate(p) * us / SECOND_US;
}

static void set_limit(struct link_pace *p)
{
    uint64_t limit = bytes_in(p, full_rtt_us(p));
    if (p->starting)
        limit = most(limit + limit / 2, LINK_PACE_START);
    limit = most(limit, LINK_PACE_MIN);
    if (p->probing)
        limit = least(limit, most(bytes_in(p, most(p->min_rtt_us, SLACK_US) / 2), PROBE_MIN));
    p->limit = least(limit, p->max);
}

static void forget_rate(struct link_pace *p)
{
    p->rate[0] = p->last_rate;
    p->rate[1] = 0;
    p->rounds = p->inflated = 0;
}

static void begin_round(struct link_pace *p)
{
    p->round_end = p->acked;
    p->round_rtt_us = RTT_LIMIT_US;
}

void link_pace_start(struct link_pace *p, uint64_t seq, uint64_t max, uint64_t now_us)
{
    *p = (struct link_pace){
        .max = max, .sent = seq, .acked = seq, .acked_us = now_us, .starting = true};
    begin_round(p);
    set_limit(p);
}

/* Marks. */

static struct link_pace_mark *mark_at(struct link_pace *p, unsigned i)
{
    return &p->marks[(p->first + i) % LINK_PACE_MARKS];
}

static void add_mark(struct link_pace *p, uint64_t seq, bool idle, uint64_t now_us)
{
    *mark_at(p, p->n++) = (struct link_pace_mark){
        .seq = seq, .sent_us = now_us, .acked = p->acked, .acked_us = p->acked_us, .idle = idle};
    p->marked_us = now_us;
    p->next_mark = seq + most(p->limit / (LINK_PACE_MARKS / 2), MARK_MIN);
}

void link_pace_sent(struct link_pace *p, uint64_t seq, bool full, uint64_t now_us)
{
    bool empty = p->sent == p->acked;
    /* The time since the last ack says nothing about the rate. */
    if (empty)
        p->acked_us = now_us;
    if (empty || between_us(p->marked_us, now_us) >= MARK_US)
        p->next_mark = p->sent;
    while (p->next_mark < seq && p->n < LINK_PACE_MARKS)
        add_mark(p, most(p->next_mark, p->sent), !full || p->probing, now_us);
    p->sent = seq;
}

/* The newest mark that the ack covers; it and those before are forgotten. */
static bool take_mark(struct link_pace *p, uint64_t seq, struct link_pace_mark *m)
{
    bool found = false;
    while (p->n && mark_at(p, 0)->seq < seq) {
        *m = *mark_at(p, 0);
        p->first = (p->first + 1) % LINK_PACE_MARKS;
        p->n--;
        found = true;
    }
    return found;
}

/* The round trip. */

static void begin_probe(struct link_pace *p)
{
    p->probing = true;
    p->drained_us = p->probe_rtt_us = 0;
    set_limit(p);
}

static void note_rtt(struct link_pace *p, uint64_t rtt_us, uint64_t now_us)
{
    p->rtt_us = p->rtt_us ? p->rtt_us - p->rtt_us / 8 + rtt_us / 8 : rtt_us;
    p->round_rtt_us = least(p->round_rtt_us, rtt_us);
    if (!p->min_rtt_us || rtt_us <= p->min_rtt_us) {
        p->min_rtt_us = rtt_us;
        p->min_at_us = now_us;
    } else if (!p->probing && between_us(p->min_at_us, now_us) > MIN_LIFE_US) {
        begin_probe(p);
    }
}

/* What was sent once the queue had gone shows the path as it is. */
static void note_probe(struct link_pace *p, const struct link_pace_mark *m, uint64_t rtt_us,
                       uint64_t now_us)
{
    if (!p->drained_us) {
        if (p->sent - p->acked <= p->limit)
            p->drained_us = now_us;
    } else if (m->sent_us >= p->drained_us) {
        p->probe_rtt_us = p->probe_rtt_us ? least(p->probe_rtt_us, rtt_us) : rtt_us;
    }
}

/* A rate from before means nothing beside a round trip that has grown. */
static void end_probe(struct link_pace *p, uint64_t now_us)
{
    p->probing = false;
    if (p->probe_rtt_us > p->min_rtt_us + p->min_rtt_us / 2)
        forget_rate(p);
    p->min_rtt_us = p->probe_rtt_us;
    p->min_at_us = now_us;
}

/* The rate. */

static void note_rate(struct link_pace *p, const struct link_pace_mark *m, uint64_t now_us)
{
    uint64_t rate = (p->acked - m->acked) * SECOND_US / between_us(m->acked_us, now_us);
    p->last_rate = least(rate, RATE_LIMIT);
    p->rate[0] = most(p->rate[0], p->last_rate);
}

static void check_start(struct link_pace *p)
{
    if (top_rate(p) >= p->start_rate + p->start_rate / 4) {
        p->start_rate = top_rate(p);
        p->flat = 0;
    } else if (++p->flat == 3) {
        p->starting = false;
    }
}

static void check_inflation(struct link_pace *p)
{
    uint64_t usual_us = most(full_rtt_us(p), p->limit * SECOND_US / most(top_rate(p), 1));
    p->inflated = p->round_rtt_us > usual_us + usual_us / 2 ? p->inflated + 1 : 0;
    if (p->inflated < 2)
        return;
    forget_rate(p);
    if (!p->probing)
        begin_probe(p);
}

static void end_round(struct link_pace *p, bool idle, uint64_t now_us)
{
    if (p->probing && p->probe_rtt_us)
        end_probe(p, now_us);
    if (!idle) {
        if (p->starting)
            check_start(p);
        else
            check_inflation(p);
        if (++p->rounds >= RATE_ROUNDS) {
            p->rate[1] = p->rate[0];
            p->rate[0] = p->last_rate;
            p->rounds = 0;
        }
    }
    begin_round(p);
}

void link_pace_acked(struct link_pace *p, uint64_t seq, uint64_t now_us)
{
    struct link_pace_mark m;
    if (seq == p->acked)
        return;
    p->acked = seq;
    p->acked_us = now_us;
    if (!take_mark(p, seq, &m))
        return;
    uint64_t rtt_us = least(between_us(m.sent_us, now_us), RTT_LIMIT_US);
    note_rtt(p, rtt_us, now_us);
    note_rate(p, &m, now_us);
    if (p->probing)
        note_probe(p, &m, rtt_us, now_us);
    if (m.acked >= p->round_end)
        end_round(p, m.idle, now_us);
    set_limit(p);
}
