/* yamux_life_test.c: how sessions end, and owners who free things in the middle of it all. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/fdstream.h"
#include "core/mem.h"
#include "tests/unit/wire.h"
#include "tests/unit/yamux_rig.h"

#define BIG ((size_t)1 << 20)

/* What side b does to itself at the n-th thing that happens to it. */
enum act { FREE_MUX, CLOSE_STREAM, RESET_STREAM, RESET_ALL, ACTS };
static int countdown;
static enum act act;

static void do_act(struct side *side, struct talk *t)
{
    if (countdown-- != 0)
        return;
    switch (act) {
    case FREE_MUX:
        mux_free(side->m);
        side->m = NULL;
        break;
    case CLOSE_STREAM:
        if (t)
            talk_close(t);
        break;
    case RESET_STREAM:
        if (t)
            talk_reset(t);
        break;
    case RESET_ALL:
        for (size_t i = 0; i < side->n; i++)
            talk_reset(side->talks[i]);
        break;
    case ACTS: break;
    }
}

static void at_event(struct talk *t, enum stream_event event)
{
    (void)event;
    do_act(t->side, t);
}

static void at_accept(struct side *side, struct talk *t)
{
    do_act(side, t);
}

static void at_down(struct side *side)
{
    do_act(side, NULL);
}

/* Every kind of event at b: accepted, DATA, DRAINED, EOF, ERROR, down. */
static void play(struct rig *r)
{
    struct talk *t[3] = {yrig_open(&r->a), yrig_open(&r->a), yrig_open(&r->b)};
    talk_write(t[0], 300);
    talk_write(t[1], 2000);
    talk_write(t[2], YAMUX_WINDOW_FIRST);
    stream_shutdown(t[0]->s);
    yrig_settle(r);
    if (t[1]->s)
        talk_reset(t[1]);
    for (int i = 0; i < 10; i++)
        yrig_settle(r);
    mux_free(r->a.m);
    r->a.m = NULL;
    yrig_settle(r);
}

static void play_with(enum act what, int when, size_t chunk)
{
    struct rig r;
    yrig_pair(&r, chunk, BIG);
    r.b.on_accept = at_accept;
    r.b.on_event = at_event;
    r.b.on_down = at_down;
    act = what;
    countdown = when;
    play(&r);
    CHECK(countdown < 0);
    if (r.b.m)
        CHECK_INT(mux_count(r.b.m), 0);
    yrig_end(&r);
}

TEST(yamux_anything_may_be_freed_in_any_callback)
{
    for (int what = 0; what < ACTS; what++)
        for (int when = 0; when < 7; when++) {
            play_with((enum act)what, when, 1000);
            play_with((enum act)what, when, BIG);
        }
}

/* Freed while the payload that it was just lent is not consumed. */
static void free_unread(struct talk *t, enum stream_event event)
{
    size_t len;
    if (event != STREAM_DATA)
        return;
    mux_free(t->side->m);
    t->side->m = NULL;
    stream_peek(t->s, &len);
    stream_consume(t->s, len / 2);
    stream_write(t->s, "late", 4);
}

TEST(yamux_freed_under_borrowed_bytes)
{
    struct rig r;
    yrig_pair(&r, BIG, BIG);
    r.b.on_event = free_unread;
    r.b.hold = true;
    struct talk *t = yrig_open(&r.a);
    talk_write(t, 1000);
    talk_write(yrig_open(&r.a), 1000);
    yrig_settle(&r);
    CHECK(!r.b.m);
    CHECK_INT(r.b.talks[0]->error, ECONNRESET);
    CHECK_INT(r.b.n, 1);
    CHECK_INT(r.b.downs, 0);
    CHECK_INT(t->error, ECONNRESET);
    CHECK_INT(r.a.downs, 1);
    CHECK_INT(r.a.down_error, ECONNRESET);
    yrig_end(&r);
}

static void free_then_read(struct talk *t, enum stream_event event)
{
    if (event != STREAM_DATA)
        return;
    mux_free(t->side->m);
    t->side->m = NULL;
    talk_take(t);
}

