/* berth exec's WebSocket: one ExecStream of the user's own agent, both ways, in the audit trail. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/message.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"
#include "tests/unit/front_client.h"

struct scene {
    struct front_rig r;
    struct front_agent laptop;
    struct stream *taken; /* the last request's, which nobody serves */
    struct probe client;  /* of the WebSocket's bytes */
    struct frame_reader frames;
    struct message last;
    struct buf out; /* of channel 1 */
    bool dialled;
    int status; /* of a handshake that failed */
};

static void scene_init(struct scene *s)
{
    *s = (struct scene){0};
    front_rig_init(&s->r);
    front_agent_join(&s->r, &s->laptop, &s->r.ann, "laptop");
}

static void hang_up(struct scene *s)
{
    probe_fini(&s->client);
    frame_reader_fini(&s->frames);
    s->frames = (struct frame_reader){0};
    message_fini(&s->last);
    s->last = (struct message){0};
    buf_fini(&s->out);
}

static void scene_fini(struct scene *s)
{
    hang_up(s);
    stream_close(s->taken);
    front_agent_leave(&s->laptop);
    front_rig_fini(&s->r);
}

static void take(struct front_agent *a, struct stream *stream)
{
    struct scene *s = container_of(a, struct scene, laptop);
    stream_close(s->taken);
    s->taken = stream;
}

static void on_dialled(void *arg, struct stream *carrier, int error, int status)
{
    struct scene *s = arg;
    (void)error;
    s->dialled = true;
    s->status = status;
    if (carrier)
        probe_own(&s->client, websocket_stream_new(carrier, WS_CLIENT));
}

/* 0, or the status. */
static int dial(struct scene *s, const struct front_user *u, const char *target)
{
    hang_up(s);
    cleanup_free char *fields = xasprintf("Authorization: Bearer %s\r\n", u->token);
    s->dialled = false;
    websocket_dial(
        front_dial(&s->r),
        &(struct websocket_request){
            .host = "broker.test", .target = target, .fields = fields, .patience_ms = 30000},
        on_dialled, s);
    TURN_UNTIL(s->r.loop, s->dialled);
    return s->client.s ? 0 : s->status;
}

static void say(struct scene *s, const char *message)
{
    frame_write(s->client.s, message, strlen(message));
}

static void ask(struct scene *s, const char *message)
{
    CHECK_INT(dial(s, &s->r.ann, "/api/exec"), 0);
    say(s, message);
}

/* The next message in what has come; data before it is kept in `out`. */
static bool hear(struct scene *s)
{
    struct buf *got = &s->client.got;
    struct frame f;
    const char *why;
    while (got->len) {
        size_t len = got->len;
        enum frame_status status = frame_feed(&s->frames, buf_front(got), &len, &f);
        buf_consume(got, len);
        CHECK(status != FRAME_BAD);
        if (status != FRAME_READY)
            continue;
        if (f.payload[0] == '{') {
            message_fini(&s->last);
            return message_parse(&s->last, f.payload, f.len, &why) == 0;
        }
        if (f.payload[0] == CHANNEL_STDOUT)
            buf_append(&s->out, f.payload + 1, f.len - 1);
    }
    return false;
}

static void expect(struct scene *s, enum message_type type)
{
    bool heard = false;
    TURN_UNTIL(s->r.loop, heard || (heard = hear(s)));
    CHECK_STR(message_name(s->last.type), message_name(type));
}

static void expect_error(struct scene *s, enum error_code code)
{
    expect(s, MSG_ERROR);
    CHECK_STR(json_get_str(s->last.body, "code"), error_code_name(code));
    TURN_UNTIL(s->r.loop, s->client.eofs);
}

static bool said(const struct scene *s, const char *text)
{
    return s->out.len == strlen(text) && memcmp(buf_front(&s->out), text, s->out.len) == 0;
}

