#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/service_rig.h"

static int64_t number(const struct json_value *body, const char *key)
{
    int64_t n = INT64_MIN;
    CHECK_INT(json_get_int(body, key, &n), 1);
    return n;
}

static bool flag(const struct json_value *body, const char *key)
{
    bool b = false;
    json_get_bool(body, key, &b);
    return b;
}

static void expect_result(struct rig *g, int exit_code, const char *out, const char *err)
{
    const struct json_value *body = rig_expect(g, MSG_EXEC_RESULT);
    CHECK_INT(number(body, "exit_code"), exit_code);
    CHECK_STR(json_get_str(body, "stdout"), out);
    CHECK_STR(json_get_str(body, "stderr"), err);
    CHECK(!flag(body, "stdout_truncated") && !flag(body, "stderr_truncated"));
    rig_expect_end(g);
}

TEST(exec_results)
{
    struct rig g;
    setenv("HOME", "/", 1);
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"echo out; echo err >&2; exit 7\"}");
    expect_result(&g, 7, "out\n", "err\n");
    rig_open(&g,
             "{\"type\":\"Exec\",\"command\":\"printf\",\"args\":[\"%%s|\",\"a b\",\"$HOME\"]}");
    expect_result(&g, 0, "a b|$HOME|", "");
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"kill -9 $$\"}");
    expect_result(&g, -1, "", "");
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"pwd; cat; echo $X\",\"env\":{\"X\":\"a  b\"}}");
    expect_result(&g, 0, "/\na b\n", "");
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"pwd\",\"workdir\":\"%s\"}", g.dir);
    char want[64];
    snprintf(want, sizeof want, "%s\n", g.dir);
    expect_result(&g, 0, want, "");
    rig_fini(&g);
}

/* It leads a session of its own: neither our signals nor our terminal are its. */
TEST(exec_own_session)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"cut -d' ' -f1,5,6 /proc/$$/stat\"}");
    const struct json_value *body = rig_expect(&g, MSG_EXEC_RESULT);
    int pid = 0, group = 0, session = 0;
    sscanf(json_get_str(body, "stdout"), "%d %d %d", &pid, &group, &session);
    CHECK(pid > 0);
    CHECK_INT(group, pid);
    CHECK_INT(session, pid);
    rig_fini(&g);
}

TEST(exec_refused)
{
    static const struct {
        const char *fields;
        enum error_code code;
        const char *why;
    } rows[] = {
        {"\"command\":\"no-such-program\",\"args\":[\"x\"]", ERR_NOT_FOUND,
         "no-such-program: command not found"},
        {"\"command\":\"/dev/null\",\"args\":[\"x\"]", ERR_PERMISSION_DENIED,
         "/dev/null: Permission denied"},
        {"\"command\":\"id\",\"workdir\":\"/no/such\"", ERR_NOT_FOUND,
         "workdir /no/such: No such file or directory"},
        {"\"command\":\"id\",\"env\":{\"LD_PRELOAD\":\"x\"}", ERR_INVALID_REQUEST,
         "env: LD_PRELOAD cannot be set"},
        {"\"command\":\"\"", ERR_INVALID_REQUEST, "command: missing"},
        {"\"command\":\"id\",\"args\":null,\"env\":null,\"workdir\":null,\"timeout_secs\":0",
         ERR_INVALID_REQUEST, "timeout_secs: not a number from 1 on"},
    };
    struct rig g;
    setenv("HOME", "/", 1);
    rig_init(&g);
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":\"Exec\",%s}", rows[i].fields);
        CHECK_STR(rig_expect_error(&g, rows[i].code), rows[i].why);
    }
    rig_fini(&g);
}

/* Output. */

static const struct json_value *run(struct rig *g, const char *command)
{
    rig_open(g, "{\"type\":\"Exec\",\"command\":\"%s\"}", command);
    return rig_expect(g, MSG_EXEC_RESULT);
}

static size_t text_len(const struct json_value *body, const char *key)
{
    const char *text = json_get_str(body, key);
    CHECK(text != NULL);
    return text ? strlen(text) : 0;
}

