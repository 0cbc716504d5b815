/* Commands by HTTP: on their user's machine or nowhere, in the audit trail, and never for ever. */
#include <stdio.h>
#include <stdlib.h>

#include "applets/service/policy.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/message.h"
#include "tests/unit/front_client.h"

struct scene {
    struct front_rig r;
    struct front_agent laptop;
    struct service_policy policy; /* the laptop's owner's */
    struct stream *taken;         /* with take(): the last request's, which nobody serves */
    struct front_asked ask;
};

static void scene_init(struct scene *s)
{
    *s = (struct scene){0};
    front_rig_init(&s->r);
    front_agent_join(&s->r, &s->laptop, &s->r.ann, "laptop");
    s->policy.allow = POLICY_ALL;
    s->laptop.service.policy = &s->policy;
}

static void scene_fini(struct scene *s)
{
    front_asked_fini(&s->ask);
    stream_close(s->taken);
    front_agent_leave(&s->laptop);
    front_rig_fini(&s->r);
}

static int run(struct scene *s, const struct front_user *u, const char *body)
{
    front_asked_fini(&s->ask);
    return front_answer(&s->r, &s->ask, &(struct front_request){u, "POST /api/exec", NULL, body});
}

/* A member of the answer as text, static. */
static const char *answered(const struct scene *s, const char *key)
{
    static char text[1 << 12];
    struct json *doc = json_parse(s->ask.body, strlen(s->ask.body));
    const char *value = json_get_str(json_root(doc), key);
    snprintf(text, sizeof text, "%s", value ? value : "(nothing)");
    json_free(doc);
    return text;
}

static int64_t number(const struct scene *s, const char *key)
{
    int64_t n = INT64_MIN;
    struct json *doc = json_parse(s->ask.body, strlen(s->ask.body));
    (void)json_get_int(json_root(doc), key, &n);
    json_free(doc);
    return n;
}

/* The newest of ann's trail: "KIND WHAT OUTCOME", static. */
static const char *newest(struct scene *s)
{
    static char text[256];
    struct front_asked ask;
    CHECK_INT(
        front_answer(&s->r, &ask,
                     &(struct front_request){&s->r.ann, "GET /api/activity?limit=1", NULL, NULL}),
        200);
    struct json *doc = json_parse(ask.body, strlen(ask.body));
    struct json_iter it = json_iter(json_get(json_root(doc), "activity"));
    snprintf(text, sizeof text, "nothing");
    if (json_next(&it)) {
        const char *what = json_get_str(it.value, "what"), *end = json_get_str(it.value, "outcome");
        snprintf(text, sizeof text, "%s %.80s %s", json_get_str(it.value, "kind"), what,
                 end ? end : "runs");
    }
    json_free(doc);
    front_asked_fini(&ask);
    return text;
}

/* ---- one answer ---- */

TEST(api_exec_runs_on_the_users_own_machine)
{
    struct scene s;
    scene_init(&s);
    CHECK_INT(run(&s, &s.r.ann, "{\"command\":\"echo out; echo err >&2; exit 3\"}"), 200);
    CHECK_STR(answered(&s, "stdout"), "out\n");
    CHECK_STR(answered(&s, "stderr"), "err\n");
    CHECK_STR(answered(&s, "agent"), "laptop");
    CHECK_STR(answered(&s, "hostname"), "box");
    CHECK_INT(number(&s, "exitCode"), 3);
    CHECK(number(&s, "durationMs") >= 0);
    CHECK(!strstr(s.ask.body, "Truncated"));
    CHECK_STR(newest(&s), "exec echo out; echo err >&2; exit 3 failed");
    CHECK_INT(
        run(&s, &s.r.ann, "{\"command\":\"pwd; echo $X\",\"cwd\":\"/\",\"env\":{\"X\":\"y\"}}"),
        200);
    CHECK_STR(answered(&s, "stdout"), "/\ny\n");
    CHECK_STR(newest(&s), "exec pwd; echo $X ok");
    scene_fini(&s);
}

TEST(api_exec_finds_no_other_users_machine)
{
    struct scene s;
    scene_init(&s);
    CHECK_INT(run(&s, &s.r.bob, "{\"command\":\"id\"}"), 409);
    CHECK_STR(answered(&s, "error"), "agent_not_connected");
    CHECK_INT(run(&s, &s.r.bob, "{\"command\":\"id\",\"agent\":\"laptop\"}"), 409);
    CHECK_STR(answered(&s, "error"), "agent_not_connected");
    CHECK_INT(run(&s, NULL, "{\"command\":\"id\"}"), 401);
    CHECK_STR(newest(&s), "nothing");
    scene_fini(&s);
}

