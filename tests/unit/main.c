/* unit [--jobs=N] [--times] [--without=NAME]... [NAME...]: runs every registered test, or those whose names
 * contain one of the arguments, but not what is left out; in N processes side by side, since most of the time
 * is spent waiting; says how many milliseconds each took. */
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#define WITHOUT "--without="

static bool left_out(const struct test *t, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], WITHOUT, strlen(WITHOUT)) == 0 &&
            strstr(t->name, argv[i] + strlen(WITHOUT)))
            return true;
    return false;
}

static bool wanted(const struct test *t, int argc, char **argv)
{
    bool named = false;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' && strstr(t->name, argv[i]))
            return true;
        named = named || argv[i][0] != '-';
    }
    return !named;
}

/* What the workers share: each takes the next test, and counts. */
struct score {
    atomic_uint next, passed, failed, skipped;
};

/* How it is called. */
struct call {
    int argc;
    char **argv;
    unsigned jobs;
    bool times;
};

static void run_one(struct test *t, const struct call *call, struct score *score)
{
    if (left_out(t, call->argc, call->argv)) {
        atomic_fetch_add(&score->skipped, 1);
        return;
    }
    failures = 0;
    long start = now_ms();
    t->run();
    if (call->times)
        printf("%7ld %s\n", now_ms() - start, t->name);
    if (failures)
        fprintf(stderr, "FAILED %s\n", t->name);
    atomic_fetch_add(failures ? &score->failed : &score->passed, 1);
}

static void work(const struct call *call, struct score *score)
{
    unsigned mine = atomic_fetch_add(&score->next, 1), at = 0;
    for (struct test *t = tests; t; t = t->next) {
        if (!wanted(t, call->argc, call->argv) || at++ != mine)
            continue;
        run_one(t, call, score);
        mine = atomic_fetch_add(&score->next, 1);
    }
}

/* In processes of their own; one that is ended by something else than its last test is a failure. */
static void work_side_by_side(const struct call *call, struct score *score)
{
    for (unsigned i = 0; i < call->jobs; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            work(call, score);
            exit(0);
        }
        if (pid < 0)
            atomic_fetch_add(&score->failed, 1);
    }
    int status;
    while (wait(&status) > 0)
        if (status) {
            fprintf(stderr, "FAILED: a worker has ended with status 0x%x\n", (unsigned)status);
            atomic_fetch_add(&score->failed, 1);
        }
}

int main(int argc, char **argv)
{
    struct call call = {.argc = argc, .argv = argv};
    for (int i = 1; i < argc; i++) {
        call.times = call.times || strcmp(argv[i], "--times") == 0;
        if (strncmp(argv[i], "--jobs=", 7) == 0)
            call.jobs = (unsigned)strtoul(argv[i] + 7, NULL, 10);
    }
    signal(SIGPIPE, SIG_IGN);
    key_init();
    struct score *score =
        mmap(NULL, sizeof *score, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (score == MAP_FAILED)
        return 2;
    if (call.jobs)
        work_side_by_side(&call, score);
    else
        work(&call, score);
    bool well = !score->failed && score->passed;
    printf("%u passed, %u failed", score->passed, score->failed);
    if (score->skipped)
        printf(", %u skipped", score->skipped);
    putchar('\n');
    munmap(score, sizeof *score);
    return well ? 0 : 1;
}
