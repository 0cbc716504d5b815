/* yamux_test.c: two muxes joined, as their owners see it. */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/yamux_internal.h"
#include "tests/unit/yamux_rig.h"

#define WINDOW YAMUX_WINDOW_FIRST
#define BIG    ((size_t)1 << 20)

/* Turns until it holds; what is in memory moves without waiting. */
#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        for (long turns_ = 0; turns_ < 200000 && !(cond); turns_++)                                \
            loop_turn(r.loop, 0);                                                                  \
        CHECK(cond);                                                                               \
    } while (0)

static const size_t chunks[] = {1, 5, 12, 1000, BIG};

static void converse(size_t chunk)
{
    struct rig r;
    yrig_pair(&r, chunk, BIG);
    r.b.echo = true;
    struct talk *one = yrig_open(&r.a), *two = yrig_open(&r.a);
    talk_write(one, 300);
    stream_shutdown(one->s);
    UNTIL(one->eof);
    CHECK_INT(one->got.len, 300);
    CHECK(yrig_bytes_right(&one->got, 300));
    CHECK(!two->eof);
    CHECK_INT(mux_count(r.a.m), 1);
    talk_write(two, 10);
    UNTIL(two->got.len == 10);
    CHECK_INT(mux_count(r.a.m), 1);
    talk_close(two);
    UNTIL(!mux_count(r.a.m) && !mux_count(r.b.m));
    CHECK_INT(r.b.n, 2);
    CHECK_INT(r.a.downs + r.b.downs, 0);
    yrig_end(&r);
}

TEST(yamux_converses_however_the_bytes_are_cut)
{
    for (size_t i = 0; i < countof(chunks); i++)
        converse(chunks[i]);
}

TEST(yamux_both_sides_open)
{
    struct rig r;
    yrig_pair(&r, BIG, BIG);
    r.a.echo = r.b.echo = true;
    for (size_t i = 0; i < 100; i++) {
        struct talk *t = yrig_open(i % 2 ? &r.a : &r.b);
        t->echo = false;
        talk_write(t, 1 + i * 37);
        stream_shutdown(t->s);
    }
    yrig_settle(&r);
    CHECK_INT(r.a.n + r.b.n, 200);
    for (size_t i = 0; i < 50; i++) {
        CHECK(yrig_bytes_right(&r.a.talks[i]->got, 1 + (2 * i + 1) * 37));
        CHECK(yrig_bytes_right(&r.b.talks[i]->got, 1 + 2 * i * 37));
        CHECK(r.a.talks[i]->eof && r.b.talks[i]->eof);
    }
    CHECK_INT(mux_count(r.a.m) + mux_count(r.b.m), 0);
    yrig_end(&r);
}

TEST(yamux_the_other_direction_outlives_an_end)
{
    struct rig r;
    yrig_pair(&r, BIG, BIG);
    struct talk *t = yrig_open(&r.a);
    talk_write(t, 1);
    yrig_settle(&r);
    struct talk *u = r.b.talks[0];
    stream_shutdown(u->s);
    yrig_settle(&r);
    CHECK(t->eof && !u->eof);
    talk_write(t, 5000);
    yrig_settle(&r);
    CHECK_INT(u->got.len, 5001);
    CHECK_INT(stream_room(u->s), 0);
    talk_write(u, 10);
    talk_close(t);
    yrig_settle(&r);
    CHECK(u->eof);
    CHECK_INT(t->got.len, 0);
    CHECK_INT(mux_count(r.a.m) + mux_count(r.b.m), 0);
    yrig_end(&r);
}

TEST(yamux_unread_bytes_outlive_both_ends)
{
    struct rig r;
    yrig_pair(&r, BIG, BIG);
    r.b.hold = true;
    struct talk *t = yrig_open(&r.a);
    talk_write(t, 700);
    stream_shutdown(t->s);
    yrig_settle(&r);
    struct talk *u = r.b.talks[0];
    stream_shutdown(u->s);
    yrig_settle(&r);
    CHECK_INT(mux_count(r.a.m) + mux_count(r.b.m), 0);
    CHECK(!u->eof);
    talk_take(u);
    yrig_settle(&r);
    CHECK(u->eof);
    CHECK(yrig_bytes_right(&u->got, 700));
    yrig_end(&r);
}

TEST(yamux_resets_reach_the_other_side)
{
    struct rig r;
    yrig_pair(&r, BIG, BIG);
    struct talk *t = yrig_open(&r.a), *v = yrig_open(&r.b);
    yrig_settle(&r);
    struct talk *u = r.b.talks[1], *w = r.a.talks[1];
    talk_reset(t);
    talk_reset(w);
    yrig_settle(&r);
    CHECK_INT(u->error, ECONNRESET);
    CHECK_INT(v->error, ECONNRESET);
    CHECK_INT(mux_count(r.a.m) + mux_count(r.b.m), 0);
    yrig_end(&r);
}

