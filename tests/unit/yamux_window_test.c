/* yamux_window_test.c: how much may be on its way, byte for byte. */
#include <errno.h>

#include "net/yamux_internal.h"
#include "tests/unit/yamux_rig.h"

#define WINDOW       YAMUX_WINDOW_FIRST
#define EXPECT(text) CHECK_STR(raw_text(&r), text)

TEST(yamux_returns_the_window_by_halves)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    raw_data(&r, YAMUX_SYN, 1, WINDOW / 2 - 1);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    EXPECT("");
    raw_data(&r, 0, 1, 1);
    yrig_settle(&r);
    EXPECT("window 1 131072");
    raw_data(&r, 0, 1, WINDOW);
    yrig_settle(&r);
    EXPECT("window 1 262144");
    EXPECT("");
    CHECK_INT(r.a.talks[0]->got.len, WINDOW + WINDOW / 2);
    yrig_end(&r);
}

TEST(yamux_holds_a_window_and_no_more)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    r.a.hold = true;
    raw_data(&r, YAMUX_SYN, 1, WINDOW - 1);
    raw_data(&r, 0, 1, 1);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    EXPECT("");
    CHECK_INT(stream_held(r.a.talks[0]->s), WINDOW);
    talk_take(r.a.talks[0]);
    yrig_settle(&r);
    EXPECT("window 1 262144");
    raw_data(&r, 0, 1, WINDOW);
    yrig_settle(&r);
    CHECK_INT(r.a.downs, 0);
    raw_data(&r, 0, 1, 1);
    yrig_settle(&r);
    EXPECT("away 0 1");
    CHECK_INT(r.a.downs, 1);
    CHECK_INT(r.a.down_error, EPROTO);
    CHECK_INT(r.a.talks[0]->error, ECONNRESET);
    yrig_end(&r);
}

TEST(yamux_sends_what_the_window_allows)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    struct talk *t = yrig_open(&r.a);
    CHECK_INT(stream_room(t->s), WINDOW);
    talk_write(t, WINDOW + 300);
    CHECK_INT(stream_room(t->s), 0);
    yrig_settle(&r);
    size_t got = 0;
    for (struct yamux_header h; raw_next(&r, &h);)
        got += r.payload.len;
    CHECK_INT(got, WINDOW);
    CHECK_INT(t->drained, 1);
    CHECK_INT(stream_room(t->s), WINDOW - 300);
    raw_send(&r, YAMUX_WINDOW, YAMUX_ACK, 1, 100);
    yrig_settle(&r);
    EXPECT("data 1 100");
    EXPECT("");
    raw_send(&r, YAMUX_WINDOW, 0, 1, 1000);
    yrig_settle(&r);
    EXPECT("data 1 200");
    EXPECT("");
    CHECK_INT(t->drained, 1);
    yrig_end(&r);
}

TEST(yamux_wakes_a_writer_at_half_of_the_queue)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    struct talk *t = yrig_open(&r.a);
    talk_write(t, WINDOW);
    yrig_settle(&r);
    CHECK_INT(t->drained, 1);
    talk_write(t, WINDOW);
    CHECK_INT(stream_room(t->s), 0);
    raw_send(&r, YAMUX_WINDOW, YAMUX_ACK, 1, WINDOW / 2 - 1);
    yrig_settle(&r);
    CHECK_INT(stream_room(t->s), WINDOW / 2 - 1);
    CHECK_INT(t->drained, 1);
    talk_write(t, 1);
    raw_send(&r, YAMUX_WINDOW, 0, 1, 2);
    yrig_settle(&r);
    CHECK_INT(t->drained, 2);
    yrig_end(&r);
}

/* What no longer fits into the carrier stays in the streams, so that it can be overtaken. */
TEST(yamux_fills_the_carrier_to_its_limit)
{
    enum { LIMIT = 20000, SLICE = 16 * 1024 + YAMUX_HEADER_LEN };
    struct rig r;
    size_t len;
    yrig_raw_limited(&r, YAMUX_CLIENT, LIMIT);
    raw_hold(&r, true);
    yrig_open(&r.a);
    yrig_settle(&r);
    for (int i = 0; i < 8; i++)
        talk_write(yrig_open(&r.a), WINDOW);
    yrig_settle(&r);
    CHECK(stream_peek(r.raw, &len) && len == YAMUX_HEADER_LEN);
    stream_consume(r.raw, len);
    loop_turn(r.loop, 0);
    CHECK(stream_peek(r.raw, &len) && len >= LIMIT && len < LIMIT + SLICE);
    talk_reset(r.a.talks[0]);
    raw_hold(&r, false);
    yrig_settle(&r);
    EXPECT("data SYN 3 16384");
    EXPECT("data SYN 5 16384");
    EXPECT("window RST 1 0");
    EXPECT("data SYN 7 16384");
    yrig_end(&r);
}

