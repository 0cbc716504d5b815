/* TeamMessage and PollDaemonResults. */
#include "applets/service/tasks.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/service_rig.h"

static const struct service_row rows[] = {{MSG_TEAM_MESSAGE, serve_team_message},
                                          {MSG_POLL_DAEMON_RESULTS, serve_poll_daemon_results},
                                          {MSG_SET_ENV, serve_set_env},
                                          {MSG_COUNT, NULL}};

static void tasks_rig(struct rig *g)
{
    setenv("HOME", "/", 1);
    rig_init(g);
    g->sv.rows = rows;
}

/* A message with that content, a JSON text, and further fields. */
static void tell(struct rig *g, const char *content, const char *more)
{
    struct json_out *out = json_out_new();
    json_put_str(out, json_out_root(out), "content", content);
    size_t len;
    cleanup_free char *quoted = json_out_text(out, false, &len);
    json_out_free(out);
    quoted[len - 1] = '\0'; /* its closing brace */
    rig_open(g, "{\"type\":\"TeamMessage\",\"to\":\"me\",%s%s}", quoted + 1, more);
}

static void assign(struct rig *g, const char *id, const char *fields)
{
    char content[1024];
    snprintf(content, sizeof content, "{\"task_id\":\"%s\",%s}", id, fields);
    tell(g, content,
         ",\"message_type\":\"task_assignment\",\"from\":\"lead\",\"message_id\":\"m\"");
    rig_expect(g, MSG_OK);
    rig_expect_end(g);
}

static void until_finished(struct rig *g, size_t n)
{
    rig_patience();
    while (g->workload.tasks.finished.count < n && rig_turn(g))
        ;
    CHECK_INT(g->workload.tasks.finished.count, n);
}

static void until_file(struct rig *g, const char *path)
{
    rig_patience();
    while (access(path, F_OK) != 0 && rig_turn(g))
        ;
}

static int64_t number(const struct json_value *v, const char *key)
{
    int64_t n = INT64_MIN;
    CHECK_INT(json_get_int(v, key, &n), 1);
    return n;
}

static bool flag(const struct json_value *v, const char *key)
{
    bool b = false;
    json_get_bool(v, key, &b);
    return b;
}

/* The results' list, and how many tasks are not done. */
static const struct json_value *fetch(struct rig *g, const char *more, int64_t pending)
{
    rig_open(g, "{\"type\":\"PollDaemonResults\"%s}", more);
    const struct json_value *body = rig_expect(g, MSG_DAEMON_RESULTS);
    CHECK_INT(number(body, "pending_tasks"), pending);
    rig_expect_end(g);
    CHECK(json_is_array(json_get(body, "results")));
    return json_get(body, "results");
}

static const struct json_value *nth(const struct json_value *list, size_t n)
{
    struct json_iter it = json_iter(list);
    while (json_next(&it))
        if (n-- == 0)
            return it.value;
    return NULL;
}

static void check_result(const struct json_value *v, const char *id, int exit_code, const char *out,
                         const char *err)
{
    CHECK_STR(json_get_str(v, "task_id"), id);
    CHECK_INT(number(v, "exit_code"), exit_code);
    CHECK(json_get(v, "success") && flag(v, "success") == (exit_code == 0));
    CHECK_STR(json_get_str(v, "stdout"), out);
    CHECK_STR(json_get_str(v, "stderr"), err);
    CHECK(number(v, "elapsed_secs") >= 0);
    CHECK(!json_get(v, "stdout_truncated") && !json_get(v, "stderr_truncated"));
}

