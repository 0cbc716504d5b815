/* ExecBackground, ExecPoll, ExecKill. */
#include "applets/service/jobs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/proc.h"
#include "tests/unit/service_rig.h"

static bool flag(const struct json_value *body, const char *key)
{
    bool b = false;
    json_get_bool(body, key, &b);
    return b;
}

static int64_t start(struct rig *g, const char *fields)
{
    int64_t id = 0;
    rig_open(g, "{\"type\":\"ExecBackground\",%s}", fields);
    CHECK_INT(json_get_int(rig_expect(g, MSG_BACKGROUND_STARTED), "job_id", &id), 1);
    return id;
}

static const struct json_value *poll_job(struct rig *g, int64_t id)
{
    rig_open(g, "{\"type\":\"ExecPoll\",\"job_id\":%lld}", (long long)id);
    return rig_expect(g, MSG_BACKGROUND_STATUS);
}

static void kill_job(struct rig *g, int64_t id, const char *more)
{
    rig_open(g, "{\"type\":\"ExecKill\",\"job_id\":%lld%s}", (long long)id, more);
    rig_expect(g, MSG_OK);
    rig_expect_end(g);
}

static void expect_unknown(struct rig *g, const char *request, int64_t id)
{
    char want[64];
    snprintf(want, sizeof want, "unknown job_id: %lld", (long long)id);
    rig_open(g, "{\"type\":\"%s\",\"job_id\":%lld}", request, (long long)id);
    CHECK_STR(rig_expect_error(g, ERR_NOT_FOUND), want);
}

static void until_over(struct rig *g, int64_t id)
{
    struct job *job = jobs_find(&g->workload.jobs, (uint64_t)id);
    CHECK(job != NULL);
    rig_patience();
    while (job && job->child && rig_turn(g))
        ;
}

static void until_file(struct rig *g, const char *path)
{
    rig_patience();
    while (access(path, F_OK) != 0 && rig_turn(g))
        ;
}

/* It runs, and has said that so far. */
static void expect_running(struct rig *g, int64_t id, const char *out)
{
    const struct json_value *body = poll_job(g, id);
    CHECK(flag(body, "running"));
    CHECK(!json_get(body, "exit_code"));
    CHECK_STR(json_get_str(body, "stdout"), out);
    rig_expect_end(g);
}

/* It is over, and is forgotten by being told of. */
static void expect_over(struct rig *g, int64_t id, int exit_code, const char *out)
{
    int64_t code = INT64_MIN;
    const struct json_value *body = poll_job(g, id);
    CHECK(json_get(body, "running") && !flag(body, "running"));
    CHECK_INT(json_get_int(body, "exit_code", &code), 1);
    CHECK_INT(code, exit_code);
    CHECK_STR(json_get_str(body, "stdout"), out);
    rig_expect_end(g);
    expect_unknown(g, "ExecPoll", id);
    expect_unknown(g, "ExecKill", id);
}

TEST(jobs_begin_and_end)
{
    struct rig g;
    rig_init(&g);
    int64_t one = start(&g, "\"command\":\"echo out; echo err >&2; exit 7\"");
    int64_t two = start(&g, "\"command\":\"true\",\"workdir\":null,\"env\":null");
    CHECK_INT(one, 1);
    CHECK_INT(two, 2);
    until_over(&g, one);
    const struct json_value *body = poll_job(&g, one);
    int64_t code = 0;
    CHECK(json_get(body, "running") && !flag(body, "running"));
    json_get_int(body, "exit_code", &code);
    CHECK_INT(code, 7);
    CHECK_STR(json_get_str(body, "stdout"), "out\n");
    CHECK_STR(json_get_str(body, "stderr"), "err\n");
    CHECK(!json_get(body, "stdout_truncated") && !json_get(body, "stderr_truncated"));
    expect_unknown(&g, "ExecPoll", one);
    until_over(&g, two);
    expect_over(&g, two, 0, "");
    CHECK_INT(start(&g, "\"command\":\"true\""), 3);
    rig_fini(&g);
}