TEST(api_exec_asks_which_of_several)
{
    struct scene s;
    struct front_agent other;
    scene_init(&s);
    front_agent_join(&s.r, &other, &s.r.ann, "server");
    CHECK_INT(run(&s, &s.r.ann, "{\"command\":\"id\"}"), 409);
    CHECK_STR(answered(&s, "error"), "agent_ambiguous");
    CHECK_INT(run(&s, &s.r.ann, "{\"command\":\"id\",\"agent\":\"server\"}"), 200);
    CHECK_STR(answered(&s, "agent"), "server");
    front_agent_leave(&other);
    scene_fini(&s);
}

TEST(api_exec_refuses_what_is_no_command)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"command\":\"\"}",
        "{\"command\":7}",
        "{\"command\":\"a\\u0000b\"}",
        "{\"command\":\"id\",\"cwd\":1}",
        "{\"command\":\"id\",\"env\":[]}",
        "{\"command\":\"id\",\"agent\":{}}",
        "{\"command\":\"id\",\"timeoutMs\":0}",
        "{\"command\":\"id\",\"timeoutMs\":-1}",
        "{\"command\":\"id\",\"timeoutMs\":1e99}",
        "{\"command\":\"id\",\"timeoutMs\":86400001}",
        "{\"command\":\"id\",\"timeoutMs\":\"1\"}",
    };
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < countof(bad); i++) {
        CHECK_INT(run(&s, &s.r.ann, bad[i]), 400);
        CHECK_STR(answered(&s, "error"), "invalid_request");
    }
    CHECK_STR(newest(&s), "nothing");
    scene_fini(&s);
}

TEST(api_exec_says_what_the_agent_refuses)
{
    struct scene s;
    scene_init(&s);
    CHECK_INT(run(&s, &s.r.ann, "{\"command\":\"id\",\"cwd\":\"/there/is/none\"}"), 404);
    CHECK_STR(newest(&s), "exec id refused");
    CHECK_INT(run(&s, &s.r.ann, "{\"command\":\"id\",\"env\":{\"LD_PRELOAD\":\"x\"}}"), 400);
    CHECK_STR(newest(&s), "exec id refused");
    s.policy.allow = POLICY_FILES;
    CHECK_INT(run(&s, &s.r.ann, "{\"command\":\"id\"}"), 403);
    CHECK_STR(answered(&s, "error"), "forbidden");
    CHECK(strstr(answered(&s, "message"), "owner does not allow") != NULL);
    CHECK_STR(newest(&s), "exec id refused");
    scene_fini(&s);
}

TEST(api_exec_ends_what_takes_too_long)
{
    struct scene s;
    scene_init(&s);
    CHECK_INT(run(&s, &s.r.ann, "{\"command\":\"sleep 1000\",\"timeoutMs\":1}"), 504);
    CHECK_STR(answered(&s, "error"), "timeout");
    CHECK_STR(newest(&s), "exec sleep 1000 timeout");
    scene_fini(&s);
}

TEST(api_exec_says_when_output_was_cut)
{
    struct scene s;
    scene_init(&s);
    CHECK_INT(run(&s, &s.r.ann, "{\"command\":\"yes | head -c 3000000; echo x >&2\"}"), 200);
    CHECK(strstr(s.ask.body, "\"stdoutTruncated\":true") != NULL);
    CHECK(!strstr(s.ask.body, "stderrTruncated"));
    CHECK(strlen(s.ask.body) > 2000000);
    scene_fini(&s);
}

/* ---- an agent that does what it likes ---- */

static void take(struct front_agent *a, struct stream *stream)
{
    struct scene *s = container_of(a, struct scene, laptop);
    stream_close(s->taken);
    s->taken = stream;
}

/* Sends that command; the agent has its stream, and does nothing. */
static void begin_body(struct scene *s, const char *fields, const char *body)
{
    front_asked_fini(&s->ask);
    s->laptop.accept = take;
    stream_close(s->taken);
    s->taken = NULL;
    front_say(&s->r, &s->ask, &(struct front_request){&s->r.ann, "POST /api/exec", fields, body});
    TURN_UNTIL(s->r.loop, s->taken);
}

static void begin(struct scene *s, const char *fields)
{
    begin_body(s, fields, "{\"command\":\"id\"}");
    CHECK_STR(newest(s), "exec id runs");
}

TEST(api_exec_ends_at_once_when_the_agent_is_lost)
{
    struct scene s;
    scene_init(&s);
    begin(&s, "");
    front_agent_leave(&s.laptop);
    front_wait(&s.r, &s.ask);
    CHECK_INT(s.ask.status, 502);
    CHECK_STR(answered(&s, "error"), "agent_disconnected");
    CHECK_STR(newest(&s), "exec id lost");
    scene_fini(&s);
}

