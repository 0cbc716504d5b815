/* direction.c: see direction.h.
 *
 * Jitter: the delay moves in straight lines between points drawn evenly from ± jitter, each line taking at
 * least four times the jitter. So it falls by at most half of the time that passes, and no packet
 * overtakes another, however close they follow each other.
 *
 * Bursts: a chain of two states, stepped once a packet (Gilbert and Elliott). With 1/burst as the chance to
 * leave the bad one, the chance to enter it is what makes the mean loss come true. */
#include "tests/wan/direction.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELD_MAX     ((uint64_t)512 << 20)
#define RELEASE_MAX  64       /* packets written before others are read again */
#define WANDER_SPAN  10000000 /* a line's at least, in nanoseconds */
#define LONG_AGO     (INT64_MIN / 2)
#define NS_A_SECOND  1e9
#define HEAP_INITIAL 1024

struct packet {
    struct packet *next; /* in the queue */
    int64_t due;
    uint64_t serial; /* those due at once leave in the order they came */
    size_t len;
    uint8_t bytes[];
};

/* --- chance ------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Evenly from [0, 1). */
static double draw_unit(struct direction *d, enum dice dice)
{
    return (double)(draw(&d->dice[dice]) >> 11) * 0x1p-53;
}

static bool happens(struct direction *d, enum dice dice, double probability)
{
    return probability > 0 && draw_unit(d, dice) < probability;
}

static bool is_lost(struct direction *d)
{
    const struct shape *s = &d->shape;
    if (s->burst <= 0 || s->loss >= s->bad)
        return happens(d, DICE_LOSS, s->loss);
    double share = s->loss / s->bad;
    double leave = 1 / s->burst;
    double enter = leave * share / (1 - share);
    d->in_bad_time = d->in_bad_time ? !happens(d, DICE_LOSS, leave) : happens(d, DICE_LOSS, enter);
    return d->in_bad_time && happens(d, DICE_LOSS, s->bad);
}

static int64_t draw_jitter(struct direction *d)
{
    double j = (double)d->shape.jitter_ns;
    return (int64_t)((draw_unit(d, DICE_JITTER) * 2 - 1) * j);
}

static int64_t jitter_at(struct direction *d, int64_t t)
{
    if (!d->shape.jitter_ns)
        return 0;
    int64_t span = 4 * d->shape.jitter_ns > WANDER_SPAN ? 4 * d->shape.jitter_ns : WANDER_SPAN;
    int64_t passed = t - d->wander.since;
    if (passed >= span) {
        bool near = passed < 2 * span;
        d->wander.since = near ? d->wander.since + span : t;
        d->wander.from = near ? d->wander.to : draw_jitter(d);
        d->wander.to = draw_jitter(d);
        passed = t - d->wander.since;
    }
    double part = (double)passed / (double)span;
    return d->wander.from + (int64_t)((double)(d->wander.to - d->wander.from) * part);
}

/* --- memory ------------------------------------------------------------------------------- */

static void *must(void *allocated)
{
    if (!allocated)
        abort();
    return allocated;
}

/* NULL when there are too many, which is counted. */
static struct packet *packet_new(struct direction *d, const uint8_t *bytes, size_t len)
{
    if (d->held_bytes + len > HELD_MAX) {
        d->counts.overflow++;
        return NULL;
    }
    struct packet *p = must(malloc(sizeof *p + len));
    d->held_bytes += len;
    *p = (struct packet){.len = len};
    memcpy(p->bytes, bytes, len);
    return p;
}

static void packet_free(struct direction *d, struct packet *p)
{
    d->held_bytes -= p->len;
    free(p);
}

/* --- the line: a heap by the time packets are due ------------------------------------------- */

static bool is_before(const struct packet *a, const struct packet *b)
{
    return a->due != b->due ? a->due < b->due : a->serial < b->serial;
}

