/* RFC 6455's frames: its own examples, and what is refused, whole and cut at every byte. */
#include "net/websocket_frame.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/buf.h"
#include "core/mem.h"
#include "tests/unit/test.h"

static void narrate(const struct ws_reader *r, enum ws_event event, const uint8_t *out,
                    struct buf *story)
{
    switch (event) {
    case WS_GOT_NOTHING: return;
    case WS_BROKEN: buf_printf(story, "!%u", r->code); return;
    case WS_GOT_PING: buf_printf(story, "<ping "); break;
    case WS_GOT_PONG: buf_printf(story, "<pong "); break;
    case WS_GOT_CLOSE: buf_printf(story, "<close %u ", r->code); break;
    case WS_GOT_DATA: break;
    }
    buf_append(story, out, r->out_len);
    if (event == WS_GOT_DATA)
        buf_printf(story, "%s", r->last ? r->text ? "t" : "b" : "");
    else
        buf_printf(story, ">");
}

static bool feed(struct ws_reader *r, const uint8_t *in, size_t len, struct buf *story)
{
    uint8_t *copy = xmalloc(len + !len), out[WS_PIECE];
    size_t at = 0, used;
    enum ws_event event;
    memcpy(copy, in, len);
    do {
        event = ws_read(r, copy + at, len - at, &used, out);
        at += used;
        narrate(r, event, out, story);
    } while (event != WS_GOT_NOTHING && event != WS_BROKEN);
    free(copy);
    return event != WS_BROKEN;
}

#define TELLS(role, in, story) tells(role, (const uint8_t *)(in), sizeof(in) - 1, story, __LINE__)

static void tells(enum ws_role role, const uint8_t *in, size_t len, const char *story, int line)
{
    for (size_t cut = 0; cut <= len; cut++) {
        struct ws_reader r;
        struct buf got = {0};
        ws_reader_init(&r, role, 70000);
        if (feed(&r, in, cut, &got))
            feed(&r, in + cut, len - cut, &got);
        if (got.len != strlen(story) || memcmp(buf_front(&got), story, got.len) != 0)
            test_fail(__FILE__, line, "cut at %zu: %.*s, not %s", cut, (int)got.len,
                      (const char *)buf_front(&got), story);
        buf_fini(&got);
    }
}