/* The newest of ann's trail: "WHAT OUTCOME CODE", static. */
static const char *newest(struct scene *s)
{
    static char text[256];
    struct front_asked a;
    CHECK_INT(
        front_answer(&s->r, &a,
                     &(struct front_request){&s->r.ann, "GET /api/activity?limit=1", NULL, NULL}),
        200);
    struct json *doc = json_parse(a.body, strlen(a.body));
    struct json_iter it = json_iter(json_get(json_root(doc), "activity"));
    snprintf(text, sizeof text, "nothing");
    if (json_next(&it)) {
        const char *what = json_get_str(it.value, "what"), *end = json_get_str(it.value, "outcome");
        int64_t code = -1;
        (void)json_get_int(it.value, "exitCode", &code);
        snprintf(text, sizeof text, "%.80s %s %d", what ? what : "-", end ? end : "runs",
                 (int)code);
    }
    json_free(doc);
    front_asked_fini(&a);
    return text;
}

/* ---- */

TEST(api_exec_socket_passes_input_and_output)
{
    struct scene s;
    scene_init(&s);
    ask(&s, "{\"type\":\"ExecStream\",\"command\":\"sh\",\"args\":[\"-c\",\"cat; exit 4\"],"
            "\"stdin\":true}");
    frame_write_data(s.client.s, CHANNEL_STDIN, "hello ", 6); /* without waiting for anything */
    expect(&s, MSG_STARTED);
    CHECK_STR(newest(&s), "sh -c cat; exit 4 runs -1");
    frame_write_data(s.client.s, CHANNEL_STDIN, "there", 5);
    frame_write_data(s.client.s, CHANNEL_STDIN, NULL, 0);
    expect(&s, MSG_EXITED);
    CHECK(said(&s, "hello there"));
    TURN_UNTIL(s.r.loop, s.client.eofs);
    CHECK_STR(newest(&s), "sh -c cat; exit 4 failed 4");
    scene_fini(&s);
}

TEST(api_exec_socket_holds_nothing_for_a_request_once_it_is_asked)
{
    struct scene s;
    scene_init(&s);
    char word[2 * ROOM_SURE] = "";
    memset(word, 'x', sizeof word - 1);
    cleanup_free char *request =
        xasprintf("{\"type\":\"ExecStream\",\"command\":\"sh\",\"args\":[\"-c\",\"cat\",\"%s\"],"
                  "\"stdin\":true}",
                  word);
    CHECK_INT(dial(&s, &s.r.ann, "/api/exec"), 0);
    frame_begin(s.client.s, strlen(request));
    stream_write(s.client.s, request, 1);
    TURN_UNTIL(s.r.loop, s.r.front.room.taken == strlen(request));
    stream_write(s.client.s, request + 1, strlen(request) - 1);
    expect(&s, MSG_STARTED);
    CHECK_INT(s.r.front.room.taken, 0);
    frame_write_data(s.client.s, CHANNEL_STDIN, NULL, 0);
    expect(&s, MSG_EXITED);
    scene_fini(&s);
}

TEST(api_exec_socket_has_terminals_that_are_resized)
{
    struct scene s;
    scene_init(&s);
    ask(&s, "{\"type\":\"ExecStream\",\"command\":\"read x; stty size\","
            "\"pty\":{\"rows\":10,\"cols\":20}}");
    expect(&s, MSG_STARTED);
    say(&s, "{\"type\":\"Resize\",\"rows\":33,\"cols\":44}");
    frame_write_data(s.client.s, CHANNEL_STDIN, "\n", 1);
    expect(&s, MSG_EXITED);
    CHECK(said(&s, "\r\n33 44\r\n"));
    CHECK_STR(newest(&s), "read x; stty size ok 0");
    scene_fini(&s);
}

TEST(api_exec_socket_answers_before_it_is_one)
{
    struct scene s;
    struct front_asked a;
    scene_init(&s);
    CHECK_INT(dial(&s, &s.r.bob, "/api/exec"), 409);
    CHECK_INT(dial(&s, &s.r.bob, "/api/exec?agent=laptop"), 409);
    CHECK_INT(dial(&s, &s.r.ann, "/api/exec?agent=other"), 409);
    CHECK_INT(dial(&s, &s.r.ann, "/api/exec?agent=a&agent=b"), 400);
    CHECK_INT(
        front_answer(&s.r, &a, &(struct front_request){&s.r.ann, "GET /api/exec", NULL, NULL}),
        426);
    front_asked_fini(&a);
    CHECK_STR(newest(&s), "nothing");
    scene_fini(&s);
}