TEST(jobs_have_their_place)
{
    struct rig g;
    char fields[256], want[128];
    rig_init(&g);
    rig_open(&g, "{\"type\":\"SetEnv\",\"vars\":{\"X\":\"agent\",\"Y\":\"agent\"}}");
    rig_expect(&g, MSG_SET_ENV_RESULT);
    snprintf(fields, sizeof fields,
             "\"command\":\"pwd; cat; echo $X $Y; cut -d' ' -f1,5,6 /proc/$$/stat\","
             "\"workdir\":\"%s\",\"env\":{\"Y\":\"own\"}",
             g.dir);
    int64_t id = start(&g, fields);
    until_over(&g, id);
    const char *out = json_get_str(poll_job(&g, id), "stdout");
    int len = snprintf(want, sizeof want, "%s\nagent own\n", g.dir);
    CHECK(out && strncmp(out, want, (size_t)len) == 0);
    int pid = 0, group = 0, session = 0;
    sscanf(out ? out + len : "", "%d %d %d", &pid, &group, &session);
    CHECK(pid > 0 && pid == group && pid == session);
    rig_fini(&g);
}

TEST(jobs_tell_what_they_said_so_far)
{
    struct rig g;
    char fields[512];
    rig_init(&g);
    const char *half = rig_path(&g, "half"), *go = rig_path(&g, "go");
    snprintf(fields, sizeof fields,
             "\"command\":\"mkfifo %s; echo one; echo > %s; read x < %s; echo two\"", go, half, go);
    int64_t id = start(&g, fields);
    until_file(&g, half);
    loop_turn(g.loop, 0);
    expect_running(&g, id, "one\n");
    expect_running(&g, id, "one\n");
    FILE *f = fopen(go, "w");
    CHECK(f != NULL);
    if (f)
        fclose(f);
    until_over(&g, id);
    expect_over(&g, id, 0, "one\ntwo\n");
    rig_fini(&g);
}

TEST(jobs_refused)
{
    static const struct {
        const char *request;
        enum error_code code;
        const char *why;
    } rows[] = {
        {"\"ExecBackground\"", ERR_INVALID_REQUEST, "command: missing"},
        {"\"ExecBackground\",\"command\":\"\"", ERR_INVALID_REQUEST, "command: missing"},
        {"\"ExecBackground\",\"command\":\"a\",\"env\":{\"PATH\":\"\"}", ERR_INVALID_REQUEST,
         "env: PATH cannot be set"},
        {"\"ExecBackground\",\"command\":\"a\",\"workdir\":\"/no/such\"", ERR_NOT_FOUND,
         "workdir /no/such: No such file or directory"},
        {"\"ExecPoll\"", ERR_INVALID_REQUEST, "job_id: missing, or not a number from 0 on"},
        {"\"ExecPoll\",\"job_id\":-1", ERR_INVALID_REQUEST,
         "job_id: missing, or not a number from 0 on"},
        {"\"ExecPoll\",\"job_id\":\"1\"", ERR_INVALID_REQUEST,
         "job_id: missing, or not a number from 0 on"},
        {"\"ExecPoll\",\"job_id\":0", ERR_NOT_FOUND, "unknown job_id: 0"},
        {"\"ExecPoll\",\"job_id\":4294967297", ERR_NOT_FOUND, "unknown job_id: 4294967297"},
        {"\"ExecKill\",\"job_id\":1,\"signal\":0", ERR_INVALID_REQUEST, "signal: not 1 to 64"},
        {"\"ExecKill\",\"job_id\":1,\"signal\":65", ERR_INVALID_REQUEST, "signal: not 1 to 64"},
        {"\"ExecKill\",\"job_id\":1,\"signal\":\"TERM\"", ERR_INVALID_REQUEST,
         "signal: not 1 to 64"},
        {"\"ExecKill\"", ERR_INVALID_REQUEST, "job_id: missing, or not a number from 0 on"},
        {"\"ExecKill\",\"job_id\":9", ERR_NOT_FOUND, "unknown job_id: 9"},
    };
    struct rig g;
    rig_init(&g);
    int64_t id = start(&g, "\"command\":\"exec sleep 1000\"");
    CHECK_INT(id, 1);
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":%s}", rows[i].request);
        CHECK_STR(rig_expect_error(&g, rows[i].code), rows[i].why);
    }
    CHECK_INT(g.workload.jobs.count, 1);
    expect_running(&g, id, "");
    rig_fini(&g);
}

