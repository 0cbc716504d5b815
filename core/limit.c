#include "core/limit.h"

#include <ctype.h>
#include <stdlib.h>

#include "core/key.h"
#include "core/mem.h"

/* The generic cell rate algorithm, which is a token bucket told by one number: the time, in microseconds, at
 * which the bucket will be full again. ITU-T I.371, annex A. */

#define MINUTE_US 60000000ULL
#define RATE_MAX  1000000
#define PLACES    8 /* where a key may be: a few in a row */

struct bucket {
    uint64_t key;
    uint64_t full_us; /* 0: never used */
};

struct limit {
    uint64_t cost_us, burst_us; /* one token; a whole bucket */
    uint8_t secret[KEY_HASH_LEN];
    struct bucket rest;
    size_t count;
    struct bucket buckets[];
};

struct limit *limit_new(struct limit_rate rate, size_t keys)
{
    size_t count = keys < PLACES ? PLACES : keys;
    struct limit *limit = xcalloc(1, sizeof *limit + count * sizeof limit->buckets[0]);
    limit->count = count;
    limit->cost_us = MINUTE_US / rate.per_minute;
    limit->burst_us = limit->cost_us * rate.burst;
    key_random(limit->secret, sizeof limit->secret);
    return limit;
}

void limit_free(struct limit *limit)
{
    free(limit);
}

/* The key's own bucket, else one that nobody needs any more, else the one for all others. */
static struct bucket *bucket_of(struct limit *limit, uint64_t key, uint64_t now_us)
{
    struct bucket *spare = NULL;
    for (size_t i = 0; i < PLACES; i++) {
        struct bucket *b = &limit->buckets[(key + i) % limit->count];
        if (b->key == key && b->full_us)
            return b;
        if (!spare && b->full_us <= now_us)
            spare = b;
    }
    if (!spare)
        return &limit->rest;
    *spare = (struct bucket){.key = key};
    return spare;
}

uint64_t limit_take(struct limit *limit, const void *key, size_t len, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000;
    struct bucket *b = bucket_of(limit, key_hash64(key, len, limit->secret), now_us);
    uint64_t full_us = (b->full_us > now_us ? b->full_us : now_us) + limit->cost_us;
    if (full_us - now_us > limit->burst_us)
        return (full_us - now_us - limit->burst_us + 999) / 1000;
    b->full_us = full_us;
    return 0;
}

static const char *number(const char *p, const char *end, uint32_t *value)
{
    *value = 0;
    const char *start = p;
    for (; p < end && isdigit((unsigned char)*p) && *value <= RATE_MAX; p++)
        *value = *value * 10 + (uint32_t)(*p - '0');
    return p > start && *value >= 1 && *value <= RATE_MAX ? p : NULL;
}

int limit_parse(const char *text, size_t len, struct limit_rate *rate)
{
    const char *end = text + len, *p = number(text, end, &rate->per_minute);
    rate->burst = rate->per_minute;
    if (p && p < end && *p == ':')
        p = number(p + 1, end, &rate->burst);
    return p == end ? 0 : -1;
}
