/* test.h: unit tests: TEST(name) { … CHECK(…) … } in any file of this folder.
 *
 * A failed check prints where and what, fails its test and goes on. */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *t);
void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define TEST(id)                                                                                   \
    static void test_run_##id(void);                                                               \
    static struct test test_row_##id = {#id, test_run_##id, NULL};                                 \
    __attribute__((constructor)) static void test_add_##id(void)                                   \
    {                                                                                              \
        test_register(&test_row_##id);                                                             \
    }                                                                                              \
    static void test_run_##id(void)

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_fail(__FILE__, __LINE__, "%s", #cond);                                            \
    } while (0)

#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        if (got_ != want_)                                                                         \
            test_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #got, got_, want_);              \
    } while (0)

#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (!got_ || strcmp(got_, want_) != 0)                                                     \
            test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #got,                        \
                      got_ ? got_ : "(null)", want_);                                              \
    } while (0)

#endif
