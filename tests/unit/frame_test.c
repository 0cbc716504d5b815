#include "core/frame.h"

#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/sink.h"
#include "tests/unit/test.h"

/* Three frames, of 5 bytes, 1 byte and 300 bytes. */
static const uint8_t first[] = "{\"a\"}", second[] = {CHANNEL_STDOUT};
static uint8_t third[300];

static size_t three_frames(uint8_t *wire)
{
    size_t len = 0;
    static const uint8_t headers[3][4] = {{0, 0, 0, 5}, {0, 0, 0, 1}, {0, 0, 1, 44}};
    const uint8_t *payloads[] = {first, second, third};
    static const size_t lens[] = {5, 1, 300};
    memset(third, 2, sizeof third);
    for (size_t i = 0; i < 3; i++) {
        memcpy(wire + len, headers[i], 4);
        memcpy(wire + len + 4, payloads[i], lens[i]);
        len += 4 + lens[i];
    }
    return len;
}

static void check_frame(const struct frame *f, unsigned which)
{
    const uint8_t *payloads[] = {first, second, third};
    static const size_t lens[] = {5, 1, 300};
    CHECK(which < 3);
    if (which >= 3)
        return;
    CHECK_INT(f->len, lens[which]);
    CHECK(f->len == lens[which] && memcmp(f->payload, payloads[which], f->len) == 0);
}

/* Feeds wire[len]; counts the frames that came out on from *seen. */
static void feed_all(struct frame_reader *r, const uint8_t *wire, size_t len, unsigned *seen)
{
    while (len) {
        struct frame f = {0};
        size_t n = len;
        enum frame_status status = frame_feed(r, wire, &n, &f);
        CHECK(status != FRAME_BAD);
        CHECK(n > 0 && n <= len);
        if (status == FRAME_BAD || n == 0 || n > len)
            return;
        if (status == FRAME_READY)
            check_frame(&f, (*seen)++);
        else
            CHECK_INT(n, len);
        wire += n;
        len -= n;
    }
}

TEST(frame_cut_anywhere)
{
    uint8_t wire[400];
    size_t len = three_frames(wire);
    for (size_t cut = 0; cut <= len; cut++) {
        struct frame_reader r = {0};
        unsigned seen = 0;
        feed_all(&r, wire, cut, &seen);
        feed_all(&r, wire + cut, len - cut, &seen);
        CHECK_INT(seen, 3);
        frame_reader_fini(&r);
    }
}

TEST(frame_byte_by_byte)
{
    uint8_t wire[400];
    size_t len = three_frames(wire);
    struct frame_reader r = {0};
    unsigned seen = 0;
    for (size_t i = 0; i < len; i++)
        feed_all(&r, wire + i, 1, &seen);
    CHECK_INT(seen, 3);
    frame_reader_fini(&r);
}

TEST(frame_takes_only_its_own)
{
    uint8_t wire[400];
    size_t len = three_frames(wire), n = len;
    struct frame_reader r = {0};
    struct frame f = {0};
    CHECK_INT(frame_feed(&r, wire, &n, &f), FRAME_READY);
    CHECK_INT(n, 9);
    n = 0;
    CHECK_INT(frame_feed(&r, NULL, &n, &f), FRAME_MORE);
    frame_reader_fini(&r);
}

TEST(frame_bad_lengths)
{
    static const uint8_t bad[][4] = {{0, 0, 0, 0}, {0, 0x40, 0, 1}, {0xff, 0xff, 0xff, 0xff}};
    for (size_t i = 0; i < countof(bad); i++) {
        struct frame_reader r = {0};
        struct frame f = {0};
        size_t n = 3;
        CHECK_INT(frame_feed(&r, bad[i], &n, &f), FRAME_MORE);
        n = 1;
        CHECK_INT(frame_feed(&r, bad[i] + 3, &n, &f), FRAME_BAD);
        CHECK_INT(n, 1);
        CHECK_INT(frame_feed(&r, bad[i], &n, &f), FRAME_BAD);
        CHECK_INT(n, 0);
        frame_reader_fini(&r);
    }
}

TEST(frame_of_the_limit)
{
    struct frame_reader r = {0};
    struct frame f = {0};
    static const uint8_t header[] = {0, 0x40, 0, 0};
    size_t n = sizeof header;
    CHECK_INT(frame_feed(&r, header, &n, &f), FRAME_MORE);
    CHECK(r.part.cap < FRAME_LIMIT); /* nothing is allocated on a peer's word */
    uint8_t *payload = xcalloc(FRAME_LIMIT, 1);
    payload[FRAME_LIMIT - 1] = 9;
    n = FRAME_LIMIT;
    CHECK_INT(frame_feed(&r, payload, &n, &f), FRAME_READY);
    CHECK_INT(n, FRAME_LIMIT);
    CHECK_INT(f.len, FRAME_LIMIT);
    CHECK(f.len == FRAME_LIMIT && memcmp(f.payload, payload, f.len) == 0);
    free(payload);
    n = 0;
    CHECK_INT(frame_feed(&r, NULL, &n, &f), FRAME_MORE);
    CHECK(r.part.cap <= BUF_KEEP);
    frame_reader_fini(&r);
}

TEST(frame_writes)
{
    struct sink k;
    uint8_t wire[400];
    size_t len = three_frames(wire);
    sink_init(&k);
    frame_write(&k.s, first, 5);
    frame_write_data(&k.s, CHANNEL_STDOUT, NULL, 0);
    frame_write_data(&k.s, CHANNEL_STDERR, third, sizeof third - 1);
    CHECK_INT(k.out.len, len);
    CHECK(k.out.len == len && memcmp(buf_front(&k.out), wire, len) == 0);
    sink_fini(&k);
}

TEST(frame_reads_from_a_stream)
{
    struct sink k;
    uint8_t wire[400];
    size_t len = three_frames(wire), held;
    struct frame_reader r = {0};
    struct frame f = {0};
    sink_init(&k);
    CHECK_INT(frame_read(&r, &k.s, &f), FRAME_MORE);
    stream_deliver(&k.s, wire, 12);
    CHECK_INT(frame_read(&r, &k.s, &f), FRAME_READY);
    check_frame(&f, 0);
    CHECK_INT(stream_held(&k.s), 3);
    CHECK_INT(frame_read(&r, &k.s, &f), FRAME_MORE);
    CHECK_INT(stream_held(&k.s), 0);
    stream_deliver(&k.s, wire + 12, len - 12);
    stream_deliver(&k.s, (const uint8_t *)"raw", 3);
    CHECK_INT(frame_read(&r, &k.s, &f), FRAME_READY);
    check_frame(&f, 1);
    CHECK_INT(frame_read(&r, &k.s, &f), FRAME_READY);
    check_frame(&f, 2);
    CHECK(memcmp(stream_peek(&k.s, &held), "raw", 3) == 0);
    CHECK_INT(held, 3);
    frame_reader_fini(&r);
    sink_fini(&k);
}
