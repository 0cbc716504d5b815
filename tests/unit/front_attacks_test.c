/* What a client, or an agent, does to a broker's front that it should not: each is to cost the front little. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "applets/broker/call.h"
#include "applets/broker/terminals.h"
#include "core/mem.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"
#include "tests/unit/front_client.h"

#define HELD 300u

struct scene {
    struct front_rig r;
    struct front_agent agent;
    struct stream *held[HELD]; /* requests that the agent has taken, and leaves be */
    size_t n;
};

static void hold(struct front_agent *a, struct stream *stream)
{
    struct scene *s = container_of(a, struct scene, agent);
    CHECK(s->n < HELD);
    s->held[s->n++] = stream;
}

static void scene_init(struct scene *s)
{
    *s = (struct scene){0};
    front_rig_init(&s->r);
    front_agent_join(&s->r, &s->agent, &s->r.ann, "laptop");
    s->agent.accept = hold;
}

static void scene_fini(struct scene *s)
{
    while (s->n)
        stream_close(s->held[--s->n]);
    front_agent_leave(&s->agent);
    front_rig_fini(&s->r);
}

/* ---- terminals ---- */

struct client {
    struct websocket *w;
    bool dialled, ended;
};

static void on_data(void *arg, bool text, const uint8_t *data, size_t len, bool last)
{
    (void)arg, (void)text, (void)data, (void)len, (void)last;
}

static void on_drained(void *arg)
{
    (void)arg;
}

static void on_ended(void *arg, uint16_t code, const char *reason, size_t len)
{
    struct client *c = arg;
    (void)code, (void)reason, (void)len;
    websocket_free(c->w);
    c->w = NULL;
    c->ended = true;
}

static void on_dialled(void *arg, struct stream *carrier, int error, int status)
{
    static const struct websocket_options options = {.role = WS_CLIENT, .message_max = 1 << 16};
    static const struct websocket_events events = {
        .data = on_data, .drained = on_drained, .ended = on_ended};
    struct client *c = arg;
    (void)error, (void)status;
    c->dialled = true;
    if (carrier)
        c->w = websocket_new(carrier, &options, &events, c);
}

static void ask_for_terminal(struct scene *s, struct client *c, struct stream *carrier)
{
    cleanup_free char *fields = xasprintf("Authorization: Bearer %s\r\n", s->r.ann.token);
    const struct websocket_request request = {
        .host = "broker.test", .target = "/api/terminal", .fields = fields, .patience_ms = 60000};
    websocket_dial(carrier, &request, on_dialled, c);
}

/* They all ask before the first of them has begun. */
TEST(attack_many_terminals_at_once)
{
    static struct client c[48];
    struct stream *carriers[countof(c)];
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < countof(c); i++)
        carriers[i] = front_dial(&s.r);
    for (size_t i = 0; i < countof(c); i++)
        ask_for_terminal(&s, &c[i], carriers[i]);
    for (size_t i = 0; i < countof(c); i++)
        TURN_UNTIL(s.r.loop, c[i].dialled);
    CHECK_INT(terminal_count(&s.r.front, &s.r.ann.who), terminal_limits.each);
    for (size_t i = 0; i < countof(c); i++)
        websocket_free(c[i].w);
    scene_fini(&s);
}

/* Each message makes another one, for an agent that takes none. */
TEST(attack_resizes_that_no_agent_takes)
{
    static char text[900];
    static struct client c;
    struct scene s;
    scene_init(&s);
    ask_for_terminal(&s, &c, front_dial(&s.r));
    TURN_UNTIL(s.r.loop, c.w && s.n);
    int len = snprintf(text, sizeof text, "{\"resize\":{\"rows\":%d,\"cols\":%d}}", 65535, 65535);
    memset(text + len, ' ', sizeof text - (size_t)len);
    for (int i = 0; i < 40000; i++)
        websocket_send(c.w, WS_TEXT, text, sizeof text);
    for (int i = 0; i < 4000 && !websocket_room(c.w); i++)
        loop_turn(s.r.loop, 1);
    CHECK(!websocket_room(c.w)); /* it waits for the agent */
    websocket_free(c.w);
    scene_fini(&s);
}

/* ---- bodies ---- */

