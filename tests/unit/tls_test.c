/* Our client and our server, joined in memory. */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/tls_state.h"
#include "tests/unit/tls_rig.h"
#include "tests/unit/wire.h"

#define BIG (3u << 20)

/* A record of any type, by that stream's own keys. */
static void say(struct stream *s, enum tls_type type, const uint8_t body[2])
{
    struct tls *t = container_of(s, struct tls, s);
    tls_seal_one(&t->out.keys.table, t->carrier, type, body);
}

TEST(tls_meets_with_every_key)
{
    static const char *const names[] = {"p256", "rsa", "p384", "deep"};
    for (size_t i = 0; i < countof(names); i++) {
        struct tls_rig r;
        tls_rig_init(&r, names[i]);
        CHECK_INT(tls_rig_meet(&r), 0);
        CHECK_INT(r.p[TLS_SERVER].opens, 1);
        CHECK_STR(tls_server_name(r.p[TLS_SERVER].s), "localhost");
        CHECK_STR(tls_protocol(r.p[TLS_SERVER].s), "http/1.1");
        CHECK_STR(tls_protocol(r.p[TLS_CLIENT].s), "http/1.1");
        CHECK(tls_suite(r.p[TLS_CLIENT].s) != NULL);
        CHECK_STR(tls_suite(r.p[TLS_CLIENT].s), tls_suite(r.p[TLS_SERVER].s));
        stream_write(r.p[TLS_CLIENT].s, "ask", 3);
        tls_rig_run(&r);
        CHECK(probe_got(&r.p[TLS_SERVER], "ask"));
        stream_write(r.p[TLS_SERVER].s, "answer", 6);
        tls_rig_run(&r);
        CHECK(probe_got(&r.p[TLS_CLIENT], "answer"));
        tls_rig_fini(&r);
    }
}

TEST(tls_writes_before_it_is_open)
{
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    tls_rig_begin(&r);
    stream_write(r.p[TLS_CLIENT].s, "early", 5);
    stream_shutdown(r.p[TLS_CLIENT].s);
    stream_write(r.p[TLS_SERVER].s, "bird", 4);
    tls_rig_run(&r);
    CHECK(probe_got(&r.p[TLS_SERVER], "early") && r.p[TLS_SERVER].eofs == 1);
    CHECK(probe_got(&r.p[TLS_CLIENT], "bird") && r.p[TLS_CLIENT].eofs == 0);
    tls_rig_fini(&r);
}

TEST(tls_sends_what_was_written_before_a_close)
{
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    tls_rig_begin(&r);
    stream_write(r.p[TLS_CLIENT].s, "last words", 10);
    stream_close(r.p[TLS_CLIENT].s);
    r.p[TLS_CLIENT].s = NULL;
    tls_rig_run(&r);
    CHECK(probe_got(&r.p[TLS_SERVER], "last words") && r.p[TLS_SERVER].eofs == 1);
    CHECK_INT(r.p[TLS_SERVER].errors, 0);
    tls_rig_fini(&r);
}

TEST(tls_ends_with_the_loop_while_a_close_waits)
{
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    tls_rig_begin(&r);
    stream_write(r.p[TLS_CLIENT].s, "unheard", 7);
    stream_close(r.p[TLS_CLIENT].s);
    r.p[TLS_CLIENT].s = NULL;
    loop_turn(r.loop, 0);
    probe_fini(&r.p[TLS_SERVER]);
    tls_server_free(r.server);
    loop_free(r.loop); /* the sanitizer tells whether all was freed */
    tls_anchors_free(r.anchors);
    buf_fini(&r.way[0].out);
    buf_fini(&r.way[1].out);
}

TEST(tls_half_closes)
{
    struct tls_rig r;
    for (int first = 0; first < 2; first++) {
        tls_rig_init(&r, "p256");
        CHECK_INT(tls_rig_meet(&r), 0);
        stream_write(r.p[first].s, "done", 4);
        stream_shutdown(r.p[first].s);
        CHECK_INT(stream_room(r.p[first].s), 0);
        tls_rig_run(&r);
        CHECK(probe_got(&r.p[!first], "done") && r.p[!first].eofs == 1);
        CHECK_INT(r.p[first].eofs, 0);
        for (int i = 0; i < 3; i++) {
            stream_write(r.p[!first].s, "more", 4);
            tls_rig_run(&r);
        }
        stream_shutdown(r.p[!first].s);
        tls_rig_run(&r);
        CHECK(probe_got(&r.p[first], "moremoremore") && r.p[first].eofs == 1);
        CHECK_INT(r.p[0].errors + r.p[1].errors, 0);
        tls_rig_fini(&r);
    }
}