TEST(exec_output_past_a_pipe)
{
    struct rig g;
    rig_init(&g);
    const struct json_value *body = run(
        &g, "head -c 300000 /dev/zero | tr '\\\\0' x; head -c 200000 /dev/zero | tr '\\\\0' y >&2");
    CHECK_INT(text_len(body, "stdout"), 300000);
    CHECK_INT(text_len(body, "stderr"), 200000);
    CHECK(!flag(body, "stdout_truncated") && !flag(body, "stderr_truncated"));
    rig_fini(&g);
}

/* Both at once, and far more than anybody will read: neither stalls the command. */
TEST(exec_ten_mib_on_both_outputs)
{
    struct rig g;
    rig_init(&g);
    g.sv.frame_limit = 16u << 20;
    const struct json_value *body =
        run(&g, "head -c 10485760 /dev/zero | tr '\\\\0' x & head -c 10485760 /dev/zero |"
                "tr '\\\\0' y >&2; wait; exit 6");
    CHECK_INT(number(body, "exit_code"), 6);
    CHECK_INT(text_len(body, "stdout"), 2 << 20);
    CHECK_INT(text_len(body, "stderr"), 2 << 20);
    CHECK(flag(body, "stdout_truncated") && flag(body, "stderr_truncated"));
    CHECK_INT(g.workload.answers.left, OUTPUT_BUDGET);
    rig_fini(&g);
}

/* What many keep while they run has a limit as well. */
TEST(exec_outputs_share_a_budget)
{
    struct rig g;
    rig_init(&g);
    g.workload.answers.left = 1000;
    const struct json_value *body = run(&g, "head -c 10000 /dev/zero | tr '\\\\0' x; echo e >&2");
    CHECK_INT(text_len(body, "stdout"), 1000 + OUTPUT_SURE);
    CHECK_STR(json_get_str(body, "stderr"), "e\n");
    CHECK(flag(body, "stdout_truncated"));
    rig_close(&g);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"head -c 10000 /dev/zero; sleep 1000\"}");
    rig_patience();
    while (g.workload.answers.left > 0 && rig_turn(&g))
        ;
    rig_close(&g);
    rig_patience();
    while (g.sv.requests && rig_turn(&g))
        ;
    CHECK_INT(g.workload.answers.left, 1000);
    rig_fini(&g);
}

TEST(exec_output_capped)
{
    struct rig g;
    rig_init(&g);
    const struct json_value *body =
        run(&g, "head -c 5000000 /dev/zero | tr '\\\\0' x; echo done >&2; exit 3");
    CHECK_INT(number(body, "exit_code"), 3);
    CHECK_INT(text_len(body, "stdout"), 2 << 20);
    CHECK_STR(json_get_str(body, "stderr"), "done\n");
    CHECK(flag(body, "stdout_truncated"));
    CHECK(!flag(body, "stderr_truncated"));
    rig_fini(&g);
}

/* Both at their caps, in the worst that JSON makes of bytes: the answer still is one frame. */
TEST(exec_output_fits_a_frame)
{
    struct rig g;
    rig_init(&g);
    const struct json_value *body =
        run(&g, "head -c 2097152 /dev/zero; head -c 2097152 /dev/zero | tr '\\\\0' x >&2");
    CHECK(flag(body, "stdout_truncated") && flag(body, "stderr_truncated"));
    CHECK_INT(text_len(body, "stderr"), FRAME_LIMIT / 2 - 512);
    body = run(&g, "head -c 2097152 /dev/zero | tr '\\\\0' '\\\\377';"
                   "head -c 2097152 /dev/zero | tr '\\\\0' '\\\\1' >&2");
    CHECK(flag(body, "stdout_truncated") && flag(body, "stderr_truncated"));
    CHECK(text_len(body, "stdout") > 2000000 && text_len(body, "stderr") > 300000);
    rig_fini(&g);
}

TEST(exec_output_not_text)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"printf 'a\\\\377b\\\\303\\\\244'\"}");
    expect_result(&g, 0,
                  "a\xef\xbf\xbd"
                  "b\xc3\xa4",
                  "");
    rig_fini(&g);
}