TEST(tasks_results)
{
    struct rig g;
    tasks_rig(&g);
    CHECK_INT(json_count(fetch(&g, "", 0)), 0);
    assign(&g, "one", "\"command\":\"echo out; echo err >&2\"");
    until_finished(&g, 1);
    assign(&g, "two", "\"command\":\"exit 7\",\"workdir\":null,\"env\":null,\"timeout_secs\":null");
    until_finished(&g, 2);
    assign(&g, "three", "\"command\":\"kill -9 $$\"");
    until_finished(&g, 3);
    const struct json_value *list = fetch(&g, ",\"limit\":2", 0);
    CHECK_INT(json_count(list), 2);
    check_result(nth(list, 0), "one", 0, "out\n", "err\n");
    CHECK_STR(json_get_str(nth(list, 0), "source_message_id"), "m");
    check_result(nth(list, 1), "two", 7, "", "");
    CHECK_INT(json_count(fetch(&g, ",\"limit\":0", 0)), 0);
    list = fetch(&g, ",\"limit\":4294967295", 0);
    CHECK_INT(json_count(list), 1);
    check_result(nth(list, 0), "three", -1, "", "");
    CHECK_INT(json_count(fetch(&g, "", 0)), 0);
    rig_open(&g, "{\"type\":\"PollDaemonResults\",\"limit\":-1}");
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST), "limit: not a number from 0 on");
    rig_fini(&g);
}

TEST(tasks_have_their_place)
{
    struct rig g;
    struct stat st;
    char fields[256], want[128];
    tasks_rig(&g);
    rig_open(&g, "{\"type\":\"SetEnv\",\"vars\":{\"X\":\"agent\",\"Y\":\"agent\"}}");
    rig_expect(&g, MSG_SET_ENV_RESULT);
    snprintf(fields, sizeof fields,
             "\"command\":\"pwd; cat; echo $X $Y\",\"workdir\":\"%s\",\"env\":{\"Y\":\"own\"}",
             g.dir);
    assign(&g, "t", fields);
    until_finished(&g, 1);
    snprintf(want, sizeof want, "%s\nagent own\n", g.dir);
    check_result(nth(fetch(&g, "", 0), 0), "t", 0, want, "");
    assign(&g, "u", "\"command\":\"pwd\"");
    until_finished(&g, 1);
    bool there = stat(TASK_WORKDIR, &st) == 0 && S_ISDIR(st.st_mode);
    check_result(nth(fetch(&g, "", 0), 0), "u", 0, there ? TASK_WORKDIR "\n" : "/\n", "");
    rig_fini(&g);
}

TEST(tasks_that_cannot_run)
{
    static const char *const bad[][2] = {
        {"\"command\":\"a\",\"workdir\":\"/no/such\"",
         "exec failed: workdir /no/such: No such file or directory"},
        {"\"command\":\"a\",\"env\":{\"LD_X\":\"\"}", "exec failed: env: LD_X cannot be set"},
        {"\"command\":\"a\",\"timeout_secs\":\"1\"",
         "exec failed: timeout_secs: not a number from 1 on"},
        {"\"command\":\"\"", "exec failed: command: missing"},
    };
    struct rig g;
    tasks_rig(&g);
    for (size_t i = 0; i < countof(bad); i++) {
        assign(&g, "t", bad[i][0]);
        check_result(nth(fetch(&g, "", 0), 0), "t", -1, "", bad[i][1]);
    }
    rig_fini(&g);
}

static void expect_unreadable(struct rig *g, const char *content, const char *shown)
{
    cleanup_free char *want = xasprintf("failed to parse task_assignment content: %s", shown);
    tell(g, content, ",\"message_type\":\"task_assignment\"");
    rig_expect(g, MSG_OK);
    check_result(nth(fetch(g, "", 0), 0), "unknown", -2, "", want);
}

TEST(tasks_that_cannot_be_read)
{
    static const char *const bad[] = {
        "",
        "not json{{{",
        "[]",
        "7",
        "{\"command\":\"true\"}",
        "{\"task_id\":\"t\"}",
        "{\"task_id\":7,\"command\":\"true\"}",
        "{\"task_id\":\"t\",\"command\":[\"true\"]}",
        "{\"task_id\":\"a\\u0000b\",\"command\":\"true\"}",
    };
    char text[2 * 300 + 1], shown[2 * 200 + 1];
    struct rig g;
    tasks_rig(&g);
    for (size_t i = 0; i < countof(bad); i++)
        expect_unreadable(&g, bad[i], bad[i]);
    for (size_t i = 0; i < 300; i++)
        memcpy(text + 2 * i, "\xc3\xa4", 3);
    memcpy(shown, text, sizeof shown);
    shown[2 * 200] = '\0';
    expect_unreadable(&g, text, shown);
    rig_fini(&g);
}

