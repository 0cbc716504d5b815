#include "core/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "core/fdstream.h"
#include "core/mem.h"
#include "tests/unit/probe.h"

/* left (a probe's stream) <-> [a relay b] <-> right (a probe's stream) */
struct rig {
    unsigned before;
    struct loop *loop;
    struct probe left, right;
    struct stream *a, *b;
    struct relay *relay;
    struct relay_count count;
    unsigned ended;
    int error;
};

typedef void (*pair_fn)(int fd[2]);

static void on_end(void *arg, int error)
{
    struct rig *r = arg;
    r->ended++;
    r->error = error;
}

static void rig_streams(struct rig *r, pair_fn pair)
{
    int left[2], right[2];
    *r = (struct rig){.before = open_descriptors(), .loop = loop_new()};
    pair(left);
    pair(right);
    probe_own(&r->left, fdstream_new(r->loop, left[0], left[0]));
    probe_own(&r->right, fdstream_new(r->loop, right[1], right[1]));
    r->a = fdstream_new(r->loop, left[1], left[1]);
    r->b = fdstream_new(r->loop, right[0], right[0]);
}

static void rig_relay(struct rig *r)
{
    r->relay = relay_new(r->a, r->b, &r->count);
    relay_on_end(r->relay, on_end, r);
    CHECK_INT(r->count.open, 1);
}

static void rig_init(struct rig *r, pair_fn pair)
{
    rig_streams(r, pair);
    rig_relay(r);
}

static void rig_fini(struct rig *r)
{
    CHECK_INT(r->count.open, 0);
    probe_fini(&r->left);
    probe_fini(&r->right);
    loop_turn(r->loop, 0);
    loop_turn(r->loop, 0);
    loop_free(r->loop);
    CHECK_INT(open_descriptors(), r->before);
}

TEST(relay_passes_bytes_and_ends)
{
    pair_fn pairs[] = {unix_pair, tcp_pair};
    for (size_t i = 0; i < countof(pairs); i++) {
        struct rig r;
        rig_init(&r, pairs[i]);
        stream_write(r.left.s, "request", 7);
        stream_shutdown(r.left.s);
        TURN_UNTIL(r.loop, r.right.eofs);
        CHECK(probe_got(&r.right, "request"));
        CHECK_INT(r.ended, 0);
        CHECK_INT(r.left.eofs, 0);
        stream_write(r.right.s, "late reply", 10);
        stream_shutdown(r.right.s);
        TURN_UNTIL(r.loop, r.left.eofs && r.ended);
        CHECK(probe_got(&r.left, "late reply"));
        CHECK_INT(r.ended, 1);
        CHECK_INT(r.error, 0);
        CHECK_INT(r.count.up_bytes, 7);
        CHECK_INT(r.count.down_bytes, 10);
        CHECK_INT(r.left.errors + r.right.errors, 0);
        rig_fini(&r);
    }
}

TEST(relay_other_side_ends_first)
{
    struct rig r;
    rig_init(&r, tcp_pair);
    stream_shutdown(r.right.s);
    TURN_UNTIL(r.loop, r.left.eofs);
    stream_write(r.left.s, "more", 4);
    TURN_UNTIL(r.loop, probe_got(&r.right, "more"));
    CHECK_INT(r.ended, 0);
    stream_shutdown(r.left.s);
    TURN_UNTIL(r.loop, r.right.eofs && r.ended);
    CHECK_INT(r.error, 0);
    rig_fini(&r);
}

static void passes_reset(bool from_left, bool while_writing)
{
    static const uint8_t bytes[1 << 20];
    struct rig r;
    rig_init(&r, tcp_pair);
    struct probe *from = from_left ? &r.left : &r.right, *to = from_left ? &r.right : &r.left;
    if (while_writing) {
        to->hold = true;
        stream_write(from->s, bytes, sizeof(bytes));
        TURN_UNTIL(r.loop, to->datas);
    }
    stream_reset(from->s);
    from->s = NULL;
    TURN_UNTIL(r.loop, to->errors && r.ended);
    CHECK_INT(to->error, ECONNRESET);
    CHECK_INT(to->eofs, 0);
    CHECK_INT(r.ended, 1);
    CHECK_INT(r.error, ECONNRESET);
    rig_fini(&r);
}