TEST(api_exec_ends_when_the_agent_ends_the_stream)
{
    struct scene s;
    scene_init(&s);
    begin(&s, "");
    stream_shutdown(s.taken);
    front_wait(&s.r, &s.ask);
    CHECK_INT(s.ask.status, 502);
    CHECK_STR(newest(&s), "exec id lost");
    scene_fini(&s);
}

TEST(api_exec_does_not_take_any_answer)
{
    static const char *const bad[] = {
        "{}",
        "{\"type\":\"Pong\"}",
        "{\"type\":\"ExecResult\"}",
        "{\"type\":\"ExecResult\",\"exit_code\":0,\"stdout\":{},\"stderr\":\"\"}",
        "{\"type\":\"ExecResult\",\"exit_code\":\"0\",\"stdout\":\"\",\"stderr\":\"\"}",
        "{\"type\":\"ExecResult\",\"exit_code\":99999999999,\"stdout\":\"\",\"stderr\":\"\"}",
        "{\"type\":\"Exited\",\"exit_code\":0}",
        "\001text",
        "{\"type\":\"Error\",\"code\":\"IoError\",\"message\":\"no disk\"}",
        "{\"type\":\"Error\"}",
    };
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < countof(bad); i++) {
        begin(&s, "");
        frame_write(s.taken, bad[i], strlen(bad[i]));
        front_wait(&s.r, &s.ask);
        CHECK_INT(s.ask.status, 502);
        CHECK_STR(answered(&s, "error"), "agent_error");
        CHECK_STR(newest(&s), "exec id failed");
    }
    scene_fini(&s);
}

TEST(api_exec_is_interrupted_when_its_client_is_gone)
{
    struct scene s;
    struct probe taken = {0};
    scene_init(&s);
    begin(&s, "");
    probe_own(&taken, s.taken);
    s.taken = NULL;
    stream_reset(s.ask.client.s);
    s.ask.client.s = NULL;
    TURN_UNTIL(s.r.loop, taken.errors == 1);
    CHECK_STR(newest(&s), "exec id interrupted");
    probe_fini(&taken);
    scene_fini(&s);
}

/* ---- events ---- */

#define EVENTS "Accept: text/event-stream\r\n"

static int follow(struct scene *s, const char *body)
{
    front_asked_fini(&s->ask);
    front_say(&s->r, &s->ask, &(struct front_request){&s->r.ann, "POST /api/exec", EVENTS, body});
    front_wait(&s->r, &s->ask);
    return s->ask.status;
}

TEST(api_exec_tells_output_as_it_comes)
{
    static const char one[] = "event: stdout\ndata: {\"text\":\"one\\n\"}\n\n";
    struct scene s;
    scene_init(&s);
    front_say(&s.r, &s.ask,
              &(struct front_request){&s.r.ann, "POST /api/exec", EVENTS,
                                      "{\"command\":\"echo one; sleep 1000\"}"});
    TURN_UNTIL(s.r.loop, strstr(front_so_far(&s.ask), one));
    CHECK_STR(newest(&s), "exec echo one; sleep 1000 runs");
    scene_fini(&s);
}

TEST(api_exec_ends_its_events_with_the_exit)
{
    struct scene s;
    scene_init(&s);
    CHECK_INT(follow(&s, "{\"command\":\"echo x >&2; kill -9 $$\"}"), 200);
    CHECK(strstr(s.ask.head, "Content-Type: text/event-stream\r\n") != NULL);
    CHECK(strstr(s.ask.body, "event: stderr\ndata: {\"text\":\"x\\n\"}\n\n") != NULL);
    CHECK(strstr(s.ask.body, "event: exit\ndata: {\"signal\":\"KILL\",\"exitCode\":137,") != NULL);
    CHECK(strstr(s.ask.body, "\"agent\":\"laptop\",\"hostname\":\"box\"}\n\n") != NULL);
    CHECK_STR(newest(&s), "exec echo x >&2; kill -9 $$ failed");
    CHECK_INT(follow(&s, "{\"command\":\"id\",\"cwd\":\"/there/is/none\"}"), 404);
    CHECK_STR(answered(&s, "error"), "not_found");
    scene_fini(&s);
}

static void put_data(struct scene *s, uint8_t channel, const char *text)
{
    frame_write_data(s->taken, channel, text, strlen(text));
}

static void put_message(struct scene *s, const char *text)
{
    frame_write(s->taken, text, strlen(text));
}

