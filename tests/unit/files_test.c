/* Files of a real agent's, read and written over HTTP; and agents that do what they should not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "core/message.h"
#include "core/paths.h"
#include "tests/unit/file_rig.h"
#include "tests/unit/front_rig.h"

struct files {
    struct front_rig front;
    struct front_agent agent;
};

static void files_init(struct files *r)
{
    front_rig_init(&r->front);
    front_agent_join(&r->front, &r->agent, &r->front.ann, "laptop");
}

static void files_fini(struct files *r)
{
    front_agent_leave(&r->agent);
    front_rig_fini(&r->front);
}

static char *path_in(const struct files *r, const char *name)
{
    return xasprintf("%s/%s", r->front.dir, name);
}

static void write_file(const struct files *r, const char *name, const char *text)
{
    cleanup_free char *path = path_in(r, name);
    CHECK_INT(path_write_atomic(path, text, strlen(text), 0640), 0);
}

static void expect_content(const struct files *r, const char *name, const char *text)
{
    cleanup_free char *path = path_in(r, name);
    expect_file(path, text);
}

static bool is_body(const struct front_reply *reply, const char *text)
{
    return reply->body.len == strlen(text) &&
           (!*text || memcmp(buf_front(&reply->body), text, reply->body.len) == 0);
}

/* ---- reading ---- */

TEST(files_get_ranges)
{
    static const struct {
        const char *request, *fields;
        int status;
        const char *body, *range;
    } rows[] = {
        {"GET /api/files?path=f", "", 200, "0123456789", ""},
        {"GET /api/files?path=~/f&agent=laptop", "", 200, "0123456789", ""},
        {"GET /api/files?path=f", "Range: bytes=3-5\r\n", 206, "345", "bytes 3-5/10"},
        {"GET /api/files?path=f", "Range: bytes=7-\r\n", 206, "789", "bytes 7-9/10"},
        {"GET /api/files?path=f", "Range: bytes=9-99\r\n", 206, "9", "bytes 9-9/10"},
        {"GET /api/files?path=f", "Range: bytes=-4\r\n", 206, "6789", "bytes 6-9/10"},
        {"GET /api/files?path=f", "Range: bytes=-40\r\n", 206, "0123456789", "bytes 0-9/10"},
        {"GET /api/files?path=f", "Range: bytes=1-2,4-5\r\n", 200, "0123456789", ""},
        {"GET /api/files?path=f", "Range: bytes=1-2\r\nIf-Range: \"x\"\r\n", 200, "0123456789", ""},
        {"GET /api/files?path=f", "Range: bytes=10-\r\n", 416, NULL, "bytes */10"},
        {"GET /api/files?path=e", "", 200, "", ""},
        {"GET /api/files?path=e", "Range: bytes=0-\r\n", 416, NULL, "bytes */0"},
        {"GET /api/files?path=e", "Range: bytes=-1\r\n", 416, NULL, "bytes */0"},
    };
    struct files r;
    struct front_reply reply;
    files_init(&r);
    write_file(&r, "f", "0123456789");
    write_file(&r, "e", "");
    for (size_t i = 0; i < countof(rows); i++) {
        front_ask(&r.front, &r.front.ann, rows[i].request, rows[i].fields, &reply);
        CHECK_INT(reply.status, rows[i].status);
        CHECK_STR(reply.range, rows[i].range);
        if (rows[i].body)
            CHECK(is_body(&reply, rows[i].body));
        else
            CHECK_STR(front_error(&reply), "range_not_satisfiable");
        front_reply_fini(&reply);
    }
    front_ask(&r.front, &r.front.ann, "HEAD /api/files?path=f", "Range: bytes=3-5\r\n", &reply);
    CHECK_INT(reply.status, 200);
    CHECK_STR(reply.type, "application/octet-stream");
    CHECK(is_body(&reply, ""));
    front_reply_fini(&reply);
    files_fini(&r);
}

TEST(files_get_big)
{
    struct files r;
    struct front_reply reply;
    files_init(&r);
    cleanup_free char *path = path_in(&r, "big");
    cleanup_free uint8_t *bytes = big_bytes();
    write_big(path);
    front_ask(&r.front, &r.front.ann, "GET /api/files?path=big", NULL, &reply);
    CHECK_INT(reply.status, 200);
    CHECK_INT(reply.length, BIG);
    CHECK(reply.body.len == BIG && memcmp(buf_front(&reply.body), bytes, BIG) == 0);
    front_reply_fini(&reply);
    front_ask(&r.front, &r.front.ann, "GET /api/files?path=big", "Range: bytes=-1000001\r\n",
              &reply);
    CHECK_INT(reply.status, 206);
    CHECK(reply.body.len == 1000001 &&
          memcmp(buf_front(&reply.body), bytes + BIG - 1000001, 1000001) == 0);
    front_reply_fini(&reply);
    files_fini(&r);
}