/* Signals. */

TEST(jobs_killed_as_a_group)
{
    struct rig g;
    struct lifeline line;
    char fields[512];
    rig_init(&g);
    const char *path = rig_path(&g, "line"), *ready = rig_path(&g, "ready");
    lifeline_init(&g, &line, path);
    snprintf(fields, sizeof fields,
             "\"command\":\"exec 9>%s; trap '' TERM; echo said; sleep 1000 & echo > %s;"
             "sleep 1000; sleep 1000\"",
             path, ready);
    int64_t id = start(&g, fields);
    until_file(&g, ready);
    kill_job(&g, id, ",\"signal\":15");
    expect_running(&g, id, "said\n"); /* it does not mind */
    kill_job(&g, id, ",\"signal\":null");
    expect_over(&g, id, -1, "said\n");
    rig_patience();
    while (!line.cut && rig_turn(&g))
        ;
    CHECK(line.cut);
    lifeline_fini(&line);
    rig_fini(&g);
}

TEST(jobs_are_told_signals)
{
    struct rig g;
    char fields[512];
    rig_init(&g);
    const char *ready = rig_path(&g, "ready");
    snprintf(fields, sizeof fields,
             "\"command\":\"trap 'echo got; exit 3' USR1; echo > %s;"
             "while :; do sleep 1000 & wait; done\"",
             ready);
    int64_t id = start(&g, fields);
    until_file(&g, ready);
    kill_job(&g, id, ",\"signal\":10");
    expect_over(&g, id, 3, "got\n");
    rig_fini(&g);
}

TEST(jobs_killed_twice)
{
    struct rig g;
    rig_init(&g);
    int64_t id = start(&g, "\"command\":\"exec sleep 1000\"");
    kill_job(&g, id, "");
    kill_job(&g, id, "");
    kill_job(&g, id, ",\"signal\":64");
    expect_over(&g, id, -1, "");
    rig_fini(&g);
}

/* By the job's end, and not by the limit of the wait. */
TEST(jobs_killers_are_told_of_the_end)
{
    struct rig g;
    rig_init(&g);
    int64_t id = start(&g, "\"command\":\"exec sleep 1000\"");
    struct job *job = jobs_find(&g.workload.jobs, (uint64_t)id);
    rig_open(&g, "{\"type\":\"ExecKill\",\"job_id\":1}");
    rig_patience();
    while (job && !job->waits && rig_turn(&g))
        ;
    while (job && job->child && rig_turn(&g))
        ;
    CHECK(job && !job->waits);
    rig_expect(&g, MSG_OK);
    expect_over(&g, id, -1, "");
    rig_fini(&g);
}

/* Whoever kills a job may leave before it has died of it. */
TEST(jobs_killers_may_leave)
{
    struct rig g;
    rig_init(&g);
    int64_t id = start(&g, "\"command\":\"exec sleep 1000\"");
    struct job *job = jobs_find(&g.workload.jobs, (uint64_t)id);
    rig_open(&g, "{\"type\":\"ExecKill\",\"job_id\":1,\"signal\":19}");
    rig_patience();
    while (job && !job->waits && rig_turn(&g))
        ;
    CHECK(job && job->waits);
    rig_close(&g);
    rig_patience();
    while (g.sv.requests && rig_turn(&g))
        ;
    CHECK(job && !job->waits && job->child);
    kill_job(&g, id, ""); /* though it is stopped */
    expect_over(&g, id, -1, "");
    rig_fini(&g);
}

/* At whatever moment of a job's end it is asked for: never an error, never somebody else hit. */
TEST(jobs_asked_for_while_they_end)
{
    struct rig g;
    rig_init(&g);
    for (int i = 0; i < 60; i++) {
        int64_t id =
            start(&g, i % 2 ? "\"command\":\"true\"" : "\"command\":\"echo x; sleep 0.00$$\"");
        for (int turns = i % 7; turns; turns--)
            loop_turn(g.loop, 1);
        if (i % 3)
            kill_job(&g, id, "");
        bool running = true;
        rig_patience();
        while (running && rig_turn(&g))
            running = flag(poll_job(&g, id), "running");
        CHECK(!running);
        expect_unknown(&g, "ExecPoll", id);
    }
    CHECK_INT(g.workload.jobs.count, 0);
    rig_fini(&g);
}

