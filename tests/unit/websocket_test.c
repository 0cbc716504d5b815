/* A WebSocket on a carrier: messages, pings, both halves of the end, and bytes as a stream. */
#include "net/websocket.h"

#include <errno.h>

#include "core/fdstream.h"
#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/wire.h"

struct end {
    struct websocket *w;
    struct stream *carrier;
    uint32_t limit_ms; /* of that, after the end */
    struct buf got;    /* "t:hello;" */
    unsigned ends, draineds;
    uint16_t code;
    char reason[128];
    bool free_on_data;
};

static void on_data(void *arg, bool text, const uint8_t *data, size_t len, bool last)
{
    struct end *e = arg;
    CHECK(last);
    buf_printf(&e->got, "%s", text ? "t:" : "b:");
    buf_append(&e->got, data, len);
    buf_append(&e->got, ";", 1);
    if (!e->free_on_data)
        return;
    websocket_free(e->w);
    e->w = NULL;
}

static void on_drained(void *arg)
{
    struct end *e = arg;
    e->draineds++;
}

static void on_ended(void *arg, uint16_t code, const char *reason, size_t len)
{
    struct end *e = arg;
    e->ends++;
    e->code = code;
    e->limit_ms = e->carrier->stall_ms; /* its memory is there till the turn ends */
    memcpy(e->reason, reason, len);
    websocket_free(e->w);
    e->w = NULL;
}

static const struct websocket_events events = {
    .data = on_data, .drained = on_drained, .ended = on_ended};

struct rig {
    struct loop *loop;
    struct stream *wire[2];
    struct end client, server;
    struct probe raw; /* the client's end, by hand */
};

static void end_init(struct end *e, struct stream *s, enum ws_role role)
{
    const struct websocket_options options = {.role = role, .message_max = 1000};
    e->carrier = s;
    e->w = websocket_new(s, &options, &events, e);
}

static void rig_init(struct rig *r, size_t chunk, bool by_hand)
{
    *r = (struct rig){.loop = loop_new()};
    wire_new(r->loop, chunk, 4096, r->wire);
    end_init(&r->server, r->wire[1], WS_SERVER);
    if (by_hand)
        probe_own(&r->raw, r->wire[0]);
    else
        end_init(&r->client, r->wire[0], WS_CLIENT);
}

static void rig_fini(struct rig *r)
{
    websocket_free(r->client.w);
    websocket_free(r->server.w);
    probe_fini(&r->raw);
    buf_fini(&r->client.got);
    buf_fini(&r->server.got);
    loop_turn(r->loop, 0);
    loop_free(r->loop);
}

static bool got(const struct buf *b, const char *text)
{
    return b->len == strlen(text) && !memcmp(buf_front(b), text, b->len);
}

TEST(websocket_carries_messages_both_ways)
{
    for (size_t chunk = 1; chunk < 20; chunk += 6) {
        struct rig r;
        rig_init(&r, chunk, false);
        websocket_send(r.client.w, WS_TEXT, "hello", 5);
        websocket_send(r.client.w, WS_BINARY, "", 0);
        websocket_send(r.server.w, WS_BINARY, "answer", 6);
        websocket_ping(r.server.w);
        TURN_UNTIL(r.loop, got(&r.server.got, "t:hello;b:;") && got(&r.client.got, "b:answer;"));
        websocket_close(r.client.w, WS_GOING_AWAY, "that is all");
        TURN_UNTIL(r.loop, r.client.ends && r.server.ends);
        CHECK_INT(r.server.code, WS_GOING_AWAY);
        CHECK_STR(r.server.reason, "that is all");
        CHECK_INT(r.client.code, WS_GOING_AWAY);
        rig_fini(&r);
    }
}

TEST(websocket_gathers_fragments_around_a_ping)
{
    struct rig r;
    rig_init(&r, 3, true);
    stream_write(r.raw.s, "\x01\x82\0\0\0\0he\x89\x81\0\0\0\0x\x80\x83\0\0\0\0llo", 23 + 1);
    TURN_UNTIL(r.loop, got(&r.server.got, "t:hello;"));
    TURN_UNTIL(r.loop, r.raw.got.len == 3);
    CHECK(probe_got(&r.raw, "\x8a\x01x"));
    rig_fini(&r);
}

/* Whatever is wrong is answered by a close frame with its code, then the end. */
TEST(websocket_says_why_it_ends)
{
    static const struct {
        const char *in;
        size_t len;
        uint16_t code;
    } rows[] = {
        {"\x81\x05hello", 7, WS_PROTOCOL_ERROR},
        {"\x81\x81\0\0\0\0\xff", 7, WS_BAD_DATA},
        {"\x82\xfe\x03\xe9\0\0\0\0", 8, WS_TOO_BIG},
        {"\xc2\x80\0\0\0\0", 6, WS_PROTOCOL_ERROR},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        rig_init(&r, 100, true);
        stream_write(r.raw.s, rows[i].in, rows[i].len);
        TURN_UNTIL(r.loop, r.raw.eofs == 1);
        uint8_t want[] = {0x88, 2, (uint8_t)(rows[i].code >> 8), (uint8_t)rows[i].code};
        CHECK(r.raw.got.len == 4 && !memcmp(buf_front(&r.raw.got), want, 4));
        CHECK(!r.server.got.len && !r.server.ends);
        stream_shutdown(r.raw.s);
        TURN_UNTIL(r.loop, r.server.ends == 1);
        CHECK_INT(r.server.code, rows[i].code);
        rig_fini(&r);
    }
}

