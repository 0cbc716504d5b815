/* Terminals on a real agent's shell, and clients that come, go, take over and say anything. */
#include "applets/broker/terminals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "applets/broker/tail.h"
#include "applets/broker/viewer.h"
#include "core/fdstream.h"
#include "core/mem.h"
#include "core/paths.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"
#include "tests/unit/front_rig.h"

struct client {
    struct front_rig *rig;
    struct websocket *w;
    struct buf shown, told; /* binary; texts, each with a line's end */
    char session[TERMINAL_ID_LEN + 1];
    unsigned ends, texts;
    uint16_t code;
    int status; /* of a refusal */
    bool dialled;
};

static void take_text(struct client *c, const uint8_t *data, size_t len)
{
    struct json *doc = json_parse(data, len);
    const char *session = json_get_str(json_root(doc), "session");
    if (session)
        snprintf(c->session, sizeof c->session, "%s", session);
    CHECK(doc != NULL);
    json_free(doc);
    buf_append(&c->told, data, len);
    buf_append(&c->told, "\n", 1);
    c->texts++;
}

static void on_data(void *arg, bool text, const uint8_t *data, size_t len, bool last)
{
    struct client *c = arg;
    CHECK(last || !text);
    if (text)
        take_text(c, data, len);
    else
        buf_append(&c->shown, data, len);
}

static void on_drained(void *arg)
{
    (void)arg;
}

static void on_ended(void *arg, uint16_t code, const char *reason, size_t len)
{
    struct client *c = arg;
    (void)reason, (void)len;
    c->ends++;
    c->code = code;
    websocket_free(c->w);
    c->w = NULL;
}

static const struct websocket_events events = {
    .data = on_data, .drained = on_drained, .ended = on_ended};

static void on_dialled(void *arg, struct stream *carrier, int error, int status)
{
    static const struct websocket_options options = {.role = WS_CLIENT, .message_max = 1 << 20};
    struct client *c = arg;
    c->dialled = true;
    c->status = status;
    CHECK_INT(error, carrier ? 0 : ECONNREFUSED);
    if (carrier)
        c->w = websocket_new(carrier, &options, &events, c);
}

static void come(struct front_rig *r, struct client *c, const struct front_user *who,
                 const char *query)
{
    *c = (struct client){.rig = r};
    cleanup_free char *target = xasprintf("/api/terminal%s", query);
    cleanup_free char *fields = xasprintf("Authorization: Bearer %s\r\n", who->token);
    const struct websocket_request request = {
        .host = "broker.test", .target = target, .fields = fields, .patience_ms = 20000};
    websocket_dial(front_dial(r), &request, on_dialled, c);
    TURN_UNTIL(r->loop, c->dialled);
}

static void come_back(struct front_rig *r, struct client *c, const struct front_user *who,
                      const char *session)
{
    cleanup_free char *query = xasprintf("?session=%s", session);
    come(r, c, who, query);
}

static void go(struct client *c)
{
    websocket_free(c->w);
    c->w = NULL;
    buf_fini(&c->shown);
    buf_fini(&c->told);
}

/* In the last of it: there may be much. */
static bool has(struct buf *b, const char *text)
{
    size_t len = b->len < 65536 ? b->len : 65536;
    return len && memmem(buf_front(b) + b->len - len, len, text, strlen(text)) != NULL;
}

static void say(struct client *c, const char *text)
{
    websocket_send(c->w, WS_BINARY, text, strlen(text));
}

static void tell(struct client *c, const char *text)
{
    websocket_send(c->w, WS_TEXT, text, strlen(text));
}

#define SHOWN(c, text) TURN_UNTIL((c)->rig->loop, has(&(c)->shown, text))
#define TOLD(c, text)  TURN_UNTIL((c)->rig->loop, has(&(c)->told, text))
#define ENDED(c)       TURN_UNTIL((c)->rig->loop, (c)->ends)

