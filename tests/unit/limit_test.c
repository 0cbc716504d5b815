/* Token buckets: what they grant, when they grant again, and how many there are. */
#include "core/limit.h"

#include <errno.h>
#include <stdio.h>

#include "core/mem.h"
#include "tests/unit/test.h"

TEST(limit_grants_a_burst_and_then_its_rate)
{
    const struct limit_rate rate = {.per_minute = 600, .burst = 5};
    struct limit *l = limit_new(&rate, 10);
    uint64_t now = 1000;
    for (int i = 0; i < 5; i++)
        CHECK_INT(limit_take(l, "a", now), 0);
    CHECK_INT(limit_take(l, "a", now), 100);
    CHECK_INT(limit_take(l, "a", now + 99), 1);
    CHECK_INT(limit_take(l, "b", now), 0);
    CHECK_INT(limit_take(l, "a", now + 100), 0);
    CHECK_INT(limit_take(l, "a", now + 100), 100);
    now += 3600000;
    for (int i = 0; i < 5; i++)
        CHECK_INT(limit_take(l, "a", now), 0);
    CHECK(limit_take(l, "a", now) > 0);
    CHECK_INT(limit_take(l, "a", UINT64_MAX), 0);
    limit_free(l);
}

/* Over a long time it is what was said, however it is asked. */
TEST(limit_keeps_its_rate)
{
    const struct limit_rate rate = {.per_minute = 7, .burst = 3};
    struct limit *l = limit_new(&rate, 10);
    unsigned granted = 0;
    for (uint64_t ms = 0; ms < 600000; ms += 13)
        granted += limit_take(l, "a", ms) == 0;
    CHECK_INT(granted, 3 + 69);
    limit_free(l);
}

TEST(limit_waits_as_long_as_it_says)
{
    const struct limit_rate rate = {.per_minute = 7, .burst = 1};
    struct limit *l = limit_new(&rate, 10);
    uint64_t now = 0;
    for (int i = 0; i < 100; i++) {
        CHECK_INT(limit_take(l, "a", now), 0);
        uint32_t wait = limit_take(l, "a", now);
        CHECK(wait > 0 && limit_take(l, "a", now + wait - 1) > 0);
        now += wait;
    }
    limit_free(l);
}

TEST(limit_forgets_who_was_silent_for_longest)
{
    const struct limit_rate rate = {.per_minute = 1, .burst = 1};
    struct limit *l = limit_new(&rate, 1000);
    char name[32];
    CHECK_INT(limit_take(l, "first", 0), 0);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "user%u", i);
        CHECK_INT(limit_take(l, name, i), 0);
        if (i == 500)
            CHECK(limit_take(l, "first", i) > 0);
        CHECK(limit_take(l, name, i) > 0);
        CHECK(limit_count(l) <= 1000);
    }
    CHECK_INT(limit_take(l, "first", 5000), 0);
    CHECK(limit_take(l, "user4500", 5000) > 0);
    CHECK_INT(limit_count(l), 1000);
    limit_free(l);
}

TEST(limit_reads_rates)
{
    static const char *const bad[] = {
        "",     ":",         "1",     "1:",        ":1",
        "0:1",  "1:0",       "1:1:1", "1:1 ",      " 1:1",
        "-1:1", "1:1000001", "x:1",   "1000001:1", "99999999999999999999:1"};
    struct limit_rate rate;
    CHECK_INT(limit_parse("600:100", &rate), 0);
    CHECK(rate.per_minute == 600 && rate.burst == 100);
    CHECK_INT(limit_parse("1000000:1000000", &rate), 0);
    for (size_t i = 0; i < countof(bad); i++)
        CHECK(limit_parse(bad[i], &rate) == -1 && errno == EINVAL);
}
