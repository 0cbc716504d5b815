/* measure.h: what every end of a benchmark does: the clock, and what a list of samples says. */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint32_t us_since(uint64_t t)
{
    return (uint32_t)((now_ns() - t) / 1000);
}

/* For qsort() of samples. */
static inline int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* So many per cent of them are not above it; 0 where there are none. */
static inline uint32_t quantile(const uint32_t *sorted, size_t n, size_t percent)
{
    return n ? sorted[n - 1 - n * (100 - percent) / 100] : 0;
}

#endif