/* A group whose leader has been collected is left alone: its number may be another's. */
TEST(jobs_over_are_not_signalled)
{
    struct rig g;
    rig_init(&g);
    int64_t id = start(&g, "\"command\":\"sleep 1000 & echo $!\"");
    until_over(&g, id);
    kill_job(&g, id, "");
    const char *out = json_get_str(poll_job(&g, id), "stdout");
    pid_t left = (pid_t)atoi(out ? out : "");
    CHECK(left > 1);
    CHECK_INT(left > 1 ? kill(left, SIGKILL) : -1, 0); /* it was alive, and held the pipe */
    rig_fini(&g);
}

/* Limits. */

TEST(jobs_output_is_bounded)
{
    struct rig g;
    rig_init(&g);
    int64_t id = start(&g, "\"command\":\"head -c 5000000 /dev/zero | tr '\\\\0' x; echo e >&2\"");
    until_over(&g, id);
    const struct json_value *body = poll_job(&g, id);
    const char *out = json_get_str(body, "stdout");
    CHECK_INT(out ? strlen(out) : 0, OUTPUT_KEPT_MAX);
    CHECK_STR(json_get_str(body, "stderr"), "e\n");
    CHECK(flag(body, "stdout_truncated"));
    CHECK(!json_get(body, "stderr_truncated"));
    CHECK_INT(g.workload.kept.left, OUTPUT_BUDGET);
    rig_fini(&g);
}

/* Together they keep no more than their budget, and an Exec has its own. */
TEST(jobs_share_a_budget)
{
    struct rig g;
    rig_init(&g);
    g.workload.kept.left = 1000000;
    int64_t loud = start(&g, "\"command\":\"head -c 2000000 /dev/zero | tr '\\\\0' x\"");
    until_over(&g, loud);
    int64_t quiet = start(&g, "\"command\":\"head -c 5000 /dev/zero | tr '\\\\0' y; echo e >&2\"");
    until_over(&g, quiet);
    const struct json_value *body = poll_job(&g, quiet);
    CHECK_INT(strlen(json_get_str(body, "stdout")), OUTPUT_SURE);
    CHECK_STR(json_get_str(body, "stderr"), "e\n");
    CHECK(flag(body, "stdout_truncated") && !flag(body, "stderr_truncated"));
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"head -c 5000 /dev/zero | tr '\\\\0' z\"}");
    CHECK_INT(strlen(json_get_str(rig_expect(&g, MSG_EXEC_RESULT), "stdout")), 5000);
    body = poll_job(&g, loud);
    CHECK_INT(strlen(json_get_str(body, "stdout")), 1000000 + OUTPUT_SURE);
    CHECK(flag(body, "stdout_truncated"));
    CHECK_INT(g.workload.kept.left, 1000000);
    rig_fini(&g);
}

/* Both outputs full of what JSON makes much of: the answer still is one frame. */
TEST(jobs_answers_fit_a_frame)
{
    struct rig g;
    rig_init(&g);
    int64_t id = start(&g, "\"command\":\"head -c 2097152 /dev/zero | tr '\\\\0' '\\\\1';"
                           "head -c 2097152 /dev/zero | tr '\\\\0' '\\\\377' >&2\"");
    until_over(&g, id);
    const struct json_value *body = poll_job(&g, id);
    CHECK(flag(body, "stdout_truncated") && flag(body, "stderr_truncated"));
    id = start(&g, "\"command\":\"head -c 2097152 /dev/zero | tr '\\\\0' '\\\\1'\"");
    until_over(&g, id);
    g.sv.frame_limit = 16u << 20;
    body = poll_job(&g, id);
    CHECK_INT(strlen(json_get_str(body, "stdout")), OUTPUT_KEPT_MAX);
    CHECK(!flag(body, "stdout_truncated"));
    rig_fini(&g);
}