/* A character that is cut waits for its end; what is no text is base64. */
TEST(api_exec_tells_text_as_text)
{
    struct scene s;
    scene_init(&s);
    begin(&s, EVENTS);
    put_message(&s, "{\"type\":\"Started\",\"pid\":1}");
    put_data(&s, 1, "caf\xc3");
    put_data(&s, 2, "\xff");
    put_data(&s, 1, "\xa9!");
    put_data(&s, 1, "\xe2\x82");
    put_data(&s, 1, "");
    put_data(&s, 2, "\xf0\x9f");
    put_message(&s, "{\"type\":\"Exited\",\"exit_code\":0,\"duration_ms\":1}");
    front_wait(&s.r, &s.ask);
    CHECK_INT(s.ask.status, 200);
    char *exit = strstr(s.ask.body, "event: exit\n");
    CHECK(exit != NULL);
    if (exit)
        *exit = '\0';
    CHECK_STR(s.ask.body, "event: stdout\ndata: {\"text\":\"caf\"}\n\n"
                          "event: stderr\ndata: {\"base64\":\"/w==\"}\n\n"
                          "event: stdout\ndata: {\"text\":\"é!\"}\n\n"
                          "event: stdout\ndata: {\"base64\":\"4oI=\"}\n\n"
                          "event: stderr\ndata: {\"base64\":\"8J8=\"}\n\n");
    scene_fini(&s);
}

TEST(api_exec_ends_its_events_with_what_went_wrong)
{
    struct scene s;
    scene_init(&s);
    begin(&s, EVENTS);
    put_message(&s, "{\"type\":\"Started\",\"pid\":1}");
    TURN_UNTIL(s.r.loop, s.ask.client.got.len);
    put_message(&s, "{\"type\":\"Error\",\"code\":\"Timeout\",\"message\":\"too long\"}");
    front_wait(&s.r, &s.ask);
    CHECK_STR(s.ask.body,
              "event: error\ndata: {\"error\":\"timeout\",\"message\":\"too long\"}\n\n");
    CHECK_STR(newest(&s), "exec id timeout");
    begin(&s, EVENTS);
    put_message(&s, "{\"type\":\"Started\",\"pid\":1}");
    TURN_UNTIL(s.r.loop, s.ask.client.got.len);
    front_agent_leave(&s.laptop);
    front_wait(&s.r, &s.ask);
    CHECK(strstr(s.ask.body, "{\"error\":\"agent_disconnected\",") != NULL);
    CHECK_STR(newest(&s), "exec id lost");
    scene_fini(&s);
}

TEST(api_exec_of_a_client_that_is_gone_is_hung_up_on)
{
    struct scene s;
    struct probe taken = {0};
    scene_init(&s);
    begin(&s, EVENTS);
    put_message(&s, "{\"type\":\"Started\",\"pid\":1}");
    TURN_UNTIL(s.r.loop, s.ask.client.got.len);
    probe_own(&taken, s.taken);
    s.taken = NULL;
    probe_fini(&s.ask.client);
    frame_write_data(taken.s, 1, "x", 1); /* finds out that nobody reads */
    while (!taken.errors) {
        frame_write_data(taken.s, 1, "x", 1);
        loop_turn(s.r.loop, 10);
    }
    CHECK_STR(newest(&s), "exec id interrupted");
    probe_fini(&taken);
    scene_fini(&s);
}

/* How much goes in until the client, who takes nothing, holds it up. */
static size_t fill(struct scene *s)
{
    static const char piece[32768];
    size_t sent = 0;
    s->ask.client.hold = true;
    for (int still = 0; still < 50; still++) {
        loop_turn(s->r.loop, 1);
        while (stream_room(s->taken)) {
            frame_write_data(s->taken, 1, piece, sizeof piece);
            sent += sizeof piece;
            still = 0;
            CHECK(sent < 64 << 20);
        }
    }
    return sent;
}

/* Who does not read holds the command up, and no more than some memory. */
TEST(api_exec_waits_for_who_reads)
{
    struct scene s;
    scene_init(&s);
    begin(&s, EVENTS);
    put_message(&s, "{\"type\":\"Started\",\"pid\":1}");
    size_t sent = fill(&s);
    s.ask.client.hold = false;
    probe_drink(&s.ask.client);
    put_message(&s, "{\"type\":\"Exited\",\"exit_code\":0,\"duration_ms\":1}");
    front_wait(&s.r, &s.ask);
    CHECK(strlen(s.ask.body) > sent);
    CHECK(strstr(s.ask.body, "event: exit\n") != NULL);
    scene_fini(&s);
}

