/* Addresses as people write them. */
#include "net/target.h"

#include <stdio.h>

#include "core/mem.h"
#include "tests/unit/test.h"

#define HOST_253                                                                                   \
    "a23456789.b23456789.c23456789.d23456789.e23456789.f23456789.g23456789.h23456789.i23456789."   \
    "j23456789.k23456789.l23456789.m23456789.n23456789.o23456789.p23456789.q23456789.r23456789."   \
    "s23456789.t23456789.u23456789.v23456789.w23456789.x23456789.y23456789.123"
#define PATH_107                                                                                   \
    "/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/23456789/"  \
    "23456789/2345678"

static void check_tcp(const char *text, const char *host, unsigned port)
{
    struct target t;
    char again[TARGET_TEXT_MAX];
    const char *why = "";
    if (target_parse(&t, text, &why) != 0) {
        test_fail(__FILE__, __LINE__, "\"%s\" is refused: %s", text, why);
        return;
    }
    CHECK_INT(t.kind, TARGET_TCP);
    CHECK_STR(t.host, host);
    CHECK_INT(t.port, port);
    target_format(&t, again);
    CHECK_STR(again, text);
}

TEST(target_parse_tcp)
{
    check_tcp("localhost:80", "localhost", 80);
    check_tcp("db.example.com:5432", "db.example.com", 5432);
    check_tcp("unix:80", "unix", 80);
    check_tcp("udp:80", "udp", 80);
    check_tcp("my_host-1:1", "my_host-1", 1);
    check_tcp("192.0.2.1:65535", "192.0.2.1", 65535);
    check_tcp("[::1]:80", "::1", 80);
    check_tcp("[2001:db8::7]:443", "2001:db8::7", 443);
    check_tcp("[::ffff:192.0.2.1]:443", "::ffff:192.0.2.1", 443);
    check_tcp("[fe80::1%eth0]:22", "fe80::1%eth0", 22);
    check_tcp(HOST_253 ":65535", HOST_253, 65535);
}

TEST(target_parse_brackets_around_a_name)
{
    struct target t;
    const char *why;
    CHECK_INT(target_parse(&t, "[localhost]:80", &why), 0);
    CHECK_STR(t.host, "localhost");
}

TEST(target_parse_udp)
{
    struct target t;
    const char *why;
    char text[TARGET_TEXT_MAX];
    CHECK_INT(target_parse(&t, "udp:[::1]:53", &why), 0);
    CHECK_INT(t.kind, TARGET_UDP);
    CHECK_STR(t.host, "::1");
    CHECK_INT(t.port, 53);
    target_format(&t, text);
    CHECK_STR(text, "udp:[::1]:53");
    CHECK_INT(target_parse(&t, "udp:" HOST_253 ":65535", &why), 0);
    target_format(&t, text);
    CHECK_STR(text, "udp:" HOST_253 ":65535");
    CHECK_INT(target_parse_bind(&t, "udp:*:0", &why), 0);
    CHECK_INT(t.kind, TARGET_UDP);
    target_format(&t, text);
    CHECK_STR(text, "udp:*:0");
    CHECK_INT(target_parse(&t, "udp:unix:/x", &why), -1);
    CHECK_STR(why, "UDP has no unix sockets");
    CHECK_INT(target_parse(&t, "udp:h:0", &why), -1);
}

TEST(target_parse_unix)
{
    struct target t;
    const char *why;
    char text[TARGET_TEXT_MAX];
    CHECK_INT(target_parse(&t, "unix:/run/a b:c.sock", &why), 0);
    CHECK_INT(t.kind, TARGET_UNIX);
    CHECK_STR(t.path, "/run/a b:c.sock");
    CHECK_INT(t.port, 0);
    target_format(&t, text);
    CHECK_STR(text, "unix:/run/a b:c.sock");
    CHECK_INT(strlen(PATH_107), TARGET_PATH_MAX);
    CHECK_INT(target_parse(&t, "unix:" PATH_107, &why), 0);
    CHECK_STR(t.path, PATH_107);
}