TEST(files_refused)
{
    static const struct {
        const char *request;
        int status;
        const char *error;
    } rows[] = {
        {"GET /api/files?path=none", 404, "not_found"},
        {"HEAD /api/files?path=none", 404, NULL},
        {"GET /api/files?path=d", 400, "invalid_request"},
        {"GET /api/files?path=f/x", 404, "not_found"},
        {"GET /api/files", 400, "invalid_request"},
        {"GET /api/files?path=", 400, "invalid_request"},
        {"GET /api/files?path=%ff", 400, "invalid_request"},
        {"GET /api/files?path=%00", 400, "invalid_request"},
        {"GET /api/files?path=f&path=g", 400, "invalid_request"},
        {"GET /api/files?path=f&agent=other", 409, "agent_not_connected"},
        {"PUT /api/files?path=d", 400, "invalid_request"},
        {"PUT /api/files?path=no/such", 404, "not_found"},
        {"PUT /api/files", 400, "invalid_request"},
        {"POST /api/files?path=f", 405, "method_not_allowed"},
    };
    struct files r;
    struct front_reply reply;
    files_init(&r);
    write_file(&r, "f", "x");
    cleanup_free char *dir = path_in(&r, "d");
    CHECK_INT(mkdir(dir, 0700), 0);
    for (size_t i = 0; i < countof(rows); i++) {
        front_ask(&r.front, &r.front.ann, rows[i].request, NULL, &reply);
        CHECK_INT(reply.status, rows[i].status);
        if (rows[i].error)
            CHECK_STR(front_error(&reply), rows[i].error);
        front_reply_fini(&reply);
    }
    front_ask(&r.front, &r.front.bob, "GET /api/files?path=f", NULL, &reply);
    CHECK_INT(reply.status, 409);
    front_reply_fini(&reply);
    r.agent.service.policy = &(const struct service_policy){.allow = 0};
    front_ask(&r.front, &r.front.ann, "GET /api/files?path=f", NULL, &reply);
    CHECK_INT(reply.status, 403);
    CHECK_STR(front_error(&reply), "forbidden");
    front_reply_fini(&reply);
    files_fini(&r);
}

/* ---- writing ---- */

/* A client that says what it wants. */
static void send_put(struct files *r, struct probe *p, const char *name, const char *rest)
{
    *p = (struct probe){0};
    probe_own(p, front_dial(&r->front));
    cleanup_free char *head = xasprintf("PUT /api/files?path=%s HTTP/1.1\r\nHost: broker.test\r\n"
                                        "Authorization: Bearer %s\r\n%s",
                                        name, r->front.ann.token, rest);
    stream_write(p->s, head, strlen(head));
}

static bool said(const struct probe *p, const char *text)
{
    return p->got.len && memmem(buf_front(&p->got), p->got.len, text, strlen(text));
}