/* As a page that is closed, or loaded again. */
static void leave(struct client *c)
{
    websocket_close(c->w, WS_GOING_AWAY, "");
    ENDED(c);
}

struct rig {
    struct front_rig front;
    struct front_agent agent;
};

static void rig_init(struct rig *r)
{
    CHECK_INT(setenv("SHELL", "/bin/sh", 1), 0);
    CHECK_INT(setenv("PS1", "$ ", 1), 0);
    front_rig_init(&r->front);
    front_agent_join(&r->front, &r->agent, &r->front.ann, "laptop");
}

static void rig_fini(struct rig *r)
{
    front_agent_leave(&r->agent);
    front_rig_fini(&r->front);
}

/* Ann's agent, and a client of hers that has a terminal on it. */
static void begin_with(struct rig *r, struct client *c)
{
    rig_init(r);
    come(&r->front, c, &r->front.ann, "");
    TOLD(c, "session");
}

/* ---- */

TEST(terminal_types_shows_and_ends)
{
    struct rig r;
    struct client c;
    rig_init(&r);
    come(&r.front, &c, &r.front.ann, "?agent=laptop&rows=31&cols=97");
    TOLD(&c, "\"agent\":\"laptop\",\"hostname\":\"box\"");
    CHECK_INT(strlen(c.session), TERMINAL_ID_LEN);
    say(&c, "echo $0 $TERM $(stty size).\n");
    SHOWN(&c, "-sh xterm-256color 31 97.");
    tell(&c, "{\"resize\":{\"rows\":43,\"cols\":132}}");
    say(&c, "stty size\n");
    SHOWN(&c, "43 132\r\n");
    CHECK_INT(terminal_count(&r.front.front, &r.front.ann.who), 1);
    say(&c, "exit 7\n");
    TOLD(&c, "{\"exit\":7}");
    ENDED(&c);
    CHECK_INT(c.code, WS_NORMAL);
    CHECK_INT(terminal_count(&r.front.front, &r.front.ann.who), 0);
    go(&c);
    rig_fini(&r);
}

TEST(terminal_refuses_before_it_begins)
{
    static const struct {
        const char *query;
        int status;
    } rows[] = {
        {"?agent=other", 409}, {"?rows=0", 400},          {"?cols=65536", 400},
        {"?rows=-1", 400},     {"?rows=24&rows=24", 400}, {"?agent=%", 400},
    };
    struct rig r;
    struct client c;
    rig_init(&r);
    for (size_t i = 0; i < countof(rows); i++) {
        come(&r.front, &c, &r.front.ann, rows[i].query);
        CHECK_INT(c.status, rows[i].status);
    }
    come(&r.front, &c, &r.front.bob, "");
    CHECK_INT(c.status, 409);
    CHECK(!r.front.front.terminals);
    struct front_reply reply;
    front_ask(&r.front, &r.front.ann, "GET /api/terminal", NULL, &reply);
    CHECK_INT(reply.status, 426);
    front_reply_fini(&reply);
    rig_fini(&r);
}

/* Somebody else's is no other than one that never was. */
TEST(terminal_is_its_owners_alone)
{
    struct rig r;
    struct client c, other;
    begin_with(&r, &c);
    come_back(&r.front, &other, &r.front.bob, c.session);
    TOLD(&other, "{\"error\":\"not_found\"");
    ENDED(&other);
    CHECK_INT(other.code, WS_INTERNAL);
    CHECK_INT(other.texts, 1);
    go(&other);
    come_back(&r.front, &other, &r.front.ann, "00000000000000000000000000000000");
    TOLD(&other, "{\"error\":\"not_found\"");
    go(&other);
    say(&c, "echo still=$((1+1))\n");
    SHOWN(&c, "still=2");
    go(&c);
    rig_fini(&r);
}