/* Nothing of it comes near the agent. */
TEST(api_exec_socket_lets_nothing_else_pass)
{
    static const char *const bad[] = {
        "{\"type\":\"Exec\",\"command\":\"id\"}",
        "{\"type\":\"FileGet\",\"path\":\"/etc/passwd\"}",
        "{\"type\":\"Dial\",\"target\":\"127.0.0.1:22\"}",
        "{\"type\":\"Ping\"}",
        "{\"type\":\"none\"}",
        "{}",
        "{",
        "x",
    };
    struct scene s;
    scene_init(&s);
    s.laptop.accept = take;
    for (size_t i = 0; i < countof(bad); i++) {
        ask(&s, bad[i]);
        expect_error(&s, ERR_INVALID_REQUEST);
    }
    static const char more[] = "the command, its words and its environment have more than 1 MiB";
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
    } broken[] = {
        {"\0\0\0\0", 4, "an empty frame"}, {"\xff\xff\xff\xff", 4, more}, {"\0\x10\0\1{", 5, more}};
    for (size_t i = 0; i < countof(broken); i++) {
        CHECK_INT(dial(&s, &s.r.ann, "/api/exec"), 0);
        stream_write(s.client.s, broken[i].bytes, broken[i].len);
        expect_error(&s, ERR_INVALID_REQUEST);
        CHECK_STR(json_get_str(s.last.body, "message"), broken[i].why);
    }
    CHECK(!s.taken);
    CHECK_STR(newest(&s), "nothing");
    scene_fini(&s);
}

/* ---- an agent that does what it likes ---- */

static void begin_within(struct scene *s, unsigned secs)
{
    cleanup_free char *text = xasprintf(
        "{\"type\":\"ExecStream\",\"command\":\"id\",\"stdin\":true,\"timeout_secs\":%u}", secs);
    s->laptop.accept = take;
    stream_close(s->taken);
    s->taken = NULL;
    ask(s, text);
    TURN_UNTIL(s->r.loop, s->taken);
    CHECK_STR(newest(s), "id runs -1");
}

static void begin(struct scene *s)
{
    begin_within(s, 0);
}

static void answer(struct scene *s, const char *message)
{
    frame_write(s->taken, message, strlen(message));
}

TEST(api_exec_socket_says_that_the_agent_is_lost)
{
    struct scene s;
    scene_init(&s);
    begin(&s);
    frame_write_data(s.taken, CHANNEL_STDOUT, "x", 1);
    TURN_UNTIL(s.r.loop, s.client.got.len);
    front_agent_leave(&s.laptop);
    expect_error(&s, ERR_NOT_CONNECTED);
    CHECK_STR(newest(&s), "id lost -1");
    scene_fini(&s);
}

/* What would follow would be taken for the rest of the frame. */
TEST(api_exec_socket_breaks_off_where_the_agent_is_lost_in_a_frame)
{
    struct scene s;
    scene_init(&s);
    begin(&s);
    stream_write(s.taken, "\0\0\0\3\1x", 6);
    TURN_UNTIL(s.r.loop, s.client.got.len == 6);
    stream_shutdown(s.taken);
    TURN_UNTIL(s.r.loop, s.client.errors);
    CHECK_INT(s.client.got.len, 6);
    CHECK_STR(newest(&s), "id lost -1");
    scene_fini(&s);
}

