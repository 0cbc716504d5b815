/* yamux_session_test.c: pings, go-away, limits, and what a peer may do wrong. */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/yamux_internal.h"
#include "tests/unit/yamux_rig.h"

#define WINDOW       YAMUX_WINDOW_FIRST
#define EXPECT(text) CHECK_STR(raw_text(&r), text)

TEST(yamux_answers_pings_and_measures_its_own)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    CHECK_INT(yamux_rtt_us(r.a.m), 0);
    raw_send(&r, YAMUX_PING, YAMUX_SYN, 0, 0xfedcba98);
    raw_send(&r, YAMUX_PING, YAMUX_SYN, 0, 5);
    raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, 77);
    yrig_settle(&r);
    EXPECT("ping ACK 0 4275878552");
    EXPECT("ping ACK 0 5");
    EXPECT("");
    CHECK_INT(yamux_rtt_us(r.a.m), 0);
    raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, 1);
    yrig_settle(&r);
    CHECK(yamux_rtt_us(r.a.m) > 0);
    yrig_end(&r);
}

TEST(yamux_round_trips_floor_falls_at_once_and_rises_slowly)
{
    static const struct {
        uint64_t before, after;
    } rows[] = {{1000000000, 5000}, {4000, 5000}, {8, 10}, {0, 5000}};
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        yrig_raw(&r, YAMUX_CLIENT);
        struct yamux *m = (struct yamux *)r.a.m;
        m->rtt_floor_us = rows[i].before;
        m->ping_us -= 5000;
        raw_send(&r, YAMUX_PING, YAMUX_ACK, 0, 1);
        yrig_settle(&r);
        CHECK(m->rtt_us >= 5000);
        CHECK(m->rtt_floor_us == m->rtt_us ? rows[i].after == 5000
                                           : m->rtt_floor_us == rows[i].after);
        yrig_end(&r);
    }
}

/* So many that ask for an answer, from a peer that reads all of them, or none. */
static void flood(struct rig *r, enum yamux_type type, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        raw_send(r, type, YAMUX_SYN, type == YAMUX_PING ? 0 : 2 * i + 1, 0);
    for (int i = 0; i < 10; i++)
        yrig_settle(r);
}

static void flood_rig(struct rig *r, enum yamux_type type, size_t limit)
{
    yrig_raw_limited(r, YAMUX_SERVER, limit);
    if (type == YAMUX_WINDOW)
        mux_go_away(r->a.m);
    yrig_settle(r);
}

static void flood_deaf_and_not(enum yamux_type type)
{
    struct rig r;
    flood_rig(&r, type, 1 << 20);
    flood(&r, type, 10000);
    CHECK_INT(r.a.downs, 0);
    CHECK_INT(r.got.len, (10000 + (type == YAMUX_WINDOW)) * YAMUX_HEADER_LEN);
    yrig_end(&r);
    flood_rig(&r, type, 20000);
    raw_hold(&r, true);
    flood(&r, type, 4000);
    CHECK_INT(r.a.downs, 0);
    flood(&r, type, 8000);
    CHECK_INT(r.a.downs, 1);
    CHECK_INT(r.a.down_error, EPROTO);
    yrig_end(&r);
}

TEST(yamux_flood_of_pings_ends_it)
{
    flood_deaf_and_not(YAMUX_PING);
}

TEST(yamux_flood_of_refused_streams_ends_it)
{
    flood_deaf_and_not(YAMUX_WINDOW);
}

TEST(yamux_says_go_away)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    mux_go_away(r.a.m);
    CHECK(!yrig_open(&r.a));
    CHECK_INT(errno, ECONNABORTED);
    raw_data(&r, YAMUX_SYN, 3, 10);
    raw_data(&r, 0, 3, 10);
    raw_data(&r, YAMUX_SYN, 3, 10);
    raw_data(&r, 0, 1, 10);
    yrig_settle(&r);
    EXPECT("away 0 0");
    EXPECT("window RST 3 0");
    EXPECT("window RST 3 0");
    mux_go_away(r.a.m);
    yrig_settle(&r);
    EXPECT("");
    CHECK_INT(r.a.n, 1);
    CHECK_INT(r.a.talks[0]->got.len, 10);
    stream_close(r.raw);
    r.raw = NULL;
    yrig_settle(&r);
    CHECK_INT(r.a.downs, 1);
    CHECK_INT(r.a.down_error, 0);
    CHECK_INT(r.a.talks[0]->error, ECONNRESET);
    yrig_end(&r);
}

