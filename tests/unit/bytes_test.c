#include "core/bytes.h"

#include "tests/unit/test.h"

static const uint8_t sample[] = {0xab, 0x01, 0x02, 0xff, 0xfe, 0xfd, 0xfc, 0x80,
                                 1,    2,    3,    4,    5,    6,    7,    'x'};

TEST(bytes_reads_what_was_written)
{
    uint8_t out[sizeof(sample)];
    struct writer w = writer_to(out, sizeof(out));
    write_u8(&w, 0xab);
    write_u16(&w, 0x0102);
    write_u32(&w, 0xfffefdfc);
    write_u64(&w, 0x8001020304050607);
    write_bytes(&w, "x", 1);
    CHECK(!w.bad);
    CHECK_INT(w.len, sizeof(sample));
    CHECK(!memcmp(out, sample, sizeof(sample)));

    struct reader r = reader_of(sample, sizeof(sample));
    CHECK_INT(read_u8(&r), 0xab);
    CHECK_INT(read_u16(&r), 0x0102);
    CHECK_INT(read_u32(&r), 0xfffefdfc);
    CHECK(read_u64(&r) == 0x8001020304050607);
    CHECK(!reader_done(&r));
    CHECK(read_bytes(&r, 1) == sample + 15);
    CHECK(reader_done(&r));
}

TEST(bytes_reading_past_the_end_sticks)
{
    struct reader r = reader_of(sample, 3);
    uint8_t copy[4] = {9, 9, 9, 9};
    CHECK_INT(read_u32(&r), 0);
    CHECK(r.bad);
    CHECK_INT(read_u8(&r), 0);
    CHECK(read_bytes(&r, 0) == NULL);
    read_copy(&r, copy, sizeof(copy));
    CHECK_INT(copy[0] | copy[3], 0);
    CHECK(!reader_done(&r));

    r = reader_of(sample, 3);
    read_copy(&r, copy, 3);
    CHECK(!memcmp(copy, sample, 3));
    CHECK(reader_done(&r));
    r = reader_of(NULL, 0);
    CHECK(reader_done(&r));
    CHECK(read_bytes(&r, SIZE_MAX) == NULL);
}

TEST(bytes_writing_past_the_end_sticks)
{
    uint8_t out[4] = {7, 7, 7, 7};
    struct writer w = writer_to(out, 3);
    write_u16(&w, 0x0101);
    write_u16(&w, 0x0202);
    CHECK(w.bad);
    write_u8(&w, 3);
    CHECK_INT(w.len, 2);
    CHECK_INT(out[2], 7);
    CHECK_INT(out[3], 7);
}

TEST(bytes_hex)
{
    char hex[9];
    uint8_t out[4] = {0};
    hex_encode(hex, "\x00\x9f\xa0\xff", 4);
    CHECK_STR(hex, "009fa0ff");
    CHECK_INT(hex_decode(out, 4, "009FA0ff"), 0);
    CHECK(!memcmp(out, "\x00\x9f\xa0\xff", 4));
    CHECK_INT(hex_decode(out, 4, "009fa0f"), -1);
    CHECK_INT(hex_decode(out, 4, "009fa0fff"), -1);
    CHECK_INT(hex_decode(out, 4, "009fa0fg"), -1);
    CHECK_INT(hex_decode(out, 4, " 09fa0ff"), -1);
    CHECK_INT(hex_decode(out, 0, ""), 0);
}
