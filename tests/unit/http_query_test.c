#include "net/http_query.h"

#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/test.h"

static void check(const char *target, const char *name, const char *want)
{
    cleanup_free char *got = http_query(target, name);
    CHECK(got != NULL);
    if (got)
        CHECK_STR(got, want);
}

static void check_error(const char *target, const char *name, int error)
{
    cleanup_free char *got = http_query(target, name);
    CHECK(!got);
    CHECK_INT(errno, error);
}

TEST(http_query_finds_a_parameter)
{
    check("/x?a=1&b=2", "a", "1");
    check("/x?a=1&b=2", "b", "2");
    check("/x?a=1&b=2#b=3", "b", "2");
    check("/?path=%2Fetc%2fhost+name%20s&", "path", "/etc/host name s");
    check("/?%61=x=y", "a", "x=y");
    check("/?a&b=1", "a", "");
    check("/?aa=1&a=&b", "a", "");
    check("/?q=\xc3\xa4%C3%A4", "q", "\xc3\xa4\xc3\xa4");
}

TEST(http_query_says_what_is_wrong)
{
    check_error("/x", "a", ENOENT);
    check_error("/x?", "a", ENOENT);
    check_error("/a=1?b", "a", ENOENT);
    check_error("/x#?a=1", "a", ENOENT);
    check_error("/?a=1&b&a=1", "a", EINVAL);
    check_error("/?a=%", "a", EINVAL);
    check_error("/?a=%4", "a", EINVAL);
    check_error("/?a=%4g", "a", EINVAL);
    check_error("/?a=x%00y", "a", EINVAL);
}

TEST(http_query_leaves_what_is_not_asked_for)
{
    check("/?%zz=1&a=2&b=%", "a", "2");
}

TEST(http_path_is_decoded_without_plus)
{
    cleanup_free char *text = http_decode("a%2Fb+c", 7);
    CHECK_INT(http_path_len("/p/q?x"), 4);
    CHECK_INT(http_path_len("/p/q"), 4);
    CHECK(text != NULL);
    if (text)
        CHECK_STR(text, "a/b+c");
    CHECK(!http_decode("a%2", 3));
    CHECK_INT(errno, EINVAL);
}
