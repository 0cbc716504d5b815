/* What a link says and does on its carriers, with the other end played by hand. */
#include "net/link.h"

#include <errno.h>

#include "core/mem.h"
#include "tests/unit/link_rig.h"
#include "tests/unit/wire.h"

static const uint8_t stranger[SESSION_LEN] = "somebody else ..";
static const uint8_t nobody[SESSION_LEN];

TEST(link_says_nothing_before_the_peers_hello)
{
    struct link_rig r;
    link_rig_init(&r);
    stream_write(r.owner.s, "early", 5);
    link_rig_attach(&r, NULL);
    CHECK(!link_is_up(r.l));
    link_rig_hears_hello(&r, 0);
    for (int i = 0; i < 5; i++)
        loop_turn(r.loop, 0);
    CHECK_INT(r.peer.got.len, 0);
    link_rig_hello(&r, link_rig_session, 0);
    link_rig_hears_data(&r, "early");
    CHECK_STR(r.events, "U");
    CHECK(link_is_up(r.l));
    link_rig_fini(&r);
}

TEST(link_takes_a_hello_that_was_read_before)
{
    struct link_hello hello = {.received = 0};
    struct link_rig r;
    link_rig_init(&r);
    memcpy(hello.session, link_rig_session, SESSION_LEN);
    link_rig_attach(&r, &hello);
    CHECK(!r.events[0]);
    link_rig_data(&r, "at once");
    TURN_UNTIL(r.loop, r.owner.got.len == 7);
    CHECK_STR(r.events, "U");
    CHECK(probe_got(&r.owner, "at once"));
    link_rig_hears_hello(&r, 0);
    link_rig_fini(&r);
}

/* 1000 bytes were sent and 400 of them acknowledged when the carrier went. */
TEST(link_judges_the_peers_hello)
{
    static const struct {
        const uint8_t *session;
        uint64_t received;
        const char *events;
    } rows[] = {
        {link_rig_session, 400, "UU"},
        {link_rig_session, 401, "UU"},
        {link_rig_session, 1000, "UU"},
        {link_rig_session, 399, "UL"},
        {link_rig_session, 1001, "UL"},
        {link_rig_session, UINT64_MAX, "UL"},
        {link_rig_session, 0, "UL"},
        {stranger, 400, "UL"},
        {nobody, 400, "UL"},
        {nobody, 0, "UL"},
    };
    char text[1001] = {0};
    memset(text, 'x', 1000);
    for (size_t i = 0; i < countof(rows) * 2; i++) {
        bool read_before = i % 2;
        struct link_hello hello = {.received = rows[i / 2].received};
        memcpy(hello.session, rows[i / 2].session, SESSION_LEN);
        struct link_rig r;
        link_rig_init(&r);
        link_rig_up(&r, 0);
        stream_write(r.owner.s, text, 1000);
        link_rig_hears_data(&r, text);
        link_rig_ack(&r, 400);
        TURN_UNTIL(r.loop, r.l->acked == 400);
        link_rig_attach(&r, read_before ? &hello : NULL);
        if (!read_before)
            link_rig_hello(&r, hello.session, hello.received);
        TURN_UNTIL(r.loop, strlen(r.events) == 2);
        CHECK_STR(r.events, rows[i / 2].events);
        CHECK_INT(link_is_up(r.l), r.events[1] == 'U');
        loop_turn(r.loop, 0);
        CHECK_INT(r.owner.error, r.events[1] == 'U' ? 0 : ECONNRESET);
        link_rig_fini(&r);
    }
}

TEST(link_tells_a_peer_that_it_cannot_follow)
{
    struct link_hello hello = {.received = 77};
    struct link_rig r;
    link_rig_init(&r);
    memcpy(hello.session, link_rig_session, SESSION_LEN);
    link_rig_attach(&r, &hello);
    TURN_UNTIL(r.loop, r.peer.eofs == 1);
    CHECK_STR(r.events, "L");
    CHECK_INT(r.peer.got.len, LINK_HELLO_LEN);
    CHECK(!memcmp(buf_front(&r.peer.got) + 2, nobody, SESSION_LEN));
    link_rig_attach(&r, &hello);
    TURN_UNTIL(r.loop, r.peer.eofs == 1);
    CHECK_STR(r.events, "L");
    link_rig_fini(&r);
}

