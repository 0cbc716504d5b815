#include "net/url.h"

#include "core/mem.h"
#include "tests/unit/test.h"

TEST(url_says_where)
{
    static const struct {
        const char *text, *host, *said, *path, *whole;
        unsigned port;
        bool tls;
    } rows[] = {
        {"http://box", "box", "box", "", "http://box", 80, false},
        {"https://Box.Example/", "box.example", "box.example", "", "https://box.example", 443,
         true},
        {"HTTPS://box:443", "box", "box", "", "https://box", 443, true},
        {"http://box:443", "box", "box:443", "", "http://box:443", 443, false},
        {"http://127.0.0.1:3000/base/", "127.0.0.1", "127.0.0.1:3000", "/base",
         "http://127.0.0.1:3000/base", 3000, false},
        {"https://[::1]", "::1", "[::1]", "", "https://[::1]", 443, true},
        {"https://[2001:DB8::1]:8443/a/b", "2001:db8::1", "[2001:db8::1]:8443", "/a/b",
         "https://[2001:db8::1]:8443/a/b", 8443, true},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct url u;
        const char *why = "";
        CHECK_INT(url_parse(&u, rows[i].text, &why), 0);
        CHECK_STR(why, "");
        CHECK_STR(u.at.host, rows[i].host);
        CHECK_INT(u.at.port, rows[i].port);
        CHECK_STR(u.host, rows[i].said);
        CHECK_STR(u.path, rows[i].path);
        CHECK_STR(u.text, rows[i].whole);
        CHECK_INT(u.tls, rows[i].tls);
    }
}

TEST(url_refuses)
{
    static const char *const bad[] = {
        "",
        "box",
        "ftp://box",
        "http:/box",
        "http://",
        "https:///path",
        "http://user@box",
        "http://box:",
        "http://box:0",
        "http://box:65536",
        "http://box:123456",
        "http://box:x",
        "http://[::1",
        "http://[::1]x",
        "http://[]",
        "http://box/a b",
        "http://box/?q",
        "http://box/#f",
        "http://box//a",
        "http://box/../a",
        "http://box/./a",
        "http://b\nox",
        "http://box/\x7f",
        "http://box?q",
        "http://*",
    };
    for (size_t i = 0; i < countof(bad); i++) {
        struct url u;
        const char *why = NULL;
        if (url_parse(&u, bad[i], &why) == 0)
            test_fail(__FILE__, __LINE__, "%s was taken as %s", bad[i], u.text);
        else
            CHECK(why != NULL);
    }
    char text[URL_MAX + 2] = "http://box/";
    memset(text + 11, 'a', sizeof text - 12);
    text[sizeof text - 1] = '\0';
    struct url u;
    const char *why;
    CHECK_INT(url_parse(&u, text, &why), -1);
    text[URL_MAX - 1] = '\0';
    CHECK_INT(url_parse(&u, text, &why), 0);
}
