/* Streams of QUIC at their edges: before they have begun, after they have ended, out of order. */
#include <errno.h>

#include "net/quic_internal.h"
#include "tests/unit/quic_rig.h"

static struct qrig r;

static void connect_both(void)
{
    qrig_begin(&r, true);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
}

static bool idle(struct mux *m)
{
    return ngtcp2_conn_get_expiry(quic_conn_of(m)->conn) == UINT64_MAX;
}

/* Four streams whose packets got lost, and one that is heard of first. */
static void open_out_of_order(void)
{
    r.relay.cut = true;
    for (int i = 0; i < 4; i++) {
        qtalk_pump(qrig_open(&r.a), 100, true);
        loop_turn(r.loop, 0);
    }
    loop_turn(r.loop, 0);
    r.relay.cut = false;
    qtalk_pump(qrig_open(&r.a), 100, true);
}

static bool all_over(void)
{
    for (size_t i = 0; i < r.a.n; i++)
        if (!r.a.talks[i]->eof)
            return false;
    return true;
}

TEST(quic_stream_out_of_order)
{
    connect_both();
    r.b.echo = true;
    open_out_of_order();
    QRIG_UNTIL(&r, r.b.n == 5);
    QRIG_UNTIL(&r, all_over());
    for (size_t i = 0; i < 5; i++)
        CHECK(r.a.talks[i]->got == 100 && !r.a.talks[i]->wrong);
    qrig_end(&r);
}

TEST(quic_stream_many_while_packets_get_lost)
{
    connect_both();
    r.b.echo = true;
    r.relay.lose = 50;
    r.relay.later = 100;
    for (int i = 0; i < 200; i++) {
        qtalk_pump(qrig_open(&r.a), 700, true);
        loop_turn(r.loop, 0);
    }
    QRIG_UNTIL(&r, all_over());
    for (size_t i = 0; i < r.a.n; i++)
        CHECK(r.a.talks[i]->got == 700 && !r.a.talks[i]->wrong);
    qrig_end(&r);
}

static void free_side(struct qside *side, struct qtalk *t)
{
    (void)t;
    mux_free(side->m);
    side->m = NULL;
}

/* One is told to the owner, who ends it all: the others are not. */
TEST(quic_stream_out_of_order_to_one_who_leaves)
{
    connect_both();
    r.b.on_accept = free_side;
    open_out_of_order();
    QRIG_UNTIL(&r, r.b.n);
    QRIG_UNTIL(&r, r.a.downs);
    CHECK_INT(r.b.n, 1);
    qrig_end(&r);
}

static void reset_it(struct qside *side, struct qtalk *t)
{
    (void)side;
    qtalk_reset(t);
}

/* Also one that has not been heard of yet. */
TEST(quic_stream_reset_at_once)
{
    connect_both();
    r.b.on_accept = reset_it;
    open_out_of_order();
    QRIG_UNTIL(&r, r.b.n == 5);
    for (size_t i = 0; i < 5; i++)
        QRIG_UNTIL(&r, r.a.talks[i]->error == ECONNRESET);
    QRIG_UNTIL(&r, !mux_count(r.a.m) && !mux_count(r.b.m));
    qrig_end(&r);
}

TEST(quic_stream_outlives_its_connection)
{
    connect_both();
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 1000, false);
    QRIG_UNTIL(&r, r.b.n && r.b.talks[0]->got == 1000);
    CHECK(quic_is_stream(r.a.m, t->s));
    CHECK(!quic_is_stream(r.b.m, t->s));
    struct mux *m = r.a.m;
    free_side(&r.a, NULL);
    CHECK(!quic_is_stream(m, t->s));
    CHECK_INT(stream_room(t->s), 0);
    stream_write(t->s, "x", 1);
    stream_shutdown(t->s);
    QRIG_UNTIL(&r, t->error == ECONNRESET);
    qrig_end(&r);
}

static unsigned drains;

static void count_drains(struct qtalk *t, enum stream_event event)
{
    drains += event == STREAM_DRAINED && t->wrote == t->goal;
}

/* Room is told of once, not with each packet. */
TEST(quic_stream_drains_once)
{
    connect_both();
    drains = 0;
    r.a.on_event = count_drains;
    qtalk_pump(qrig_open(&r.a), 3 << 20, true);
    QRIG_UNTIL(&r, r.b.n && r.b.talks[0]->eof);
    CHECK(drains <= 1);
    qrig_end(&r);
}

/* The peer's half is open for as long as it likes, but nobody is there to hear of it. */
TEST(quic_stream_is_forgotten_when_closed)
{
    connect_both();
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 10, false);
    QRIG_UNTIL(&r, r.b.n && r.b.talks[0]->got == 10);
    QRIG_UNTIL(&r, idle(r.a.m));
    qtalk_close(t);
    QRIG_UNTIL(&r, r.b.talks[0]->eof);
    QRIG_UNTIL(&r, !mux_count(r.a.m));
    CHECK_INT(mux_count(r.b.m), 1);
    qrig_end(&r);
}

/* What streams held is not held against those that come. */
TEST(quic_stream_leaves_nothing)
{
    connect_both();
    r.b.hold = true;
    r.relay.cut = true;
    for (int i = 0; i < 20; i++)
        qtalk_pump(qrig_open(&r.a), 1 << 20, true);
    qrig_idle(&r, 20);
    CHECK(quic_conn_of(r.a.m)->unsent > 0);
    r.relay.cut = false;
    quic_probe(r.a.m);
    QRIG_UNTIL(&r, r.b.n == 20 && quic_conn_of(r.b.m)->held_bytes > 0);
    for (size_t i = 0; i < 20; i++)
        (i % 2 ? qtalk_reset : qtalk_close)(i % 4 < 2 ? r.a.talks[i] : r.b.talks[i]);
    for (size_t i = 0; i < 20; i++) {
        struct qtalk *rest = i % 4 < 2 ? r.b.talks[i] : r.a.talks[i];
        if (rest->s && i % 4 != 0)
            QRIG_UNTIL(&r, rest->error);
        else if (rest->s)
            qtalk_close(rest);
    }
    QRIG_UNTIL(&r, !mux_count(r.a.m) && !mux_count(r.b.m));
    CHECK_INT(quic_conn_of(r.a.m)->unsent, 0);
    CHECK_INT(quic_conn_of(r.b.m)->unsent, 0);
    CHECK_INT(quic_conn_of(r.a.m)->held_bytes, 0);
    CHECK_INT(quic_conn_of(r.b.m)->held_bytes, 0);
    CHECK_INT(quic_conn_of(r.b.m)->credit_owed, 0);
    qrig_end(&r);
}