/* One whole conversation, cut off behind byte `cut` of what `from` says. How much that is. */
static size_t converse(struct tls_rig *r, enum tls_side from, size_t cut)
{
    r->way[from].cut = cut;
    tls_rig_begin(r);
    for (int i = 0; i < 2; i++) {
        stream_write(r->p[i].s, "some words", 10);
        stream_shutdown(r->p[i].s);
    }
    tls_rig_run(r);
    return r->way[from].moved;
}

/* The end is an end only behind close_notify, wherever else it comes. */
TEST(tls_tells_a_truncation_from_an_end)
{
    for (int from = 0; from < 2; from++) {
        struct tls_rig r;
        tls_rig_init(&r, "p256");
        size_t all = converse(&r, from, SIZE_MAX);
        CHECK(all > 250 && r.p[!from].eofs == 1);
        tls_rig_end(&r);
        /* Signatures vary by a byte or two in length. */
        for (size_t cut = 0; cut < all - 8; cut += cut < all - 60 ? 29 : 3) {
            converse(&r, from, cut);
            struct probe *p = &r.p[!from];
            if (p->eofs || p->errors != 1 || p->error != ECONNRESET)
                test_fail(__FILE__, __LINE__, "cut at %zu: %u ends, error %d", cut, p->eofs,
                          p->error);
            CHECK_STR(tls_reason(p->s), "it was cut off");
            tls_rig_end(&r);
        }
        tls_rig_fini(&r);
    }
}

/* At every byte: nothing is an end, or an error, before the last one. */
TEST(tls_ends_with_the_last_byte)
{
    for (int from = 0; from < 2; from++) {
        struct tls_rig r;
        tls_rig_init(&r, "p256");
        r.way[from].hold = 0;
        converse(&r, from, SIZE_MAX);
        const struct probe *p = &r.p[!from];
        for (; r.way[from].out.len; tls_rig_run(&r)) {
            CHECK(!p->eofs && !p->errors);
            r.way[from].hold++;
        }
        CHECK(p->eofs == 1 && probe_got(p, "some words"));
        CHECK(r.way[from].hold == r.way[from].moved && r.way[from].hold > 250);
        tls_rig_fini(&r);
    }
}

/* Whatever bit is changed, no other words are heard, and somebody notices. */
TEST(tls_notices_what_was_changed)
{
    for (int from = 0; from < 2; from++) {
        struct tls_rig r;
        tls_rig_init(&r, "p256");
        size_t all = converse(&r, from, SIZE_MAX);
        tls_rig_end(&r);
        for (size_t at = 0; at < all - 8; at += at < all - 120 ? 31 : 5) {
            r.way[from].flip = at;
            tls_rig_begin(&r);
            stream_write(r.p[from].s, "some words", 10);
            stream_shutdown(r.p[from].s);
            tls_rig_run(&r);
            struct probe *p = &r.p[!from];
            bool heard = probe_got(p, "some words") && p->eofs == 1;
            bool missed = !p->errors && !r.p[from].errors && !heard;
            /* A length that has grown leaves the reader waiting for the rest. */
            if (missed)
                stream_deliver_eof(&r.way[!from].carrier);
            loop_turn(r.loop, 0);
            if (!p->errors && !r.p[from].errors)
                test_fail(__FILE__, __LINE__, "the change at %zu was not noticed", at);
            CHECK(!p->got.len || probe_got(p, "some words"));
            tls_rig_end(&r);
        }
        tls_rig_fini(&r);
    }
}

