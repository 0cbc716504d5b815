/* The server's side of SOCKS5: byte sequences as RFC 1928 lays them out. */
#include "net/socks5.h"

#include <errno.h>

#include "core/mem.h"
#include "tests/unit/test.h"

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

/* Through the greeting, and then the request. */
static struct socks5 after(const uint8_t *request, size_t len)
{
    struct socks5 s = {0};
    CHECK_INT(socks5_feed(&s, BYTES(5, 1, 0)), 3);
    CHECK_INT(s.state, SOCKS5_REQUEST);
    CHECK_INT(socks5_feed(&s, request, len), len);
    return s;
}

static void check_refused(const struct socks5 *s, int code)
{
    CHECK_INT(s->state, SOCKS5_BROKEN);
    CHECK_INT(s->reply_len, 10);
    const uint8_t want[10] = {5, (uint8_t)code, 0, 1};
    CHECK(memcmp(s->reply, want, sizeof(want)) == 0);
}

TEST(socks5_greeting)
{
    struct socks5 s = {0};
    CHECK_INT(socks5_feed(&s, BYTES(5, 3, 1, 2, 0)), 5);
    CHECK_INT(s.state, SOCKS5_REQUEST);
    CHECK_INT(s.reply_len, 2);
    CHECK_INT(s.reply[0], 5);
    CHECK_INT(s.reply[1], 0);
}

TEST(socks5_greeting_without_our_method)
{
    struct socks5 s = {0};
    CHECK_INT(socks5_feed(&s, BYTES(5, 2, 1, 2)), 4);
    CHECK_INT(s.state, SOCKS5_BROKEN);
    CHECK_INT(s.reply_len, 2);
    CHECK_INT(s.reply[0], 5);
    CHECK_INT(s.reply[1], 0xff);
    struct socks5 none = {0};
    CHECK_INT(socks5_feed(&none, BYTES(5, 0)), 2);
    CHECK_INT(none.state, SOCKS5_BROKEN);
    CHECK_INT(none.reply[1], 0xff);
}

TEST(socks5_other_protocols)
{
    struct socks5 s = {0};
    socks5_feed(&s, BYTES(4, 1, 0, 80, 127, 0, 0, 1, 0));
    CHECK_INT(s.state, SOCKS5_BROKEN);
    CHECK_INT(s.reply_len, 0);
    struct socks5 http = {0};
    socks5_feed(&http, (const uint8_t *)"GET / HTTP/1.1\r\n", 16);
    CHECK_INT(http.state, SOCKS5_BROKEN);
    CHECK_INT(http.reply_len, 0);
}

TEST(socks5_connect_v4)
{
    struct socks5 s = after(BYTES(5, 1, 0, 1, 192, 0, 2, 7, 0x1f, 0x90));
    CHECK_INT(s.state, SOCKS5_DONE);
    CHECK_INT(s.reply_len, 0);
    CHECK_INT(s.target.kind, TARGET_TCP);
    CHECK_STR(s.target.host, "192.0.2.7");
    CHECK_INT(s.target.port, 8080);
}

TEST(socks5_connect_v6)
{
    struct socks5 s =
        after(BYTES(5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0xbb));
    CHECK_INT(s.state, SOCKS5_DONE);
    CHECK_STR(s.target.host, "2001:db8::9");
    CHECK_INT(s.target.port, 443);
}

TEST(socks5_connect_name)
{
    struct socks5 s = after(BYTES(5, 1, 0, 3, 7, 'd', 'b', '.', 't', 'e', 's', 't', 0, 80));
    CHECK_INT(s.state, SOCKS5_DONE);
    CHECK_STR(s.target.host, "db.test");
    CHECK_INT(s.target.port, 80);
    struct socks5 v6 = after(BYTES(5, 1, 0, 3, 3, ':', ':', '1', 0, 80));
    CHECK_INT(v6.state, SOCKS5_DONE);
    CHECK_STR(v6.target.host, "::1");
}

TEST(socks5_longest_name)
{
    struct socks5 s = {0};
    uint8_t in[3 + 4 + 1 + 253 + 2] = {5, 1, 0, 5, 1, 0, 3, 253};
    memset(in + 8, 'x', 253);
    in[sizeof(in) - 1] = 1;
    CHECK_INT(socks5_feed(&s, in, sizeof(in)), sizeof(in));
    CHECK_INT(s.state, SOCKS5_DONE);
    CHECK_INT(strlen(s.target.host), 253);
}