/* What is left running holds the pipe, and its words come too late. */
TEST(exec_returns_when_the_command_ends)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"sleep 1000 & echo $!\"}");
    const struct json_value *body = rig_expect(&g, MSG_EXEC_RESULT);
    pid_t left = (pid_t)atoi(json_get_str(body, "stdout"));
    CHECK(left > 1);
    CHECK_INT(left > 1 ? kill(left, SIGKILL) : -1, 0); /* it was alive */
    rig_fini(&g);
}

TEST(exec_returns_though_the_pipe_never_dries)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"yes & echo $! >&2\"}");
    const struct json_value *body = rig_expect(&g, MSG_EXEC_RESULT);
    CHECK(atoi(json_get_str(body, "stderr")) > 1); /* a broken pipe ends it */
    rig_fini(&g);
}

/* Its end before its time. */

static void until_cut(struct rig *g, const struct lifeline *l)
{
    rig_patience();
    while (!l->cut && rig_turn(g))
        ;
    CHECK(l->cut);
}

static void until_text(struct rig *g, const char *path)
{
    rig_patience();
    while (access(path, F_OK) != 0 && rig_turn(g))
        ;
}

TEST(exec_timeout_kills_the_group)
{
    struct rig g;
    struct lifeline line;
    rig_init(&g);
    const char *path = rig_path(&g, "line"), *warned = rig_path(&g, "warned");
    lifeline_init(&g, &line, path);
    rig_open(&g,
             "{\"type\":\"Exec\",\"timeout_secs\":1,\"command\":\"exec 9>%s 2>&9;"
             "trap 'echo > %s' HUP TERM; sleep 1000 & sleep 1000; sleep 1000\"}",
             path, warned);
    CHECK_STR(rig_expect_error(&g, ERR_TIMEOUT), "command timed out after 1s");
    until_cut(&g, &line);
    CHECK(access(warned, F_OK) != 0); /* SIGKILL, and nothing before it */
    lifeline_fini(&line);
    rig_fini(&g);
}

TEST(exec_longest_timeout)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g,
             "{\"type\":\"Exec\",\"command\":\"echo x\",\"timeout_secs\":18446744073709551615}");
    expect_result(&g, 0, "x\n", "");
    rig_fini(&g);
}

/* The guest protocol has no other codes than these. */
TEST(exec_error_codes)
{
    for (int error = 0; error < 200; error++)
        CHECK(fault_code(error) <= ERR_INTERNAL);
    CHECK_INT(fault_code(ENOENT), ERR_NOT_FOUND);
    CHECK_INT(fault_code(EACCES), ERR_PERMISSION_DENIED);
    CHECK_INT(fault_code(ENOTCONN), ERR_IO);
}

TEST(exec_hangup_when_nobody_waits)
{
    struct rig g;
    rig_init(&g);
    const char *ready = rig_path(&g, "ready"), *hup = rig_path(&g, "hup");
    rig_open(&g,
             "{\"type\":\"Exec\",\"command\":\"trap 'echo > %s; exit' HUP; echo > %s;"
             "while :; do sleep 1000 & wait; done\"}",
             hup, ready);
    until_text(&g, ready);
    rig_close(&g);
    until_text(&g, hup);
    CHECK(!g.sv.requests);
    rig_fini(&g);
}

TEST(exec_kill_after_hangup)
{
    struct rig g;
    struct lifeline line;
    rig_init(&g);
    const char *path = rig_path(&g, "line"), *ready = rig_path(&g, "ready");
    lifeline_init(&g, &line, path);
    rig_open(&g,
             "{\"type\":\"Exec\",\"command\":\"exec 9>%s; trap '' HUP; sleep 1000 & echo > %s;"
             "sleep 1000; sleep 1000\"}",
             path, ready);
    until_text(&g, ready);
    CHECK(!line.cut);
    CHECK(!loop_timer_armed(&g.sv.requests->timer)); /* its own limit is the command's */
    rig_close(&g);
    until_cut(&g, &line);
    lifeline_fini(&line);
    rig_fini(&g);
}