TEST(terminal_outlives_its_client)
{
    struct rig r;
    struct client c, again;
    begin_with(&r, &c);
    say(&c, "N=5; echo first=$N\n");
    SHOWN(&c, "first=5");
    say(&c, "read X; echo last=$X\n");
    SHOWN(&c, "read X");
    leave(&c);
    come_back(&r.front, &again, &r.front.ann, c.session);
    SHOWN(&again, "first=5");
    CHECK_STR(again.session, c.session);
    say(&again, "9$N\n");
    SHOWN(&again, "last=9");
    CHECK_INT(terminal_count(&r.front.front, &r.front.ann.who), 1);
    go(&c);
    go(&again);
    rig_fini(&r);
}

/* The newest client has it; the one before knows why. */
TEST(terminal_is_taken_over)
{
    struct rig r;
    struct client c, next;
    begin_with(&r, &c);
    say(&c, "echo mine=$((40+2))\n");
    SHOWN(&c, "mine=42");
    cleanup_free char *query = xasprintf("?session=%s&rows=11&cols=22", c.session);
    come(&r.front, &next, &r.front.ann, query);
    ENDED(&c);
    CHECK_INT(c.code, VIEWER_TAKEN_OVER);
    SHOWN(&next, "mine=42");
    say(&next, "stty size\n");
    SHOWN(&next, "11 22\r\n");
    go(&c);
    go(&next);
    rig_fini(&r);
}

/* What came of it is told to who comes back in time. */
TEST(terminal_that_ended_unseen_says_so)
{
    struct rig r;
    struct client c, again;
    begin_with(&r, &c);
    say(&c, "echo go; while [ ! -e now ]; do sleep 0.01; done; echo bye=$((3*3)); exit 3\n");
    SHOWN(&c, "go\r\n");
    leave(&c);
    cleanup_free char *path = xasprintf("%s/now", r.front.dir);
    fclose(fopen(path, "w"));
    TURN_UNTIL(r.front.loop, !r.agent.service.requests);
    come_back(&r.front, &again, &r.front.ann, c.session);
    TOLD(&again, "{\"exit\":3}");
    CHECK(has(&again.shown, "bye=9"));
    ENDED(&again);
    CHECK(!r.front.front.terminals);
    go(&c);
    go(&again);
    rig_fini(&r);
}

TEST(terminal_ends_with_its_agent)
{
    struct rig r;
    struct client c, left, again;
    rig_init(&r);
    come(&r.front, &c, &r.front.ann, "");
    come(&r.front, &left, &r.front.ann, "");
    TOLD(&c, "session");
    TOLD(&left, "session");
    leave(&left);
    front_agent_leave(&r.agent);
    TOLD(&c, "{\"error\":\"agent_disconnected\"");
    ENDED(&c);
    CHECK_INT(c.code, WS_INTERNAL);
    come_back(&r.front, &again, &r.front.ann, left.session);
    TOLD(&again, "{\"error\":\"agent_disconnected\"");
    ENDED(&again);
    CHECK(!r.front.front.terminals);
    go(&c);
    go(&left);
    go(&again);
    rig_fini(&r);
}

TEST(terminal_ends_where_its_client_is_done)
{
    struct rig r;
    struct client c;
    begin_with(&r, &c);
    websocket_close(c.w, (enum ws_code)VIEWER_DONE, "");
    TURN_UNTIL(r.front.loop, c.ends && !r.front.front.terminals);
    TURN_UNTIL(r.front.loop, !r.agent.service.requests);
    go(&c);
    rig_fini(&r);
}