/* RFC 6455 §5.7 and §1.3. */
TEST(websocket_reads_the_examples_of_its_rfc)
{
    TELLS(WS_CLIENT, "\x81\x05Hello", "Hellot");
    TELLS(WS_SERVER, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "Hellot");
    TELLS(WS_CLIENT, "\x01\x03Hel\x80\x02lo", "Hellot");
    TELLS(WS_CLIENT, "\x89\x05Hello", "<ping Hello>");
    TELLS(WS_SERVER, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "<pong Hello>");
    char accept[WS_ACCEPT_LEN + 1];
    ws_accept(accept, "dGhlIHNhbXBsZSBub25jZQ==");
    CHECK_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(websocket_reads_fragments_with_control_frames_between)
{
    TELLS(WS_CLIENT,
          "\x01\x01"
          "a\x89\x01x\x00\x01"
          "b\x8a\x00\x80\x00\x82\x01z",
          "a<ping x>b<pong >tzb");
    TELLS(WS_CLIENT, "\x02\x00\x00\x00\x80\x00", "b");
    TELLS(WS_CLIENT, "\x81\x00", "t");
    TELLS(WS_CLIENT, "\x88\x00", "<close 1005 >");
    TELLS(WS_CLIENT,
          "\x88\x05\x03\xe8"
          "bye",
          "<close 1000 bye>");
    TELLS(WS_CLIENT, "\x88\x02\x0f\xa0", "<close 4000 >");
}

TEST(websocket_refuses_what_breaks_its_rules)
{
    TELLS(WS_SERVER, "\x81\x05Hello", "!1002");            /* not masked */
    TELLS(WS_CLIENT, "\x81\x85\x37\xfa\x21\x3d", "!1002"); /* masked */
    TELLS(WS_CLIENT, "\xc1\x00", "!1002");                 /* RSV1 */
    TELLS(WS_CLIENT, "\xa1\x00", "!1002");                 /* RSV2 */
    TELLS(WS_CLIENT, "\x91\x00", "!1002");                 /* RSV3 */
    TELLS(WS_CLIENT, "\x83\x00", "!1002");                 /* opcodes of nobody */
    TELLS(WS_CLIENT, "\x8b\x00", "!1002");
    TELLS(WS_CLIENT, "\x80\x00", "!1002"); /* goes on with nothing */
    TELLS(WS_CLIENT,
          "\x01\x01"
          "a\x81\x01"
          "b",
          "a!1002");                               /* a message in a message */
    TELLS(WS_CLIENT, "\x09\x00", "!1002");         /* fragmented ping */
    TELLS(WS_CLIENT, "\x89\x7e\x00\x7e", "!1002"); /* long ping */
    TELLS(WS_CLIENT, "\x88\x01\x03", "!1002");     /* half a code */
    TELLS(WS_CLIENT, "\x88\x02\x03\xed", "!1002"); /* 1005 is never sent */
    TELLS(WS_CLIENT, "\x88\x02\x03\xee", "!1002"); /* nor 1006 */
    TELLS(WS_CLIENT, "\x88\x02\x03\xe7", "!1002"); /* 999 */
    TELLS(WS_CLIENT, "\x88\x02\x13\x88", "!1002"); /* 5000 */
    TELLS(WS_CLIENT, "\x88\x03\x03\xe8\xff", "!1007");
    TELLS(WS_CLIENT, "\x82\x7e\x00\x7d", "!1002"); /* lengths that are too long */
    TELLS(WS_CLIENT, "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", "!1002");
    TELLS(WS_CLIENT, "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "!1002");
    TELLS(WS_CLIENT, "\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x71", "!1009"); /* 70001 */
    TELLS(WS_CLIENT, "\x02\x01x\x80\x7f\x00\x00\x00\x00\x00\x01\x11\x70", "x!1009");
}

/* Each is refused as soon as its bytes show it: what follows is never looked at. */
TEST(websocket_holds_text_to_utf8)
{
    TELLS(WS_CLIENT, "\x81\x02\xc3\xa9", "\xc3\xa9t");
    TELLS(WS_CLIENT, "\x01\x01\xc3\x80\x01\xa9", "\xc3\xa9t");
    TELLS(WS_CLIENT, "\x01\x02\xf0\x9f\x00\x00\x00\x01\x98\x80\x01\x80", "\xf0\x9f\x98\x80t");
    TELLS(WS_CLIENT, "\x82\x01\xff",
          "\xff"
          "b");
    TELLS(WS_CLIENT, "\x81\x7d\xff", "!1007");
    TELLS(WS_CLIENT, "\x81\x7d\xc0", "!1007");
    static const struct {
        const char *text;
        bool whole; /* refused only because it ends there */
    } rows[] = {{"\xc3", true},      {"\xe2\x82", true},      {"\xf0\x9f\x98", true},
                {"\xc1\x81", false}, {"\xed\xa0\x80", false}, {"\xf4\x90\x80\x80", false},
                {"\xf5\x80", false}, {"\x80", false},         {"\xe0\x80", false}};
    for (size_t i = 0; i < countof(rows); i++) {
        for (unsigned fin = 0; fin < 2; fin++) {
            struct ws_reader r;
            uint8_t in[8] = {(uint8_t)(fin ? 0x81 : 0x01), (uint8_t)strlen(rows[i].text)};
            struct buf story = {0};
            memcpy(in + 2, rows[i].text, strlen(rows[i].text));
            ws_reader_init(&r, WS_CLIENT, 0);
            bool good = feed(&r, in, 2 + strlen(rows[i].text), &story);
            CHECK_INT(good, rows[i].whole && !fin);
            CHECK_INT(good ? WS_BAD_DATA : r.code, WS_BAD_DATA);
            buf_fini(&story);
        }
    }
}

TEST(websocket_writes_each_form_of_length)
{
    static const struct {
        uint64_t len;
        size_t header;
    } rows[] = {{0, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}, {70000, 10}};
    static const uint8_t mask[4] = {1, 2, 3, 4};
    static uint8_t zeros[WS_HEADER_MAX + 70000];
    uint8_t out[WS_PIECE];
    for (size_t i = 0; i < countof(rows); i++) {
        struct ws_reader r;
        size_t used, at = 0, got = 0;
        CHECK_INT(ws_header(zeros, WS_FIN | WS_BINARY, rows[i].len, NULL), rows[i].header);
        CHECK_INT(ws_header(zeros, WS_FIN | WS_BINARY, rows[i].len, mask), rows[i].header + 4);
        ws_reader_init(&r, WS_SERVER, 70000);
        do {
            CHECK_INT(ws_read(&r, zeros + at, sizeof(zeros) - at, &used, out), WS_GOT_DATA);
            CHECK(!r.out_len || (out[0] == 1 && out[r.out_len - 1] == ((r.out_len - 1) & 3) + 1));
            at += used;
            got += r.out_len;
        } while (!r.last && used);
        CHECK_INT(got, rows[i].len);
        memset(zeros, 0, WS_HEADER_MAX);
    }
}

TEST(websocket_keys_are_sixteen_bytes)
{
    char key[WS_KEY_LEN + 1], other[WS_KEY_LEN + 1];
    ws_new_key(key);
    ws_new_key(other);
    CHECK(ws_key_ok(key) && ws_key_ok(other) && strcmp(key, other) != 0);
    CHECK(ws_key_ok("dGhlIHNhbXBsZSBub25jZQ=="));
    CHECK(!ws_key_ok("") && !ws_key_ok("dGhlIHNhbXBsZSBub25jZQ=") &&
          !ws_key_ok("dGhlIHNhbXBsZSBub25jZTEy"));
    CHECK(!ws_key_ok("dGhlIHNhbXBsZSBub25jZQ==="));
}