TEST(tasks_ids_are_limited)
{
    struct rig g;
    char id[TASK_ID_MAX + 2];
    tasks_rig(&g);
    memset(id, 'i', sizeof id);
    id[TASK_ID_MAX + 1] = '\0';
    assign(&g, id, "\"command\":\"true\"");
    until_finished(&g, 1);
    CHECK_STR(json_get_str(nth(fetch(&g, "", 0), 0), "task_id"), "unknown");
    id[TASK_ID_MAX] = '\0';
    assign(&g, id, "\"command\":\"true\"");
    until_finished(&g, 1);
    check_result(nth(fetch(&g, "", 0), 0), id, 0, "", "");
    rig_fini(&g);
}

TEST(tasks_timeout_kills_the_group)
{
    struct rig g;
    struct lifeline line;
    char fields[512];
    tasks_rig(&g);
    const char *path = rig_path(&g, "line");
    lifeline_init(&g, &line, path);
    snprintf(fields, sizeof fields,
             "\"timeout_secs\":1,\"command\":\"exec 9>%s; trap '' TERM HUP; echo out; echo err >&2;"
             "sleep 1000 & sleep 1000; sleep 1000\"",
             path);
    for (int i = 0; i < 3; i++)
        assign(&g, "sleeper", "\"command\":\"exec sleep 1000\"");
    assign(&g, "slow", fields);
    assign(&g, "next", "\"command\":\"true\"");
    until_finished(&g, 2);
    const struct json_value *list = fetch(&g, "", 3);
    check_result(nth(list, 0), "slow", -1, "", "task timed out after 1s");
    CHECK(number(nth(list, 0), "elapsed_secs") >= 1);
    check_result(nth(list, 1), "next", 0, "", "");
    rig_patience();
    while (!line.cut && rig_turn(&g))
        ;
    CHECK(line.cut);
    lifeline_fini(&line);
    rig_fini(&g);
}

/* Four at a time, the rest in order. */
TEST(tasks_take_turns)
{
    struct rig g;
    char fields[512], id[16];
    tasks_rig(&g);
    const char *go = rig_path(&g, "go"), *ran = rig_path(&g, "ran");
    CHECK_INT(mkfifo(go, 0600), 0);
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "t%d", i);
        snprintf(fields, sizeof fields, "\"command\":\"echo %s >> %s; read x < %s\"", id, ran, go);
        assign(&g, id, i < 4 ? fields : "\"command\":\"true\"");
    }
    CHECK_INT(json_count(fetch(&g, "", 8)), 0);
    CHECK_INT(g.workload.tasks.running_count, 4);
    CHECK_INT(g.workload.tasks.waiting.count, 4);
    FILE *f = fopen(go, "r+");
    CHECK(f != NULL);
    if (f)
        fputs("x\nx\nx\nx\n", f), fflush(f);
    until_finished(&g, 8);
    const struct json_value *list = fetch(&g, "", 0);
    for (size_t i = 4; i < 8; i++) {
        snprintf(id, sizeof id, "t%zu", i);
        bool seen = false;
        for (size_t k = 0; k < 8; k++)
            seen |= strcmp(json_get_str(nth(list, k), "task_id"), id) == 0;
        CHECK(seen);
    }
    CHECK_INT(g.workload.tasks.waiting_bytes, 0);
    if (f)
        fclose(f);
    rig_fini(&g);
}

/* One after the other, where there is room for no more: in the order in which they came. */
TEST(tasks_keep_their_order)
{
    struct rig g;
    char id[16];
    tasks_rig(&g);
    for (int i = 0; i < 3; i++)
        assign(&g, "sleeper", "\"command\":\"exec sleep 1000\"");
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "t%d", i);
        assign(&g, id, "\"command\":\"true\"");
    }
    until_finished(&g, 20);
    const struct json_value *list = fetch(&g, "", 3);
    for (size_t i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "t%zu", i);
        check_result(nth(list, i), id, 0, "", "");
    }
    rig_fini(&g);
}