TEST(relay_passes_a_reset_each_way)
{
    passes_reset(true, false);
    passes_reset(false, false);
    passes_reset(true, true);
    passes_reset(false, true);
}

TEST(relay_reset_after_an_end_does_not_lose_what_came_before)
{
    static const uint8_t bytes[4096];
    size_t said = 0;
    struct rig r;
    int out[2] = {-1, -1}, in[2] = {-1, -1};
    rig_streams(&r, unix_pair);
    CHECK(!pipe2(out, O_CLOEXEC) && !pipe2(in, O_CLOEXEC));
    /* A child that says much and exits, while its stdin is still written to. */
    stream_close(r.b);
    r.b = fdstream_new(r.loop, out[0], in[1]);
    struct stream *child = fdstream_new(r.loop, -1, out[1]);
    rig_relay(&r);
    r.left.hold = true;
    stream_write(r.left.s, "unread", 6);
    TURN_UNTIL(r.loop, r.count.up_bytes == 6);
    for (; !fdstream_unsent(r.a) && said < 16 << 20; said += sizeof(bytes)) {
        stream_write(child, bytes, sizeof(bytes));
        loop_turn(r.loop, 0);
    }
    stream_close(child);
    close(in[0]);
    loop_turn(r.loop, 0);
    r.left.hold = false;
    probe_drink(&r.left);
    TURN_UNTIL(r.loop, r.left.eofs || r.left.errors);
    TURN_UNTIL(r.loop, r.ended);
    CHECK_INT(r.left.got.len, said);
    CHECK_INT(r.error, EPIPE);
    rig_fini(&r);
}

TEST(relay_holds_the_sender_up)
{
    static const uint8_t bytes[65536];
    struct rig r;
    size_t sent = 0, last = 1;
    rig_init(&r, unix_pair);
    r.right.hold = true;
    while (sent != last && sent < (size_t)16 << 20) {
        last = sent;
        for (int i = 0; i < 50; i++)
            loop_turn(r.loop, 1);
        while (stream_room(r.left.s)) {
            stream_write(r.left.s, bytes, sizeof(bytes));
            sent += sizeof(bytes);
        }
    }
    CHECK_INT(sent, last);
    CHECK(fdstream_unsent(r.b) <= FDSTREAM_LIMIT);
    CHECK_INT(stream_room(r.b), 0);
    r.right.hold = false;
    probe_drink(&r.right);
    TURN_UNTIL(r.loop, r.right.got.len == sent);
    relay_abort(r.relay);
    CHECK_INT(r.ended, 0);
    rig_fini(&r);
}

/* 64 MiB of a pattern whose period fits no buffer's size, both ways at once. */
enum { PERIOD = 65521, TOTAL = 64 << 20 };
static uint8_t pattern[2 * PERIOD];

struct bulk {
    struct stream *s;
    size_t sent, got;
    bool same, ended;
};

static void bulk_send(struct bulk *b)
{
    size_t room;
    while (b->sent < TOTAL && (room = stream_room(b->s))) {
        size_t len = PERIOD < room ? PERIOD : room;
        len = len < TOTAL - b->sent ? len : TOTAL - b->sent;
        stream_write(b->s, pattern + b->sent % PERIOD, len);
        b->sent += len;
    }
    if (b->sent == TOTAL)
        stream_shutdown(b->s);
}

static void bulk_check(struct bulk *b)
{
    const uint8_t *data;
    size_t len;
    while ((data = stream_peek(b->s, &len))) {
        len = len < PERIOD ? len : PERIOD;
        b->same = b->same && !memcmp(data, pattern + b->got % PERIOD, len);
        b->got += len;
        stream_consume(b->s, len);
    }
}