TEST(tls_says_what_was_changed)
{
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    CHECK_INT(tls_rig_meet(&r), 0);
    r.way[TLS_CLIENT].flip = r.way[TLS_CLIENT].moved + 20;
    stream_write(r.p[TLS_CLIENT].s, "some words", 10);
    tls_rig_run(&r);
    CHECK_INT(r.p[TLS_SERVER].error, EBADMSG);
    CHECK_STR(tls_reason(r.p[TLS_SERVER].s), "a record was changed on its way");
    CHECK_INT(r.p[TLS_CLIENT].error, ECONNRESET);
    CHECK_STR(tls_reason(r.p[TLS_CLIENT].s), "alert: bad record");
    tls_rig_fini(&r);
}

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 2654435761u >> 13);
}

/* Writes while there is room, up to `total`; how much lay in the carrier at most is the wire's. */
static void pour(struct stream *s, size_t *sent, size_t total)
{
    uint8_t bytes[30000];
    size_t room;
    while (*sent < total && (room = stream_room(s))) {
        size_t len = total - *sent < room ? total - *sent : room;
        len = len < sizeof(bytes) ? len : sizeof(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = pattern(*sent + i);
        stream_write(s, bytes, len);
        *sent += len;
        if (*sent == total)
            stream_shutdown(s);
    }
}

static void check_pattern(const struct probe *p, size_t len)
{
    CHECK_INT(p->got.len, len);
    size_t wrong = 0;
    for (size_t i = 0; i < p->got.len; i++)
        wrong += buf_front(&p->got)[i] != pattern(i);
    CHECK_INT(wrong, 0);
}

/* Both ways at once, through carriers that take little and bring it in pieces of any size. */
TEST(tls_carries_much_both_ways)
{
    static const size_t chunks[] = {1009, 16384, 100000};
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    for (size_t c = 0; c < countof(chunks); c++) {
        struct stream *ends[2];
        size_t sent[2] = {0}, total = chunks[c] < 5000 ? BIG / 16 : BIG;
        struct probe p[2] = {0};
        wire_new(r.loop, chunks[c], 40000, ends);
        probe_own(&p[0], tls_connect(&r.peer, ends[0]));
        probe_own(&p[1], tls_accept(r.server, ends[1]));
        while ((!p[0].eofs || !p[1].eofs) && !p[0].errors && !p[1].errors) {
            for (int i = 0; i < 2; i++)
                pour(p[i].s, &sent[i], total);
            loop_turn(r.loop, 1000);
        }
        for (int i = 0; i < 2; i++) {
            CHECK_INT(p[i].errors, 0);
            CHECK(p[i].draineds > 0);
            check_pattern(&p[i], total);
            probe_fini(&p[i]);
        }
        loop_turn(r.loop, 0);
    }
    tls_rig_fini(&r);
}

/* A reader that holds still holds up the writer, and gets all of it when it goes on. */
TEST(tls_holds_the_writer_up)
{
    struct tls_rig r;
    struct stream *ends[2];
    struct probe p[2] = {{0}, {.hold = true}};
    size_t sent = 0, before;
    tls_rig_init(&r, "p256");
    wire_new(r.loop, 65536, 40000, ends);
    probe_own(&p[0], tls_connect(&r.peer, ends[0]));
    probe_own(&p[1], tls_accept(r.server, ends[1]));
    TURN_UNTIL(r.loop, p[0].opens && p[1].opens);
    do {
        before = sent;
        pour(p[0].s, &sent, BIG);
        for (int i = 0; i < 8; i++)
            loop_turn(r.loop, 0);
    } while (sent > before);
    CHECK(sent < 300000 && stream_held(p[1].s) <= 16384);
    CHECK_INT(stream_room(p[0].s), 0);
    p[1].hold = false;
    while (!p[1].eofs && !p[1].errors) {
        probe_drink(&p[1]);
        pour(p[0].s, &sent, BIG);
        loop_turn(r.loop, 0);
    }
    check_pattern(&p[1], BIG);
    probe_fini(&p[0]);
    probe_fini(&p[1]);
    tls_rig_fini(&r);
}

TEST(tls_begins_with_small_records)
{
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    CHECK_INT(tls_rig_meet(&r), 0);
    size_t sent = 0, records = 0, longest = 0;
    pour(r.p[TLS_SERVER].s, &sent, 400000);
    const uint8_t *p = buf_front(&r.way[TLS_SERVER].out);
    for (size_t at = 0; at < r.way[TLS_SERVER].out.len; records++) {
        size_t len = 5 + (size_t)(p[at + 3] << 8 | p[at + 4]);
        CHECK(records > 20 || len < 1400);
        longest = len > longest ? len : longest;
        at += len;
    }
    CHECK(longest > 16384 && longest < 16384 + 64);
    tls_rig_run(&r);
    check_pattern(&r.p[TLS_CLIENT], 400000);
    tls_rig_fini(&r);
}

TEST(tls_may_be_closed_by_any_event)
{
    for (int who = 0; who < 2; who++) {
        struct tls_rig r;
        tls_rig_init(&r, "p256");
        tls_rig_begin(&r);
        r.p[who].close_on_event = true;
        stream_write(r.p[!who].s, "words", 5);
        tls_rig_run(&r);
        CHECK_INT(r.p[who].opens + r.p[who].datas, 1);
        CHECK(r.p[!who].eofs == 1 && !r.p[!who].errors);
        tls_rig_fini(&r);
    }
}

/* Inside DATA, with more records behind the one that is looked at. */
TEST(tls_may_be_closed_while_it_reads)
{
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    CHECK_INT(tls_rig_meet(&r), 0);
    for (int i = 0; i < 5; i++)
        stream_write(r.p[TLS_CLIENT].s, "words", 5);
    r.p[TLS_SERVER].close_on_event = true;
    tls_rig_run(&r);
    CHECK_INT(r.p[TLS_SERVER].datas, 1);
    tls_rig_fini(&r);
}

TEST(tls_reset_is_no_end)
{
    struct tls_rig r;
    struct stream *ends[2];
    struct probe p[2] = {{0}};
    tls_rig_init(&r, "p256");
    wire_new(r.loop, 65536, 40000, ends);
    probe_own(&p[0], tls_connect(&r.peer, ends[0]));
    probe_own(&p[1], tls_accept(r.server, ends[1]));
    TURN_UNTIL(r.loop, p[0].opens && p[1].opens);
    stream_reset(p[0].s);
    p[0].s = NULL;
    TURN_UNTIL(r.loop, p[1].errors);
    CHECK(p[1].error == ECONNRESET && !p[1].eofs);
    probe_fini(&p[1]);
    tls_rig_fini(&r);
}

TEST(tls_refuses_what_is_not_tls)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "SSH-2.0-OpenSSH\r\n"};
    for (size_t i = 0; i < countof(texts); i++) {
        struct tls_rig r;
        tls_rig_init(&r, "p256");
        tls_rig_begin(&r);
        loop_turn(r.loop, 0);
        buf_fini(&r.way[TLS_CLIENT].out);
        buf_append(&r.way[TLS_CLIENT].out, texts[i], strlen(texts[i]));
        tls_rig_run(&r);
        CHECK_INT(r.p[TLS_SERVER].error, EPROTO);
        tls_rig_fini(&r);
    }
}