TEST(api_exec_socket_keeps_how_it_ended)
{
    static const struct {
        const char *answer, *kept;
    } rows[] = {
        {"{\"type\":\"Exited\",\"exit_code\":0}", "id ok 0"},
        {"{\"type\":\"Exited\",\"exit_code\":137,\"signal\":\"KILL\"}", "id failed 137"},
        {"{\"type\":\"Exited\"}", "id failed -1"},
        {"{\"type\":\"Exited\",\"exit_code\":99999999999}", "id failed -1"},
        {"{\"type\":\"Error\",\"code\":\"PermissionDenied\",\"message\":\"no\"}", "id refused -1"},
        {"{\"type\":\"Error\",\"code\":\"Timeout\",\"message\":\"no\"}", "id timeout -1"},
        {"{\"type\":\"Error\",\"code\":\"IoError\",\"message\":\"no\"}", "id failed -1"},
        {"{", "id failed -1"},
    };
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < countof(rows); i++) {
        begin(&s);
        frame_write(s.taken, rows[i].answer, strlen(rows[i].answer));
        TURN_UNTIL(s.r.loop, s.client.eofs || s.client.errors);
        CHECK_STR(newest(&s), rows[i].kept);
    }
    begin(&s);
    stream_write(s.taken, "\xff\xff\xff\xff", 4);
    TURN_UNTIL(s.r.loop, s.client.eofs || s.client.errors);
    CHECK_STR(newest(&s), "id failed -1");
    scene_fini(&s);
}

TEST(api_exec_socket_hangs_up_for_a_client_that_is_gone)
{
    struct scene s;
    struct probe agent = {0};
    scene_init(&s);
    for (int politely = 0; politely < 2; politely++) {
        begin(&s);
        probe_own(&agent, s.taken);
        s.taken = NULL;
        if (!politely)
            stream_reset(s.client.s);
        else
            stream_close(s.client.s);
        s.client.s = NULL;
        TURN_UNTIL(s.r.loop, agent.errors == 1);
        CHECK_INT(agent.error, ECONNRESET);
        CHECK_STR(newest(&s), "id interrupted -1");
        probe_fini(&agent);
    }
    scene_fini(&s);
}

/* How much goes in before it is held up. */
static size_t fill(struct scene *s, struct stream *into, uint8_t channel)
{
    static const char piece[32768];
    size_t sent = 0;
    for (int still = 0; still < 50; still++) {
        loop_turn(s->r.loop, 1);
        while (stream_room(into)) {
            frame_write_data(into, channel, piece, sizeof piece);
            sent += sizeof piece;
            still = 0;
            CHECK(sent < 64 << 20);
        }
    }
    return sent;
}

TEST(api_exec_socket_holds_up_who_sends)
{
    struct scene s;
    struct probe agent = {0};
    scene_init(&s);
    begin(&s);
    size_t in = fill(&s, s.client.s, CHANNEL_STDIN);
    s.client.hold = true;
    size_t out = fill(&s, s.taken, CHANNEL_STDOUT);
    probe_own(&agent, s.taken);
    s.client.hold = false;
    probe_drink(&s.client);
    TURN_UNTIL(s.r.loop, s.client.got.len > out && agent.got.len > in);
    s.taken = agent.s;
    agent.s = NULL;
    probe_fini(&agent);
    scene_fini(&s);
}

/* ---- nobody hears of an end that a crash could undo ---- */

TEST(api_exec_socket_tells_no_end_that_is_not_kept)
{
    static const struct {
        const char *end; /* NULL: the agent is lost */
        enum message_type told;
    } rows[] = {
        {"{\"type\":\"Exited\",\"exit_code\":0}", MSG_EXITED},
        {"{\"type\":\"Error\",\"code\":\"Timeout\"}", MSG_ERROR},
        {NULL, MSG_ERROR},
    };
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < 2 * countof(rows); i++) {
        const char *end = rows[i / 2].end;
        size_t first = end && i % 2 ? 20 : 0; /* it comes in pieces, or not */
        uint8_t bytes[64] = {0, 0, 0, end ? (uint8_t)strlen(end) : 0};
        memcpy(bytes + 4, end ? end : "", bytes[3]);
        begin(&s);
        stream_write(s.taken, bytes, first);
        TURN_UNTIL(s.r.loop, s.client.got.len == first);
        front_store_hold(&s.r);
        if (end)
            stream_write(s.taken, bytes + first, 4 + bytes[3] - first);
        else
            stream_shutdown(s.taken);
        TURN_UNTIL(s.r.loop, s.r.held);
        front_pass_time(&s.r, 20);
        CHECK_INT(s.client.got.len, first);
        front_store_go_on(&s.r);
        expect(&s, rows[i / 2].told);
        TURN_UNTIL(s.r.loop, s.client.eofs);
    }
    scene_fini(&s);
}