/* The end that the same frame brought is not told any more. */
TEST(yamux_freed_before_the_end)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    r.a.on_event = free_then_read;
    raw_data(&r, YAMUX_SYN | YAMUX_FIN, 1, 10);
    yrig_settle(&r);
    CHECK(!r.a.m);
    CHECK_INT(r.a.talks[0]->got.len, 10);
    CHECK(!r.a.talks[0]->eof);
    CHECK_INT(r.a.talks[0]->error, ECONNRESET);
    CHECK(r.raw_eof);
    yrig_end(&r);
}

TEST(yamux_freeing_sends_what_it_can)
{
    struct rig r;
    yrig_pair(&r, BIG, BIG);
    struct talk *t = yrig_open(&r.a), *u = yrig_open(&r.a);
    yrig_settle(&r);
    talk_write(t, 500);
    stream_shutdown(t->s);
    talk_reset(u);
    mux_go_away(r.a.m);
    mux_free(r.a.m);
    r.a.m = NULL;
    yrig_settle(&r);
    CHECK(yrig_bytes_right(&r.b.talks[0]->got, 500));
    CHECK(r.b.talks[0]->eof);
    CHECK_INT(r.b.talks[1]->error, ECONNRESET);
    CHECK_INT(r.b.downs, 1);
    CHECK_INT(r.b.down_error, 0);
    CHECK_INT(t->error, ECONNRESET);
    yrig_end(&r);
}

/* What was before the carrier ended, and how the owner is told. */
struct parting {
    const char *what;
    int error;
};

static const struct parting partings[] = {
    {"", 0},
    {"stream", ECONNRESET},
    {"stream away", 0},
    {"away", 0},
    {"header", ECONNRESET},
    {"payload", ECONNRESET},
    {"reset", ECONNRESET},
    {"away reset", ECONNRESET},
    {"closed", 0},
    {"closed unsent", ECONNRESET},
};

static void part(const struct parting *row)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    if (strstr(row->what, "stream") || strstr(row->what, "closed"))
        talk_write(yrig_open(&r.a), strstr(row->what, "unsent") ? BIG : 1);
    yrig_settle(&r);
    if (strstr(row->what, "closed"))
        talk_close(r.a.talks[0]);
    if (strstr(row->what, "away"))
        raw_send(&r, YAMUX_GO_AWAY, 0, 0, YAMUX_NORMAL);
    if (strstr(row->what, "payload"))
        stream_write(r.raw, "\0\0\0\0\0\0\0\2\0\0\0\4abc", 15);
    if (strstr(row->what, "header"))
        stream_write(r.raw, "\0\1", 2);
    yrig_settle(&r);
    CHECK_INT(r.a.downs, 0);
    if (strstr(row->what, "reset"))
        stream_reset(r.raw);
    else
        stream_close(r.raw);
    r.raw = NULL;
    yrig_settle(&r);
    CHECK_INT(r.a.downs, 1);
    CHECK_INT(r.a.down_error, row->error);
    CHECK(!mux_open(r.a.m));
    CHECK_INT(errno, ECONNABORTED);
    CHECK_INT(mux_count(r.a.m), 0);
    if (r.a.n && !strstr(row->what, "closed"))
        CHECK_INT(r.a.talks[0]->error, ECONNRESET);
    yrig_end(&r);
}

TEST(yamux_ends_with_its_carrier)
{
    for (size_t i = 0; i < countof(partings); i++)
        part(&partings[i]);
}

static void ignore(void *arg, struct stream *s, enum stream_event event)
{
    (void)arg, (void)s, (void)event;
}

static unsigned downs;

static void count_down(void *arg, int error)
{
    (void)arg;
    CHECK_INT(error, 0);
    downs++;
}

