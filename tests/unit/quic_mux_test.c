/* The QUIC mux over loopback: handshake, streams, ends, limits. */
#include <errno.h>
#include <unistd.h>

#include "tests/unit/quic_rig.h"

#define MANY 1000

static struct qrig r;

static void connect_both(bool relayed)
{
    qrig_begin(&r, relayed);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
}

TEST(quic_mux_handshake)
{
    connect_both(false);
    CHECK(quic_is_up(r.a.m) && quic_is_up(r.b.m));
    CHECK_INT(r.a.ups, 1);
    CHECK_INT(r.b.ups, 1);
    CHECK_INT(quic_server_count(r.server), 1);
    mux_free(r.a.m);
    r.a.m = NULL;
    QRIG_UNTIL(&r, r.b.downs);
    CHECK_INT(r.b.down_error, 0);
    qrig_end(&r);
}

TEST(quic_mux_echo_both_ways)
{
    qrig_begin(&r, false);
    r.b.echo = true;
    qrig_connect(&r);
    struct qtalk *t = qrig_open(&r.a); /* before the handshake */
    qtalk_pump(t, 3000000, true);
    QRIG_UNTIL(&r, t->eof);
    CHECK_INT(t->got, 3000000);
    CHECK(!t->wrong);
    CHECK_INT(r.b.n, 1);
    r.a.echo = true;
    struct qtalk *back = qrig_open(&r.b);
    back->echo = false;
    qtalk_pump(back, 100000, true);
    QRIG_UNTIL(&r, back->eof);
    CHECK_INT(back->got, 100000);
    CHECK(!back->wrong);
    qrig_end(&r);
}

TEST(quic_mux_a_stream_without_a_byte)
{
    connect_both(false);
    struct qtalk *t = qrig_open(&r.a);
    QRIG_UNTIL(&r, r.b.n == 1);
    CHECK(!r.b.talks[0]->eof);
    stream_shutdown(t->s);
    QRIG_UNTIL(&r, r.b.talks[0]->eof);
    qtalk_pump(r.b.talks[0], 5, true);
    QRIG_UNTIL(&r, t->eof);
    CHECK_INT(t->got, 5);
    qrig_end(&r);
}

static bool all_echoed(void)
{
    for (size_t i = 0; i < r.a.n; i++)
        if (!r.a.talks[i]->eof)
            return false;
    return true;
}

TEST(quic_mux_a_thousand_streams)
{
    qrig_begin(&r, false);
    r.b.echo = true;
    qrig_connect(&r);
    for (int i = 0; i < MANY; i++)
        qtalk_pump(qrig_open(&r.a), 2000, true);
    QRIG_UNTIL(&r, all_echoed());
    for (size_t i = 0; i < r.a.n; i++) {
        CHECK_INT(r.a.talks[i]->got, 2000);
        CHECK(!r.a.talks[i]->wrong);
        qtalk_close(r.a.talks[i]);
    }
    QRIG_UNTIL(&r, !mux_count(r.a.m) && !mux_count(r.b.m));
    qrig_end(&r);
}

TEST(quic_mux_resets)
{
    connect_both(false);
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 10, false);
    QRIG_UNTIL(&r, r.b.n == 1 && r.b.talks[0]->got == 10);
    qtalk_reset(t);
    QRIG_UNTIL(&r, r.b.talks[0]->error);
    CHECK_INT(r.b.talks[0]->error, ECONNRESET);
    r.b.hold = true;
    t = qrig_open(&r.a);
    qtalk_pump(t, 10, false);
    QRIG_UNTIL(&r, r.b.n == 2);
    qrig_idle(&r, 5);
    qtalk_close(r.b.talks[1]); /* what came lies unread */
    QRIG_UNTIL(&r, t->error);
    CHECK_INT(t->error, ECONNRESET);
    QRIG_UNTIL(&r, !mux_count(r.a.m) && !mux_count(r.b.m));
    qrig_end(&r);
}

TEST(quic_mux_late_bytes_for_a_closed_stream)
{
    connect_both(false);
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 10, false);
    QRIG_UNTIL(&r, r.b.n == 1 && r.b.talks[0]->got == 10);
    qtalk_close(r.b.talks[0]);
    QRIG_UNTIL(&r, t->eof);
    qtalk_pump(t, 20, false);
    QRIG_UNTIL(&r, t->error);
    CHECK_INT(t->error, ECONNRESET);
    qrig_end(&r);
}

TEST(quic_mux_a_stalled_reader)
{
    connect_both(false);
    r.b.hold = true;
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 40 << 20, true);
    QRIG_UNTIL(&r, r.b.n == 1);
    qrig_idle(&r, 100);
    CHECK(t->wrote < 40 << 20);
    r.b.hold = false;
    struct qtalk *other = qrig_open(&r.a);
    qtalk_pump(other, 2 << 20, true);
    QRIG_UNTIL(&r, r.b.n == 2 && r.b.talks[1]->eof);
    CHECK(!r.b.talks[0]->eof);
    r.b.talks[0]->hold = false;
    qtalk_take(r.b.talks[0]);
    QRIG_UNTIL(&r, r.b.talks[0]->eof);
    CHECK_INT(r.b.talks[0]->got, 40 << 20);
    CHECK(!r.b.talks[0]->wrong);
    qrig_end(&r);
}

