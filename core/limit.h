/* limit.h: how often somebody may: a token bucket for each key (a user, an address), in bounded memory. */
#ifndef CORE_LIMIT_H
#define CORE_LIMIT_H

#include <stddef.h>
#include <stdint.h>

struct limit_rate {
    uint32_t per_minute; /* 1…1 000 000; how fast the bucket fills */
    uint32_t burst;      /* 1…1 000 000; how much it holds, and holds at first */
};

struct limit;

/* For about so many keys at once, 16 bytes each. A bucket that has filled up again is forgotten; keys for
 * which there is no place left share one bucket, so that nobody gets more by crowding others out. */
struct limit *limit_new(struct limit_rate rate, size_t keys);
void limit_free(struct limit *limit);

/* 0: one was taken. Else nothing was, and there is one again in so many milliseconds (1 and up).
 * `now_ms` is of a clock that never runs backwards. */
uint64_t limit_take(struct limit *limit, const void *key, size_t len, uint64_t now_ms);

/* "600:100", or "600" with a burst of as many; 0, or -1: not of that form, or out of range. */
int limit_parse(const char *text, size_t len, struct limit_rate *rate);

#endif