/* Who has proven nothing has little to say. */
TEST(attack_bodies_of_anybody)
{
    static char body[100000];
    struct scene s;
    struct front_asked ask;
    scene_init(&s);
    int len = snprintf(body, sizeof body, "{\"token\":\"x\",\"code\":\"x\"}");
    memset(body + len, ' ', sizeof body - 1 - (size_t)len);
    CHECK_INT(front_answer(&s.r, &ask,
                           &(struct front_request){.line = "POST /api/session", .body = body}),
              413);
    front_asked_fini(&ask);
    CHECK_INT(front_answer(&s.r, &ask,
                           &(struct front_request){.line = "POST /api/agent/enroll", .body = body}),
              413);
    front_asked_fini(&ask);
    scene_fini(&s);
}

/* ---- what an agent says ---- */

/* A frame of a command's output is as long as what was read at once; this one would be kept whole. */
TEST(attack_output_in_huge_frames)
{
    struct scene s;
    struct front_asked ask;
    scene_init(&s);
    front_say(&s.r, &ask,
              &(struct front_request){&s.r.ann, "POST /api/exec", "Accept: text/event-stream\r\n",
                                      "{\"command\":\"id\"}"});
    TURN_UNTIL(s.r.loop, s.n);
    frame_begin(s.held[0], FRAME_LIMIT);
    front_wait(&s.r, &ask);
    CHECK_INT(ask.status, 502);
    front_asked_fini(&ask);
    scene_fini(&s);
}

/* ---- how many ---- */

#define EXEC(user)                                                                                 \
    {                                                                                              \
        user, "POST /api/exec", NULL, "{\"command\":\"id\"}"                                       \
    }

/* Each would keep what the agent says, for as long as it likes. */
TEST(attack_requests_without_an_end)
{
    static struct front_asked asks[CALLS_EACH];
    struct scene s;
    struct front_asked ask;
    scene_init(&s);
    for (size_t i = 0; i < CALLS_EACH; i++)
        front_say(&s.r, &asks[i], &(struct front_request)EXEC(&s.r.ann));
    TURN_UNTIL(s.r.loop, s.n == CALLS_EACH);
    CHECK_INT(front_answer(&s.r, &ask, &(struct front_request)EXEC(&s.r.ann)), 429);
    CHECK(strstr(ask.head, "Retry-After: 1") != NULL);
    front_asked_fini(&ask);
    CHECK_INT(front_answer(&s.r, &ask, &(struct front_request)EXEC(&s.r.bob)), 409);
    front_asked_fini(&ask);
    while (s.n)
        stream_close(s.held[--s.n]);
    for (size_t i = 0; i < CALLS_EACH; i++) {
        front_wait(&s.r, &asks[i]);
        CHECK_INT(asks[i].status, 502);
        front_asked_fini(&asks[i]);
    }
    TURN_UNTIL(s.r.loop, !s.r.front.calls);
    for (size_t i = 0; i < TALLY_SLOTS; i++)
        CHECK(!s.r.front.under_way.slots[i]);
    scene_fini(&s);
}

static void answer_much(struct stream *stream)
{
    static char text[3 << 20];
    memset(text, 'x', sizeof text - 1);
    struct draft d = draft_of(MSG_EXEC_RESULT);
    draft_int(&d, "exit_code", 0);
    draft_str(&d, "stdout", text);
    draft_str(&d, "stderr", "");
    draft_send(&d, stream);
}

/* Several on one connection, so that its buffers are full at last. */
TEST(attack_answers_that_nobody_takes)
{
    struct scene s;
    scene_init(&s);
    struct stream *client = front_dial(&s.r);
    cleanup_free char *one = xasprintf("POST /api/exec HTTP/1.1\r\nHost: broker.example\r\n"
                                       "Authorization: Bearer %s\r\nContent-Length: 16\r\n\r\n"
                                       "{\"command\":\"id\"}",
                                       s.r.ann.token);
    size_t answered = 0;
    for (int i = 0; i < 8; i++)
        stream_write(client, one, strlen(one));
    for (int quiet = 0; quiet < 500; quiet++) {
        loop_turn(s.r.loop, 1);
        if (answered < s.n)
            answer_much(s.held[answered++]), quiet = 0;
    }
    CHECK(answered > 0 && answered < 8);
    CHECK(s.r.front.calls != NULL);
    stream_reset(client);
    TURN_UNTIL(s.r.loop, !s.r.front.calls);
    scene_fini(&s);
}
