/* Files of an agent's that lives, and says nothing; and of one that is not the one who is waited for. */
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/message.h"
#include "tests/unit/front_client.h"

#define UPLOAD                                                                                     \
    "PUT /api/files?path=f HTTP/1.1\r\nHost: broker.test\r\nAuthorization: Bearer %s\r\n%s"

struct scene {
    struct front_rig r;
    struct front_agent laptop;
    struct probe agent; /* the last request's stream, which nobody serves */
    struct probe client;
};

static void take(struct front_agent *a, struct stream *stream)
{
    struct scene *s = container_of(a, struct scene, laptop);
    probe_own(&s->agent, stream);
}

static void scene_init(struct scene *s, uint32_t silence_ms)
{
    *s = (struct scene){0};
    front_rig_init(&s->r);
    s->r.patience.silence_ms = silence_ms;
    front_agent_join(&s->r, &s->laptop, &s->r.ann, "laptop");
    s->laptop.accept = take;
}

static void scene_fini(struct scene *s)
{
    probe_fini(&s->client);
    probe_fini(&s->agent);
    front_agent_leave(&s->laptop);
    front_rig_fini(&s->r);
}

static void say(struct scene *s, const char *head)
{
    probe_fini(&s->agent);
    probe_fini(&s->client);
    probe_own(&s->client, front_dial(&s->r));
    stream_write(s->client.s, head, strlen(head));
    TURN_UNTIL(s->r.loop, s->agent.got.len);
}

static void upload(struct scene *s, const char *rest)
{
    cleanup_free char *head = xasprintf(UPLOAD, s->r.ann.token, rest);
    say(s, head);
}

static void download(struct scene *s, const char *method, const char *fields)
{
    cleanup_free char *head = xasprintf("%s /api/files?path=f HTTP/1.1\r\nHost: broker.test\r\n"
                                        "Authorization: Bearer %s\r\n%s\r\n",
                                        method, s->r.ann.token, fields);
    say(s, head);
}

static bool said(const struct scene *s, const char *text)
{
    const struct buf *got = &s->client.got;
    return got->len && memmem(buf_front(got), got->len, text, strlen(text));
}

static void send_info(struct scene *s, int64_t size)
{
    struct draft d = draft_of(MSG_FILE_INFO);
    draft_int(&d, "size", size);
    draft_send(&d, s->agent.s);
}

/* That of the newest of ann's trail, static; "runs" while it does. */
static const char *outcome(struct scene *s)
{
    static char text[32];
    struct front_asked ask;
    const struct front_request q = {&s->r.ann, "GET /api/activity?limit=1", NULL, NULL};
    CHECK_INT(front_answer(&s->r, &ask, &q), 200);
    struct json *doc = json_parse(ask.body, strlen(ask.body));
    struct json_iter it = json_iter(json_get(json_root(doc), "activity"));
    const char *end = json_next(&it) ? json_get_str(it.value, "outcome") : "nothing";
    snprintf(text, sizeof text, "%s", end ? end : "runs");
    json_free(doc);
    front_asked_fini(&ask);
    return text;
}

/* The agent is to drop what it may do still. */
static void expect_timeout(struct scene *s)
{
    TURN_UNTIL(s->r.loop, s->agent.errors == 1);
    TURN_UNTIL(s->r.loop, s->client.errors || said(s, "\r\n\r\n{\"error\":\"timeout\","));
    CHECK_STR(outcome(s), "timeout");
}

/* How much goes in until it is held up. */
static size_t fill(struct scene *s, struct stream *into)
{
    static const char zeros[32768];
    size_t sent = 0;
    for (int still = 0; still < 50; still++) {
        loop_turn(s->r.loop, 1);
        for (; stream_room(into); sent += sizeof zeros, still = 0)
            stream_write(into, zeros, sizeof zeros);
        CHECK(sent < 64 << 20);
    }
    return sent;
}

/* Of what lies at the agent, so much. */
static void swallow(struct scene *s, size_t bytes)
{
    size_t len;
    while (bytes && stream_peek(s->agent.s, &len)) {
        len = len < bytes ? len : bytes;
        stream_consume(s->agent.s, len);
        bytes -= len;
    }
    CHECK_INT(bytes, 0);
}

/* ---- reading ---- */

TEST(transfer_ends_where_nothing_is_said_of_the_file)
{
    static const char *const rows[][2] = {
        {"GET", ""}, {"GET", "Range: bytes=-4\r\n"}, {"HEAD", ""}};
    struct scene s;
    scene_init(&s, 50);
    for (size_t i = 0; i < countof(rows); i++) {
        download(&s, rows[i][0], rows[i][1]);
        stream_write(s.agent.s, "\0\0", 2); /* a part of an answer is none */
        TURN_UNTIL(s.r.loop, said(&s, "HTTP/1.1 504") && s.agent.errors);
        CHECK_STR(outcome(&s), "timeout");
    }
    scene_fini(&s);
}

