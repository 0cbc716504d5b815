/* yamux_frames_test.c: a mux against frames made by hand, byte for byte. */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/yamux_internal.h"
#include "tests/unit/yamux_rig.h"

#define WINDOW       YAMUX_WINDOW_FIRST
#define EXPECT(text) CHECK_STR(raw_text(&r), text)

TEST(yamux_header_is_big_endian)
{
    static const uint8_t bytes[YAMUX_HEADER_LEN] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    uint8_t again[YAMUX_HEADER_LEN];
    struct yamux_header h = yamux_header_read(bytes);
    CHECK_INT(h.version, 0);
    CHECK_INT(h.type, 1);
    CHECK_INT(h.flags, 0x0203);
    CHECK_INT(h.id, 0x04050607);
    CHECK_INT(h.length, 0x08090a0b);
    yamux_header_write(again, &h);
    CHECK(!memcmp(bytes, again, sizeof(bytes)));
}

TEST(yamux_syn_travels_with_the_first_bytes)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    struct talk *speaks = yrig_open(&r.a);
    yrig_open(&r.a);
    talk_write(speaks, 5);
    talk_write(speaks, 5);
    yrig_settle(&r);
    EXPECT("window SYN 3 0");
    EXPECT("data SYN 1 10");
    talk_write(speaks, 1);
    yrig_settle(&r);
    EXPECT("data 1 1");
    EXPECT("");
    yrig_end(&r);
}

TEST(yamux_server_has_even_ids)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    yrig_open(&r.a);
    yrig_open(&r.a);
    yrig_settle(&r);
    EXPECT("window SYN 2 0");
    EXPECT("window SYN 4 0");
    yrig_end(&r);
}

static void answer(struct side *side, struct talk *t)
{
    if (side->n == 2)
        talk_write(t, 3);
}

TEST(yamux_ack_travels_with_the_first_bytes)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    r.a.on_accept = answer;
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    raw_data(&r, YAMUX_SYN, 3, 4);
    yrig_settle(&r);
    CHECK_INT(r.a.n, 2);
    EXPECT("window ACK 1 0");
    EXPECT("data ACK 3 3");
    CHECK(yrig_bytes_right(&r.a.talks[1]->got, 4));
    yrig_end(&r);
}

TEST(yamux_ends_each_direction_by_fin)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    struct talk *t = yrig_open(&r.a);
    talk_write(t, 5);
    stream_shutdown(t->s);
    yrig_settle(&r);
    EXPECT("data SYN 1 5");
    EXPECT("window FIN 1 0");
    raw_data(&r, YAMUX_ACK, 1, 7);
    yrig_settle(&r);
    CHECK_INT(t->got.len, 7);
    CHECK(!t->eof);
    CHECK_INT(mux_count(r.a.m), 1);
    raw_data(&r, YAMUX_FIN, 1, 0);
    yrig_settle(&r);
    CHECK(t->eof);
    CHECK_INT(mux_count(r.a.m), 0);
    talk_close(t);
    yrig_settle(&r);
    EXPECT("");
    yrig_end(&r);
}

TEST(yamux_fin_may_come_with_bytes)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    raw_data(&r, YAMUX_SYN | YAMUX_FIN, 1, 9);
    yrig_settle(&r);
    CHECK_INT(r.a.talks[0]->got.len, 9);
    CHECK(r.a.talks[0]->eof);
    EXPECT("window ACK 1 0");
    talk_write(r.a.talks[0], 2);
    talk_close(r.a.talks[0]);
    yrig_settle(&r);
    EXPECT("data 1 2");
    EXPECT("window FIN 1 0");
    CHECK_INT(mux_count(r.a.m), 0);
    yrig_end(&r);
}

TEST(yamux_reset_drops_what_is_queued)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    struct talk *t = yrig_open(&r.a);
    talk_write(t, WINDOW + 10);
    yrig_settle(&r);
    CHECK_INT(stream_room(t->s), WINDOW - 10);
    talk_reset(t);
    yrig_settle(&r);
    for (uint32_t got = 0; got < WINDOW; got += (uint32_t)r.payload.len)
        CHECK(!strncmp(raw_text(&r), "data", 4));
    EXPECT("window RST 1 0");
    EXPECT("");
    CHECK_INT(mux_count(r.a.m), 0);
    yrig_end(&r);
}

TEST(yamux_peers_reset_is_an_error)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    r.a.hold = true;
    struct talk *t = yrig_open(&r.a);
    yrig_settle(&r);
    EXPECT("window SYN 1 0");
    raw_data(&r, YAMUX_ACK, 1, 100);
    raw_send(&r, YAMUX_WINDOW, YAMUX_RST, 1, 0);
    yrig_settle(&r);
    CHECK_INT(t->error, ECONNRESET);
    CHECK_INT(t->got.len, 0);
    CHECK_INT(mux_count(r.a.m), 0);
    EXPECT("");
    yrig_end(&r);
}

TEST(yamux_unspoken_streams_leave_no_trace)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    struct talk *t = yrig_open(&r.a), *u = yrig_open(&r.a), *v = yrig_open(&r.a);
    talk_close(t);
    talk_write(u, 100);
    talk_reset(u);
    talk_write(v, 4);
    talk_close(v);
    yrig_settle(&r);
    EXPECT("data SYN 5 4");
    EXPECT("window FIN 5 0");
    EXPECT("");
    CHECK_INT(mux_count(r.a.m), 1);
    yrig_end(&r);
}

