/* The link's frames, byte for byte. */
#include "net/link_wire.h"

#include "core/mem.h"
#include "tests/unit/test.h"

static const struct link_hello hello = {.session = "0123456789abcde",
                                        .received = 0x0102030405060708};
static const uint8_t hello_bytes[LINK_HELLO_LEN] = "H\1"
                                                   "0123456789abcde\0"
                                                   "\1\2\3\4\5\6\7\10";

TEST(link_wire_is_as_published)
{
    uint8_t bytes[LINK_HELLO_LEN];
    link_put_hello(bytes, &hello);
    CHECK(!memcmp(bytes, hello_bytes, sizeof(hello_bytes)));
    link_put_data(bytes, 0x10000);
    CHECK(!memcmp(bytes, "D\0\1\0\0", LINK_DATA_LEN));
    link_put_ack(bytes, 0x8877665544332211);
    CHECK(!memcmp(bytes, "A\x88\x77\x66\x55\x44\x33\x22\x11", LINK_ACK_LEN));
}

TEST(link_wire_reads_headers_however_they_are_cut)
{
    for (size_t piece = 1; piece <= LINK_HELLO_LEN; piece++) {
        struct link_head h = {0};
        for (size_t at = 0, len; at < sizeof(hello_bytes); at += len) {
            len = sizeof(hello_bytes) - at < piece ? sizeof(hello_bytes) - at : piece;
            enum link_head_kind kind = link_head_feed(&h, hello_bytes + at, &len);
            CHECK_INT(kind, at + len < sizeof(hello_bytes) ? LINK_HEAD_MORE : LINK_HEAD_HELLO);
        }
        CHECK(!memcmp(&h.hello, &hello, sizeof(hello)));
    }
}

TEST(link_wire_takes_no_more_than_the_header)
{
    static const uint8_t two[] = "A\0\0\0\0\0\0\0\7D\0\0\0\3abc";
    struct link_head h = {0};
    size_t len = sizeof(two);
    CHECK_INT(link_head_feed(&h, two, &len), LINK_HEAD_ACK);
    CHECK_INT(len, LINK_ACK_LEN);
    CHECK_INT(h.acked, 7);
    len = sizeof(two) - LINK_ACK_LEN;
    CHECK_INT(link_head_feed(&h, two + LINK_ACK_LEN, &len), LINK_HEAD_DATA);
    CHECK_INT(len, LINK_DATA_LEN);
    CHECK_INT(h.data_len, 3);
}

TEST(link_wire_refuses_what_is_not_a_frame)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum link_head_kind kind;
    } rows[] = {
        {"D\0\1\0\0", 5, LINK_HEAD_DATA}, {"D\0\0\0\0", 5, LINK_HEAD_DATA},
        {"D\0\1\0\1", 5, LINK_HEAD_BAD},  {"D\377\377\377\377", 5, LINK_HEAD_BAD},
        {"H\1", 2, LINK_HEAD_MORE},       {"H\2", 2, LINK_HEAD_BAD},
        {"HTTP/1.1", 8, LINK_HEAD_BAD},   {"S", 1, LINK_HEAD_BAD},
        {"h", 1, LINK_HEAD_BAD},          {"", 1, LINK_HEAD_BAD},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct link_head h = {0};
        size_t len = rows[i].len;
        CHECK_INT(link_head_feed(&h, (const uint8_t *)rows[i].bytes, &len), rows[i].kind);
    }
}