TEST(terminal_client_says_what_it_should_not)
{
    static const struct {
        const char *text;
        bool fine;
    } rows[] = {
        {"{}", true},
        {"{\"what\":[1]}", true},
        {"{\"resize\":null}", true},
        {"{\"resize\":{\"rows\":1,\"cols\":65535}}", true},
        {"", false},
        {"[]", false},
        {"{\"resize\":1}", false},
        {"{\"resize\":{\"rows\":24}}", false},
        {"{\"resize\":{\"rows\":0,\"cols\":80}}", false},
        {"{\"resize\":{\"rows\":24,\"cols\":65536}}", false},
        {"{\"resize\":{\"rows\":24.5,\"cols\":80}}", false},
    };
    static char big[VIEWER_TEXT_MAX + 2];
    struct rig r;
    struct client c;
    rig_init(&r);
    come(&r.front, &c, &r.front.ann, "");
    for (size_t i = 0; i <= countof(rows); i++) {
        bool fine = i < countof(rows) && rows[i].fine;
        memset(big, ' ', sizeof big - 1);
        TOLD(&c, "session");
        tell(&c, i < countof(rows) ? rows[i].text : big);
        if (fine) {
            say(&c, "echo ok=$((1+1))\n");
            SHOWN(&c, "ok=2");
            buf_consume(&c.shown, c.shown.len);
            continue;
        }
        TOLD(&c, "{\"error\":\"invalid_request\"");
        ENDED(&c);
        CHECK_INT(c.code, WS_POLICY);
        char session[TERMINAL_ID_LEN + 1];
        memcpy(session, c.session, sizeof session);
        go(&c);
        come_back(&r.front, &c, &r.front.ann, session);
    }
    go(&c);
    rig_fini(&r);
}

/* Until nothing moves any more. */
static void until_quiet(struct loop *loop)
{
    uint64_t began_us;
    do {
        began_us = loop_clock_us();
        loop_turn(loop, 300);
    } while (loop_clock_us() - began_us < 300000);
}

/* A client that takes nothing holds the command up, and then it has missed nothing. */
TEST(terminal_waits_for_its_client)
{
    struct rig r;
    struct client c;
    begin_with(&r, &c);
    say(&c,
        "stty -echo -opost; yes 0123456789abcde | head -c 8000000; touch over; echo n$((1+1))d\n");
    SHOWN(&c, "0123456789abcde\n0123456789abcde");
    websocket_pause(c.w, true);
    cleanup_free char *path = xasprintf("%s/over", r.front.dir);
    until_quiet(r.front.loop);
    CHECK(access(path, F_OK) < 0);
    websocket_pause(c.w, false);
    SHOWN(&c, "n2d");
    const uint8_t *text = memmem(buf_front(&c.shown), c.shown.len, "0123456789abcde\n", 16);
    for (size_t i = 0; text && i < 8000000; i += 16)
        if (memcmp(text + i, "0123456789abcde\n", 16) != 0) {
            test_fail(__FILE__, __LINE__, "other bytes at %zu", i);
            break;
        }
    go(&c);
    rig_fini(&r);
}

/* What is typed while the program reads nothing waits with its client, but for what the kernel and the windows
 * on the way take: how much that is depends on how fast it came. */
TEST(terminal_holds_typing_up)
{
    static char paste[4 << 20];
    struct rig r;
    struct client c;
    size_t typed = 0;
    begin_with(&r, &c);
    say(&c, "stty raw -echo; echo re''ady; while [ ! -s now ]; do sleep 0.01; done; "
            "head -c $(cat now) | cksum; stty sane\n");
    SHOWN(&c, "ready");
    memset(paste, 'x', sizeof paste);
    do {
        websocket_send(c.w, WS_BINARY, paste, sizeof paste);
        typed += sizeof paste;
        until_quiet(r.front.loop);
    } while (websocket_room(c.w) && typed < 16 * sizeof paste);
    CHECK(!websocket_room(c.w));
    cleanup_free char *path = xasprintf("%s/now", r.front.dir), *size = xasprintf("%zu", typed);
    cleanup_free char *sum = xasprintf(" %zu", typed);
    CHECK_INT(path_write_atomic(path, size, strlen(size), 0600), 0);
    SHOWN(&c, sum);
    go(&c);
    rig_fini(&r);
}

/* ---- how long ---- */

