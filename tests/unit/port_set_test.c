#include "applets/master/port_set.h"

#include <stdio.h>

#include "tests/unit/test.h"

static struct port_set set_of(const char *text)
{
    struct port_set set;
    const char *why = "";
    CHECK_INT(port_set_parse(&set, text, &why), 0);
    return set;
}

TEST(port_set_without_words_has_all_but_the_systems)
{
    struct port_set all = {0};
    CHECK(port_set_has(&all, 1024));
    CHECK(port_set_has(&all, 65535));
    CHECK(!port_set_has(&all, 1023));
    CHECK(!port_set_has(&all, 0));
}

TEST(port_set_ranges)
{
    struct port_set set = set_of("3000-3999,8080");
    static const uint16_t in[] = {3000, 3500, 3999, 8080}, out[] = {2999, 4000, 8079, 8081, 80};
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        CHECK(port_set_has(&set, in[i]));
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
        CHECK(!port_set_has(&set, out[i]));
}

TEST(port_set_exclusions_win_wherever_they_stand)
{
    struct port_set set = set_of("!3306,3000-3999");
    CHECK(!port_set_has(&set, 3306));
    CHECK(port_set_has(&set, 3305));
    set = set_of("!3306,!5000-5999");
    CHECK(!port_set_has(&set, 3306));
    CHECK(!port_set_has(&set, 5500));
    CHECK(port_set_has(&set, 8080));
    CHECK(!port_set_has(&set, 80));
}

TEST(port_set_refuses)
{
    static const char *const bad[] = {"",     "80",        "1023-2000",     "3000-2000", "3000-",
                                      "-300", "3000,,400", "65536",         "!",         "!!3000",
                                      "a",    "3000 ",     "3000-4000-5000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct port_set set;
        const char *why = NULL;
        CHECK_INT(port_set_parse(&set, bad[i], &why), -1);
        CHECK(why != NULL);
    }
}

TEST(port_set_holds_32_ranges)
{
    char text[512];
    size_t len = 0;
    struct port_set set;
    const char *why;
    for (int i = 0; i < PORT_SET_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%d", i ? "," : "", 2000 + 2 * i);
    CHECK_INT(port_set_parse(&set, text, &why), 0);
    CHECK(port_set_has(&set, 2062));
    CHECK(!port_set_has(&set, 2061));
    snprintf(text + len, sizeof text - len, ",9000");
    CHECK_INT(port_set_parse(&set, text, &why), -1);
    CHECK_STR(why, "more than 32 ranges");
}
