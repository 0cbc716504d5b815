/* One question to a guest agent that the test plays. */
#include "net/guest_ask.h"

#include "core/bytes.h"
#include "tests/unit/guest_peer.h"

#define PING "\0\0\0\x0f{\"type\":\"Ping\"}"

struct outcome {
    char text[64]; /* of the message's member "version" */
    enum message_type type;
    int error, count;
    bool connected;
};

static void on_answer(void *arg, const struct guest_answer *answer)
{
    struct outcome *o = arg;
    const char *text = answer->message ? json_get_str(answer->message->body, "version") : NULL;
    CHECK(!answer->message == (answer->error != 0));
    o->count++;
    o->error = answer->error;
    o->connected = answer->connected;
    o->type = answer->message ? answer->message->type : MSG_COUNT;
    snprintf(o->text, sizeof(o->text), "%s", text ? text : "");
    CHECK(!answer->message || answer->rtt_us < 60000000);
}

static struct guest_ask *start(struct peer *p, uint64_t limit_ms, struct outcome *o)
{
    const struct guest_place place = peer_place(p, GUEST_UNIX);
    const struct guest_question q = {
        .request = draft_of(MSG_PING), .limit_ms = limit_ms, .fn = on_answer, .arg = o};
    *o = (struct outcome){0};
    return guest_ask(p->loop, &place, &q);
}

/* As far as the question, which the agent reads. */
static void begin(struct peer *p, struct outcome *o)
{
    char got[64];
    start(p, 0, o);
    CHECK_INT(o->count, 0);
    peer_accept(p);
    peer_await(p, p->fd);
    CHECK_INT(recv(p->fd, got, sizeof(got), MSG_DONTWAIT), sizeof(PING) - 1);
    CHECK(memcmp(got, PING, sizeof(PING) - 1) == 0);
}

static void send_header(struct peer *p, uint32_t len)
{
    uint8_t header[4];
    struct writer w = writer_to(header, sizeof(header));
    write_u32(&w, len);
    CHECK_INT(send(p->fd, header, sizeof(header), MSG_NOSIGNAL), 4);
}

static void answer(struct peer *p, const char *text)
{
    send_header(p, (uint32_t)strlen(text));
    peer_send(p, text);
}

static void expect(struct peer *p, const struct outcome *o, int error)
{
    TURN_UNTIL(p->loop, o->count == 1);
    CHECK_INT(o->error, error);
    if (p->fd >= 0)
        peer_expect_end(p);
    peer_fini(p);
}

TEST(guest_ask_is_answered)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    begin(&p, &o);
    answer(&p, "{\"type\":\"Pong\",\"version\":\"1.2.3\"}");
    TURN_UNTIL(p.loop, o.count == 1);
    CHECK_INT(o.type, MSG_PONG);
    CHECK_STR(o.text, "1.2.3");
    expect(&p, &o, 0);
}

TEST(guest_ask_refused_is_answered_too)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    begin(&p, &o);
    answer(&p, "{\"type\":\"Error\",\"code\":\"Internal\",\"message\":\"no\"}");
    TURN_UNTIL(p.loop, o.count == 1);
    CHECK_INT(o.type, MSG_ERROR);
    expect(&p, &o, 0);
}

/* More than a frame holds elsewhere. */
TEST(guest_ask_takes_large_answers)
{
    static const char head[] = "{\"type\":\"Pong\",\"version\":\"big\",\"x\":\"";
    struct peer p;
    struct outcome o;
    size_t len = 10 << 20, sent = sizeof(head) - 1;
    cleanup_free char *text = xmalloc(len);
    memset(text, 'x', len);
    memcpy(text, head, sent);
    text[len - 2] = '"';
    text[len - 1] = '}';
    peer_init(&p);
    begin(&p, &o);
    send_header(&p, (uint32_t)len);
    for (sent = 0; sent < len && !o.count;) {
        ssize_t n = send(p.fd, text + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(p.loop, 0);
    }
    TURN_UNTIL(p.loop, o.count == 1);
    CHECK_STR(o.text, "big");
    expect(&p, &o, 0);
}

TEST(guest_ask_what_is_no_answer)
{
    static const char *const bad[] = {"{\"type\":\"Pong\"", "{}", "{\"type\":\"Nonsense\"}",
                                      "\1data"};
    for (size_t i = 0; i < countof(bad); i++) {
        struct peer p;
        struct outcome o;
        peer_init(&p);
        begin(&p, &o);
        answer(&p, bad[i]);
        expect(&p, &o, EPROTO);
        CHECK(o.connected);
    }
}

TEST(guest_ask_a_frame_over_the_limit)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    begin(&p, &o);
    send_header(&p, GUEST_FRAME_LIMIT + 1);
    expect(&p, &o, EPROTO);
}

TEST(guest_ask_ends_before_the_answer)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    begin(&p, &o);
    send_header(&p, 100);
    peer_close(&p.fd);
    expect(&p, &o, ECONNRESET);
    CHECK(o.connected);
}

TEST(guest_ask_nobody)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    peer_close(&p.listening);
    start(&p, 0, &o);
    expect(&p, &o, ECONNREFUSED);
    CHECK(!o.connected);
}

TEST(guest_ask_silence)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    start(&p, 30, &o);
    TURN_UNTIL(p.loop, o.count == 1);
    CHECK(o.connected);
    expect(&p, &o, ETIMEDOUT);
}

TEST(guest_ask_cancelled)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    guest_ask_cancel(start(&p, 0, &o));
    peer_accept(&p);
    peer_expect_end(&p);
    peer_close(&p.fd);
    struct guest_ask *a = start(&p, 1000, &o);
    peer_accept(&p);
    peer_await(&p, p.fd);
    guest_ask_cancel(a);
    CHECK_INT(o.count, 0);
    peer_fini(&p);
}