/* A thousand run at once, and one more does not. */
TEST(jobs_a_thousand)
{
    struct rig g;
    struct rlimit files;
    proc_raise_files();
    getrlimit(RLIMIT_NOFILE, &files);
    CHECK(files.rlim_cur > 3 * JOBS_MAX + 100);
    rig_init(&g);
    for (int i = 1; i <= JOBS_MAX; i++)
        CHECK_INT(start(&g, i % 2 ? "\"command\":\"echo here; exec sleep 1000\""
                                  : "\"command\":\"exit 5\""),
                  i);
    rig_open(&g, "{\"type\":\"ExecBackground\",\"command\":\"true\"}");
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST),
              "too many background jobs (1000 active, max 1000)");
    for (int i = 2; i <= JOBS_MAX; i += 100) {
        until_over(&g, i);
        expect_over(&g, i, 5, "");
    }
    CHECK_INT(start(&g, "\"command\":\"true\""), 1001);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"ulimit -n\"}");
    rig_expect(&g, MSG_EXEC_RESULT);
    for (int i = 1; i <= JOBS_MAX; i += 100) {
        kill_job(&g, i, "");
        expect_over(&g, i, -1, "here\n");
    }
    rig_fini(&g); /* ends the others, and looks for what is left over */
}

TEST(jobs_without_descriptors)
{
    struct rig g;
    struct rlimit before, low;
    rig_init(&g);
    getrlimit(RLIMIT_NOFILE, &before);
    rig_open(&g, "{\"type\":\"ExecBackground\",\"command\":\"true\"}");
    low = (struct rlimit){(rlim_t)g.fd + 3, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    const char *why = rig_expect_error(&g, ERR_INTERNAL);
    setrlimit(RLIMIT_NOFILE, &before);
    cleanup_free char *want = xasprintf("/bin/sh: %s", strerror(EMFILE));
    CHECK_STR(why, want);
    CHECK_INT(g.workload.jobs.count, 0);
    rig_fini(&g);
}

/* The agent's end is the end of all of them, whatever they make of signals. */
TEST(jobs_end_with_the_agent)
{
    struct rig g;
    struct lifeline line;
    char fields[512];
    rig_init(&g);
    const char *path = rig_path(&g, "line"), *ready = rig_path(&g, "ready");
    lifeline_init(&g, &line, path);
    snprintf(fields, sizeof fields,
             "\"command\":\"exec 9>%s; trap '' HUP TERM INT; sleep 1000 & echo > %s; wait\"", path,
             ready);
    start(&g, fields);
    start(&g, "\"command\":\"head -c 100000 /dev/zero\"");
    until_file(&g, ready);
    rig_close(&g);
    service_fini(&g.sv);
    workload_fini(&g.workload);
    CHECK_INT(g.workload.jobs.count, 0);
    CHECK_INT(g.workload.kept.left, OUTPUT_BUDGET);
    struct pollfd cut = {.fd = line.fd};
    CHECK_INT(poll(&cut, 1, RIG_PATIENCE_MS), 1); /* without another turn of the loop */
    lifeline_fini(&line);
    rig_fini(&g);
}

/* Nor does the loop have to live on for it. */
TEST(jobs_end_with_the_loop)
{
    struct rig g;
    struct workload w;
    struct fault why;
    struct command command = {0};
    struct json *doc = json_parse("{\"command\":\"trap '' HUP; exec sleep 1000\"}", 42);
    rig_init(&g); /* looks for what is left over */
    struct loop *loop = loop_new();
    workload_init(&w, loop);
    CHECK_INT(command_of_background(&command, json_root(doc), &why), 0);
    CHECK_INT(command_prepare(&command, NULL, &why), 0);
    struct job *job = jobs_start(&w.jobs, &command, &why);
    CHECK(job != NULL);
    pid_t pid = job ? child_pid(job->child) : 0;
    int status = 0;
    workload_fini(&w);
    loop_free(loop);
    CHECK(pid > 1 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    command_fini(&command);
    json_free(doc);
    rig_fini(&g);
}
