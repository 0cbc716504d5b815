/* The pace on paths made of arithmetic: a bottleneck with a queue that never overflows, the
 * same delay both ways, and a receiver that acknowledges as link_flow.c does. */
#include "net/link_pace.h"

#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/test.h"

#define TICK_US   500
#define RING      1024 /* ticks a byte or an ack may be on its way: half a second each */
#define ACK_BYTES 32768
#define ACK_US    25000
#define MAX       (4u << 20)

struct path {
    double mbits, rtt_ms;
    struct link_pace pace;
    uint64_t now_us;
    size_t tick;
    double passed;          /* bytes through the bottleneck */
    double passed_at[RING]; /* the same, at each tick */
    uint64_t acks_at[RING];
    uint64_t sent, received, told, ack_due_us;
    double slow_start; /* bytes a round trip that TCP has dared so far; 0: no TCP */
    uint64_t idle_us;  /* the sender has nothing to send until then */
};

/* What was measured over a while. */
struct measure {
    double use;      /* of the bottleneck, 1 is all */
    double queue_ms; /* the longest */
    double mean_ms;
};

static void path_init(struct path *p, double mbits, double rtt_ms)
{
    *p = (struct path){.mbits = mbits, .rtt_ms = rtt_ms, .now_us = 1};
    link_pace_start(&p->pace, 0, MAX, p->now_us);
}

static size_t delay(const struct path *p)
{
    return (size_t)(p->rtt_ms * 1000 / 2 / TICK_US);
}

static double rate(const struct path *p)
{
    return p->mbits * 1e6 / 8;
}

static void send_more(struct path *p)
{
    while (p->now_us >= p->idle_us && p->sent + 4096 <= p->pace.acked + p->pace.limit) {
        uint64_t n = p->pace.acked + p->pace.limit - p->sent;
        p->sent += n < 65536 ? n : 65536;
        bool full = p->sent + 4096 > p->pace.acked + p->pace.limit;
        link_pace_sent(&p->pace, p->sent, full, p->now_us);
    }
}

static void pass(struct path *p)
{
    double bytes = rate(p) * TICK_US / 1e6;
    if (p->slow_start > 0) {
        double dared = p->slow_start * TICK_US / (p->rtt_ms * 1000);
        bytes = dared < bytes ? dared : bytes;
    }
    if (bytes > (double)p->sent - p->passed)
        bytes = (double)p->sent - p->passed;
    p->passed += bytes;
    if (p->slow_start > 0)
        p->slow_start += bytes;
    p->passed_at[p->tick % RING] = p->passed;
}

static void receive(struct path *p)
{
    uint64_t arrived = (uint64_t)p->passed_at[(p->tick - delay(p)) % RING];
    if (p->tick < delay(p) || arrived < p->received)
        arrived = p->received;
    p->received = arrived;
    if (p->received > p->told && !p->ack_due_us)
        p->ack_due_us = p->now_us + ACK_US;
    if (p->received - p->told >= ACK_BYTES || (p->ack_due_us && p->now_us >= p->ack_due_us)) {
        p->told = p->received;
        p->ack_due_us = 0;
    }
    p->acks_at[p->tick % RING] = p->told;
}

static void tick(struct path *p)
{
    p->tick++;
    p->now_us += TICK_US;
    uint64_t acked = p->tick < delay(p) ? 0 : p->acks_at[(p->tick - delay(p)) % RING];
    if (acked > p->pace.acked)
        link_pace_acked(&p->pace, acked, p->now_us);
    send_more(p);
    pass(p);
    receive(p);
}

static struct measure run(struct path *p, double seconds)
{
    struct measure m = {0};
    double before = p->passed, sum = 0;
    size_t ticks = (size_t)(seconds * 1e6 / TICK_US);
    for (size_t i = 0; i < ticks; i++) {
        tick(p);
        double queue_ms = ((double)p->sent - p->passed) / rate(p) * 1000;
        sum += queue_ms;
        if (queue_ms > m.queue_ms)
            m.queue_ms = queue_ms;
        CHECK(p->pace.limit <= MAX);
    }
    m.use = (p->passed - before) / (rate(p) * seconds);
    m.mean_ms = sum / (double)ticks;
    return m;
}

static void check(const struct path *p, const char *what, bool ok, const struct measure *m)
{
    if (!ok)
        test_fail(__FILE__, __LINE__, "%s: %g Mbit/s, %g ms: use %.3f, queue %.0f ms, mean %.0f ms",
                  what, p->mbits, p->rtt_ms, m->use, m->queue_ms, m->mean_ms);
}

/* The round trip that is measured includes the ack's own delay; the queue may be as long as
 * that, and 25 ms at least. On a slow path the least limit decides. */
static double queue_bound_ms(const struct path *p)
{
    double own = p->rtt_ms + ACK_US / 1e3;
    double least = LINK_PACE_MIN / rate(p) * 1000;
    return (own > least ? own : least) + ACK_US / 1e3 + 1;
}

static const struct {
    double mbits, rtt_ms;
} paths[] = {{100, 100}, {10, 20}, {1000, 1}, {100, 1}, {50, 300},
             {300, 100}, {2, 50},  {1, 80},   {20, 1},  {5000, 1}};

