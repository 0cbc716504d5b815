#include <errno.h>
#include <stdlib.h>

#include "applets/service/program.h"
#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/test.h"

struct ran {
    int code;
    char *text; /* NULL: not yet */
};

static void ended(void *arg, int code, const char *text)
{
    struct ran *r = arg;
    r->code = code;
    r->text = xstrdup(text);
}

/* What /bin/sh makes of the line. */
static struct ran run(const char *line)
{
    struct loop *loop = loop_new();
    unsigned before = open_descriptors();
    struct ran r = {0};
    CHECK(program_start(loop, (const char *const[]){"sh", "-c", line, NULL}, ended, &r));
    CHECK(!r.text);
    TURN_UNTIL(loop, r.text);
    TURN_UNTIL(loop, open_descriptors() == before); /* what was killed is collected */
    loop_free(loop);
    return r;
}

static void check_run(const char *line, int code, const char *text)
{
    struct ran r = run(line);
    CHECK_INT(r.code, code);
    CHECK_STR(r.text, text);
    free(r.text);
}

TEST(program_output_and_code)
{
    unsigned before = open_descriptors();
    check_run("echo hello; echo not this >&2; exit 3", 3, "hello\n");
    check_run("cat; echo $LC_ALL", 0, "C\n");
    check_run("kill -9 $$", -1, "");
    check_run("exec >&-; exit 0", 0, "");
    CHECK_INT(open_descriptors(), before);
}

TEST(program_large_output)
{
    struct ran r = run("head -c 3000000 /dev/zero | tr '\\0' x");
    CHECK_INT(r.code, 0);
    CHECK_INT(strlen(r.text), 3000000);
    free(r.text);
    check_run("head -c 5000000 /dev/zero | tr '\\0' x", -1, "");
}

/* The first would never end, the second leaves somebody behind who holds its output. */
TEST(program_that_does_not_end)
{
    check_run("echo hello; sleep 1000", -1, "");
    check_run("sleep 3 & echo hello", 0, "hello\n");
}

TEST(program_cancelled)
{
    struct loop *loop = loop_new();
    unsigned before = open_descriptors();
    struct ran r = {0};
    struct program *p =
        program_start(loop, (const char *const[]){"sleep", "1000", NULL}, ended, &r);
    CHECK(p);
    program_cancel(p);
    program_cancel(NULL);
    TURN_UNTIL(loop, open_descriptors() == before);
    CHECK(!r.text);
    loop_free(loop);
}

TEST(program_not_there)
{
    struct loop *loop = loop_new();
    CHECK(!program_start(loop, (const char *const[]){"no-such-program", NULL}, ended, NULL));
    CHECK_INT(errno, ENOENT);
    CHECK(!program_find("no-such-program"));
    cleanup_free char *sh = program_find("sh");
    CHECK(sh && sh[0] == '/');
    loop_free(loop);
}
