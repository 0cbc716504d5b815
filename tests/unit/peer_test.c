/* Addresses as they are counted. */
#include "applets/broker/peer.h"

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