TEST(yamux_hears_go_away)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    struct talk *t = yrig_open(&r.a);
    yrig_settle(&r);
    EXPECT("window SYN 2 0");
    raw_send(&r, YAMUX_GO_AWAY, 0, 0, YAMUX_NORMAL);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    yrig_settle(&r);
    CHECK(!yrig_open(&r.a));
    CHECK_INT(errno, ECONNABORTED);
    CHECK_INT(r.a.n, 2);
    talk_write(t, 6);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    EXPECT("data 2 6");
    stream_shutdown(r.raw);
    yrig_settle(&r);
    CHECK_INT(r.a.downs, 1);
    CHECK_INT(r.a.down_error, 0);
    yrig_end(&r);
}

/* One row: what the peer sends after opening stream 1, and what becomes of the session. */
struct mistake {
    struct yamux_header h;
    int error; /* 0: the session goes on */
    const char *answer;
};

static const struct mistake mistakes[] = {
    {{.version = 1, .type = YAMUX_PING, .flags = YAMUX_SYN}, EPROTO, "away 0 1"},
    {{.type = 4}, EPROTO, "away 0 1"},
    {{.type = 255, .id = 1}, EPROTO, "away 0 1"},
    {{.type = YAMUX_WINDOW, .flags = YAMUX_SYN, .id = 2}, EPROTO, "away 0 1"},
    {{.type = YAMUX_DATA, .flags = YAMUX_SYN, .id = 0}, EPROTO, "away 0 1"},
    {{.type = YAMUX_WINDOW, .flags = YAMUX_SYN, .id = 1}, EPROTO, "away 0 1"},
    {{.type = YAMUX_DATA, .id = 1, .length = WINDOW + 1}, EPROTO, "away 0 1"},
    {{.type = YAMUX_DATA, .id = 1, .length = UINT32_MAX}, EPROTO, "away 0 1"},
    {{.type = YAMUX_WINDOW, .id = 1, .length = UINT32_MAX - WINDOW + 1}, EPROTO, "away 0 1"},
    {{.type = YAMUX_WINDOW, .id = 1, .length = UINT32_MAX - WINDOW}, 0, ""},
    {{.type = YAMUX_GO_AWAY, .length = YAMUX_PROTOCOL_ERROR}, EPROTO, ""},
    {{.type = YAMUX_GO_AWAY, .length = YAMUX_INTERNAL_ERROR}, ECONNRESET, ""},
    {{.type = YAMUX_GO_AWAY, .length = 99}, ECONNRESET, ""},
    {{.type = YAMUX_WINDOW, .id = 99, .length = UINT32_MAX}, 0, ""},
    {{.type = YAMUX_WINDOW, .flags = YAMUX_FIN, .id = 98}, 0, ""},
    {{.type = YAMUX_WINDOW, .flags = YAMUX_RST, .id = 97}, 0, ""},
    {{.type = YAMUX_DATA, .flags = YAMUX_ACK, .id = 96}, 0, ""},
    {{.type = YAMUX_DATA, .id = 95, .length = 10}, 0, "window RST 95 0"},
    {{.type = YAMUX_DATA, .flags = YAMUX_FIN, .id = 94, .length = 10}, 0, "window RST 94 0"},
    {{.type = YAMUX_DATA, .flags = YAMUX_RST, .id = 93, .length = 10}, 0, ""},
    {{.type = YAMUX_DATA, .id = 0, .length = 10}, 0, ""},
    {{.type = YAMUX_DATA, .id = 1}, 0, ""},
    {{.type = YAMUX_DATA, .flags = 0xfff0, .id = 1}, 0, ""},
    {{.type = YAMUX_PING}, 0, ""},
};

