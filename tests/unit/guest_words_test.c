/* The words of `berth guest exec` and `shell` as the request that they become. */
#include "applets/guest/run_words.h"

#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/capture.h"
#include "tests/unit/test.h"

#define MOST 16

/* Splits `line` at its spaces in place. */
static void split(char *line, char *argv[static MOST])
{
    size_t n = 0;
    char *rest = NULL;
    for (char *w = strtok_r(line, " ", &rest); w && n < MOST - 1; w = strtok_r(NULL, " ", &rest))
        argv[n++] = w;
    argv[n] = NULL;
}

/* The request that this line becomes, as text, or "". */
static char *request_of(const char *line, bool may_input, struct run_words *w)
{
    const struct visit v = {.verb = "exec"};
    char *argv[MOST];
    cleanup_free char *copy = xstrdup(line);
    split(copy, argv);
    if (!run_words(&v, w, argv, may_input)) {
        CHECK(!w->request.out);
        return xstrdup("");
    }
    char *text = json_out_text(w->request.out, false, NULL);
    draft_free(&w->request);
    return text;
}

TEST(guest_words_become_a_request)
{
    static const struct {
        const char *line, *request;
        bool input, command;
    } rows[] = {
        {"ls", "{\"type\":\"ExecStream\",\"command\":\"ls\"}", false, true},
        {"ls -l -i /",
         "{\"type\":\"ExecStream\",\"args\":[\"-l\",\"-i\",\"/\"],\"command\":\"ls\"}", false,
         true},
        {"-i cat", "{\"type\":\"ExecStream\",\"command\":\"cat\"}", true, true},
        {"-i -- -x", "{\"type\":\"ExecStream\",\"command\":\"-x\"}", true, true},
        {"-- a -- b", "{\"type\":\"ExecStream\",\"args\":[\"--\",\"b\"],\"command\":\"a\"}", false,
         true},
        {"-C /tmp -C /usr pwd",
         "{\"type\":\"ExecStream\",\"workdir\":\"/usr\",\"command\":\"pwd\"}", false, true},
        {"-t 2m x", "{\"type\":\"ExecStream\",\"timeout_secs\":120,\"command\":\"x\"}", false,
         true},
        {"-t 1ms x", "{\"type\":\"ExecStream\",\"timeout_secs\":1,\"command\":\"x\"}", false, true},
        {"-t 1d x", "{\"type\":\"ExecStream\",\"timeout_secs\":86400,\"command\":\"x\"}", false,
         true},
        {"-eA= -e B=1=2 x",
         "{\"type\":\"ExecStream\",\"env\":{\"A\":\"\",\"B\":\"1=2\"},\"command\":\"x\"}", false,
         true},
        {"", "{\"type\":\"ExecStream\"}", false, false},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct run_words w;
        cleanup_free char *text = request_of(rows[i].line, true, &w);
        CHECK_STR(text, rows[i].request);
        CHECK_INT(w.input, rows[i].input);
        CHECK_INT(w.command, rows[i].command);
    }
}

TEST(guest_words_refused)
{
    static const struct {
        const char *line, *why;
        bool may_input;
    } rows[] = {
        {"-i", "-i is for exec", false},
        {"-t 0 x", "-t 0: not a time", true},
        {"-t 86401 x", "-t 86401: not a time", true},
        {"-e =x y", "-e =x: not NAME=VALUE", true},
        {"-e x y", "-e x: not NAME=VALUE", true},
        {"-C \xff x", "not UTF-8", true},
        {"-e A=\xff x", "not UTF-8", true},
        {"x \xc3", "not UTF-8", true},
        {"-C", "needs a value", true},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct run_words w;
        capture_begin();
        cleanup_free char *text = request_of(rows[i].line, rows[i].may_input, &w);
        cleanup_free char *said = capture_end();
        CHECK_STR(text, "");
        CHECK_INT(w.status, 2);
        if (!strstr(said, rows[i].why))
            test_fail(__FILE__, __LINE__, "\"%s\" says: %s", rows[i].line, said);
    }
}

TEST(guest_words_of_a_verb)
{
    const struct visit v = {.verb = "get"};
    static const struct {
        const char *line;
        size_t n;
        bool fine;
    } rows[] = {{"a", 1, true},        {"a b", 2, true},       {"a - ", 2, true},
                {"-- -a --", 2, true}, {"a -- b", 2, true},    {"", 0, false},
                {"a b c", 3, false},   {"-- a b c", 3, false}, {"-x a", 0, false}};
    for (size_t i = 0; i < countof(rows); i++) {
        struct words w = {.least = 1, .most = 2};
        char *argv[MOST];
        cleanup_free char *copy = xstrdup(rows[i].line);
        split(copy, argv);
        capture_begin();
        CHECK_INT(visit_words(&v, argv, &w), rows[i].fine);
        cleanup_free char *said = capture_end();
        CHECK_INT(w.n, rows[i].n);
        CHECK(rows[i].fine || (w.status == 2 && *said));
        CHECK(!rows[i].fine || !*said);
    }
}