TEST(api_exec_socket_leaves_while_its_end_is_being_kept)
{
    struct scene s;
    scene_init(&s);
    begin(&s);
    front_store_hold(&s.r);
    answer(&s, "{\"type\":\"Exited\",\"exit_code\":0}");
    TURN_UNTIL(s.r.loop, s.r.held);
    stream_reset(s.client.s);
    s.client.s = NULL;
    TURN_UNTIL(s.r.loop, !s.r.front.calls);
    front_store_go_on(&s.r);
    CHECK_STR(newest(&s), "id ok 0");
    scene_fini(&s);
}

/* ---- an agent that lives, and says nothing ---- */

static void expect_timeout(struct scene *s)
{
    struct probe agent = {0};
    probe_own(&agent, s->taken);
    s->taken = NULL;
    expect_error(s, ERR_TIMEOUT);
    TURN_UNTIL(s->r.loop, agent.errors == 1); /* it is to end what runs still */
    probe_fini(&agent);
    CHECK_STR(newest(s), "id timeout -1");
}

TEST(api_exec_socket_ends_what_the_agent_does_not_end)
{
    struct scene s;
    scene_init(&s);
    s.r.patience.late_ms = 500;
    for (int started = 0; started < 2; started++) {
        begin_within(&s, 1);
        if (started)
            answer(&s, "{\"type\":\"Started\",\"pid\":1}");
        if (started)
            expect(&s, MSG_STARTED);
        expect_timeout(&s);
    }
    scene_fini(&s);
}

TEST(api_exec_socket_ends_what_the_agent_does_not_begin)
{
    struct scene s;
    scene_init(&s);
    s.r.patience.silence_ms = 1000;
    begin(&s);
    expect_timeout(&s);
    begin(&s);
    answer(&s, "{\"type\":\"Started\",\"pid\":1}");
    front_pass_time(&s.r, 1500); /* which a command without a limit may take */
    answer(&s, "{\"type\":\"Exited\",\"exit_code\":0}");
    expect(&s, MSG_STARTED);
    expect(&s, MSG_EXITED);
    CHECK_STR(newest(&s), "id ok 0");
    scene_fini(&s);
}

/* Begins a command, and has the client hold it up before its time is over, and for long after. */
static void begin_held_up(struct scene *s)
{
    uint64_t began_us, limit_us = 500000;
    do {
        limit_us *= 2;
        began_us = loop_clock_us();
        begin_within(s, (unsigned)(limit_us / 1000000));
        answer(s, "{\"type\":\"Started\",\"pid\":1}");
        s->client.hold = true;
        fill(s, s->taken, CHANNEL_STDOUT);
    } while (loop_clock_us() - began_us > limit_us);
    while (loop_clock_us() - began_us < 3 * limit_us)
        fill(s, s->taken, CHANNEL_STDOUT);
}

/* The end may lie behind what the client has not taken: that is not the agent's lateness. */
TEST(api_exec_socket_times_nobody_who_is_held_up)
{
    struct scene s;
    scene_init(&s);
    s.r.patience.late_ms = 500;
    for (int ends = 0; ends < 2; ends++) {
        begin_held_up(&s);
        if (ends)
            answer(&s, "{\"type\":\"Exited\",\"exit_code\":0}");
        CHECK_STR(newest(&s), "id runs -1");
        s.client.hold = false;
        probe_drink(&s.client);
        expect(&s, MSG_STARTED);
        if (!ends)
            expect_timeout(&s);
        else
            expect(&s, MSG_EXITED);
    }
    CHECK_STR(newest(&s), "id ok 0");
    scene_fini(&s);
}