TEST(link_sends_again_from_the_exact_byte)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    stream_write(r.owner.s, "0123456789", 10);
    link_rig_hears_data(&r, "0123456789");
    CHECK(link_waiting(r.l));
    link_detach(r.l);
    stream_write(r.owner.s, "abc", 3);
    link_rig_up(&r, 7);
    link_rig_hears_data(&r, "789abc");
    link_rig_ack(&r, 13);
    TURN_UNTIL(r.loop, !link_waiting(r.l));
    CHECK_INT(r.l->kept.len, 0);
    CHECK_STR(r.events, "UU");
    link_rig_fini(&r);
}

TEST(link_counts_bytes_of_an_unfinished_frame)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    link_rig_say(&r, "D\0\0\3\350abcde", 10);
    TURN_UNTIL(r.loop, r.owner.got.len == 5);
    link_detach(r.l);
    link_rig_up(&r, 0); /* says Hello with 5 */
    CHECK_INT(r.l->received, 5);
    link_rig_data(&r, "fg");
    TURN_UNTIL(r.loop, r.owner.got.len == 7);
    CHECK(probe_got(&r.owner, "abcdefg"));
    link_rig_fini(&r);
}

TEST(link_drops_a_carrier_that_talks_nonsense)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"A\0\0\0\0\0\0\0\4", 9},
        {"A\377\377\377\377\377\377\377\377", 9},
        {"A\0\0\0\0\0\0\0\0", 9},
        {"D\0\1\0\1", 5},
        {"HTTP", 4},
        {"H\1sixteen bytes ..\0\0\0\0\0\0\0\3", 26},
        {"D\0\0\0\2xyZ", 8},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct link_rig r;
        link_rig_init(&r);
        link_rig_up(&r, 0);
        stream_write(r.owner.s, "abc", 3);
        link_rig_hears_data(&r, "abc");
        link_rig_ack(&r, 1);
        link_rig_say(&r, rows[i].bytes, rows[i].len);
        TURN_UNTIL(r.loop, !link_is_up(r.l));
        CHECK_STR(r.events, "UD");
        CHECK_INT(link_error(r.l), EPROTO);
        CHECK_INT(r.owner.errors, 0);
        link_rig_up(&r, 2);
        link_rig_hears_data(&r, "c");
        link_rig_fini(&r);
    }
}

TEST(link_wants_a_hello_first)
{
    static const char *const rows[] = {"D\0\0\0\1x", "A\0\0\0\0\0\0\0\0", "Welcome to host"};
    static const size_t lens[] = {6, 9, 15};
    for (size_t i = 0; i < countof(rows); i++) {
        struct link_rig r;
        link_rig_init(&r);
        link_rig_attach(&r, NULL);
        link_rig_say(&r, rows[i], lens[i]);
        TURN_UNTIL(r.loop, r.events[0]);
        CHECK_STR(r.events, "D");
        CHECK_INT(link_error(r.l), EPROTO);
        CHECK_INT(r.owner.got.len, 0);
        link_rig_fini(&r);
    }
}

TEST(link_waits_for_hello_only_so_long)
{
    struct link_rig r;
    link_rig_init(&r);
    r.l->hello_ms = 20;
    link_rig_attach(&r, NULL);
    TURN_UNTIL(r.loop, r.events[0]);
    CHECK_STR(r.events, "D");
    CHECK_INT(link_error(r.l), ETIMEDOUT);
    link_rig_fini(&r);
}

TEST(link_goes_down_when_its_carrier_ends)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    link_rig_data(&r, "last words");
    stream_close(r.peer.s);
    r.peer.s = NULL;
    TURN_UNTIL(r.loop, !link_is_up(r.l));
    CHECK_INT(link_error(r.l), 0);
    CHECK(probe_got(&r.owner, "last words"));
    link_rig_up(&r, 0);
    stream_reset(r.peer.s);
    r.peer.s = NULL;
    TURN_UNTIL(r.loop, !link_is_up(r.l));
    CHECK_INT(link_error(r.l), ECONNRESET);
    CHECK_STR(r.events, "UDUD");
    CHECK_INT(r.owner.eofs + r.owner.errors, 0);
    link_rig_fini(&r);
}