/* The carrier's former owner has been told of everything, and has read the half of it. */
TEST(yamux_takes_a_carrier_as_it_is)
{
    static const struct mux_events events = {.down = count_down};
    struct rig r;
    struct stream *ends[2];
    r = (struct rig){.loop = loop_new(), .raw = NULL};
    wire_new(r.loop, BIG, BIG, ends);
    stream_own(ends[0], ignore, NULL);
    r.raw = ends[1];
    stream_write(r.raw, "x", 1);
    raw_send(&r, YAMUX_PING, YAMUX_SYN, 0, 9);
    yrig_settle(&r);
    stream_consume(ends[0], 1);
    struct mux *m = yamux_new(ends[0], YAMUX_CLIENT, &events, NULL);
    yrig_settle(&r);
    size_t len;
    CHECK(stream_peek(r.raw, &len) && len == YAMUX_HEADER_LEN);
    stream_consume(r.raw, len);
    yrig_settle(&r);
    const uint8_t *pong = stream_peek(r.raw, &len);
    CHECK(len == YAMUX_HEADER_LEN && yamux_header_read(pong).length == 9);
    mux_free(m);
    stream_close(r.raw);
    wire_new(r.loop, BIG, BIG, ends);
    stream_own(ends[0], ignore, NULL);
    stream_close(ends[1]);
    yrig_settle(&r);
    downs = 0;
    m = yamux_new(ends[0], YAMUX_CLIENT, &events, NULL);
    yrig_settle(&r);
    CHECK_INT(downs, 1);
    mux_free(m);
    r.raw = NULL;
    yrig_end(&r);
}

/* Over the kernel's sockets, both ways at once, each side as fast as it is let. */
static size_t pour(struct talk *t, size_t left)
{
    size_t len = stream_room(t->s) < left ? stream_room(t->s) : left;
    if (len)
        talk_write(t, len);
    return left - len;
}

TEST(yamux_pours_through_sockets)
{
    enum { STREAMS = 4 };
    struct rig r;
    struct stream *ends[2];
    int fd[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    struct loop *loop = loop_new();
    for (int i = 0; i < 2; i++)
        ends[i] = fdstream_new(loop, fd[i], fd[i]);
    yrig_over(&r, loop, ends);
    size_t left[2 * STREAMS], total = 3 * BIG;
    for (int i = 0; i < STREAMS; i++)
        yrig_open(i % 2 ? &r.b : &r.a);
    while (r.a.n + r.b.n < 2 * STREAMS)
        loop_turn(loop, 5000);
    for (int i = 0; i < 2 * STREAMS; i++)
        left[i] = total;
    for (int turns = 0; turns < 100000; turns++) {
        size_t missing = 0;
        for (int i = 0; i < 2 * STREAMS; i++) {
            struct talk *t = (i % 2 ? &r.b : &r.a)->talks[i / 2];
            left[i] = pour(t, left[i]);
            missing += total - t->got.len;
        }
        if (!missing)
            break;
        loop_turn(loop, 5000);
    }
    for (int i = 0; i < 2 * STREAMS; i++)
        CHECK_INT((i % 2 ? &r.b : &r.a)->talks[i / 2]->got.len, total);
    CHECK(yamux_rtt_us(r.a.m) > 0 && yamux_rtt_us(r.b.m) > 0);
    yrig_end(&r);
}

TEST(yamux_gives_up_who_is_silent)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, 1);
    yrig_settle(&r);
    yamux_keep_alive(r.a.m, 1, 1);
    for (int i = 0; i < 30000 && !r.a.downs; i++)
        loop_turn(r.loop, 1);
    CHECK_INT(r.a.downs, 1);
    CHECK_INT(r.a.down_error, ETIMEDOUT);
    CHECK_STR(raw_text(&r), "ping SYN 0 2");
    yrig_end(&r);
}

/* Each answer begins the silence anew. */
TEST(yamux_keeps_who_answers)
{
    struct rig r;
    struct yamux_header h;
    yrig_raw(&r, YAMUX_CLIENT);
    raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, 1);
    yrig_settle(&r);
    yamux_keep_alive(r.a.m, 1, 3600000);
    for (int pings = 0; pings < 5; pings++) {
        for (int i = 0; i < 30000 && !raw_next(&r, &h); i++)
            loop_turn(r.loop, 1);
        CHECK_INT(h.type, YAMUX_PING);
        CHECK_INT(h.flags, YAMUX_SYN);
        raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, h.length);
    }
    CHECK_INT(r.a.downs, 0);
    yrig_settle(&r);
    yamux_keep_alive(r.a.m, 3600000, 3600000);
    yamux_probe(r.a.m, 1);
    for (int i = 0; i < 30000 && !r.a.downs; i++)
        loop_turn(r.loop, 1);
    CHECK_INT(r.a.down_error, ETIMEDOUT);
    yrig_end(&r);
}
