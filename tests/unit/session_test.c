#include "applets/service/session.h"

#include <errno.h>

#include "core/fdstream.h"
#include "core/mem.h"
#include "net/yamux.h"
#include "tests/unit/probe.h"

static const uint8_t name[SESSION_LEN] = "sixteen bytes ..";

/* One end, and what it was told. */
struct end {
    struct session *session;
    unsigned ups, downs, overs;
    int error; /* of the last down or over */
    enum message_type types[8];
    size_t messages;
    struct probe streams[4];
    size_t n;
    bool free_on_message;
};

struct pair {
    struct loop *loop;
    struct end master, agent;
};

static void on_up(void *arg)
{
    ((struct end *)arg)->ups++;
}

static void on_down(void *arg, int error)
{
    struct end *e = arg;
    e->downs++;
    e->error = error;
}

static void on_over(void *arg, int error)
{
    struct end *e = arg;
    e->overs++;
    e->error = error;
    session_free(e->session);
    e->session = NULL;
}

static void on_message(void *arg, const struct message *m)
{
    struct end *e = arg;
    if (e->messages < countof(e->types))
        e->types[e->messages] = m->type;
    e->messages++;
    if (!e->free_on_message)
        return;
    session_free(e->session);
    e->session = NULL;
}

static void on_stream(void *arg, struct stream *s)
{
    struct end *e = arg;
    if (e->n < countof(e->streams))
        probe_own(&e->streams[e->n++], s);
    else
        stream_reset(s);
}

static const struct session_events events = {
    .up = on_up, .down = on_down, .over = on_over, .message = on_message, .stream = on_stream};

static void open_pair(struct pair *p)
{
    *p = (struct pair){.loop = loop_new()};
    p->master.session = session_new(p->loop, SESSION_MASTER, name, &events, &p->master);
    p->agent.session = session_new(p->loop, SESSION_AGENT, name, &events, &p->agent);
}

static void close_pair(struct pair *p)
{
    struct end *ends[] = {&p->master, &p->agent};
    for (size_t i = 0; i < countof(ends); i++) {
        for (size_t k = 0; k < ends[i]->n; k++)
            probe_fini(&ends[i]->streams[k]);
        session_free(ends[i]->session);
    }
    for (int i = 0; i < 4; i++)
        loop_turn(p->loop, 0);
    loop_free(p->loop);
}

/* A new carrier for both. */
static void carry(struct pair *p)
{
    int fds[2];
    unix_pair(fds);
    session_carry(p->master.session, fdstream_new(p->loop, fds[0], fds[0]), NULL);
    session_carry(p->agent.session, fdstream_new(p->loop, fds[1], fds[1]), NULL);
}

static void send_type(struct session *s, enum message_type type)
{
    struct draft d = draft_of(type);
    session_send(s, &d);
}

TEST(session_carries_messages_and_streams)
{
    struct pair p;
    struct probe opened = {0};
    open_pair(&p);
    send_type(p.agent.session, MSG_OK); /* nobody to say it to yet */
    send_type(p.master.session, MSG_HELLO);
    carry(&p);
    TURN_UNTIL(p.loop, p.agent.messages);
    CHECK(session_is_up(p.master.session) && session_is_up(p.agent.session));
    CHECK_INT(p.agent.types[0], MSG_HELLO);
    send_type(p.agent.session, MSG_HELLO_ACK);
    TURN_UNTIL(p.loop, p.master.messages);
    CHECK_INT(p.master.types[0], MSG_HELLO_ACK);
    probe_own(&opened, session_open(p.agent.session));
    stream_write(opened.s, "from there", 10);
    TURN_UNTIL(p.loop, p.master.n && probe_got(&p.master.streams[0], "from there"));
    TURN_UNTIL(p.loop, session_rtt_us(p.master.session));
    CHECK_INT(p.agent.messages, 1); /* pings are not told */
    CHECK_INT(p.agent.n, 0);
    probe_fini(&opened);
    close_pair(&p);
}

TEST(session_goes_on_over_another_carrier)
{
    struct pair p;
    struct probe opened = {0};
    open_pair(&p);
    carry(&p);
    TURN_UNTIL(p.loop, p.master.ups && p.agent.ups);
    probe_own(&opened, session_open(p.master.session));
    stream_write(opened.s, "one", 3);
    TURN_UNTIL(p.loop, p.agent.n && probe_got(&p.agent.streams[0], "one"));
    session_drop_carrier(p.master.session);
    CHECK(!session_is_up(p.master.session));
    stream_write(opened.s, "two", 3);
    send_type(p.master.session, MSG_SHUTDOWN);
    TURN_UNTIL(p.loop, p.agent.downs);
    CHECK_INT(p.master.downs, 0);
    carry(&p);
    TURN_UNTIL(p.loop, p.agent.messages && probe_got(&p.agent.streams[0], "onetwo"));
    CHECK_INT(p.master.ups, 2);
    CHECK_INT(p.agent.overs + p.master.overs, 0);
    probe_fini(&opened);
    close_pair(&p);
}