TEST(link_replaces_a_carrier_silently)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    struct probe old = r.peer;
    r.peer = (struct probe){0};
    stream_own(old.s, probe_event, &old);
    link_rig_up(&r, 0);
    TURN_UNTIL(r.loop, old.errors + old.eofs == 1);
    CHECK_STR(r.events, "UU");
    probe_fini(&old);
    link_detach(r.l);
    CHECK(!link_is_up(r.l));
    loop_turn(r.loop, 0);
    CHECK_STR(r.events, "UU");
    link_rig_fini(&r);
}

/* The watchdog. */

TEST(link_drops_a_carrier_that_falls_silent)
{
    struct link_rig r;
    link_rig_init(&r);
    r.l->stall_ms = 50;
    link_rig_up(&r, 0);
    CHECK(!loop_timer_armed(&r.l->watchdog));
    stream_write(r.owner.s, "hello?", 6);
    TURN_UNTIL(r.loop, r.events[1]);
    CHECK_STR(r.events, "UD");
    CHECK_INT(link_error(r.l), ETIMEDOUT);
    link_rig_up(&r, 0);
    TURN_UNTIL(r.loop, r.peer.got.len == LINK_DATA_LEN + 6);
    link_rig_ack(&r, 6);
    TURN_UNTIL(r.loop, !loop_timer_armed(&r.l->watchdog));
    CHECK_STR(r.events, "UDU");
    link_rig_fini(&r);
}

/* Who waits for acknowledgements but hears other things waits on. */
TEST(link_keeps_a_carrier_that_is_heard)
{
    struct link_rig r;
    link_rig_init(&r);
    r.l->stall_ms = 500;
    link_rig_up(&r, 0);
    stream_write(r.owner.s, "hello?", 6);
    link_rig_hears_data(&r, "hello?");
    uint64_t due = r.l->watchdog.due_ms;
    CHECK(loop_timer_armed(&r.l->watchdog));
    while (link_is_up(r.l) && r.l->watchdog.due_ms == due) {
        link_rig_data(&r, ".");
        loop_turn(r.loop, 10);
    }
    CHECK(loop_timer_armed(&r.l->watchdog));
    CHECK_STR(r.events, "U");
    link_rig_fini(&r);
}

/* As if the process had stood still for so long, with a frame under way. */
static void stand_still(struct link *l, uint64_t ms)
{
    uint64_t ago = loop_now_ms(l->stream.loop) - ms;
    loop_timer_set(&l->watchdog, 0);
    l->heard_ms = l->waiting_ms = ago;
    l->watchdog.due_ms = ago + l->stall_ms;
}

static void outlast_a_stop(uint64_t ms)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    stream_write(r.owner.s, "hello?", 6);
    TURN_UNTIL(r.loop, r.peer.got.len == LINK_DATA_LEN + 6);
    stand_still(r.l, ms);
    uint64_t due = r.l->watchdog.due_ms;
    TURN_UNTIL(r.loop, r.l->watchdog.due_ms != due);
    CHECK_STR(r.events, "U");
    CHECK(loop_timer_armed(&r.l->watchdog));
    link_rig_ack(&r, 6);
    TURN_UNTIL(r.loop, !loop_timer_armed(&r.l->watchdog));
    CHECK_STR(r.events, "U");
    link_rig_fini(&r);
}

/* Also after one that was hardly longer than silence may be. */
TEST(link_keeps_its_carrier_after_a_stop)
{
    outlast_a_stop(10000);
    outlast_a_stop(LINK_STALL_MS + 300);
}

/* Acks. */

TEST(link_acks_a_burst_once)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    for (int i = 0; i < 100; i++)
        link_rig_data(&r, "x");
    link_rig_hears_ack(&r, 100);
    for (int i = 0; i < 5; i++)
        loop_turn(r.loop, 0);
    CHECK_INT(r.peer.got.len, 0);
    CHECK(!loop_timer_armed(&r.l->ack_timer));
    CHECK(!loop_timer_armed(&r.l->watchdog));
    link_rig_fini(&r);
}

TEST(link_acks_bulk_at_least_every_64_kib)
{
    enum { FRAMES = 64, LEN = 16384 };
    static char text[LEN + 1];
    memset(text, 'x', LEN);
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    for (int i = 0; i < FRAMES; i++)
        link_rig_data(&r, text);
    uint64_t told = 0, acks = 0;
    while (told < (uint64_t)FRAMES * LEN) {
        struct link_head h = {0};
        TURN_UNTIL(r.loop, r.peer.got.len >= LINK_ACK_LEN);
        size_t len = r.peer.got.len;
        if (len < LINK_ACK_LEN || link_head_feed(&h, buf_front(&r.peer.got), &len) != LINK_HEAD_ACK)
            break;
        buf_consume(&r.peer.got, len);
        CHECK(h.acked > told && h.acked - told <= 65536);
        told = h.acked;
        acks++;
    }
    CHECK_INT(told, FRAMES * LEN);
    CHECK(acks <= FRAMES * LEN / 32768 + 1);
    link_rig_fini(&r);
}