static void make_mistake(const struct mistake *row)
{
    struct rig r;
    uint8_t frame[YAMUX_HEADER_LEN];
    yrig_raw(&r, YAMUX_SERVER);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    yrig_settle(&r);
    EXPECT("window ACK 1 0");
    yamux_header_write(frame, &row->h);
    stream_write(r.raw, frame, sizeof(frame));
    if (row->h.type == YAMUX_DATA && row->h.length <= 10)
        raw_bytes(&r, row->h.length);
    yrig_settle(&r);
    EXPECT(row->answer);
    CHECK_INT(r.a.downs, row->error != 0);
    CHECK_INT(r.a.down_error, row->error);
    CHECK_INT(r.a.talks[0]->error, row->error ? ECONNRESET : 0);
    raw_data(&r, 0, 1, 10);
    yrig_settle(&r);
    CHECK_INT(r.a.talks[0]->got.len, row->error ? 0 : 10);
    EXPECT("");
    stream_reset(r.raw);
    r.raw = NULL;
    yrig_settle(&r);
    CHECK_INT(r.a.downs, 1);
    CHECK_INT(r.a.down_error, row->error ? row->error : ECONNRESET);
    yrig_end(&r);
}

TEST(yamux_peers_mistakes)
{
    for (size_t i = 0; i < countof(mistakes); i++)
        make_mistake(&mistakes[i]);
}

TEST(yamux_stream_0_is_nobodys)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 0, 0);
    yrig_settle(&r);
    CHECK_INT(r.a.n, 0);
    CHECK_INT(r.a.down_error, EPROTO);
    yrig_end(&r);
}

TEST(yamux_second_fin_ends_it_and_late_bytes_do_not)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN | YAMUX_FIN, 1, 0);
    raw_data(&r, 0, 1, 10);
    yrig_settle(&r);
    CHECK_INT(r.a.downs, 0);
    CHECK(r.a.talks[0]->eof);
    CHECK_INT(r.a.talks[0]->got.len, 0);
    raw_send(&r, YAMUX_WINDOW, YAMUX_FIN, 1, 0);
    yrig_settle(&r);
    CHECK_INT(r.a.down_error, EPROTO);
    yrig_end(&r);
}

TEST(yamux_keeps_to_the_peers_backlog)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    for (int i = 0; i < 300; i++)
        yrig_open(&r.a);
    talk_write(r.a.talks[257], 3);
    yrig_settle(&r);
    for (int i = 0; i < 256; i++)
        CHECK(!strncmp(raw_text(&r), "window SYN", 10));
    EXPECT("");
    raw_send(&r, YAMUX_WINDOW, YAMUX_RST, 513, 0);
    yrig_settle(&r);
    CHECK_INT(r.a.talks[256]->error, 0);
    talk_reset(r.a.talks[0]);
    raw_send(&r, YAMUX_WINDOW, YAMUX_ACK, 3, 0);
    raw_send(&r, YAMUX_WINDOW, YAMUX_RST, 5, 0);
    yrig_settle(&r);
    EXPECT("window RST 1 0");
    EXPECT("window SYN 513 0");
    EXPECT("window SYN 517 0");
    EXPECT("data SYN 515 3");
    EXPECT("");
    yrig_end(&r);
}

TEST(yamux_number_of_streams_is_limited)
{
    struct rig r;
    yrig_raw(&r, YAMUX_SERVER);
    struct stream **open = xcalloc(YAMUX_STREAMS_MAX, sizeof(struct stream *));
    for (uint32_t i = 0; i < YAMUX_STREAMS_MAX - 1; i++)
        open[i] = mux_open(r.a.m);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
    raw_send(&r, YAMUX_WINDOW, YAMUX_SYN, 3, 0);
    yrig_settle(&r);
    CHECK_INT(r.a.n, 1);
    CHECK_INT(mux_count(r.a.m), YAMUX_STREAMS_MAX);
    CHECK(!mux_open(r.a.m));
    CHECK_INT(errno, EMFILE);
    for (int i = 0; i < 256; i++)
        CHECK(!strncmp(raw_text(&r), "window SYN", 10));
    EXPECT("window RST 3 0");
    EXPECT("window ACK 1 0");
    for (uint32_t i = 0; i < YAMUX_STREAMS_MAX - 1; i++)
        stream_close(open[i]);
    free(open);
    yrig_end(&r);
}

TEST(yamux_ids_run_out)
{
    struct rig r;
    yrig_raw(&r, YAMUX_CLIENT);
    ((struct yamux *)r.a.m)->next_id = UINT32_MAX - 2;
    CHECK(yrig_open(&r.a));
    CHECK(!yrig_open(&r.a));
    CHECK_INT(errno, ECONNABORTED);
    yrig_end(&r);
}
