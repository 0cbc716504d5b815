/* limit.h: how often each of many may do something: a token bucket by name.
 *
 * A bucket holds `burst` tokens and regains `per_minute`. The table is bounded: with more names than it
 * has room for, the one that was silent for longest is forgotten, which loses nothing unless all of
 * them were busy within the time that a bucket takes to fill. */
#ifndef CORE_LIMIT_H
#define CORE_LIMIT_H

#include <stddef.h>
#include <stdint.h>

#define LIMIT_RATE_MAX 1000000u

struct limit_rate {
    uint32_t per_minute, burst; /* 1 to LIMIT_RATE_MAX each */
};

/* "600:100": a minute, at once. 0, or -1: EINVAL. */
int limit_parse(const char *text, struct limit_rate *rate);

struct limit;

/* `names_max` is at least 1. */
struct limit *limit_new(const struct limit_rate *rate, size_t names_max);
void limit_free(struct limit *l); /* NULL is fine */
/* Takes a token: 0; or how many milliseconds it will be until there is one. The clock must not go
 * back (loop_now_ms()). */
uint32_t limit_take(struct limit *l, const char *name, uint64_t now_ms);
/* How many names are known. */
size_t limit_count(const struct limit *l);

#endif