TEST(target_parse_refuses)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "a port is missing"},
        {"localhost", "a port is missing"},
        {"localhost:", "a port must be 1 to 65535"},
        {"localhost:0", "a port must be 1 to 65535"},
        {"localhost:65536", "a port must be 1 to 65535"},
        {"localhost:4294967376", "a port must be 1 to 65535"},
        {"localhost:000080", "a port must be 1 to 65535"},
        {"localhost:+80", "a port must be 1 to 65535"},
        {"localhost:-80", "a port must be 1 to 65535"},
        {"localhost: 80", "a port must be 1 to 65535"},
        {"localhost:80 ", "a port must be 1 to 65535"},
        {"localhost:http", "a port must be 1 to 65535"},
        {":80", "a host is missing"},
        {"[]:80", "a host is missing"},
        {"*:80", "the host name has a character that none can have"},
        {"a b:80", "the host name has a character that none can have"},
        {"a/b:80", "the host name has a character that none can have"},
        {"a\tb:80", "the host name has a character that none can have"},
        {"a\x7f:80", "the host name has a character that none can have"},
        {"h\xc3\xb6st:80", "the host name has a character that none can have"},
        {"a]:80", "the host name has a character that none can have"},
        {"::1:80", "a v6 address must stand in brackets: [address]:port"},
        {"a:b:80", "a v6 address must stand in brackets: [address]:port"},
        {"[::1:80", "a ']' is missing"},
        {"[::1]80", "a ':' and a port must follow the ']'"},
        {"[::1]", "a ':' and a port must follow the ']'"},
        {"[a:b]:80", "the host is not a v6 address"},
        {"[::1%]:80", "the host is not a v6 address"},
        {"[::1%0123456789abcdef]:80", "the host is not a v6 address"},
        {HOST_253 "x:80", "the host name is too long"},
        {"unix:", "a unix socket's path must be absolute"},
        {"unix:run/x", "a unix socket's path must be absolute"},
        {"unix:~/x", "a unix socket's path must be absolute"},
        {"unix:/a\nb", "a path must not have control characters"},
        {"unix:" PATH_107 "8", "a unix socket's path must be 107 bytes or less"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct target t;
        const char *why = "(none)";
        if (target_parse(&t, rows[i].text, &why) == 0)
            test_fail(__FILE__, __LINE__, "\"%s\" is accepted", rows[i].text);
        CHECK_STR(why, rows[i].why);
    }
}

static void check_bind(const char *text, const char *host, unsigned port, const char *formatted)
{
    struct target t;
    char again[TARGET_TEXT_MAX];
    const char *why = "";
    CHECK_INT(target_parse_bind(&t, text, &why), 0);
    CHECK_STR(t.host, host);
    CHECK_INT(t.port, port);
    target_format(&t, again);
    CHECK_STR(again, formatted);
}

TEST(target_parse_bind)
{
    struct target t;
    const char *why = "";
    check_bind("*:8080", "", 8080, "*:8080");
    check_bind(":8080", "", 8080, "*:8080");
    check_bind("127.0.0.1:0", "127.0.0.1", 0, "127.0.0.1:0");
    check_bind("[::]:0", "::", 0, "[::]:0");
    CHECK_INT(target_parse_bind(&t, "*:65536", &why), -1);
    CHECK_STR(why, "a port must be 0 to 65535");
    CHECK_INT(target_parse_bind(&t, "**:80", &why), -1);
    CHECK_INT(target_parse_bind(&t, "*a:80", &why), -1);
}

static bool loopback(const char *text)
{
    struct target t;
    const char *why;
    return target_parse_bind(&t, text, &why) == 0 && target_is_loopback(&t);
}

TEST(target_is_loopback)
{
    CHECK(loopback("127.0.0.1:80"));
    CHECK(loopback("127.255.255.254:80"));
    CHECK(loopback("localhost:80"));
    CHECK(loopback("LocalHost:80"));
    CHECK(loopback("[::1]:80"));
    CHECK(loopback("[0:0:0:0:0:0:0:1]:80"));
    CHECK(loopback("[::ffff:127.0.0.1]:80"));
    CHECK(loopback("unix:/x"));
    CHECK(!loopback("*:80"));
    CHECK(!loopback("0.0.0.0:80"));
    CHECK(!loopback("[::]:80"));
    CHECK(!loopback("128.0.0.1:80"));
    CHECK(!loopback("[::2]:80"));
    CHECK(!loopback("[::ffff:192.0.2.1]:80"));
    CHECK(!loopback("localhost.example.com:80"));
    CHECK(!loopback("127.0.0.1.example.com:80"));
}

static bool equal(const char *a, const char *b)
{
    struct target x, y;
    const char *why;
    return target_parse(&x, a, &why) == 0 && target_parse(&y, b, &why) == 0 && target_equal(&x, &y);
}

TEST(target_equal)
{
    CHECK(equal("a:1", "a:1"));
    CHECK(equal("Example.com:1", "example.COM:1"));
    CHECK(!equal("a:1", "a:2"));
    CHECK(!equal("a:1", "b:1"));
    CHECK(equal("unix:/a", "unix:/a"));
    CHECK(!equal("unix:/a", "unix:/A"));
    CHECK(!equal("unix:/a", "a:1"));
    CHECK(equal("udp:a:1", "udp:A:1"));
    CHECK(!equal("udp:a:1", "a:1"));
}