/* Nothing that was taken is lost; what cannot be is refused. */
TEST(tasks_are_limited)
{
    struct rig g;
    struct fault why;
    tasks_rig(&g);
    struct tasks *tasks = &g.workload.tasks;
    for (int i = 0; i < 4; i++)
        assign(&g, "sleeper", "\"command\":\"exec sleep 1000\"");
    for (int i = 4; i < TASKS_MAX; i++)
        CHECK_INT(tasks_assign(tasks, i % 2 ? "{\"task_id\":\"t\",\"command\":\"true\"}" : "?", "m",
                               &why),
                  0);
    CHECK_INT(tasks->finished.count, 498);
    tell(&g, "?", ",\"message_type\":\"task_assignment\"");
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST),
              "too many tasks (1000, of which 498 are to be fetched; max 1000)");
    CHECK_INT(json_count(fetch(&g, "", 502)), 20);
    tell(&g, "?", ",\"message_type\":\"task_assignment\"");
    rig_expect(&g, MSG_OK);
    CHECK_INT(json_count(fetch(&g, ",\"limit\":1000", 502)), 479);
    rig_fini(&g);
}

TEST(tasks_waiting_are_limited_in_bytes)
{
    struct rig g;
    struct fault why;
    tasks_rig(&g);
    struct tasks *tasks = &g.workload.tasks;
    for (int i = 0; i < 4; i++)
        assign(&g, "sleeper", "\"command\":\"exec sleep 1000\"");
    cleanup_free char *content = xmalloc(TASKS_WAITING_MAX);
    int head = sprintf(content, "{\"task_id\":\"t\",\"command\":\"");
    memset(content + head, 'x', TASKS_WAITING_MAX / 2 - (size_t)head);
    memcpy(content + TASKS_WAITING_MAX / 2 - 2, "\"}", 3);
    CHECK_INT(tasks_assign(tasks, content, "m", &why), 0);
    CHECK_INT(tasks_assign(tasks, content, "m", &why), 0);
    CHECK_INT(tasks->waiting_bytes, TASKS_WAITING_MAX);
    CHECK_INT(tasks_assign(tasks, "{\"task_id\":\"t\",\"command\":\"true\"}", "m", &why), -1);
    CHECK_INT(why.code, ERR_INVALID_REQUEST);
    CHECK_STR(why.text, "too many tasks (16777216 bytes wait, max 16777216)");
    rig_fini(&g);
}

/* Results of several MiB are fetched a frame's worth at a time. */
TEST(tasks_results_fit_a_frame)
{
    static const size_t counts[] = {2, 2, 1};
    struct rig g;
    tasks_rig(&g);
    for (int i = 0; i < 5; i++) {
        assign(&g, "t", "\"command\":\"head -c 2000000 /dev/zero | tr '\\\\0' x\"");
        until_finished(&g, (size_t)i + 1);
    }
    for (size_t i = 0; i < countof(counts); i++) {
        const struct json_value *list = fetch(&g, "", 0);
        CHECK_INT(json_count(list), counts[i]);
        for (size_t n = 0; n < counts[i]; n++)
            CHECK_INT(strlen(json_get_str(nth(list, n), "stdout")), 2000000);
    }
    CHECK_INT(g.workload.kept.left, OUTPUT_BUDGET);
    rig_fini(&g);
}

/* One that no frame can take whole is cut, and goes by itself. */
TEST(tasks_huge_result_is_cut)
{
    struct rig g;
    tasks_rig(&g);
    assign(&g, "huge",
           "\"command\":\"head -c 2097152 /dev/zero | tr '\\\\0' '\\\\1'; echo e >&2\"");
    until_finished(&g, 1);
    assign(&g, "next", "\"command\":\"true\"");
    until_finished(&g, 2);
    const struct json_value *list = fetch(&g, "", 0);
    CHECK_INT(json_count(list), 1);
    CHECK(flag(nth(list, 0), "stdout_truncated") && !flag(nth(list, 0), "stderr_truncated"));
    CHECK(strlen(json_get_str(nth(list, 0), "stdout")) > 600000);
    check_result(nth(fetch(&g, "", 0), 0), "next", 0, "", "");
    rig_fini(&g);
}

TEST(tasks_output_is_bounded)
{
    struct rig g;
    tasks_rig(&g);
    g.workload.kept.left = 0;
    assign(&g, "t", "\"command\":\"head -c 10000 /dev/zero | tr '\\\\0' x\"");
    until_finished(&g, 1);
    const struct json_value *v = nth(fetch(&g, "", 0), 0);
    CHECK_INT(strlen(json_get_str(v, "stdout")), OUTPUT_SURE);
    CHECK(flag(v, "stdout_truncated"));
    CHECK_INT(g.workload.kept.left, 0);
    rig_fini(&g);
}

