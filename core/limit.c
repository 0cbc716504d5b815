/* Token buckets. A name is kept as its keyed hash alone: 64 bits that nobody can aim at. */
#include "core/limit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/key.h"
#include "core/mem.h"

#define TOKEN 60000u /* parts of a token: one minute's gain of one a minute, in milliseconds */
#define NONE  UINT32_MAX

struct bucket {
    uint64_t name;
    uint64_t parts; /* of tokens */
    uint64_t at_ms; /* when that was so */
    uint32_t chain; /* the next one of the same slot */
    uint32_t older, newer;
};

struct limit {
    struct limit_rate rate;
    uint8_t secret[KEY_HASH_LEN];
    struct bucket *bucket; /* [cap], of which n are used */
    size_t n, cap, max;
    uint32_t *slot; /* [slots] */
    size_t slots;
    uint32_t oldest, newest;
};

int limit_parse(const char *text, struct limit_rate *rate)
{
    uint64_t value[2] = {0, 0};
    const char *p = text;
    for (int i = 0; i < 2; i++) {
        const char *digits = p;
        for (; *p >= '0' && *p <= '9' && value[i] <= LIMIT_RATE_MAX; p++)
            value[i] = value[i] * 10 + (uint64_t)(*p - '0');
        bool ends = i ? *p == '\0' : *p == ':';
        if (p == digits || !ends || !value[i] || value[i] > LIMIT_RATE_MAX) {
            errno = EINVAL;
            return -1;
        }
        p += !i;
    }
    *rate = (struct limit_rate){.per_minute = (uint32_t)value[0], .burst = (uint32_t)value[1]};
    return 0;
}

struct limit *limit_new(const struct limit_rate *rate, size_t names_max)
{
    struct limit *l = xcalloc(1, sizeof(*l));
    l->rate = *rate;
    l->max = names_max;
    l->oldest = l->newest = NONE;
    key_random(l->secret, sizeof(l->secret));
    return l;
}

void limit_free(struct limit *l)
{
    if (!l)
        return;
    free(l->bucket);
    free(l->slot);
    free(l);
}

/* Order: who was heard of last is the newest. */

static void unlink_bucket(struct limit *l, uint32_t i)
{
    struct bucket *b = &l->bucket[i];
    *(b->older == NONE ? &l->oldest : &l->bucket[b->older].newer) = b->newer;
    *(b->newer == NONE ? &l->newest : &l->bucket[b->newer].older) = b->older;
}

static void link_newest(struct limit *l, uint32_t i)
{
    struct bucket *b = &l->bucket[i];
    b->older = l->newest;
    b->newer = NONE;
    *(l->newest == NONE ? &l->oldest : &l->bucket[l->newest].newer) = i;
    l->newest = i;
}

/* Names. */

static uint32_t *slot_of(struct limit *l, uint64_t name)
{
    return &l->slot[name & (l->slots - 1)];
}

static void put_in_slot(struct limit *l, uint32_t i)
{
    uint32_t *slot = slot_of(l, l->bucket[i].name);
    l->bucket[i].chain = *slot;
    *slot = i;
}

static void take_from_slot(struct limit *l, uint32_t i)
{
    uint32_t *at = slot_of(l, l->bucket[i].name);
    while (*at != i)
        at = &l->bucket[*at].chain;
    *at = l->bucket[i].chain;
}

static void grow(struct limit *l)
{
    l->cap = l->cap ? l->cap * 2 : 16;
    l->slots = l->cap;
    l->bucket = xrealloc(l->bucket, l->cap * sizeof(*l->bucket));
    l->slot = xrealloc(l->slot, l->slots * sizeof(*l->slot));
    memset(l->slot, 0xff, l->slots * sizeof(*l->slot)); /* NONE */
    for (uint32_t i = 0; i < l->n; i++)
        put_in_slot(l, i);
}

static uint32_t find(struct limit *l, uint64_t name)
{
    uint32_t i = l->slots ? *slot_of(l, name) : NONE;
    while (i != NONE && l->bucket[i].name != name)
        i = l->bucket[i].chain;
    return i;
}

static uint32_t make_room(struct limit *l)
{
    if (l->n < l->max) {
        if (l->n == l->cap)
            grow(l);
        return (uint32_t)l->n++;
    }
    uint32_t i = l->oldest;
    unlink_bucket(l, i);
    take_from_slot(l, i);
    return i;
}

static uint32_t add(struct limit *l, uint64_t name, uint64_t now_ms)
{
    uint32_t i = make_room(l);
    l->bucket[i] =
        (struct bucket){.name = name, .parts = (uint64_t)l->rate.burst * TOKEN, .at_ms = now_ms};
    put_in_slot(l, i);
    link_newest(l, i);
    return i;
}

static void refill(const struct limit *l, struct bucket *b, uint64_t now_ms)
{
    uint64_t full = (uint64_t)l->rate.burst * TOKEN, passed = now_ms - b->at_ms;
    uint64_t missing = full - b->parts;
    /* A clock that has run for long may not overflow what it has gained. */
    b->parts =
        passed > missing / l->rate.per_minute ? full : b->parts + passed * l->rate.per_minute;
    b->at_ms = now_ms;
}

uint32_t limit_take(struct limit *l, const char *name, uint64_t now_ms)
{
    uint64_t hash = key_hash64(name, strlen(name), l->secret);
    uint32_t i = find(l, hash);
    if (i == NONE) {
        i = add(l, hash, now_ms);
    } else {
        unlink_bucket(l, i);
        link_newest(l, i);
    }
    struct bucket *b = &l->bucket[i];
    refill(l, b, now_ms);
    if (b->parts >= TOKEN) {
        b->parts -= TOKEN;
        return 0;
    }
    return (uint32_t)((TOKEN - b->parts + l->rate.per_minute - 1) / l->rate.per_minute);
}

size_t limit_count(const struct limit *l)
{
    return l->n;
}
