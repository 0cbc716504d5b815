/* Addresses as they are counted. */
#include "applets/broker/peer.h"

#include <stdio.h>

#include "tests/unit/test.h"

static const char *parsed(const char *text)
{
    static char peer[PEER_ROOM];
    return peer_parse(peer, text) ? peer : "(none)";
}

TEST(peer_of_a_connection)
{
    CHECK_STR(parsed("192.0.2.1:4711"), "192.0.2.1");
    CHECK_STR(parsed("192.0.2.1"), "192.0.2.1");
    CHECK_STR(parsed("[::ffff:192.0.2.1]:1"), "192.0.2.1");
    CHECK_STR(parsed("127.0.0.1:1"), "127.0.0.1");
}

TEST(peer_of_one_network_is_one)
{
    CHECK_STR(parsed("[2001:db8:1:2:3:4:5:6]:4711"), "2001:db8:1:2::");
    CHECK_STR(parsed("2001:db8:1:2::7"), "2001:db8:1:2::");
    CHECK_STR(parsed("[2001:db8:1:3::7]"), "2001:db8:1:3::");
    CHECK_STR(parsed("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"), "ffff:ffff:ffff:ffff::");
    CHECK_STR(parsed("[::1]:80"), "::1");
    CHECK_STR(parsed("[::2]:80"), "::");
}

TEST(peer_that_is_none)
{
    static const char *const none[] = {
        "",         "unix",        "unknown",    "_hidden",      "1.2.3",        "1.2.3.4.5",
        "1.2.3.4 ", "1.2.3.4:80x", "1.2.3.4:-1", "[1:2]",        "[2001:db8::1", "[2001:db8::1]80",
        "::1%lo",   "2001:db8::g", "vsock:3:1",  "256.0.0.1:80", ":80",          "[]:80",
        "[::1]:8]",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK_STR(parsed(none[i]), "(none)");
    char longer[200];
    memset(longer, '1', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    CHECK_STR(parsed(longer), "(none)");
}

TEST(peer_on_this_machine)
{
    CHECK(peer_is_loopback("127.0.0.1") && peer_is_loopback("127.9.9.9") &&
          peer_is_loopback("::1"));
    CHECK(!peer_is_loopback("128.0.0.1") && !peer_is_loopback("::") && !peer_is_loopback("unix"));
}

/* Of a request with these fields; "(kept)": what was there before stays. */
static const char *forwarded(const char *fields)
{
    static char peer[PEER_ROOM];
    char text[1000];
    struct http_parser *p = http_parser_new(HTTP_REQUESTS);
    int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    size_t used;
    snprintf(peer, sizeof peer, "(kept)");
    CHECK_INT(http_parse(p, (const uint8_t *)text, (size_t)len, &used), HTTP_GOT_HEAD);
    bool found = peer_forwarded(peer, http_parser_head(p));
    http_parser_free(p);
    CHECK_INT(found, strcmp(peer, "(kept)") != 0);
    return peer;
}

/* What a client has said itself comes before what the proxy adds, in its line or in one of its own. */
TEST(peer_that_the_last_proxy_names)
{
    CHECK_STR(forwarded("X-Forwarded-For: 192.0.2.1\r\n"), "192.0.2.1");
    CHECK_STR(forwarded("x-forwarded-for: 10.0.0.1, 192.0.2.1 \r\n"), "192.0.2.1");
    CHECK_STR(forwarded("X-Forwarded-For: ,,,\t192.0.2.1:81\r\n"), "192.0.2.1");
    CHECK_STR(forwarded("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 192.0.2.1\r\n"),
              "192.0.2.1");
    CHECK_STR(forwarded("X-Forwarded-For: 10.0.0.1, 2001:db8::7\r\n"), "2001:db8::");
    CHECK_STR(forwarded("X-Forwarded-For: [2001:db8:0:9::7]:1234\r\n"), "2001:db8:0:9::");
}

TEST(peer_that_no_proxy_names)
{
    CHECK_STR(forwarded(""), "(kept)");
    CHECK_STR(forwarded("Forwarded: for=192.0.2.1\r\n"), "(kept)");
    CHECK_STR(forwarded("X-Forwarded-For:\r\n"), "(kept)");
    CHECK_STR(forwarded("X-Forwarded-For: 192.0.2.1,\r\n"), "(kept)");
    CHECK_STR(forwarded("X-Forwarded-For: 192.0.2.1, unknown\r\n"), "(kept)");
    CHECK_STR(forwarded("X-Forwarded-For: 192.0.2.1 192.0.2.2\r\n"), "(kept)");
    CHECK_STR(forwarded("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: -\r\n"), "(kept)");
    CHECK_STR(
        forwarded("X-Forwarded-For: 1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:"
                  "1111:1111:1111:1111:1111:1111:1111:1111\r\n"),
        "(kept)");
}