/* Keeps a stream's room used up, `left` bytes in all. */
static size_t feed(struct talk *t, size_t left)
{
    size_t len = stream_room(t->s) < left ? stream_room(t->s) : left;
    if (len)
        talk_write(t, len);
    return left - len;
}

TEST(yamux_a_stalled_reader_stalls_nobody_else)
{
    struct rig r;
    yrig_pair(&r, 10000, 64 * 1024);
    r.b.hold = true;
    struct talk *stalled = yrig_open(&r.a);
    size_t left = feed(stalled, 4 * BIG);
    yrig_settle(&r);
    left = feed(stalled, left);
    yrig_settle(&r);
    CHECK_INT(stream_held(r.b.talks[0]->s), WINDOW);
    CHECK_INT(4 * BIG - left, 2 * WINDOW);
    CHECK_INT(stream_room(stalled->s), 0);
    r.b.hold = false;
    r.b.echo = true;
    for (int i = 0; i < 20; i++) {
        struct talk *t = yrig_open(&r.a);
        talk_write(t, 5000);
        stream_shutdown(t->s);
    }
    for (size_t i = 1; i <= 20; i++)
        UNTIL(r.a.talks[i]->eof && yrig_bytes_right(&r.a.talks[i]->got, 5000));
    CHECK_INT(stream_held(r.b.talks[0]->s), WINDOW);
    r.b.talks[0]->hold = false;
    talk_take(r.b.talks[0]);
    for (int i = 0; i < 10000 && left; i++) {
        left = feed(stalled, left);
        loop_turn(r.loop, 0);
    }
    UNTIL(r.b.talks[0]->got.len == 4 * BIG);
    CHECK(stalled->drained > 0);
    yrig_end(&r);
}

static size_t order[64], orders;

static void note_order(struct talk *t, enum stream_event event)
{
    for (size_t i = 0; event == STREAM_DATA && i < t->side->n && orders < countof(order); i++)
        if (t->side->talks[i] == t)
            order[orders++] = i;
}

TEST(yamux_streams_take_turns)
{
    struct rig r;
    yrig_pair(&r, 16 * 1024 + YAMUX_HEADER_LEN, 32 * 1024);
    struct talk *bulk = yrig_open(&r.a), *more = yrig_open(&r.a), *small = yrig_open(&r.a);
    yrig_settle(&r);
    orders = 0;
    r.b.on_event = note_order;
    talk_write(bulk, WINDOW);
    talk_write(more, WINDOW);
    talk_write(small, 100);
    UNTIL(r.b.talks[2]->got.len == 100);
    CHECK(r.b.talks[0]->got.len <= 32 * 1024);
    CHECK(r.b.talks[1]->got.len <= 32 * 1024);
    UNTIL(r.b.talks[0]->got.len + r.b.talks[1]->got.len == 2 * WINDOW);
    size_t last[2] = {0, 0};
    for (size_t i = 0; i < orders && i < 20; i++) {
        if (order[i] < 2)
            last[order[i]] = i;
        CHECK(last[0] <= last[1] + 8 && last[1] <= last[0] + 8);
    }
    yrig_end(&r);
}

TEST(yamux_20000_streams_leave_nothing_behind)
{
    enum { BATCH = 2000 };
    struct rig r;
    yrig_pair(&r, BIG, BIG);
    struct yamux *m = (struct yamux *)r.b.m;
    struct stream **open = xcalloc(BATCH, sizeof(struct stream *));
    r.b.n = countof(r.b.talks);
    for (int i = 0; i < 20000 / BATCH; i++) {
        for (size_t j = 0; j < BATCH; j++) {
            open[j] = mux_open(r.a.m);
            stream_write(open[j], "x", 1);
        }
        UNTIL(!((struct yamux *)r.a.m)->unacked);
        for (size_t j = 0; j < BATCH; j++)
            stream_close(open[j]);
        UNTIL(!mux_count(r.a.m) && !m->count);
    }
    free(open);
    r.b.n = 0;
    CHECK_INT(r.b.beyond, 20000);
    CHECK(m->slot_bits <= 5);
    CHECK_INT(m->urgent.len, 0);
    yrig_end(&r);
}

TEST(yamux_2000_streams_at_once)
{
    struct rig r;
    yrig_pair(&r, BIG, BIG);
    r.b.echo = true;
    for (size_t i = 0; i < 2000; i++)
        talk_write(yrig_open(&r.a), 100 + i);
    UNTIL(mux_count(r.b.m) == 2000);
    CHECK(((struct yamux *)r.b.m)->slot_bits >= 10);
    for (size_t i = 0; i < 2000; i++) {
        UNTIL(r.a.talks[i]->got.len == 100 + i);
        CHECK(yrig_bytes_right(&r.a.talks[i]->got, 100 + i));
        stream_shutdown(r.a.talks[i]->s);
    }
    UNTIL(!mux_count(r.a.m) && !mux_count(r.b.m));
    yrig_end(&r);
}
