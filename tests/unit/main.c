/* Runs every registered test, or those whose names contain one of the arguments. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/key.h"
#include "tests/unit/test.h"

static struct test *tests;
static unsigned failures; /* of the running test */

void test_register(struct test *t)
{
    struct test **at = &tests;
    while (*at && strcmp((*at)->name, t->name) < 0)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    failures++;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static bool wanted(const struct test *t, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(t->name, argv[i]))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    signal(SIGPIPE, SIG_IGN);
    key_init();
    for (struct test *t = tests; t; t = t->next) {
        if (!wanted(t, argc, argv))
            continue;
        failures = 0;
        t->run();
        if (failures)
            fprintf(stderr, "FAILED %s\n", t->name);
        *(failures ? &failed : &passed) += 1;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed;
}