static const struct terminal_limits impatient = {.alone_ms = 20, .silence_ms = 20, .each = 1};

/* A terminal under other limits, shown to a client at the other end of a socket pair. */
static void begin(struct rig *r, int fd[2])
{
    struct place place;
    struct front *f = &r->front.front;
    const struct activity_what what = {.who = &r->front.ann.who,
                                       .kind = ACTIVITY_TERMINAL,
                                       .agent = "",
                                       .hostname = "",
                                       .what = ""};
    unix_pair(fd);
    CHECK_INT(place_find(f, &r->front.ann.who, NULL, &place), 0);
    const struct proof proof = {.who = r->front.ann.who, .until_s = INT64_MAX};
    const struct terminal_spec spec = {
        .proof = &proof,
        .place = &place,
        .limits = &impatient,
        .entry = activity_begin(f->activity, &what, NULL, NULL),
    };
    terminal_begin(f, &spec, place_connect(&place), fdstream_new(f->loop, fd[0], fd[0]));
    CHECK(f->terminals != NULL);
}

TEST(terminal_is_hung_up_when_left)
{
    struct rig r;
    int fd[2];
    rig_init(&r);
    begin(&r, fd);
    TURN_UNTIL(r.front.loop, r.agent.service.requests);
    close(fd[1]);
    TURN_UNTIL(r.front.loop, !r.front.front.terminals);
    TURN_UNTIL(r.front.loop, !r.agent.service.requests);
    rig_fini(&r);
}

/* One whose connection is there still, but who is not. */
TEST(terminal_finds_a_dead_client_out)
{
    struct rig r;
    int fd[2];
    rig_init(&r);
    begin(&r, fd);
    TURN_UNTIL(r.front.loop, !r.front.front.terminals);
    close(fd[1]);
    rig_fini(&r);
}

/* ---- the tail ---- */

static void check_tail(const struct tail *t, const void *want, size_t len)
{
    struct buf got = {0};
    tail_read(t, &got);
    CHECK_INT(got.len, len);
    CHECK(got.len == len && (!len || memcmp(buf_front(&got), want, len) == 0));
    buf_fini(&got);
}

TEST(tail_keeps_the_last)
{
    static uint8_t said[5 * TAIL_MAX];
    for (size_t i = 0; i < sizeof said; i++)
        said[i] = (uint8_t)('A' + i % 23);
    for (size_t piece = 1; piece < 2 * TAIL_MAX; piece = piece * 3 + 1) {
        struct tail t = {0};
        check_tail(&t, "", 0);
        for (size_t at = 0; at + piece <= sizeof said; at += piece) {
            tail_put(&t, said + at, piece);
            size_t end = at + piece, len = end < TAIL_MAX ? end : TAIL_MAX;
            if (end % 7 == 0 || end > sizeof said - piece)
                check_tail(&t, said + end - len, len);
        }
        tail_fini(&t);
    }
}

TEST(tail_begins_where_a_screen_can)
{
    static const struct {
        const char *head;
        size_t skipped;
    } rows[] = {
        {"of a line\nnext", 10},     {"1mred\x1b[0m", 5}, {"\x9f\x92\xa9x", 3},
        {"\xbf\xbf\xbf\xbf\xbf", 3}, {"plain", 0},        {"\x1b[1mred\n", 8},
    };
    static uint8_t said[TAIL_MAX + 1];
    for (size_t i = 0; i < countof(rows); i++) {
        struct tail t = {0};
        size_t len = strlen(rows[i].head);
        memset(said, '.', sizeof said);
        memcpy(said + 1, rows[i].head, len);
        tail_put(&t, said + 1, TAIL_MAX);
        check_tail(&t, said + 1, TAIL_MAX); /* nothing was cut */
        tail_fini(&t);
        tail_put(&t, said, sizeof said);
        check_tail(&t, said + 1 + rows[i].skipped, TAIL_MAX - rows[i].skipped);
        tail_fini(&t);
    }
}
