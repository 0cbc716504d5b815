/* QUIC over paths that are dead for minutes, or turn out to take less. */
#include "net/quic_internal.h"
#include "tests/unit/quic_rig.h"

static struct qrig r;

/* ---- outages of minutes, in no time ---- */

/* How long the probe timer of a connection will wait, in seconds. */
static uint64_t wait_of(struct mux *m)
{
    ngtcp2_tstamp at = ngtcp2_conn_get_expiry(quic_conn_of(m)->conn), now = quic_now();
    return at == UINT64_MAX ? 0 : at > now ? (at - now) / NGTCP2_SECONDS : 0;
}

/* To the time at which one of the two has something to do. */
static void skip(void)
{
    struct quic_conn *ends[] = {quic_conn_of(r.a.m), quic_conn_of(r.b.m)};
    ngtcp2_tstamp a = ngtcp2_conn_get_expiry(ends[0]->conn);
    ngtcp2_tstamp b = ngtcp2_conn_get_expiry(ends[1]->conn), now = quic_now();
    ngtcp2_tstamp first = a < b ? a : b;
    if (first > now)
        quic_clock_ahead_ns += first - now;
    quic_conn_wake(ends[0]);
    quic_conn_wake(ends[1]);
    loop_turn(r.loop, 1);
    loop_turn(r.loop, 0);
}

#define LONG 200 /* seconds: more than a test may take */

static bool waits(bool of_both)
{
    return wait_of(r.a.m) >= LONG && (!of_both || wait_of(r.b.m) >= LONG);
}

static void long_outage(bool of_both)
{
    for (int i = 0; i < 1000 && !waits(of_both); i++)
        skip();
    CHECK(waits(of_both));
}

/* Both windows are full, both probe timers far off: one probe, or a hop, wakes both ends. */
TEST(quic_outage_probe_after_a_long_outage)
{
    for (int i = 0; i < 3; i++) {
        qrig_bulk(&r, true, 8 << 20);
        QRIG_UNTIL(&r, r.a.talks[0]->got >= 1 << 20);
        r.relay.cut = true;
        long_outage(true);
        CHECK(quic_silence_ms(r.a.m) > 200000);
        r.a.answers = r.b.answers = 0;
        quic_await_answer(r.a.m);
        quic_await_answer(r.b.m);
        r.relay.cut = false;
        if (i == 2)
            CHECK_INT(quic_hop(r.a.m, NULL), 0);
        else
            quic_probe(i ? r.a.m : r.b.m);
        QRIG_UNTIL(&r, r.a.answers && r.b.answers);
        qrig_bulk_end(&r, 8 << 20);
    }
}

/* The client is told after the outage of what the server had before. */
TEST(quic_outage_late_ack_is_no_rtt)
{
    qrig_bulk(&r, true, 8 << 20);
    QRIG_UNTIL(&r, r.a.talks[0]->got >= 1 << 20);
    r.relay.mute = true;
    long_outage(false);
    quic_clock_ahead_ns += 100 * NGTCP2_SECONDS;
    r.relay.mute = false;
    quic_probe(r.b.m);
    while (quic_silence_ms(r.a.m) > 50000 && qrig_turn(&r))
        continue;
    CHECK(quic_rtt_us(r.a.m) < 5000000);
    qrig_bulk_end(&r, 8 << 20);
}

static bool idle(struct mux *m)
{
    return ngtcp2_conn_get_expiry(quic_conn_of(m)->conn) == UINT64_MAX;
}

/* Nothing was under way: still there is an answer. */
TEST(quic_outage_probe_of_an_idle_path)
{
    qrig_begin(&r, true);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups && idle(r.a.m) && idle(r.b.m));
    quic_clock_ahead_ns += 100 * NGTCP2_SECONDS;
    CHECK(quic_silence_ms(r.a.m) >= 100000);
    quic_probe(r.a.m);
    QRIG_UNTIL(&r, quic_silence_ms(r.a.m) < 90000);
    qrig_end(&r);
}

/* ---- paths that take only so much ---- */

static void narrow(void)
{
    qrig_bulk(&r, true, 8 << 20);
    QRIG_UNTIL(&r, r.a.talks[0]->got >= 1 << 20 && r.b.talks[0]->got >= 1 << 20);
    QRIG_UNTIL(&r, quic_datagram_max(r.a.m) > 1400 && quic_datagram_max(r.b.m) > 1400);
    r.relay.most = 1300;
}

TEST(quic_outage_becomes_narrow)
{
    narrow();
    qrig_bulk_end(&r, 8 << 20);
}

/* Small packets go back and forth, so that no probe timer ever expires. */
TEST(quic_outage_becomes_narrow_for_large_packets)
{
    narrow();
    r.b.echo = true;
    struct qtalk *ping = qrig_open(&r.a);
    while (!qrig_bulk_over(&r) && qrig_turn(&r))
        if (ping->got == ping->goal)
            qtalk_pump(ping, ping->goal + 1, false);
    qrig_bulk_end(&r, 8 << 20);
}

/* From a path that takes more: both ends begin to search anew. */
TEST(quic_outage_hops_to_a_narrow_path)
{
    for (int i = 0; i < 2; i++) {
        narrow();
        CHECK_INT((i ? quic_hop : quic_roam)(r.a.m, NULL), 0);
        CHECK(quic_datagram_max(r.a.m) < 1300);
        QRIG_UNTIL(&r, quic_path_good(r.a.m));
        QRIG_UNTIL(&r, quic_datagram_max(r.b.m) < 1300);
        qrig_bulk_end(&r, 8 << 20);
    }
}

/* Datagrams that waited for room, and are too long for the path that there is now. */
TEST(quic_outage_leaves_datagrams_too_long)
{
    static const uint8_t bytes[1380];
    narrow();
    unsigned hears = r.b.datagrams;
    r.relay.cut = true;
    while (!quic_datagram_send(r.a.m, bytes, sizeof(bytes)))
        continue;
    CHECK_INT(quic_hop(r.a.m, NULL), 0);
    r.relay.cut = false;
    QRIG_UNTIL(&r, quic_path_good(r.a.m));
    CHECK_INT(quic_datagram_send(r.a.m, bytes, 1000), 0);
    QRIG_UNTIL(&r, r.b.datagrams > hears && r.b.datagram_len == 1000);
    qrig_bulk_end(&r, 8 << 20);
}