TEST(websocket_tells_a_broken_carrier)
{
    struct rig r;
    rig_init(&r, 100, true);
    stream_reset(r.raw.s);
    r.raw.s = NULL;
    TURN_UNTIL(r.loop, r.server.ends == 1);
    CHECK_INT(r.server.code, WS_ABNORMAL);
    rig_fini(&r);
}

TEST(websocket_may_be_freed_by_what_it_calls)
{
    struct rig r;
    rig_init(&r, 100, false);
    r.server.free_on_data = true;
    websocket_send(r.client.w, WS_TEXT, "a", 1);
    websocket_send(r.client.w, WS_TEXT, "b", 1);
    TURN_UNTIL(r.loop, r.client.ends == 1);
    CHECK_INT(r.client.code, WS_ABNORMAL);
    CHECK(got(&r.server.got, "t:a;") && !r.server.ends);
    rig_fini(&r);
}

TEST(websocket_holds_its_peer_up_while_paused)
{
    struct rig r;
    rig_init(&r, 4096, false);
    websocket_pause(r.server.w, true);
    while (websocket_room(r.client.w)) {
        websocket_send(r.client.w, WS_BINARY, "0123456789", 10);
        loop_turn(r.loop, 0);
    }
    CHECK(!r.server.got.len && !r.client.draineds);
    websocket_pause(r.server.w, false);
    TURN_UNTIL(r.loop, r.client.draineds == 1);
    CHECK(r.server.got.len >= 13);
    rig_fini(&r);
}

/* As a stream. */

#define SILENCE_MS 300

static void turn_for(struct loop *loop, uint64_t ms)
{
    uint64_t end = loop_now_ms(loop) + ms;
    while (loop_now_ms(loop) < end)
        loop_turn(loop, 10);
}

/* A peer that answers pings is there, one that does not is gone; but not while it is us who do not listen. */
TEST(websocket_watches_for_silence)
{
    struct rig r;
    rig_init(&r, 100, false);
    websocket_watch(r.server.w, SILENCE_MS);
    turn_for(r.loop, 3 * SILENCE_MS);
    CHECK_INT(r.server.ends, 0);
    websocket_pause(r.server.w, true);
    turn_for(r.loop, 3 * SILENCE_MS);
    CHECK_INT(r.server.ends, 0);
    websocket_pause(r.server.w, false);
    websocket_pause(r.client.w, true);
    TURN_UNTIL(r.loop, r.server.ends);
    CHECK_INT(r.server.code, WS_ABNORMAL);
    rig_fini(&r);
}

/* What nobody takes does not keep a carrier that nobody has: it has a limit by then, its owner's or this one. */
TEST(websocket_leaves_its_carrier_with_a_limit)
{
    static const struct {
        uint32_t own, left;
    } rows[] = {{0, WS_STALL_MS}, {1234, 1234}};
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        rig_init(&r, 100, true);
        stream_limit_stall(r.wire[1], rows[i].own);
        stream_write(r.raw.s, "\x88\x82\0\0\0\0\x03\xe8", 8);
        TURN_UNTIL(r.loop, r.server.ends == 1);
        CHECK_INT(r.server.code, WS_NORMAL);
        CHECK_INT(r.server.limit_ms, rows[i].left);
        rig_fini(&r);
    }
}

TEST(websocket_stream_carries_bytes_and_its_end)
{
    struct loop *loop = loop_new();
    struct stream *wire[2];
    struct probe a = {0}, b = {0};
    wire_new(loop, 1000, 4096, wire);
    probe_own(&a, websocket_stream_new(wire[0], WS_CLIENT));
    probe_own(&b, websocket_stream_new(wire[1], WS_SERVER));
    stream_write(a.s, "to the server", 13);
    stream_write(b.s, "to the client", 13);
    TURN_UNTIL(loop, probe_got(&a, "to the client") && probe_got(&b, "to the server"));
    stream_shutdown(a.s);
    TURN_UNTIL(loop, a.eofs == 1 && b.eofs == 1);
    CHECK(!a.errors && !b.errors);
    probe_fini(&a);
    probe_fini(&b);
    loop_turn(loop, 0);
    loop_free(loop);
}

TEST(websocket_stream_refuses_text)
{
    struct loop *loop = loop_new();
    struct stream *wire[2];
    struct probe raw = {0}, s = {0};
    wire_new(loop, 1000, 4096, wire);
    probe_own(&raw, wire[0]);
    probe_own(&s, websocket_stream_new(wire[1], WS_SERVER));
    stream_write(raw.s, "\x81\x81\0\0\0\0x", 7);
    TURN_UNTIL(loop, s.errors == 1 && raw.got.len >= 4);
    CHECK_INT(s.error, EPROTO);
    CHECK(!memcmp((const char *)buf_front(&raw.got) + 2, "\x03\xeb", 2));
    probe_fini(&raw);
    TURN_UNTIL(loop, s.errors == 1);
    probe_fini(&s);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 0);
    loop_free(loop);
}

/* A peer that never agrees, and a loop that ends before patience does: nothing may be left. */
TEST(websocket_stream_that_was_closed_ends_with_the_loop)
{
    struct loop *loop = loop_new();
    int fd[2];
    char frame[4];
    unix_pair(fd);
    stream_close(websocket_stream_new(fdstream_new(loop, fd[0], fd[0]), WS_SERVER));
    loop_turn(loop, 0);
    CHECK_INT(recv(fd[1], frame, sizeof(frame), 0), 4);
    CHECK(!memcmp(frame, "\x88\x02\x03\xe8", 4));
    loop_free(loop);
    close(fd[1]);
}