TEST(files_put_both_ways)
{
    static const struct {
        const char *rest, *content;
    } rows[] = {
        {"Content-Length: 5\r\n\r\nhello", "hello"},
        {"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n6\r\nlo all\r\n0\r\n\r\n", "hello all"},
        {"Content-Length: 0\r\n\r\n", ""},
        {"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
        {"\r\n", ""},
        {"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nyes", "yes"},
    };
    struct files r;
    files_init(&r);
    for (size_t i = 0; i < countof(rows); i++) {
        struct probe p;
        write_file(&r, "f", "old");
        send_put(&r, &p, "f", rows[i].rest);
        TURN_UNTIL(r.front.loop, said(&p, "HTTP/1.1 204"));
        expect_content(&r, "f", rows[i].content);
        probe_fini(&p);
    }
    files_fini(&r);
}

/* In chunks of many sizes, and more than fits into what lies between. */
TEST(files_put_big)
{
    struct files r;
    struct probe p;
    size_t len;
    files_init(&r);
    cleanup_free uint8_t *bytes = big_bytes();
    cleanup_free char *path = path_in(&r, "big");
    send_put(&r, &p, "big", "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, n = 1; at < BIG; at += n, n = n * 3 % 200000 + 1) {
        char size[20];
        n = n < BIG - at ? n : BIG - at;
        stream_write(p.s, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", n));
        stream_write(p.s, bytes + at, n);
        stream_write(p.s, "\r\n", 2);
    }
    stream_write(p.s, "0\r\n\r\n", 5);
    TURN_UNTIL(r.front.loop, said(&p, "HTTP/1.1 204"));
    cleanup_free char *found = path_read(path, BIG, &len);
    CHECK_INT(len, BIG);
    CHECK(found && memcmp(found, bytes, BIG) == 0);
    probe_fini(&p);
    files_fini(&r);
}

/* A sender who is cut off, or who sends what is none, leaves the file as it was. */
TEST(files_put_interrupted)
{
    static const char *const rows[] = {
        "Content-Length: 6\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nX\r\n",
    };
    struct files r;
    files_init(&r);
    write_file(&r, "f", "old");
    size_t names = entries(r.front.dir);
    for (size_t i = 0; i < 2 * countof(rows); i++) {
        struct probe p;
        send_put(&r, &p, "f", rows[i / 2]);
        TURN_UNTIL(r.front.loop, r.agent.service.requests || said(&p, "HTTP/1.1 400"));
        if (i % 2)
            stream_shutdown(p.s);
        else
            stream_reset(p.s);
        TURN_UNTIL(r.front.loop, !r.agent.service.requests && !r.front.front.calls);
        expect_content(&r, "f", "old");
        CHECK_INT(entries(r.front.dir), names);
        if (i % 2 == 0)
            p.s = NULL;
        probe_fini(&p);
    }
    files_fini(&r);
}

/* ---- agents ---- */

static struct probe at_agent; /* a request's stream, by hand */

static void take_by_hand(struct front_agent *a, struct stream *s)
{
    (void)a;
    probe_own(&at_agent, s);
}

static void by_hand(struct files *r)
{
    at_agent = (struct probe){0};
    r->agent.accept = take_by_hand;
}

static void send_get(struct files *r, struct probe *p)
{
    *p = (struct probe){0};
    probe_own(p, front_dial(&r->front));
    cleanup_free char *head = xasprintf("GET /api/files?path=f HTTP/1.1\r\nHost: broker.test\r\n"
                                        "Authorization: Bearer %s\r\n\r\n",
                                        r->front.ann.token);
    stream_write(p->s, head, strlen(head));
    TURN_UNTIL(r->front.loop, at_agent.got.len);
}

static void send_info(int64_t size)
{
    struct draft d = draft_of(MSG_FILE_INFO);
    draft_int(&d, "size", size);
    draft_send(&d, at_agent.s);
}

/* What was not answered is now; what was begun ends in a reset, never as if it were whole. */
TEST(files_agent_is_lost)
{
    struct files r;
    struct probe p;
    files_init(&r);
    for (int told = 0; told < 2; told++) {
        by_hand(&r);
        send_get(&r, &p);
        if (told) {
            send_info(1000);
            stream_write(at_agent.s, "some", 4);
            TURN_UNTIL(r.front.loop, said(&p, "some"));
        }
        probe_fini(&at_agent);
        front_agent_leave(&r.agent);
        TURN_UNTIL(r.front.loop, told ? p.errors : said(&p, "agent_disconnected"));
        CHECK_INT(said(&p, "HTTP/1.1 502"), !told);
        probe_fini(&p);
        front_agent_join(&r.front, &r.agent, &r.front.ann, told ? "third" : "second");
    }
    by_hand(&r);
    send_put(&r, &p, "f", "Content-Length: 1000\r\n\r\nhello");
    TURN_UNTIL(r.front.loop,
               at_agent.got.len && memchr(buf_front(&at_agent.got), 'h', at_agent.got.len));
    probe_fini(&at_agent);
    front_agent_leave(&r.agent);
    TURN_UNTIL(r.front.loop, said(&p, "HTTP/1.1 502"));
    probe_fini(&p);
    files_fini(&r);
}

TEST(files_agent_talks_nonsense)
{
    static const char *const rows[] = {
        "{\"type\":\"Pong\"}",
        "{\"type\":\"FileInfo\"}",
        "{\"type\":\"FileInfo\",\"size\":-1}",
        "{\"type\":\"Error\"}",
        "{",
        "\1x",
    };
    struct files r;
    struct probe p;
    files_init(&r);
    for (size_t i = 0; i < countof(rows); i++) {
        by_hand(&r);
        send_get(&r, &p);
        frame_write(at_agent.s, rows[i], strlen(rows[i]));
        TURN_UNTIL(r.front.loop, said(&p, "HTTP/1.1 502") && said(&p, "agent_error"));
        probe_fini(&at_agent);
        probe_fini(&p);
    }
    files_fini(&r);
}

/* Whoever does not take what comes holds up who sends it; nothing piles up between them. */
TEST(files_hold_up_who_is_too_fast)
{
    static char zeros[1 << 16];
    struct files r;
    struct probe p;
    files_init(&r);
    by_hand(&r);
    send_get(&r, &p);
    p.hold = true;
    send_info(INT64_C(1) << 30);
    size_t sent = 0, idle = 0;
    for (; idle < 300 && sent < 512 * sizeof zeros; loop_turn(r.front.loop, 1)) {
        idle = stream_room(at_agent.s) ? 0 : idle + 1;
        for (; stream_room(at_agent.s); sent += sizeof zeros)
            stream_write(at_agent.s, zeros, sizeof zeros);
    }
    CHECK(sent < 512 * sizeof zeros);
    stream_reset(p.s);
    p.s = NULL;
    TURN_UNTIL(r.front.loop, at_agent.errors && !r.front.front.calls);
    probe_fini(&p);
    probe_fini(&at_agent);

    send_put(&r, &p, "f", "Content-Length: 1073741824\r\n\r\n");
    TURN_UNTIL(r.front.loop, at_agent.got.len);
    at_agent.hold = true;
    for (sent = idle = 0; idle < 300 && sent < 512 * sizeof zeros; loop_turn(r.front.loop, 1)) {
        idle = stream_room(p.s) ? 0 : idle + 1;
        for (; stream_room(p.s); sent += sizeof zeros)
            stream_write(p.s, zeros, sizeof zeros);
    }
    CHECK(sent < 512 * sizeof zeros);
    probe_fini(&p);
    probe_fini(&at_agent);
    files_fini(&r);
}