TEST(quic_mux_a_hundred_megabytes_each_way)
{
    qrig_begin(&r, false);
    r.b.echo = false;
    qrig_connect(&r);
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 100 << 20, true);
    QRIG_UNTIL(&r, r.b.n);
    qtalk_pump(r.b.talks[0], 100 << 20, true);
    QRIG_UNTIL(&r, t->eof && r.b.talks[0]->eof);
    CHECK_INT(t->got, 100 << 20);
    CHECK_INT(r.b.talks[0]->got, 100 << 20);
    CHECK(!t->wrong && !r.b.talks[0]->wrong);
    qrig_end(&r);
}

TEST(quic_mux_go_away)
{
    connect_both(false);
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 10, false);
    QRIG_UNTIL(&r, r.b.n == 1 && r.b.talks[0]->got == 10);
    mux_go_away(r.b.m);
    CHECK(!mux_open(r.b.m));
    CHECK_INT(errno, ECONNABORTED);
    struct qtalk *late = qrig_open(&r.a);
    qtalk_pump(late, 10, false);
    QRIG_UNTIL(&r, late->error);
    CHECK_INT(late->error, ECONNRESET);
    late = qrig_open(&r.a); /* which says nothing */
    QRIG_UNTIL(&r, late->error);
    CHECK(!t->error);
    qrig_end(&r);
}

TEST(quic_mux_datagrams)
{
    uint8_t bytes[1000] = {1};
    connect_both(false);
    QRIG_UNTIL(&r, quic_datagram_max(r.a.m) >= sizeof(bytes));
    CHECK_INT(quic_datagram_send(r.a.m, bytes, sizeof(bytes)), 0);
    QRIG_UNTIL(&r, r.b.datagrams == 1);
    CHECK_INT(r.b.datagram_len, sizeof(bytes));
    for (int i = 0; i < 20; i++) { /* the longest, as it grows */
        static const uint8_t most[65536];
        unsigned n = r.b.datagrams;
        CHECK_INT(quic_datagram_send(r.a.m, most, quic_datagram_max(r.a.m)), 0);
        QRIG_UNTIL(&r, r.b.datagrams > n);
    }
    CHECK_INT(quic_datagram_send(r.a.m, bytes, 100000), -1);
    CHECK_INT(errno, EMSGSIZE);
    CHECK_INT(quic_datagram_send(r.b.m, bytes, 1), 0);
    QRIG_UNTIL(&r, r.a.datagrams == 1);
    CHECK_INT(quic_datagram_send(r.b.m, NULL, 0), 0);
    QRIG_UNTIL(&r, r.a.datagrams == 2);
    CHECK_INT(r.a.datagram_len, 0);
    qrig_end(&r);
}

/* Batches of packets are cut where they have to be: what is lost here stays lost. */
TEST(quic_mux_datagrams_of_all_sizes)
{
    static const uint8_t bytes[1000];
    connect_both(false);
    QRIG_UNTIL(&r, quic_datagram_max(r.a.m) >= sizeof(bytes));
    for (size_t i = 0; i < 60; i++)
        CHECK_INT(quic_datagram_send(r.a.m, bytes, i % 3 ? 700 + i : sizeof(bytes)), 0);
    QRIG_UNTIL(&r, r.b.datagrams == 60);
    qrig_end(&r);
}

TEST(quic_mux_datagrams_are_bounded)
{
    static const uint8_t bytes[1000];
    unsigned queued = 0;
    connect_both(true);
    QRIG_UNTIL(&r, quic_datagram_max(r.a.m) >= sizeof(bytes));
    r.relay.cut = true;
    while (queued < 1000 && !quic_datagram_send(r.a.m, bytes, sizeof(bytes)))
        queued++;
    CHECK_INT(errno, EAGAIN);
    CHECK(queued > 200 && queued < 300);
    r.relay.cut = false;
    qrig_end(&r);
}

TEST(quic_mux_new_keys)
{
    qrig_begin(&r, false);
    r.b.echo = true;
    qrig_connect(&r);
    struct qtalk *t = qrig_open(&r.a);
    unsigned updates = 0;
    for (uint64_t len = 10000; updates < 3 && qrig_turn(&r); len += 10000) {
        qtalk_pump(t, len, false);
        if (t->got)
            updates += quic_update_keys(r.a.m);
    }
    CHECK_INT(updates, 3);
    qtalk_pump(t, t->goal + 100000, true);
    QRIG_UNTIL(&r, t->eof);
    CHECK_INT(t->got, t->goal);
    CHECK(!t->wrong);
    qrig_end(&r);
}
