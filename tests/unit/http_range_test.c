#include "net/http_range.h"

#include "core/mem.h"
#include "tests/unit/test.h"

TEST(http_range_of_one)
{
    static const struct {
        const char *text;
        struct http_range range;
    } rows[] = {
        {"bytes=0-0", {0, 0, 0}},
        {"bytes=5-", {5, INT64_MAX, 0}},
        {"BYTES=10-19", {10, 19, 0}},
        {"bytes=-7", {0, INT64_MAX, 7}},
        {"bytes=5368709120-", {INT64_C(5368709120), INT64_MAX, 0}},
        {"bytes=9223372036854775807-", {INT64_MAX, INT64_MAX, 0}},
        {"bytes=99999999999999999999-", {INT64_MAX, INT64_MAX, 0}},
        {"bytes=1-99999999999999999999", {1, INT64_MAX, 0}},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct http_range r;
        CHECK(http_range_parse(&r, rows[i].text));
        CHECK_INT(r.first, rows[i].range.first);
        CHECK_INT(r.last, rows[i].range.last);
        CHECK_INT(r.suffix, rows[i].range.suffix);
    }
}

TEST(http_range_of_none)
{
    static const char *const rows[] = {
        NULL,        "",           "bytes",      "bytes=",        "bytes=-",    "bytes=-0",
        "bytes=5",   "bytes=5-4",  "bytes=a-b",  "bytes=1-2,4-5", "bytes=1-2 ", "bytes= 1-2",
        "lines=1-2", "bytes=1-2-", "bytes=-1-2", "bytes=+1-2",    "bytes=1--2",
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct http_range r;
        if (http_range_parse(&r, rows[i]))
            test_fail(__FILE__, __LINE__, "%s is a range", rows[i]);
    }
}