static void fly(struct direction *d, struct packet *p)
{
    if (d->flying_count == d->flying_cap) {
        d->flying_cap = d->flying_cap ? d->flying_cap * 2 : HEAP_INITIAL;
        d->flying = must(reallocarray(d->flying, d->flying_cap, sizeof(struct packet *)));
    }
    p->serial = d->serial++;
    size_t at = d->flying_count++;
    while (at && is_before(p, d->flying[(at - 1) / 2])) {
        d->flying[at] = d->flying[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    d->flying[at] = p;
}

static struct packet *land(struct direction *d)
{
    struct packet *first = d->flying[0];
    struct packet *moved = d->flying[--d->flying_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= d->flying_count)
            break;
        if (child + 1 < d->flying_count && is_before(d->flying[child + 1], d->flying[child]))
            child++;
        if (!is_before(d->flying[child], moved))
            break;
        d->flying[at] = d->flying[child];
        at = child;
    }
    d->flying[at] = moved;
    return first;
}

static int64_t due_at(struct direction *d, int64_t t)
{
    int64_t delay = d->shape.delay_ns + jitter_at(d, t);
    if (delay < 0)
        delay = 0;
    if (happens(d, DICE_REORDER, d->shape.reorder)) {
        d->counts.reordered++;
        delay += d->shape.reorder_ns;
    }
    return t + delay;
}

/* Takes the packet, which enters the line at t. */
static void launch(struct direction *d, struct packet *p, int64_t t)
{
    if (is_lost(d)) {
        d->counts.lost++;
        packet_free(d, p);
        return;
    }
    p->due = due_at(d, t);
    fly(d, p);
    if (!happens(d, DICE_DUPLICATE, d->shape.duplicate))
        return;
    struct packet *twin = packet_new(d, p->bytes, p->len);
    if (!twin)
        return;
    d->counts.duplicated++;
    twin->due = p->due;
    fly(d, twin);
}

static void deliver(struct direction *d, struct packet *p, int64_t now)
{
    int64_t late = now - p->due;
    d->counts.late += late > LATE_NS;
    if (late > d->counts.late_max_ns)
        d->counts.late_max_ns = late;
    if (write(d->out, p->bytes, p->len) == (ssize_t)p->len) {
        d->counts.out++;
        d->counts.out_bytes += p->len;
    } else {
        d->counts.refused++;
    }
    packet_free(d, p);
}

/* --- the bottleneck ----------------------------------------------------------------------- */

static int64_t sending_time(const struct direction *d, const struct packet *p)
{
    return (int64_t)((double)p->len * 8 * NS_A_SECOND / d->shape.rate_bps);
}

static bool queue_has_room(const struct direction *d, size_t len)
{
    const struct shape *s = &d->shape;
    double limit = s->queue_bytes ? (double)s->queue_bytes
                                  : s->rate_bps / 8 * ((double)s->queue_ns / NS_A_SECOND);
    return !d->queue_head || (double)(d->queued_bytes + len) <= limit;
}

static void enqueue(struct direction *d, struct packet *p, int64_t now)
{
    if (!d->queue_head) {
        d->queue_tail = &d->queue_head;
        d->head_sent_at = (d->free_at > now ? d->free_at : now) + sending_time(d, p);
    }
    *d->queue_tail = p;
    d->queue_tail = &p->next;
    d->queued++;
    d->queued_bytes += p->len;
}

static struct packet *dequeue(struct direction *d)
{
    struct packet *p = d->queue_head;
    d->queue_head = p->next;
    d->queued--;
    d->queued_bytes -= p->len;
    return p;
}

static void serve_queue(struct direction *d, int64_t now)
{
    while (d->queue_head && d->head_sent_at <= now) {
        d->free_at = d->head_sent_at;
        launch(d, dequeue(d), d->free_at);
        if (d->queue_head)
            d->head_sent_at = d->free_at + sending_time(d, d->queue_head);
    }
}

/* --- the whole way ------------------------------------------------------------------------ */

void direction_seed(struct direction *d, uint64_t seed)
{
    for (int i = 0; i < DICE_COUNT; i++)
        d->dice[i] = draw(&seed);
    d->in_bad_time = false;
    d->wander.since = LONG_AGO;
}

void direction_init(struct direction *d, int out, uint64_t seed)
{
    *d = (struct direction){.out = out};
    direction_seed(d, seed);
}

static void lose_all(struct direction *d)
{
    d->counts.cut += d->queued + d->flying_count;
    while (d->queue_head)
        packet_free(d, dequeue(d));
    while (d->flying_count)
        packet_free(d, d->flying[--d->flying_count]);
}

/* The packet that is being sent goes on at the new rate from now, unless it is nearly through. */
static void change_rate(struct direction *d, int64_t now)
{
    d->free_at = now;
    if (!d->queue_head)
        return;
    if (d->shape.rate_bps > 0) {
        int64_t at = now + sending_time(d, d->queue_head);
        d->head_sent_at = at < d->head_sent_at ? at : d->head_sent_at;
    }
    while (d->shape.rate_bps <= 0 && d->queue_head)
        launch(d, dequeue(d), now);
}

void direction_reshape(struct direction *d, const struct shape *shape, int64_t now)
{
    serve_queue(d, now);
    if (shape->jitter_ns != d->shape.jitter_ns)
        d->wander.since = LONG_AGO;
    d->shape = *shape;
    change_rate(d, now);
    if (shape->cut)
        lose_all(d);
}

/* The upper protocol; that of IPv6 is not looked for behind extension headers. 0 where there is none. */
static uint8_t protocol_of(const uint8_t *bytes, size_t len)
{
    if (len >= 20 && bytes[0] >> 4 == 4)
        return bytes[9];
    return len >= 40 && bytes[0] >> 4 == 6 ? bytes[6] : 0;
}

/* The counter that a packet goes to which does not pass; NULL when it does. */
static uint64_t *obstacle(struct direction *d, const uint8_t *bytes, size_t len)
{
    if (d->shape.cut)
        return &d->counts.cut;
    if (d->shape.blocked[protocol_of(bytes, len)])
        return &d->counts.blocked;
    if (d->shape.mtu && len > d->shape.mtu)
        return &d->counts.oversize;
    return d->shape.rate_bps > 0 && !queue_has_room(d, len) ? &d->counts.dropped : NULL;
}

void direction_take(struct direction *d, const uint8_t *bytes, size_t len, int64_t now)
{
    d->counts.in++;
    d->counts.in_bytes += len;
    serve_queue(d, now);
    uint64_t *ends_in = obstacle(d, bytes, len);
    if (ends_in) {
        ++*ends_in;
        return;
    }
    struct packet *p = packet_new(d, bytes, len);
    if (!p)
        return;
    if (d->shape.rate_bps > 0)
        enqueue(d, p, now);
    else
        launch(d, p, now);
}

/* What leaves the queue at t is not due before t plus this. */
static int64_t least_delay(const struct direction *d)
{
    int64_t least = d->shape.delay_ns - d->shape.jitter_ns;
    return least > 0 ? least : 0;
}

int64_t direction_next(const struct direction *d)
{
    int64_t queue = d->queue_head ? d->head_sent_at + least_delay(d) : NEVER;
    int64_t line = d->flying_count ? d->flying[0]->due : NEVER;
    return queue < line ? queue : line;
}

void direction_release(struct direction *d, int64_t now)
{
    int64_t until = now + EARLY_NS;
    serve_queue(d, until - least_delay(d));
    for (int i = 0; i < RELEASE_MAX && d->flying_count && d->flying[0]->due <= until; i++)
        deliver(d, land(d), now);
}