/* Never as if it were whole. */
TEST(transfer_ends_in_the_middle_of_a_file)
{
    struct scene s;
    scene_init(&s, 1000);
    for (size_t sent = 0; sent < 5; sent += 4) {
        download(&s, "GET", "");
        send_info(&s, 1000);
        stream_write(s.agent.s, "some", sent);
        expect_timeout(&s);
        CHECK_INT(s.client.errors, 1);
        CHECK(said(&s, sent ? "\r\n\r\nsome" : "Content-Length: 1000\r\n"));
    }
    scene_fini(&s);
}

TEST(transfer_goes_on_while_bytes_come)
{
    struct scene s;
    scene_init(&s, 3000);
    download(&s, "GET", "");
    front_pass_time(&s.r, 2500);
    send_info(&s, 3);
    for (int i = 0; i < 3; i++) {
        front_pass_time(&s.r, 1500);
        stream_write(s.agent.s, "x", 1);
    }
    TURN_UNTIL(s.r.loop, said(&s, "\r\n\r\nxxx"));
    CHECK_STR(outcome(&s), "ok");
    scene_fini(&s);
}

TEST(transfer_times_nobody_whom_the_client_holds_up)
{
    struct scene s;
    scene_init(&s, 1000);
    download(&s, "GET", "");
    s.client.hold = true;
    send_info(&s, INT64_C(1) << 40);
    fill(&s, s.agent.s);
    front_pass_time(&s.r, 2000);
    CHECK_STR(outcome(&s), "runs");
    s.client.hold = false;
    probe_drink(&s.client);
    expect_timeout(&s); /* now it is the agent who does not go on */
    CHECK_INT(s.client.errors, 1);
    scene_fini(&s);
}

/* ---- writing ---- */

TEST(transfer_ends_where_nothing_is_said_of_what_was_written)
{
    static const char *const rows[] = {
        "Content-Length: 5\r\n\r\nhello",
        "Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    };
    struct scene s;
    scene_init(&s, 50);
    for (size_t i = 0; i < countof(rows); i++) {
        upload(&s, rows[i]);
        expect_timeout(&s);
        CHECK(said(&s, "HTTP/1.1 504"));
    }
    scene_fini(&s);
}

TEST(transfer_ends_where_nothing_is_taken)
{
    struct scene s;
    scene_init(&s, 200);
    upload(&s, "Content-Length: 1000000000\r\n\r\n");
    s.agent.hold = true;
    fill(&s, s.client.s);
    TURN_UNTIL(s.r.loop, s.agent.errors == 1);
    TURN_UNTIL(s.r.loop, s.client.errors || said(&s, "HTTP/1.1 504"));
    CHECK_STR(outcome(&s), "timeout");
    scene_fini(&s);
}

/* The client has its own limit, which is HTTP's server's. */
TEST(transfer_times_no_agent_that_waits_for_the_client)
{
    struct scene s;
    scene_init(&s, 100);
    upload(&s, "Content-Length: 10\r\n\r\nhello");
    front_pass_time(&s.r, 500);
    CHECK_STR(outcome(&s), "runs");
    stream_write(s.client.s, "hello", 5);
    expect_timeout(&s);
    scene_fini(&s);
}

/* What it takes of what is queued for it is told by no event, once the client has sent all. */
TEST(transfer_goes_on_while_bytes_are_taken)
{
    static char zeros[500 << 10]; /* a window, and most of a queue */
    struct scene s;
    scene_init(&s, 2000);
    upload(&s, "Content-Length: 512000\r\n\r\n");
    s.agent.hold = true;
    stream_write(s.client.s, zeros, sizeof zeros);
    for (int i = 0; i < 2; i++) {
        front_pass_time(&s.r, 1500);
        swallow(&s, 130 << 10);
    }
    front_pass_time(&s.r, 1500);
    CHECK_STR(outcome(&s), "runs");
    message_send(s.agent.s, MSG_OK);
    TURN_UNTIL(s.r.loop, said(&s, "HTTP/1.1 204"));
    scene_fini(&s);
}

/* A disk is given a second for each MiB. */
TEST(transfer_gives_a_disk_its_time)
{
    static char zeros[3 << 20];
    struct scene s;
    scene_init(&s, 1000);
    upload(&s, "Content-Length: 3145728\r\n\r\n");
    stream_write(s.client.s, zeros, sizeof zeros);
    TURN_UNTIL(s.r.loop, s.agent.got.len > sizeof zeros);
    front_pass_time(&s.r, 2500);
    CHECK_STR(outcome(&s), "runs");
    message_send(s.agent.s, MSG_OK);
    TURN_UNTIL(s.r.loop, said(&s, "HTTP/1.1 204"));
    CHECK_STR(outcome(&s), "ok");
    scene_fini(&s);
}

TEST(transfer_tells_no_end_that_is_not_kept)
{
    struct scene s;
    scene_init(&s, 50);
    upload(&s, "Content-Length: 5\r\n\r\nhello");
    front_store_hold(&s.r);
    message_send(s.agent.s, MSG_OK);
    TURN_UNTIL(s.r.loop, s.r.held);
    front_pass_time(&s.r, 200);
    CHECK_INT(s.client.got.len, 0);
    front_store_go_on(&s.r);
    TURN_UNTIL(s.r.loop, said(&s, "HTTP/1.1 204"));
    CHECK_STR(outcome(&s), "ok");
    scene_fini(&s);
}
