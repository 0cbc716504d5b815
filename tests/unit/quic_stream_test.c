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
    r.relay.lose = 100;
    qtalk_pump(qrig_open(&r.a), 1 << 20, true);
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

/* Both halves have ended, and one end has not read yet. */
TEST(quic_stream_read_after_its_end)
{
    connect_both();
    r.b.hold = true;
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 1000, true);
    QRIG_UNTIL(&r, r.b.n == 1);
    qtalk_pump(r.b.talks[0], 0, true);
    QRIG_UNTIL(&r, t->eof && !mux_count(r.b.m));
    CHECK_INT(quic_conn_of(r.b.m)->held_bytes, 0);
    qtalk_take(r.b.talks[0]);
    CHECK_INT(r.b.talks[0]->got, 1000);
    QRIG_UNTIL(&r, r.b.talks[0]->eof);
    CHECK(!r.b.talks[0]->wrong && !r.b.talks[0]->error);
    CHECK_INT(quic_conn_of(r.b.m)->held_bytes, 0);
    qrig_end(&r);
}

/* Who has closed a stream but not got rid of all its bytes tells at once that it does not read. */
TEST(quic_stream_bytes_for_one_that_is_still_sending)
{
    connect_both();
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 10, false);
    QRIG_UNTIL(&r, r.b.n && r.b.talks[0]->got == 10);
    t->hold = true;
    qtalk_pump(r.b.talks[0], 8 << 20, false);
    QRIG_UNTIL(&r, r.b.talks[0]->wrote > 300u << 10); /* more than the window */
    qtalk_close(r.b.talks[0]);
    CHECK_INT(mux_count(r.b.m), 1);
    qtalk_pump(t, 20, false);
    QRIG_UNTIL(&r, t->error == ECONNRESET);
    qrig_end(&r);
}

TEST(quic_stream_closed_before_it_began)
{
    connect_both();
    qtalk_close(qrig_open(&r.a));
    CHECK_INT(mux_count(r.a.m), 0);
    qtalk_pump(qrig_open(&r.a), 10, true);
    QRIG_UNTIL(&r, r.b.n && r.b.talks[r.b.n - 1]->got == 10);
    CHECK_INT(r.b.n, 1);
    qrig_end(&r);
}

/* ---- fairness and limits ---- */

static uint64_t got_before;

static void note_first(struct qside *side, struct qtalk *t)
{
    (void)t;
    if (side->n == 2)
        got_before = side->talks[0]->got;
}

TEST(quic_stream_takes_turns)
{
    connect_both();
    r.b.on_accept = note_first;
    for (int i = 0; i < 2; i++)
        qtalk_pump(qrig_open(&r.a), 200000, true);
    QRIG_UNTIL(&r, r.b.n == 2);
    CHECK(got_before < 100000);
    qrig_end(&r);
}

static void note_end(struct qtalk *t, enum stream_event event)
{
    if (event == STREAM_EOF && t->got == 10)
        got_before = t->side->talks[0]->got;
}

TEST(quic_stream_small_ones_first)
{
    connect_both();
    got_before = UINT64_MAX;
    r.b.on_event = note_end;
    qtalk_pump(qrig_open(&r.a), 200000, true);
    qtalk_pump(qrig_open(&r.a), 10, true);
    QRIG_UNTIL(&r, r.b.n == 2 && r.b.talks[1]->eof);
    CHECK(got_before < 50000);
    qrig_end(&r);
}

/* When nothing gets through, each of many queues is short. */
TEST(quic_stream_queues_are_bounded)
{
    connect_both();
    r.relay.cut = true;
    for (int i = 0; i < 200; i++)
        qtalk_pump(qrig_open(&r.a), 1 << 20, true);
    CHECK(quic_conn_of(r.a.m)->unsent >= 16u << 20);
    CHECK(quic_conn_of(r.a.m)->unsent <= 22u << 20);
    qrig_end(&r);
}

/* When nobody reads, all are held up at last. */
TEST(quic_stream_unread_bytes_are_bounded)
{
    qrig_begin(&r, false);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
    r.b.hold = true;
    for (int i = 0; i < 400; i++)
        qtalk_pump(qrig_open(&r.a), 256u << 10, true);
    QRIG_UNTIL(&r, quic_conn_of(r.b.m)->held_bytes >= 40u << 20);
    qrig_idle(&r, 300);
    CHECK(quic_conn_of(r.b.m)->held_bytes <= (40u << 20) + QUIC_WINDOW);
    for (size_t i = 0; i < r.b.n; i++) {
        r.b.talks[i]->hold = false;
        qtalk_take(r.b.talks[i]);
    }
    r.b.hold = false;
    QRIG_UNTIL(&r, r.b.n == 400);
    for (size_t i = 0; i < 400; i++)
        QRIG_UNTIL(&r, r.b.talks[i]->eof);
    qrig_end(&r);
}

TEST(quic_stream_queue_holds_nothing_when_all_is_acknowledged)
{
    static const uint8_t bytes[40000];
    struct quic_queue q = {0};
    quic_queue_write(&q, bytes, sizeof(bytes));
    quic_queue_sent(&q, sizeof(bytes));
    quic_queue_acked(&q, sizeof(bytes) - 1);
    CHECK(q.head != NULL);
    quic_queue_acked(&q, 1);
    CHECK(q.head == NULL);
    CHECK_INT(q.unacked + q.unsent, 0);
    quic_queue_fini(&q);
}