/* ---- an agent that lives, and says nothing ---- */

TEST(api_exec_ends_what_the_agent_does_not_end)
{
    static const char body[] = "{\"command\":\"id\",\"timeoutMs\":1}";
    struct scene s;
    scene_init(&s);
    s.r.patience.late_ms = 50;
    for (int events = 0; events < 2; events++) {
        struct probe agent = {0};
        begin_body(&s, events ? EVENTS : "", body);
        probe_own(&agent, s.taken);
        s.taken = NULL;
        front_wait(&s.r, &s.ask);
        CHECK_INT(s.ask.status, 504);
        CHECK_STR(answered(&s, "error"), "timeout");
        TURN_UNTIL(s.r.loop, agent.errors == 1); /* it is to end what runs still */
        CHECK_STR(newest(&s), "exec id timeout");
        probe_fini(&agent);
    }
    s.r.patience.late_ms = 1500;
    begin_body(&s, EVENTS, body);
    put_message(&s, "{\"type\":\"Started\",\"pid\":1}");
    front_wait(&s.r, &s.ask);
    CHECK_INT(s.ask.status, 200);
    CHECK(strstr(s.ask.body, "event: error\ndata: {\"error\":\"timeout\",") != NULL);
    CHECK_STR(newest(&s), "exec id timeout");
    scene_fini(&s);
}

/* Begins a command, and has the client hold it up before its time is over, and for long after. */
static void begin_held_up(struct scene *s)
{
    uint64_t began_us, limit_us = 500000;
    do {
        limit_us *= 2;
        began_us = loop_clock_us();
        cleanup_free char *body =
            xasprintf("{\"command\":\"id\",\"timeoutMs\":%u}", (unsigned)(limit_us / 1000));
        begin_body(s, EVENTS, body);
        put_message(s, "{\"type\":\"Started\",\"pid\":1}");
        fill(s);
    } while (loop_clock_us() - began_us > limit_us);
    while (loop_clock_us() - began_us < 3 * limit_us)
        fill(s);
}

/* The end may lie behind what the client has not taken: that is not the agent's lateness. */
TEST(api_exec_times_nobody_who_is_held_up)
{
    struct scene s;
    scene_init(&s);
    s.r.patience.late_ms = 500;
    for (int ends = 0; ends < 2; ends++) {
        begin_held_up(&s);
        if (ends)
            put_message(&s, "{\"type\":\"Exited\",\"exit_code\":0}");
        CHECK_STR(newest(&s), "exec id runs");
        s.ask.client.hold = false;
        probe_drink(&s.ask.client);
        front_wait(&s.r, &s.ask);
        CHECK(strstr(s.ask.body, ends ? "event: exit\n" : "event: error\n") != NULL);
        CHECK_STR(newest(&s), ends ? "exec id ok" : "exec id timeout");
    }
    scene_fini(&s);
}

/* ---- nobody hears of an end that a crash could undo ---- */

TEST(api_exec_tells_no_end_that_is_not_kept)
{
    static const struct {
        const char *fields, *end; /* NULL: the agent is lost */
        int status;
    } rows[] = {
        {"", "{\"type\":\"ExecResult\",\"exit_code\":0,\"stdout\":\"\",\"stderr\":\"\"}", 200},
        {"", "{\"type\":\"Error\",\"code\":\"NotFound\"}", 404},
        {"", NULL, 502},
        {EVENTS, "{\"type\":\"Error\",\"code\":\"NotFound\"}", 404},
        {EVENTS, "{\"type\":\"Exited\",\"exit_code\":0}", 200},
        {EVENTS, "{\"type\":\"Error\",\"code\":\"Timeout\"}", 200},
        {EVENTS, NULL, 200},
    };
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < countof(rows); i++) {
        begin(&s, rows[i].fields);
        bool started = *rows[i].fields && rows[i].status == 200;
        if (started) {
            put_message(&s, "{\"type\":\"Started\",\"pid\":1}");
            TURN_UNTIL(s.r.loop, s.ask.client.got.len);
        }
        size_t heard = s.ask.client.got.len;
        front_store_hold(&s.r);
        if (rows[i].end)
            put_message(&s, rows[i].end);
        else
            stream_shutdown(s.taken);
        TURN_UNTIL(s.r.loop, s.r.held);
        front_pass_time(&s.r, 20);
        CHECK_INT(s.ask.client.got.len, heard);
        front_store_go_on(&s.r);
        front_wait(&s.r, &s.ask);
        CHECK_INT(s.ask.status, rows[i].status);
        CHECK(strlen(s.ask.body) > 0);
    }
    scene_fini(&s);
}
