#include "core/limit.h"

#include <stdio.h>

#include "tests/unit/test.h"

static uint64_t take(struct limit *limit, const char *key, uint64_t now_ms)
{
    return limit_take(limit, key, strlen(key), now_ms);
}

TEST(limit_gives_a_burst_and_then_its_rate)
{
    struct limit *limit = limit_new((struct limit_rate){600, 100}, 64);
    for (int i = 0; i < 100; i++)
        CHECK_INT(take(limit, "ann", 5000), 0);
    CHECK_INT(take(limit, "ann", 5000), 100);
    CHECK_INT(take(limit, "ann", 5040), 60);
    CHECK_INT(take(limit, "bob", 5040), 0);
    CHECK_INT(take(limit, "ann", 5100), 0);
    CHECK_INT(take(limit, "ann", 5100), 100);
    /* What was refused took nothing: after ten seconds it is full again. */
    for (int i = 0; i < 100; i++)
        CHECK_INT(take(limit, "ann", 15100), 0);
    CHECK(take(limit, "ann", 15100) > 0);
    limit_free(limit);
}

TEST(limit_of_one)
{
    struct limit *limit = limit_new((struct limit_rate){1, 1}, 1);
    CHECK_INT(take(limit, "", 0), 0);
    CHECK_INT(take(limit, "", 1), 59999);
    CHECK_INT(take(limit, "", 60000), 0);
    limit_free(limit);
}

TEST(limit_whom_there_is_no_place_for_share)
{
    struct limit *limit = limit_new((struct limit_rate){60, 2}, 64);
    char key[16];
    int taken = 0;
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        taken += take(limit, key, 1000) == 0;
    }
    CHECK(taken >= 40 && taken <= 64 + 2);
    /* Those who have a place keep it, and what they have used. */
    CHECK_INT(take(limit, "key 0", 1000), 0);
    CHECK(take(limit, "key 0", 1000) > 0);
    /* A minute later all are forgotten. */
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "new %d", i);
        CHECK_INT(take(limit, key, 61000), 0);
    }
    limit_free(limit);
}

static int parse(const char *text, struct limit_rate *rate)
{
    return limit_parse(text, strlen(text), rate);
}

TEST(limit_parse_takes_a_rate_and_a_burst)
{
    struct limit_rate rate;
    CHECK_INT(parse("600:100", &rate), 0);
    CHECK_INT(rate.per_minute, 600);
    CHECK_INT(rate.burst, 100);
    CHECK_INT(parse("1000000", &rate), 0);
    CHECK_INT(rate.burst, 1000000);
    const char *const bad[] = {"",   ":",       "1:",          ":1",    "0",  "1:0",
                               "-1", "1000001", "99999999999", "1:2:3", "1 ", "x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(parse(bad[i], &rate), -1);
}