static void bulk_event(void *arg, struct stream *s, enum stream_event event)
{
    struct bulk *b = arg;
    switch (event) {
    case STREAM_OPEN: break;
    case STREAM_DATA: bulk_check(b); break;
    case STREAM_DRAINED: bulk_send(b); break;
    case STREAM_EOF: b->ended = true; break;
    case STREAM_ERROR: CHECK_INT(stream_error(s), 0); break;
    }
}

TEST(relay_bulk_both_ways)
{
    pair_fn pairs[] = {unix_pair, tcp_pair};
    for (size_t i = 0; i < PERIOD; i++)
        pattern[i] = pattern[i + PERIOD] = (uint8_t)(i * 2654435761u >> 15);
    for (size_t i = 0; i < countof(pairs); i++) {
        struct rig r;
        rig_init(&r, pairs[i]);
        struct bulk left = {.s = r.left.s, .same = true}, right = {.s = r.right.s, .same = true};
        stream_own(left.s, bulk_event, &left);
        stream_own(right.s, bulk_event, &right);
        bulk_send(&left);
        bulk_send(&right);
        TURN_UNTIL(r.loop, left.ended && right.ended && r.ended);
        CHECK_INT(left.got, TOTAL);
        CHECK_INT(right.got, TOTAL);
        CHECK(left.same && right.same);
        CHECK_INT(r.count.up_bytes, TOTAL);
        CHECK_INT(r.count.down_bytes, TOTAL);
        CHECK_INT(r.error, 0);
        rig_fini(&r);
    }
}

TEST(relay_takes_streams_in_any_state)
{
    struct rig r;
    struct probe early = {.hold = true}, told = {0};
    rig_streams(&r, unix_pair);
    probe_own(&early, r.a);
    probe_own(&told, r.b);
    stream_write(r.left.s, "waiting", 7);
    stream_shutdown(r.left.s);
    stream_shutdown(r.right.s);
    TURN_UNTIL(r.loop, early.datas && told.eofs);
    rig_relay(&r);
    TURN_UNTIL(r.loop, r.ended && r.right.eofs && r.left.eofs);
    CHECK(probe_got(&r.right, "waiting"));
    CHECK_INT(r.error, 0);
    rig_fini(&r);
}

TEST(relay_takes_a_stream_that_broke)
{
    struct rig r;
    struct probe early = {0};
    rig_streams(&r, tcp_pair);
    probe_own(&early, r.a);
    stream_reset(r.left.s);
    r.left.s = NULL;
    TURN_UNTIL(r.loop, early.errors);
    rig_relay(&r);
    TURN_UNTIL(r.loop, r.ended && r.right.errors);
    CHECK_INT(r.error, ECONNRESET);
    CHECK_INT(r.right.eofs, 0);
    rig_fini(&r);
}

TEST(relay_abort_resets_both)
{
    struct rig r;
    rig_init(&r, tcp_pair);
    stream_write(r.left.s, "x", 1);
    TURN_UNTIL(r.loop, r.right.datas);
    relay_abort(r.relay);
    relay_abort(r.relay);
    TURN_UNTIL(r.loop, r.left.errors && r.right.errors);
    CHECK_INT(r.left.error, ECONNRESET);
    CHECK_INT(r.right.error, ECONNRESET);
    CHECK_INT(r.ended, 0);
    rig_fini(&r);
}

TEST(relay_without_anyone_to_tell)
{
    struct rig r;
    rig_streams(&r, unix_pair);
    relay_new(r.a, r.b, NULL);
    stream_write(r.left.s, "x", 1);
    stream_shutdown(r.left.s);
    stream_shutdown(r.right.s);
    TURN_UNTIL(r.loop, r.right.eofs && r.left.eofs);
    CHECK(probe_got(&r.right, "x"));
    rig_fini(&r);
}