TEST(yamux_closing_unread_bytes_resets)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    r.a.hold = true;
    raw_data(&r, YAMUX_SYN, 1, 9);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    talk_write(r.a.talks[0], 3);
    talk_close(r.a.talks[0]);
    yrig_settle(&r);
    EXPECT("data 1 3");
    EXPECT("window RST 1 0");
    CHECK_INT(mux_count(r.a.m), 0);
    yrig_end(&r);
}

static void close_it(struct talk *t, enum stream_event event)
{
    (void)event;
    talk_take(t);
    talk_close(t);
}

TEST(yamux_closing_within_a_frame_resets)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    r.a.on_event = close_it;
    raw_send(&r, YAMUX_DATA, YAMUX_SYN | YAMUX_FIN, 1, 20);
    raw_bytes(&r, 10);
    yrig_settle(&r);
    EXPECT("window ACK RST 1 0");
    raw_bytes(&r, 10);
    raw_send(&r, YAMUX_PING, YAMUX_SYN, 0, 7);
    yrig_settle(&r);
    EXPECT("ping ACK 0 7");
    yrig_end(&r);
}

TEST(yamux_closing_after_the_last_byte_does_not)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    r.a.on_event = close_it;
    raw_data(&r, YAMUX_SYN | YAMUX_FIN, 1, 20);
    yrig_settle(&r);
    EXPECT("window ACK FIN 1 0");
    CHECK_INT(mux_count(r.a.m), 0);
    yrig_end(&r);
}

TEST(yamux_bytes_for_a_closed_stream_are_answered_once)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    yrig_settle(&r);
    talk_close(r.a.talks[0]);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    EXPECT("window FIN 1 0");
    CHECK_INT(mux_count(r.a.m), 1);
    raw_data(&r, 0, 1, 4);
    yrig_settle(&r);
    EXPECT("window RST 1 0");
    CHECK_INT(mux_count(r.a.m), 0);
    raw_send(&r, YAMUX_WINDOW, YAMUX_FIN, 1, 0);
    yrig_settle(&r);
    EXPECT("");
    yrig_end(&r);
}

TEST(yamux_bytes_for_unknown_streams_are_answered_once_each)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    raw_data(&r, YAMUX_SYN, 1, 4);
    raw_data(&r, 0, 7, 4);
    raw_data(&r, 0, 7, 4);
    raw_data(&r, 0, 2, 4);
    raw_data(&r, 0, 0, 4);
    raw_send(&r, YAMUX_PING, YAMUX_SYN, 0, 1);
    yrig_settle(&r);
    CHECK_INT(r.a.talks[0]->got.len, 4);
    EXPECT("window RST 7 0");
    EXPECT("window RST 2 0");
    EXPECT("ping ACK 0 1");
    EXPECT("window ACK 1 0");
    EXPECT("");
    yrig_end(&r);
}

TEST(yamux_forgets_a_closed_stream_that_the_peer_keeps)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    struct yamux *m = (struct yamux *)r.a.m;
    struct talk *ended = yrig_open(&r.a), *stuck = yrig_open(&r.a);
    talk_write(ended, 1);
    talk_write(stuck, WINDOW + 2);
    yrig_settle(&r);
    talk_close(ended);
    talk_close(stuck);
    yrig_settle(&r);
    ystream_sweep(m);
    CHECK_INT(mux_count(r.a.m), 2);
    CHECK(loop_timer_armed(&m->sweep));
    CHECK(yamux_find(m, 1)->deadline_ms <= loop_now_ms(r.loop) + 30000);
    CHECK(yamux_find(m, 3)->deadline_ms > loop_now_ms(r.loop) + 500000);
    yamux_find(m, 1)->deadline_ms = yamux_find(m, 3)->deadline_ms = loop_now_ms(r.loop);
    raw_send(&r, YAMUX_WINDOW, YAMUX_ACK, 3, 1);
    yrig_settle(&r);
    CHECK(yamux_find(m, 3)->deadline_ms > loop_now_ms(r.loop));
    yamux_find(m, 3)->deadline_ms = loop_now_ms(r.loop);
    buf_fini(&r.got);
    ystream_sweep(m);
    yrig_settle(&r);
    CHECK_INT(mux_count(r.a.m), 0);
    EXPECT("window RST 3 0");
    raw_data(&r, 0, 1, 10);
    raw_data(&r, 0, 1, 10);
    yrig_settle(&r);
    EXPECT("window RST 1 0");
    EXPECT("");
    yrig_end(&r);
}

TEST(yamux_reset_while_the_carrier_has_no_room)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    raw_hold(&r, true);
    for (uint32_t i = 0; i < 9; i++)
        talk_write(yrig_open(&r.a), WINDOW);
    yrig_settle(&r);
    struct talk *last = r.a.talks[8];
    CHECK(stream_room(last->s) < WINDOW);
    raw_send(&r, YAMUX_WINDOW, YAMUX_RST, 17, 0);
    yrig_settle(&r);
    CHECK_INT(last->error, ECONNRESET);
    size_t got = 0;
    raw_hold(&r, false);
    yrig_settle(&r);
    for (struct yamux_header h; raw_next(&r, &h);)
        got += h.id == 17 ? 0 : r.payload.len;
    CHECK_INT(got, 8 * WINDOW);
    yrig_end(&r);
}