TEST(socks5_name_too_long)
{
    struct socks5 s = {0};
    uint8_t in[3 + 4 + 1 + 255 + 2] = {5, 1, 0, 5, 1, 0, 3, 255};
    memset(in + 8, 'x', 255);
    in[sizeof(in) - 1] = 1;
    CHECK_INT(socks5_feed(&s, in, sizeof(in)), sizeof(in));
    CHECK_INT(s.state, SOCKS5_BROKEN);
}

TEST(socks5_bad_names)
{
    struct socks5 nul = after(BYTES(5, 1, 0, 3, 3, 'a', 0, 'b', 0, 80));
    check_refused(&nul, 1);
    struct socks5 space = after(BYTES(5, 1, 0, 3, 3, 'a', ' ', 'b', 0, 80));
    check_refused(&space, 1);
    struct socks5 empty = after(BYTES(5, 1, 0, 3, 0, 0, 80));
    check_refused(&empty, 1);
    struct socks5 colon = after(BYTES(5, 1, 0, 3, 3, 'a', ':', 'b', 0, 80));
    check_refused(&colon, 1);
    struct socks5 port = after(BYTES(5, 1, 0, 1, 127, 0, 0, 1, 0, 0));
    check_refused(&port, 1);
}

TEST(socks5_other_commands)
{
    struct socks5 bind = after(BYTES(5, 2, 0, 1, 127, 0, 0, 1, 0, 80));
    check_refused(&bind, 7);
    struct socks5 udp = after(BYTES(5, 3, 0, 1, 127, 0, 0, 1, 0, 80));
    check_refused(&udp, 7);
    struct socks5 type = after(BYTES(5, 1, 0, 2));
    check_refused(&type, 8);
    struct socks5 version = after(BYTES(4, 1, 0, 1));
    check_refused(&version, 1);
}

/* The client did not wait for the greeting's answer, and its payload follows at once. */
TEST(socks5_stops_behind_the_request)
{
    static const uint8_t in[] = {5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80, 'G', 'E', 'T'};
    struct socks5 s = {0};
    CHECK_INT(socks5_feed(&s, in, sizeof(in)), sizeof(in) - 3);
    CHECK_INT(s.state, SOCKS5_DONE);
    CHECK_INT(s.reply_len, 2);
    CHECK_INT(socks5_feed(&s, in, sizeof(in)), 0);
    CHECK_INT(s.reply_len, 0);
}

TEST(socks5_refusal_behind_the_greeting)
{
    static const uint8_t in[] = {5, 1, 0, 5, 2, 0, 1, 127, 0, 0, 1, 0, 80};
    static const uint8_t want[] = {5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0};
    struct socks5 s = {0};
    CHECK_INT(socks5_feed(&s, in, sizeof(in)), sizeof(in));
    CHECK_INT(s.state, SOCKS5_BROKEN);
    CHECK_INT(s.reply_len, sizeof(want));
    CHECK(memcmp(s.reply, want, sizeof(want)) == 0);
}

TEST(socks5_any_cut)
{
    static const uint8_t in[] = {5,   2,   2,   0,   5,   1,   0,   3,   9, 'l',
                                 'o', 'c', 'a', 'l', 'h', 'o', 's', 't', 0, 22};
    for (size_t cut = 0; cut <= sizeof(in); cut++) {
        struct socks5 s = {0};
        size_t replied = 0;
        CHECK_INT(socks5_feed(&s, in, cut), cut);
        replied += s.reply_len;
        CHECK_INT(socks5_feed(&s, in + cut, sizeof(in) - cut), sizeof(in) - cut);
        replied += s.reply_len;
        CHECK_INT(s.state, SOCKS5_DONE);
        CHECK_STR(s.target.host, "localhost");
        CHECK_INT(s.target.port, 22);
        CHECK_INT(replied, 2);
    }
}

TEST(socks5_result)
{
    static const struct {
        int error, code;
    } rows[] = {
        {0, 0},           {ECONNREFUSED, 5}, {EHOSTUNREACH, 4}, {ENOENT, 4},
        {ENETUNREACH, 3}, {ETIMEDOUT, 4},    {EACCES, 2},       {EPERM, 2},
        {EIO, 1},         {EMFILE, 1},       {EAFNOSUPPORT, 8},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        uint8_t reply[10], want[10] = {5, (uint8_t)rows[i].code, 0, 1};
        socks5_result(reply, rows[i].error);
        CHECK(memcmp(reply, want, sizeof(want)) == 0);
    }
}
