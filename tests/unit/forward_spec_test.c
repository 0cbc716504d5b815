/* What -L, -R and -D take. */
#include "net/forward_spec.h"

#include <stdio.h>

#include "core/mem.h"
#include "tests/unit/test.h"

static void check_spec(enum forward_kind kind, const char *text, const char *formatted)
{
    struct forward_spec f;
    char again[FORWARD_SPEC_TEXT_MAX];
    const char *why = "";
    if (forward_spec_parse(&f, kind, text, &why) != 0) {
        test_fail(__FILE__, __LINE__, "\"%s\" is refused: %s", text, why);
        return;
    }
    CHECK_INT(f.kind, kind);
    forward_spec_format(&f, again);
    CHECK_STR(again, formatted);
}

TEST(forward_spec_tcp)
{
    check_spec(FORWARD_LOCAL, "8080:example.com:80", "-L 127.0.0.1:8080 -> example.com:80");
    check_spec(FORWARD_LOCAL, "10.0.0.1:8080:h:80", "-L 10.0.0.1:8080 -> h:80");
    check_spec(FORWARD_LOCAL, "localhost:8080:h:80", "-L localhost:8080 -> h:80");
    check_spec(FORWARD_LOCAL, "*:8080:h:80", "-L *:8080 -> h:80");
    check_spec(FORWARD_LOCAL, ":8080:h:80", "-L *:8080 -> h:80");
    check_spec(FORWARD_LOCAL, "[::1]:8080:[2001:db8::1]:80", "-L [::1]:8080 -> [2001:db8::1]:80");
    check_spec(FORWARD_LOCAL, "8080:[::1]:80", "-L 127.0.0.1:8080 -> [::1]:80");
    check_spec(FORWARD_LOCAL, "[::]:8080:h:80", "-L [::]:8080 -> h:80");
    check_spec(FORWARD_REMOTE, "8080:localhost:3000", "-R 127.0.0.1:8080 -> localhost:3000");
    check_spec(FORWARD_REMOTE, "0:localhost:3000", "-R 127.0.0.1:0 -> localhost:3000");
    check_spec(FORWARD_LOCAL, "0:localhost:3000", "-L 127.0.0.1:0 -> localhost:3000");
}

TEST(forward_spec_short)
{
    check_spec(FORWARD_LOCAL, "5432", "-L 127.0.0.1:5432 -> localhost:5432");
    check_spec(FORWARD_REMOTE, "3000", "-R 127.0.0.1:3000 -> localhost:3000");
}

TEST(forward_spec_udp)
{
    struct forward_spec f;
    const char *why;
    check_spec(FORWARD_LOCAL, "udp:53:ns.example:5353",
               "-L udp:127.0.0.1:53 -> udp:ns.example:5353");
    check_spec(FORWARD_LOCAL, "udp:*:53:[::1]:53", "-L udp:*:53 -> udp:[::1]:53");
    check_spec(FORWARD_REMOTE, "udp:[::]:0:h:53", "-R udp:[::]:0 -> udp:h:53");
    check_spec(FORWARD_REMOTE, "udp:5353", "-R udp:127.0.0.1:5353 -> udp:localhost:5353");
    CHECK_INT(forward_spec_parse(&f, FORWARD_LOCAL, "udp:5353", &why), 0);
    CHECK_INT(f.bind.kind, TARGET_UDP);
    CHECK_INT(f.target.kind, TARGET_UDP);
}

TEST(forward_spec_dynamic)
{
    check_spec(FORWARD_DYNAMIC, "1080", "-D 127.0.0.1:1080");
    check_spec(FORWARD_DYNAMIC, "0", "-D 127.0.0.1:0");
    check_spec(FORWARD_DYNAMIC, "[::1]:1080", "-D [::1]:1080");
    check_spec(FORWARD_DYNAMIC, "*:1080", "-D *:1080");
    check_spec(FORWARD_DYNAMIC, "192.0.2.1:1080", "-D 192.0.2.1:1080");
}

TEST(forward_spec_unix)
{
    check_spec(FORWARD_LOCAL, "8080:/run/x", "-L 127.0.0.1:8080 -> unix:/run/x");
    check_spec(FORWARD_LOCAL, "*:8080:/run/x", "-L *:8080 -> unix:/run/x");
    check_spec(FORWARD_LOCAL, "[::1]:8080:/run/x", "-L [::1]:8080 -> unix:/run/x");
    check_spec(FORWARD_REMOTE, "/run/x:h:80", "-R unix:/run/x -> h:80");
    check_spec(FORWARD_REMOTE, "/run/x:[::1]:80", "-R unix:/run/x -> [::1]:80");
    check_spec(FORWARD_REMOTE, "/run/x:/run/y", "-R unix:/run/x -> unix:/run/y");
    check_spec(FORWARD_LOCAL, "/run/x\\:1:[/run/y:2]", "-L unix:/run/x:1 -> unix:/run/y:2");
}