TEST(link_pace_fills_paths_and_keeps_queues_short)
{
    struct path *p = xmalloc(sizeof(*p));
    for (size_t i = 0; i < countof(paths) * 2; i++) {
        path_init(p, paths[i / 2].mbits, paths[i / 2].rtt_ms);
        if (i % 2)
            p->slow_start = 14600;
        struct measure m = run(p, 5);
        check(p, "start", m.use >= (p->rtt_ms < 200 ? 0.8 : 0.6), &m);
        m = run(p, 4);
        check(p, "steady", m.use >= 0.98 && m.queue_ms <= queue_bound_ms(p), &m);
        m = run(p, 25); /* two probes */
        check(p, "long", m.use >= 0.95 && m.mean_ms <= queue_bound_ms(p), &m);
        check(p, "worst", m.queue_ms <= 2 * queue_bound_ms(p), &m);
    }
    free(p);
}

/* 1.25 MB under way: a limit that never grew would use 5 % of it. TCP's own start takes most
 * of the first half second. */
TEST(link_pace_fills_a_long_fat_path_within_a_second)
{
    struct path *p = xmalloc(sizeof(*p));
    path_init(p, 100, 100);
    p->slow_start = 14600;
    run(p, 0.5);
    struct measure m = run(p, 0.5);
    check(p, "second half", m.use >= 0.9, &m);
    free(p);
}

TEST(link_pace_follows_the_path)
{
    struct path *p = xmalloc(sizeof(*p));
    path_init(p, 100, 50);
    run(p, 8);
    p->mbits = 10;
    run(p, 6);
    struct measure m = run(p, 4);
    check(p, "slower", m.use >= 0.95 && m.queue_ms <= 2 * queue_bound_ms(p), &m);
    p->mbits = 100;
    run(p, 2);
    m = run(p, 4);
    check(p, "faster", m.use >= 0.95, &m);
    p->rtt_ms = 150;
    run(p, 12);
    m = run(p, 4);
    check(p, "longer", m.use >= 0.95 && m.queue_ms <= 2 * queue_bound_ms(p), &m);
    p->rtt_ms = 20;
    run(p, 12);
    m = run(p, 8);
    check(p, "shorter", m.use >= 0.95 && m.mean_ms <= 3 * queue_bound_ms(p), &m);
    free(p);
}

/* The probe that finds a path changed must not believe the rate from before. */
TEST(link_pace_follows_a_path_that_changes_during_a_probe)
{
    struct path *p = xmalloc(sizeof(*p));
    path_init(p, 100, 50);
    run(p, 5);
    for (int i = 0; i < 100000 && !p->pace.probing; i++)
        tick(p);
    CHECK(p->pace.probing);
    p->mbits = 10;
    run(p, 3);
    struct measure m = run(p, 4);
    check(p, "slower", m.use >= 0.95 && m.queue_ms <= 5 * queue_bound_ms(p), &m);
    run(p, 8);
    m = run(p, 4);
    check(p, "after the next probe", m.use >= 0.95 && m.queue_ms <= 2 * queue_bound_ms(p), &m);
    free(p);
}

TEST(link_pace_measures_no_rate_while_nothing_is_sent)
{
    struct link_pace p;
    link_pace_start(&p, 0, MAX, 1000);
    link_pace_sent(&p, 60000, true, 100000000);
    link_pace_acked(&p, 60000, 100100000);
    CHECK_INT(p.rate[0], 600000);
    CHECK_INT(p.rtt_us, 100000);
    link_pace_sent(&p, 70000, false, 200000000);
    link_pace_acked(&p, 70000, 200010000);
    CHECK_INT(p.rate[0], 1000000);
    CHECK_INT(p.min_rtt_us, 10000);
}

/* Little is sent for long; then there is much again. */
TEST(link_pace_remembers_through_idleness)
{
    struct path *p = xmalloc(sizeof(*p));
    path_init(p, 100, 100);
    run(p, 5);
    uint64_t limit = p->pace.limit;
    p->idle_us = UINT64_MAX;
    for (int i = 0; i < 400; i++) {
        p->sent += 50;
        link_pace_sent(&p->pace, p->sent, false, p->now_us);
        for (int t = 0; t < 250; t++)
            tick(p);
    }
    CHECK(p->pace.limit > limit / 2);
    CHECK(p->pace.rtt_us > 95000 && p->pace.rtt_us < 140000);
    p->idle_us = 0;
    run(p, 0.3);
    struct measure m = run(p, 1);
    check(p, "again", m.use >= 0.95, &m);
    free(p);
}

/* What the unit promises whatever it is told. */
TEST(link_pace_stays_within_bounds)
{
    struct link_pace p;
    uint64_t now_us = 1, sent = 0, acked = 0;
    unsigned seed = 7;
    link_pace_start(&p, 0, MAX, now_us);
    CHECK_INT(p.limit, LINK_PACE_START);
    CHECK_INT(p.rtt_us, 0);
    for (int i = 0; i < 200000; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned dice = seed >> 16;
        if (dice % 1000 == 0)
            now_us += (uint64_t)dice << 20;
        else
            now_us += dice % 3 ? 0 : dice;
        if (dice % 2) {
            sent += dice;
            link_pace_sent(&p, sent, dice % 5 > 2, now_us);
        } else {
            acked += (sent - acked) * (dice % 17) / 16;
            acked = acked < sent ? acked : sent;
            link_pace_acked(&p, acked, now_us);
        }
        CHECK(p.limit >= 8192 && p.limit <= MAX);
        CHECK(p.n <= LINK_PACE_MARKS);
    }
    CHECK(p.rtt_us > 0);
}