/* Sealed by the client's own keys: type 22 behind the handshake. */
TEST(tls_refuses_to_renegotiate)
{
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    CHECK_INT(tls_rig_meet(&r), 0);
    say(r.p[TLS_CLIENT].s, TLS_HANDSHAKE, (const uint8_t[]){1, 0});
    tls_rig_run(&r);
    CHECK_INT(r.p[TLS_SERVER].error, EPROTO);
    CHECK_STR(tls_reason(r.p[TLS_SERVER].s), "it wants to renegotiate");
    CHECK_STR(tls_reason(r.p[TLS_CLIENT].s), "alert: no renegotiation");
    tls_rig_fini(&r);
}

TEST(tls_bears_few_warnings)
{
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    CHECK_INT(tls_rig_meet(&r), 0);
    for (int i = 0; i < 8; i++)
        say(r.p[TLS_CLIENT].s, TLS_ALERT, (const uint8_t[]){1, 90});
    stream_write(r.p[TLS_CLIENT].s, "still", 5);
    tls_rig_run(&r);
    CHECK(probe_got(&r.p[TLS_SERVER], "still"));
    say(r.p[TLS_CLIENT].s, TLS_ALERT, (const uint8_t[]){1, 90});
    tls_rig_run(&r);
    CHECK_INT(r.p[TLS_SERVER].error, ECONNRESET);
    tls_rig_fini(&r);
}