TEST(forward_spec_whole_structure)
{
    struct forward_spec f;
    const char *why;
    CHECK_INT(forward_spec_parse(&f, FORWARD_LOCAL, ":0:[fe80::1%eth0]:80", &why), 0);
    CHECK_INT(f.bind.kind, TARGET_TCP);
    CHECK_STR(f.bind.host, "");
    CHECK_INT(f.bind.port, 0);
    CHECK_STR(f.target.host, "fe80::1%eth0");
    CHECK_INT(f.target.port, 80);
    CHECK_INT(forward_kind_letter(FORWARD_LOCAL), 'L');
    CHECK_INT(forward_kind_letter(FORWARD_REMOTE), 'R');
    CHECK_INT(forward_kind_letter(FORWARD_DYNAMIC), 'D');
}

#define SHAPE         "write it as [bind:]port:host:hostport, a v6 address in brackets"
#define SHAPE_DYNAMIC "write it as [bind:]port, a v6 address in brackets"

TEST(forward_spec_refuses)
{
    static const struct {
        enum forward_kind kind;
        const char *text, *why;
    } rows[] = {
        {FORWARD_LOCAL, "", "a port must be 1 to 65535"},
        {FORWARD_LOCAL, "0", "a port must be 1 to 65535"},
        {FORWARD_REMOTE, "0", "a port must be 1 to 65535"},
        {FORWARD_LOCAL, "65536", "a port must be 1 to 65535"},
        {FORWARD_LOCAL, "http", "a port must be 1 to 65535"},
        {FORWARD_LOCAL, "8080:", SHAPE},
        {FORWARD_LOCAL, "8080:h", SHAPE},
        {FORWARD_LOCAL, "/run/x", SHAPE},
        {FORWARD_LOCAL, "/run/x:80", SHAPE},
        {FORWARD_LOCAL, "8080:/run/x:80", SHAPE},
        {FORWARD_LOCAL, "/run/x:80:/run/y", SHAPE},
        {FORWARD_LOCAL, "/run/x:1:h:80", SHAPE},
        {FORWARD_LOCAL, "a:b:8080:h:80", SHAPE},
        {FORWARD_LOCAL, "::1:8080:h:80", SHAPE},
        {FORWARD_LOCAL, "8080:h:80:", "a port must be 0 to 65535"},
        {FORWARD_LOCAL, "8080:h:0", "a port must be 1 to 65535"},
        {FORWARD_LOCAL, "8080:h:65536", "a port must be 1 to 65535"},
        {FORWARD_LOCAL, "65536:h:80", "a port must be 0 to 65535"},
        {FORWARD_LOCAL, "+1:h:80", "a port must be 0 to 65535"},
        {FORWARD_LOCAL, "8080::80", "a host is missing"},
        {FORWARD_LOCAL, "8080:*:80", "the host name has a character that none can have"},
        {FORWARD_LOCAL, "8080:a b:80", "the host name has a character that none can have"},
        {FORWARD_LOCAL, "8080:run/x", "a unix socket's path must be absolute"},
        {FORWARD_LOCAL, "8080:~/x", "a unix socket's path must be absolute"},
        {FORWARD_LOCAL, "8080:[::1:80", "a ']' is missing"},
        {FORWARD_LOCAL, "8080:[::1]80", "a ':' must follow the ']'"},
        {FORWARD_LOCAL, "8080:/x\\", "nothing follows the '\\'"},
        {FORWARD_LOCAL, "udp:53:/run/x", "UDP has no unix sockets"},
        {FORWARD_REMOTE, "udp:/run/x:h:53", "UDP has no unix sockets"},
        {FORWARD_LOCAL, "udp:[/run/x]", "UDP has no unix sockets"},
        {FORWARD_LOCAL, "udp:", "a port must be 1 to 65535"},
        {FORWARD_LOCAL, "udp:0", "a port must be 1 to 65535"},
        {FORWARD_LOCAL, "udp:53:h", SHAPE},
        {FORWARD_LOCAL, "udp:53:h:0", "a port must be 1 to 65535"},
        {FORWARD_DYNAMIC, "udp:1080", "-D is a proxy for TCP alone: forward UDP with -L udp:…"},
        {FORWARD_DYNAMIC, "", "a port must be 0 to 65535"},
        {FORWARD_DYNAMIC, "/run/x", SHAPE_DYNAMIC},
        {FORWARD_DYNAMIC, "8080:h:80", SHAPE_DYNAMIC},
        {FORWARD_DYNAMIC, "::1:1080", SHAPE_DYNAMIC},
        {FORWARD_DYNAMIC, "h:1080x", "a port must be 0 to 65535"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct forward_spec f;
        const char *why = "(none)";
        if (forward_spec_parse(&f, rows[i].kind, rows[i].text, &why) == 0)
            test_fail(__FILE__, __LINE__, "\"%s\" is accepted", rows[i].text);
        CHECK_STR(why, rows[i].why);
    }
}

TEST(forward_spec_too_long)
{
    char text[400];
    struct forward_spec f;
    const char *why = "";
    snprintf(text, sizeof(text), "8080:%0380d:80", 0);
    CHECK_INT(forward_spec_parse(&f, FORWARD_LOCAL, text, &why), -1);
    CHECK_STR(why, "a part of it is too long");
}