TEST(session_that_the_other_end_has_forgotten_is_over)
{
    struct pair p;
    struct probe opened = {0};
    open_pair(&p);
    carry(&p);
    probe_own(&opened, session_open(p.master.session));
    stream_write(opened.s, "x", 1);
    TURN_UNTIL(p.loop, p.agent.n && p.agent.streams[0].got.len);
    session_free(p.agent.session);
    p.agent.session = session_new(p.loop, SESSION_AGENT, name, &events, &p.agent);
    TURN_UNTIL(p.loop, p.master.downs);
    carry(&p);
    TURN_UNTIL(p.loop, p.master.overs);
    CHECK_INT(p.master.error, ECONNRESET);
    TURN_UNTIL(p.loop, opened.errors);
    probe_fini(&opened);
    close_pair(&p);
}

TEST(session_may_be_freed_by_a_message)
{
    struct pair p;
    open_pair(&p);
    p.agent.free_on_message = true;
    for (int i = 0; i < 3; i++)
        send_type(p.master.session, MSG_SHUTDOWN);
    carry(&p);
    TURN_UNTIL(p.loop, p.agent.messages && p.master.downs);
    CHECK_INT(p.agent.messages, 1);
    close_pair(&p);
}

/* A master made by hand: a link, a mux, and whatever is written on its first stream. */
struct crook {
    struct loop *loop;
    struct end agent;
    struct link *link;
    struct mux *mux;
    struct probe control;
    bool up;
};

static void on_link(void *arg, struct link *l, enum link_event event)
{
    (void)l;
    ((struct crook *)arg)->up = event == LINK_UP;
}

static void refuse_stream(void *arg, struct stream *s)
{
    (void)arg;
    stream_reset(s);
}

static void on_mux_down(void *arg, int error)
{
    (void)arg;
    (void)error;
}

static const struct mux_events mux_events = {.accepted = refuse_stream, .down = on_mux_down};

static void open_crook(struct crook *k)
{
    int fds[2];
    *k = (struct crook){.loop = loop_new()};
    unix_pair(fds);
    k->agent.session = session_new(k->loop, SESSION_AGENT, name, &events, &k->agent);
    k->link = link_new(k->loop, name, on_link, k);
    k->mux = yamux_new(link_stream(k->link), YAMUX_CLIENT, &mux_events, k);
    probe_own(&k->control, mux_open(k->mux));
    session_carry(k->agent.session, fdstream_new(k->loop, fds[0], fds[0]), NULL);
    link_attach(k->link, fdstream_new(k->loop, fds[1], fds[1]), NULL);
    TURN_UNTIL(k->loop, k->up);
}

static void close_crook(struct crook *k)
{
    probe_fini(&k->control);
    mux_free(k->mux);
    link_free(k->link);
    session_free(k->agent.session);
    for (int i = 0; i < 4; i++)
        loop_turn(k->loop, 0);
    loop_free(k->loop);
}

TEST(session_ends_by_what_is_no_message)
{
    static const char *const bad[] = {"{\"type\":\"Whatever\"}", "{}", "{", "\1data"};
    for (size_t i = 0; i <= countof(bad); i++) {
        struct crook k;
        open_crook(&k);
        if (i < countof(bad))
            frame_write(k.control.s, bad[i], strlen(bad[i]));
        else
            stream_write(k.control.s, "\377\377\377\377", 4);
        TURN_UNTIL(k.loop, k.agent.overs);
        CHECK_INT(k.agent.error, EPROTO);
        CHECK_INT(k.agent.messages, 0);
        close_crook(&k);
    }
}

TEST(session_ends_with_its_control_stream)
{
    for (int reset = 0; reset < 2; reset++) {
        struct crook k;
        open_crook(&k);
        message_send(k.control.s, MSG_HELLO);
        TURN_UNTIL(k.loop, k.agent.messages);
        if (reset)
            stream_reset(k.control.s);
        else
            stream_close(k.control.s);
        k.control.s = NULL;
        TURN_UNTIL(k.loop, k.agent.overs);
        CHECK_INT(k.agent.error, reset ? ECONNRESET : 0);
        close_crook(&k);
    }
}

TEST(session_does_not_hear_who_does_not_listen)
{
    static const char ping[] = "{\"type\":\"Ping\",\"n\":9007199254740991}";
    struct crook k;
    open_crook(&k);
    k.control.hold = true;
    /* So many that the answers would fill both windows several times over. */
    size_t asked = 0, quiet = 0;
    while (quiet < 50 && asked < 200000) {
        size_t before = asked;
        while (stream_room(k.control.s) > sizeof ping + 4) {
            frame_write(k.control.s, ping, sizeof ping - 1);
            asked++;
        }
        loop_turn(k.loop, 1);
        quiet = asked == before ? quiet + 1 : 0;
    }
    CHECK(asked < 100000);
    CHECK_INT(k.agent.overs, 0);
    /* Once it listens, everything is answered. */
    k.control.hold = false;
    probe_drink(&k.control);
    size_t pong = sizeof ping - 1 + 4;
    TURN_UNTIL(k.loop, k.control.got.len >= asked * pong);
    close_crook(&k);
}