TEST(yamux_no_window_for_what_will_not_come)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    raw_data(&r, YAMUX_SYN, 1, WINDOW);
    raw_send(&r, YAMUX_WINDOW, YAMUX_FIN, 1, 0);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    EXPECT("");
    r.a.hold = true;
    raw_data(&r, YAMUX_SYN, 3, WINDOW);
    yrig_settle(&r);
    EXPECT("window ACK 3 0");
    talk_take(r.a.talks[1]);
    talk_close(r.a.talks[1]);
    yrig_settle(&r);
    EXPECT("window FIN 3 0");
    yrig_end(&r);
}

TEST(yamux_queues_more_for_a_bigger_window)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    struct talk *t = yrig_open(&r.a);
    yrig_settle(&r);
    raw_send(&r, YAMUX_WINDOW, YAMUX_ACK, 1, WINDOW);
    yrig_settle(&r);
    CHECK_INT(stream_room(t->s), 2 * WINDOW);
    raw_send(&r, YAMUX_WINDOW, YAMUX_ACK, 1, 64 * WINDOW);
    yrig_settle(&r);
    CHECK_INT(stream_room(t->s), 4 * WINDOW);
    yrig_end(&r);
}

/* Of all that has arrived; payload is skipped. */
static uint32_t window_added(struct rig *r)
{
    struct yamux_header h;
    uint32_t sum = 0;
    while (raw_next(r, &h))
        sum += h.type == YAMUX_WINDOW ? h.length : 0;
    return sum;
}

/* A window's worth, so many times; the size of the window afterwards. */
static uint32_t pump_windows(struct rig *r, uint32_t id, int times)
{
    struct ystream *s = yamux_find((struct yamux *)r->a.m, id);
    for (int i = 0; i < times; i++) {
        raw_data(r, 0, id, s->credit);
        yrig_settle(r);
        CHECK_INT(window_added(r), s->credit);
        CHECK_INT(s->credit + s->returned, s->window);
        buf_consume(&r->a.talks[0]->got, r->a.talks[0]->got.len);
    }
    return s->window;
}

/* The ping that waits on the wire was sent windows ago, so a window takes less than its
 * round trip, now and then at the least. */
TEST(yamux_windows_grow_on_a_long_path)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    yrig_settle(&r);
    CHECK_INT(window_added(&r), 0);
    CHECK_INT(pump_windows(&r, 1, 50), WINDOW);
    raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, 1);
    yrig_settle(&r);
    uint32_t window = WINDOW;
    for (int i = 0; i < 200 && window < YAMUX_WINDOW_MAX; i++)
        window = pump_windows(&r, 1, 1);
    CHECK_INT(window, YAMUX_WINDOW_MAX);
    CHECK_INT(pump_windows(&r, 1, 10), YAMUX_WINDOW_MAX);
    struct yamux *m = (struct yamux *)r.a.m;
    CHECK_INT(*m->grown, YAMUX_WINDOW_MAX - WINDOW);
    talk_reset(r.a.talks[0]);
    yrig_settle(&r);
    CHECK_INT(*m->grown, 0);
    yrig_end(&r);
}

TEST(yamux_all_windows_together_grow_so_far)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    struct yamux *m = (struct yamux *)r.a.m;
    m->rtt_floor_us = 60000000;
    *m->grown = 64 * 1024 * 1024 - WINDOW;
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    yrig_settle(&r);
    CHECK_INT(window_added(&r), 0);
    CHECK_INT(pump_windows(&r, 1, 20), 2 * WINDOW);
    CHECK_INT(*m->grown, 64 * 1024 * 1024);
    yrig_end(&r);
}

TEST(yamux_windows_of_several_connections_share_what_they_grow_by)
{
    struct rig r;
    size_t grown = 3 * WINDOW;
    yrig_raw(&r, YAMUX_SERVER);
    ((struct yamux *)r.a.m)->rtt_floor_us = 60000000;
    yamux_share_growth(r.a.m, &grown, 4 * WINDOW);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    yrig_settle(&r);
    CHECK_INT(window_added(&r), 0);
    CHECK_INT(pump_windows(&r, 1, 20), 2 * WINDOW);
    CHECK_INT(grown, 4 * WINDOW);
    yrig_end(&r);
    CHECK_INT(grown, 3 * WINDOW);
}

TEST(yamux_asks_for_the_round_trip_once_at_a_time)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    struct yamux *m = (struct yamux *)r.a.m;
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    m->ping_ms -= 20000;
    raw_data(&r, 0, 1, 1);
    yrig_settle(&r);
    EXPECT("");
    raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, 1);
    yrig_settle(&r);
    EXPECT("ping SYN 0 2");
    raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, 2);
    raw_data(&r, 0, 1, 1);
    yrig_settle(&r);
    EXPECT("");
    m->ping_ms -= 2000;
    raw_data(&r, 0, 1, WINDOW - 2);
    yrig_settle(&r);
    EXPECT("window 1 262144");
    m->ping_ms -= 2000;
    raw_data(&r, 0, 1, WINDOW);
    yrig_settle(&r);
    EXPECT("ping SYN 0 3");
    window_added(&r);
    yrig_end(&r);
}