/* What is no assignment is taken, and that is all. */
TEST(tasks_other_messages)
{
    struct rig g;
    tasks_rig(&g);
    tell(&g, "hello", "");
    rig_expect(&g, MSG_OK);
    rig_expect_end(&g);
    tell(&g, "{\"task_id\":\"t\",\"command\":\"false\"}", ",\"message_type\":\"request\"");
    rig_expect(&g, MSG_OK);
    CHECK_INT(json_count(fetch(&g, "", 0)), 0);
    rig_fini(&g);
}

TEST(tasks_messages_refused)
{
    static const char *const bad[][2] = {
        {"\"content\":\"x\"", "to: missing"},
        {"\"to\":\"me\"", "content: missing"},
        {"\"to\":\"me\",\"content\":7", "content: not a text"},
        {"\"to\":\"me\",\"content\":\"x\",\"message_type\":7", "message_type: not a text"},
        {"\"to\":\"me\",\"content\":\"x\",\"from\":[]", "from: not a text"},
        {"\"to\":\"me\",\"content\":\"x\",\"message_id\":{}", "message_id: not a text"},
    };
    struct rig g;
    char id[TASK_ID_MAX + 2];
    tasks_rig(&g);
    for (size_t i = 0; i < countof(bad); i++) {
        rig_open(&g, "{\"type\":\"TeamMessage\",%s}", bad[i][0]);
        CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST), bad[i][1]);
    }
    memset(id, 'i', sizeof id);
    id[TASK_ID_MAX + 1] = '\0';
    rig_open(&g, "{\"type\":\"TeamMessage\",\"to\":\"a\",\"content\":\"b\",\"message_id\":\"%s\"}",
             id);
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST), "message_id: longer than 256 bytes");
    rig_fini(&g);
}

/* A message that has no id gets one, each another. */
TEST(tasks_message_ids)
{
    static const char *const none[] = {"", ",\"message_id\":\"\"", ",\"message_id\":null"};
    char ids[3][64];
    struct rig g;
    tasks_rig(&g);
    for (size_t i = 0; i < 3; i++) {
        char more[128];
        snprintf(more, sizeof more, ",\"message_type\":\"task_assignment\"%s", none[i]);
        tell(&g, "?", more);
        rig_expect(&g, MSG_OK);
        const char *id = json_get_str(nth(fetch(&g, "", 0), 0), "source_message_id");
        CHECK_INT(id ? strlen(id) : 0, 36);
        snprintf(ids[i], sizeof ids[i], "%s", id ? id : "");
        CHECK(ids[i][8] == '-' && ids[i][14] == '4' && strchr("89ab", ids[i][19]));
    }
    CHECK(strcmp(ids[0], ids[1]) != 0 && strcmp(ids[1], ids[2]) != 0);
    rig_fini(&g);
}

/* The agent's end is the end of those that run, and of those that wait. */
TEST(tasks_end_with_the_agent)
{
    struct rig g;
    struct lifeline line;
    char fields[512];
    tasks_rig(&g);
    const char *path = rig_path(&g, "line"), *ready = rig_path(&g, "ready");
    lifeline_init(&g, &line, path);
    snprintf(fields, sizeof fields,
             "\"command\":\"exec 9>%s; trap '' HUP TERM INT; sleep 1000 & echo > %s; wait\"", path,
             ready);
    for (int i = 0; i < 6; i++)
        assign(&g, "t", fields);
    assign(&g, "t", "\"workdir\":\"\"");
    until_file(&g, ready);
    rig_close(&g);
    service_fini(&g.sv);
    workload_fini(&g.workload);
    CHECK_INT(g.workload.kept.left, OUTPUT_BUDGET);
    struct pollfd cut = {.fd = line.fd};
    CHECK_INT(poll(&cut, 1, RIG_PATIENCE_MS), 1); /* without another turn of the loop */
    lifeline_fini(&line);
    rig_fini(&g);
}