static void echo(void *arg, struct stream *s, enum stream_event event)
{
    size_t len;
    const uint8_t *p = stream_peek(s, &len);
    (void)arg;
    if (event != STREAM_DATA)
        return;
    stream_write(s, p, len);
    stream_consume(s, len);
}

TEST(link_sends_the_ack_along_with_the_answer)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    stream_own(r.owner.s, echo, NULL);
    link_rig_data(&r, "ping");
    link_rig_hears_ack(&r, 4);
    link_rig_hears_data(&r, "ping");
    CHECK(!loop_timer_armed(&r.l->ack_timer));
    link_rig_ack(&r, 4);
    TURN_UNTIL(r.loop, link_rtt_us(r.l) > 0);
    link_rig_fini(&r);
}

/* Bounds. */

TEST(link_has_no_room_while_nothing_is_acknowledged)
{
    static const uint8_t block[10000];
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    for (int i = 0; i < 1000 && stream_room(r.owner.s); i++) {
        stream_write(r.owner.s, block, sizeof(block));
        loop_turn(r.loop, 0);
    }
    CHECK_INT(stream_room(r.owner.s), 0);
    CHECK(r.l->kept.len <= LINK_PACE_START + sizeof(block));
    TURN_UNTIL(r.loop, r.peer.got.len >= LINK_PACE_START);
    CHECK(r.l->sent <= LINK_PACE_START);
    CHECK_INT(r.owner.draineds, 0);
    link_rig_ack(&r, r.l->sent);
    TURN_UNTIL(r.loop, r.owner.draineds == 1);
    CHECK(stream_room(r.owner.s) > 0);
    link_rig_fini(&r);
}

/* What the carrier does not take stays here, where an Ack can pass it. */
TEST(link_writes_no_more_than_the_carrier_has_room_for)
{
    static const uint8_t block[60000];
    struct link_hello hello = {.received = 0};
    struct stream *ends[2];
    struct link_rig r;
    link_rig_init(&r);
    memcpy(hello.session, link_rig_session, SESSION_LEN);
    wire_new(r.loop, 1000, 1000, ends);
    probe_own(&r.peer, ends[1]);
    r.peer.hold = true;
    link_attach(r.l, ends[0], &hello);
    stream_write(r.owner.s, block, sizeof(block));
    TURN_UNTIL(r.loop, r.l->sent);
    for (int i = 0; i < 10; i++)
        loop_turn(r.loop, 0);
    CHECK(r.l->sent <= 3000);
    r.peer.hold = false;
    probe_drink(&r.peer);
    TURN_UNTIL(r.loop, r.l->sent == sizeof(block));
    link_rig_fini(&r);
}

TEST(link_stops_reading_for_an_owner_who_does_not)
{
    enum { FRAMES = 32 };
    static char text[65537];
    memset(text, 'x', 65536);
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    r.owner.hold = true;
    stream_write(r.owner.s, "?", 1); /* never acknowledged */
    for (int i = 0; i < FRAMES; i++)
        link_rig_data(&r, text);
    TURN_UNTIL(r.loop, r.l->held_up);
    uint64_t told = r.l->received;
    CHECK(told >= 256 * 1024 && told <= 384 * 1024);
    CHECK_INT(stream_held(r.owner.s), told);
    /* It is heard from all the same: the same count again and again. */
    r.l->stall_ms = 60;
    loop_timer_set(&r.l->watchdog, 0);
    buf_consume(&r.peer.got, r.peer.got.len);
    TURN_UNTIL(r.loop, r.peer.got.len >= 6 * LINK_ACK_LEN);
    CHECK_INT(r.l->received, told);
    CHECK_STR(r.events, "U");
    r.l->stall_ms = LINK_STALL_MS;
    r.owner.hold = false;
    probe_drink(&r.owner);
    TURN_UNTIL(r.loop, r.owner.got.len == FRAMES * 65536);
    CHECK_STR(r.events, "U");
    link_rig_fini(&r);
}
