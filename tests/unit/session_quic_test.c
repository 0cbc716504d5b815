/* A session with QUIC beside its link: real packets over loopback, through a relay that can be
 * cut. */
#include <errno.h>

#include "applets/service/session_state.h"
#include "core/fdstream.h"
#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/quic_rig.h"
#include "tests/unit/session_rig.h"

struct end {
    struct session *session;
    unsigned ups, downs, fails, moves, lefts, overs, messages, datagrams;
    struct probe streams[8];
    size_t n;
};

struct pair {
    struct qrig rig;
    struct end master, agent;
};

static void on_up(void *arg)
{
    ((struct end *)arg)->ups++;
}

static void on_down(void *arg, int error)
{
    struct end *e = arg;
    (void)error;
    e->downs++;
}

static void on_failed(void *arg, int error)
{
    struct end *e = arg;
    (void)error;
    e->fails++;
}

static void on_moved(void *arg)
{
    ((struct end *)arg)->moves++;
}

static void on_left(void *arg)
{
    ((struct end *)arg)->lefts++;
}

static void on_over(void *arg, int error)
{
    struct end *e = arg;
    (void)error;
    e->overs++;
    session_free(e->session);
    e->session = NULL;
}

static void on_message(void *arg, const struct message *m)
{
    struct end *e = arg;
    (void)m;
    e->messages++;
}

static void on_first(void *arg, struct stream *s, enum stream_event event)
{
    struct end *e = arg;
    if (event == STREAM_ERROR)
        stream_close(s);
    if (event == STREAM_DATA && !session_rig_attach(e->session, s))
        probe_own(&e->streams[e->n++], s);
}

static void on_stream(void *arg, struct stream *s)
{
    stream_own(s, on_first, arg);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    struct end *e = arg;
    e->datagrams += len == 4 && memcmp(data, "ping", 4) == 0;
}

static const struct session_events events = {.up = on_up,
                                             .down = on_down,
                                             .failed = on_failed,
                                             .moved = on_moved,
                                             .left = on_left,
                                             .over = on_over,
                                             .message = on_message,
                                             .stream = on_stream,
                                             .datagram = on_datagram};

static void carry(struct pair *p)
{
    int fds[2];
    unix_pair(fds);
    session_carry(p->master.session, fdstream_new(p->rig.loop, fds[0], fds[0]), NULL);
    session_carry(p->agent.session, fdstream_new(p->rig.loop, fds[1], fds[1]), NULL);
}

static void send_type(struct session *s, enum message_type type)
{
    struct draft d = draft_of(type);
    session_send(s, &d);
}

static void connect_quic(struct pair *p)
{
    unsigned ups = p->rig.a.ups;
    qrig_connect(&p->rig);
    QRIG_UNTIL(&p->rig, p->rig.a.ups > ups && p->rig.b.m);
}

static void take_quic(struct session *s, struct mux **m)
{
    session_take_quic(s, *m);
    *m = NULL;
}

/* Up over a carrier, then QUIC beside it. */
static void open_pair(struct pair *p)
{
    *p = (struct pair){0};
    qrig_begin(&p->rig, true);
    p->master.session =
        session_new(p->rig.loop, SESSION_MASTER, p->rig.session, &events, &p->master);
    p->agent.session = session_new(p->rig.loop, SESSION_AGENT, p->rig.session, &events, &p->agent);
    carry(p);
    QRIG_UNTIL(&p->rig, p->master.ups && p->agent.ups);
    CHECK_INT(session_way(p->master.session), SESSION_SSH);
    connect_quic(p);
    take_quic(p->master.session, &p->rig.a.m);
    take_quic(p->agent.session, &p->rig.b.m);
}

static void close_pair(struct pair *p)
{
    struct end *ends[] = {&p->master, &p->agent};
    for (size_t i = 0; i < countof(ends); i++) {
        for (size_t k = 0; k < ends[i]->n; k++)
            probe_fini(&ends[i]->streams[k]);
        session_free(ends[i]->session);
    }
    qrig_end(&p->rig);
}

TEST(session_quic_takes_new_streams_and_datagrams)
{
    struct pair p;
    struct probe new = {0}, back = {0};
    open_pair(&p);
    CHECK_INT(p.master.moves, 1);
    CHECK_INT(session_way(p.master.session), SESSION_QUIC);
    CHECK_INT(session_way(p.agent.session), SESSION_QUIC);
    probe_own(&new, session_open(p.master.session));
    stream_write(new.s, "by quic", 7);
    QRIG_UNTIL(&p.rig, p.agent.n == 1 && probe_got(&p.agent.streams[0], "by quic"));
    probe_own(&back, session_open(p.agent.session));
    stream_write(back.s, "and back", 8);
    QRIG_UNTIL(&p.rig, p.master.n == 1 && probe_got(&p.master.streams[0], "and back"));
    CHECK(session_datagram_max(p.master.session) > 1000);
    CHECK_INT(session_datagram_send(p.master.session, "ping", 4), 0);
    CHECK_INT(session_datagram_send(p.agent.session, "ping", 4), 0);
    QRIG_UNTIL(&p.rig, p.master.datagrams && p.agent.datagrams);
    /* The link carries what it did. */
    send_type(p.master.session, MSG_HELLO);
    QRIG_UNTIL(&p.rig, p.agent.messages);
    CHECK_INT(p.master.lefts, 0);
    probe_fini(&new);
    probe_fini(&back);
    close_pair(&p);
}

TEST(session_quic_carries_the_link_when_ssh_goes)
{
    struct pair p;
    struct probe old = {0};
    open_pair(&p);
    probe_own(&old, session_open(p.agent.session));
    session_drop_carrier(p.agent.session); /* as if ssh had died */
    QRIG_UNTIL(&p.rig, p.master.lefts);
    send_type(p.agent.session, MSG_OK);
    send_type(p.master.session, MSG_HELLO);
    QRIG_UNTIL(&p.rig, p.agent.messages && session_is_sure(p.agent.session));
    CHECK_INT(p.master.downs + p.agent.downs, 0);
    CHECK_INT(p.master.moves, 1);
    /* Another carrier takes it back, and may go again. */
    carry(&p);
    send_type(p.master.session, MSG_OK);
    /* The agent doubts QUIC when its master comes over ssh again. */
    QRIG_UNTIL(&p.rig, p.agent.messages == 2 && session_way(p.agent.session) == SESSION_QUIC);
    session_drop_carrier(p.master.session);
    send_type(p.master.session, MSG_OK);
    QRIG_UNTIL(&p.rig, p.agent.messages == 3);
    CHECK_INT(p.master.downs + p.agent.downs, 0);
    probe_fini(&old);
    close_pair(&p);
}

TEST(session_quic_is_left_while_it_is_silent)
{
    struct pair p;
    struct probe stuck = {0}, other = {0};
    open_pair(&p);
    probe_own(&stuck, session_open(p.master.session));
    stream_write(stuck.s, "one ", 4);
    QRIG_UNTIL(&p.rig, p.agent.n == 1 && probe_got(&p.agent.streams[0], "one "));
    p.rig.relay.cut = true;
    stream_write(stuck.s, "two", 3);
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_SSH);
    CHECK_INT(p.master.moves, 2);
    CHECK_INT(p.master.downs, 0);
    CHECK_INT(session_datagram_send(p.master.session, "ping", 4), -1);
    CHECK_INT(errno, ENOTCONN);
    probe_own(&other, session_open(p.master.session));
    stream_write(other.s, "by ssh", 6);
    QRIG_UNTIL(&p.rig, p.agent.n == 2 && probe_got(&p.agent.streams[1], "by ssh"));
    CHECK(probe_got(&p.agent.streams[0], "one "));
    p.rig.relay.cut = false;
    QRIG_UNTIL(&p.rig, probe_got(&p.agent.streams[0], "one two"));
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_QUIC);
    probe_fini(&stuck);
    probe_fini(&other);
    close_pair(&p);
}

TEST(session_quic_goes_down_and_up_by_itself)
{
    struct pair p;
    struct probe stuck = {0};
    open_pair(&p);
    probe_own(&stuck, session_open(p.agent.session));
    stream_write(stuck.s, "one ", 4);
    QRIG_UNTIL(&p.rig, p.master.n == 1 && probe_got(&p.master.streams[0], "one "));
    session_drop_carrier(p.master.session);
    QRIG_UNTIL(&p.rig, session_is_sure(p.agent.session));
    p.rig.relay.cut = true;
    stream_write(stuck.s, "two", 3);
    send_type(p.master.session, MSG_HELLO);
    QRIG_UNTIL(&p.rig, p.master.downs && p.agent.downs);
    CHECK(!session_is_up(p.master.session));
    p.rig.relay.cut = false;
    QRIG_UNTIL(&p.rig, probe_got(&p.master.streams[0], "one two") && p.agent.messages);
    CHECK_INT(p.master.ups, 2);
    CHECK_INT(p.agent.ups, 2);
    CHECK_INT(p.master.overs + p.agent.overs, 0);
    probe_fini(&stuck);
    close_pair(&p);
}

TEST(session_quic_that_ends_leaves_ssh)
{
    struct pair p;
    open_pair(&p);
    quic_server_free(p.rig.server);
    p.rig.server = NULL;
    QRIG_UNTIL(&p.rig, !session_has_quic(p.agent.session));
    CHECK_INT(session_way(p.agent.session), SESSION_SSH);
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_SSH);
    CHECK_INT(p.master.downs + p.agent.downs, 0);
    close_pair(&p);
}

TEST(session_quic_ends_with_its_session)
{
    struct pair p;
    open_pair(&p);
    session_free(p.agent.session);
    p.agent.session = NULL;
    QRIG_UNTIL(&p.rig, p.master.overs);
    close_pair(&p);
}

/* As when the master's end of the first one is gone, and nobody could tell the agent. */
TEST(session_quic_gives_way_to_a_newer_one)
{
    struct pair p;
    struct probe old = {0}, new = {0};
    open_pair(&p);
    probe_own(&old, session_open(p.agent.session));
    stream_write(old.s, "old", 3);
    QRIG_UNTIL(&p.rig, p.master.n == 1 && probe_got(&p.master.streams[0], "old"));
    session_drop_carrier(p.master.session);
    QRIG_UNTIL(&p.rig, session_is_sure(p.agent.session) && p.agent.session->link_on_quic);
    connect_quic(&p);
    take_quic(p.agent.session, &p.rig.b.m);
    CHECK(session_way(p.agent.session) == SESSION_QUIC && !session_is_sure(p.agent.session));
    take_quic(p.master.session, &p.rig.a.m);
    QRIG_UNTIL(&p.rig, old.errors);
    CHECK_INT(quic_server_count(p.rig.server), 1);
    probe_own(&new, session_open(p.agent.session));
    stream_write(new.s, "by the new one", 14);
    send_type(p.master.session, MSG_HELLO);
    QRIG_UNTIL(&p.rig, p.agent.messages && p.master.n == 2 &&
                           probe_got(&p.master.streams[1], "by the new one"));
    CHECK_INT(p.master.downs + p.agent.downs, 0);
    probe_fini(&old);
    probe_fini(&new);
    close_pair(&p);
}

/* Nothing reaches the master any more: the agent still hears it, and has to leave QUIC all the same. */
TEST(session_quic_that_works_one_way_is_left_by_both)
{
    struct pair p;
    struct probe stuck = {0}, other = {0};
    open_pair(&p);
    p.rig.relay.mute = true;
    probe_own(&stuck, session_open(p.agent.session));
    stream_write(stuck.s, "one", 3);
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_SSH || p.master.moves == 2);
    uint64_t heard = p.rig.relay.to_server;
    session_probe(p.master.session);
    probe_own(&other, session_open(p.master.session));
    QRIG_UNTIL(&p.rig, session_way(p.agent.session) == SESSION_SSH);
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_SSH);
    QRIG_UNTIL(&p.rig, p.rig.relay.to_server > heard + 1000);
    qrig_idle(&p.rig, 1500);
    CHECK_INT(session_way(p.agent.session), SESSION_SSH);
    CHECK_INT(p.agent.downs + p.master.downs, 0);
    p.rig.relay.mute = false;
    QRIG_UNTIL(&p.rig, p.master.n && probe_got(&p.master.streams[0], "one"));
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_QUIC &&
                           session_way(p.agent.session) == SESSION_QUIC);
    probe_fini(&stuck);
    probe_fini(&other);
    close_pair(&p);
}

/* The agent may have lost it long ago: where ssh is there, a new one is as good. */
TEST(session_quic_is_given_up_when_nothing_is_open)
{
    struct pair p;
    struct probe open = {0};
    open_pair(&p);
    probe_own(&open, session_open(p.master.session));
    stream_write(open.s, "one", 3);
    QRIG_UNTIL(&p.rig, p.agent.n == 1 && probe_got(&p.agent.streams[0], "one"));
    p.rig.relay.cut = true;
    session_quic_probe(p.master.session->quic);
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_SSH);
    p.master.session->quic->hops = 1000;
    unsigned hops = 1000;
    QRIG_UNTIL(&p.rig, p.master.session->quic->hops > hops + 1);
    CHECK(session_has_quic(p.master.session));
    stream_reset(open.s);
    open.s = NULL;
    QRIG_UNTIL(&p.rig, !session_has_quic(p.master.session));
    CHECK_INT(session_way(p.master.session), SESSION_SSH);
    CHECK_INT(p.master.downs, 0);
    probe_fini(&open);
    close_pair(&p);
}

static void fall_silent(struct pair *p)
{
    p->rig.relay.cut = true;
    session_quic_probe(p->master.session->quic);
    QRIG_UNTIL(&p->rig, session_way(p->master.session) == SESSION_SSH);
    CHECK(p->master.session->quic->hops > 0);
}

/* In how long it is looked for again, having been for long in vain. */
static uint64_t patience_ms(struct pair *p)
{
    struct session_quic *q = p->master.session->quic;
    q->hops = 1000;
    session_quic_watch(q);
    return q->pulse.due_ms - loop_now_ms(p->rig.loop);
}

/* By which of our ports the relay hears us: each hop, and each move, is from another one. */
static unsigned port_of(const struct pair *p)
{
    return p->rig.relay.client.in.sin_port;
}

/* Under the tests' loopback our address stays what it is, unless it is taken for another before. */
TEST(session_quic_moves_when_the_network_changes)
{
    struct pair p;
    open_pair(&p);
    struct session_quic *q = p.master.session->quic;
    struct quic_addr source = q->source;
    QRIG_UNTIL(&p.rig, !quic_waiting(q->mux));
    unsigned port = port_of(&p);
    p.rig.relay.cut = true;
    /* Each asks at once, unless an acknowledgement of ours is due. */
    for (int i = 0; i < 5 && !quic_waiting(q->mux); i++) {
        session_network_changed(p.master.session, false);
        qrig_turn(&p.rig);
    }
    CHECK(quic_waiting(q->mux));
    p.rig.relay.cut = false;
    QRIG_UNTIL(&p.rig, !quic_waiting(q->mux));
    CHECK_INT(port_of(&p), port);
    q->source.in.sin_addr.s_addr ^= 1;
    session_network_changed(p.master.session, false);
    CHECK(quic_addr_same_host(&q->source, &source));
    QRIG_UNTIL(&p.rig, port_of(&p) != port && !quic_waiting(q->mux));
    port = port_of(&p);
    session_network_changed(p.master.session, true);
    QRIG_UNTIL(&p.rig, port_of(&p) != port);
    close_pair(&p);
}

/* Nor does it wait for its next look where it is silent. */
TEST(session_quic_is_looked_for_when_the_network_changes)
{
    struct pair p;
    open_pair(&p);
    unsigned port = port_of(&p);
    fall_silent(&p);
    CHECK(patience_ms(&p) > 30000);
    QRIG_UNTIL(&p.rig, port_of(&p) != port); /* it has hopped */
    port = port_of(&p);
    p.rig.relay.cut = false;
    session_network_changed(p.master.session, false);
    CHECK_INT(p.master.session->quic->hops, 0);
    CHECK(p.master.session->quic->pulse.due_ms < loop_now_ms(p.rig.loop) + 30000);
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_QUIC);
    CHECK(port_of(&p) != port);
    close_pair(&p);
}

/* It is looked for where it was, and wherever else the agent may be. */
TEST(session_quic_is_found_where_it_was_and_elsewhere)
{
    struct pair p;
    open_pair(&p);
    const struct session_quic *q = p.master.session->quic;
    struct quic_addr places[] = {p.rig.relay.server, p.rig.relay.server};
    places[0].in.sin_port = htons(9); /* nobody's */
    fall_silent(&p);
    session_set_peers(p.master.session, places, 1);
    QRIG_UNTIL(&p.rig, q->hops > 2);
    p.rig.relay.cut = false;
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_QUIC);
    CHECK(quic_addr_equal(&q->peer, &p.rig.target.remote));
    fall_silent(&p);
    session_set_peers(p.master.session, places, 2); /* past the relay */
    QRIG_UNTIL(&p.rig, session_way(p.master.session) == SESSION_QUIC);
    CHECK(quic_addr_equal(&q->peer, &p.rig.relay.server));
    CHECK_INT(p.master.downs, 0);
    close_pair(&p);
}

/* With no ssh either, what is open on the link needs it. */
TEST(session_quic_is_looked_for_slowly_when_nothing_is_open)
{
    struct pair p;
    struct probe open = {0};
    open_pair(&p);
    session_drop_carrier(p.master.session);
    QRIG_UNTIL(&p.rig, session_is_sure(p.agent.session) && p.master.session->link_on_quic);
    p.rig.relay.cut = true;
    session_quic_probe(p.master.session->quic);
    QRIG_UNTIL(&p.rig, !session_quic_alive(p.master.session));
    CHECK(patience_ms(&p) > 30000);
    probe_own(&open, session_open(p.master.session));
    CHECK(patience_ms(&p) < 30000);
    probe_fini(&open);
    loop_timer_set(&p.master.session->quic->pulse, 0);
    qrig_idle(&p.rig, 20);
    CHECK(session_has_quic(p.master.session)); /* there is no other way */
    close_pair(&p);
}

/* What broke there alone is made anew there. */
TEST(session_quic_carries_the_link_again)
{
    struct pair p;
    open_pair(&p);
    session_drop_carrier(p.master.session);
    for (unsigned i = 1; i <= 3; i++) {
        QRIG_UNTIL(&p.rig, session_is_sure(p.agent.session));
        link_detach(p.agent.session->link);
        send_type(p.master.session, MSG_HELLO);
        QRIG_UNTIL(&p.rig, p.agent.messages == i);
    }
    CHECK_INT(p.master.downs + p.agent.downs + p.master.overs + p.agent.overs, 0);
    close_pair(&p);
}

static bool sleeps(const struct end *e)
{
    const struct loop_timer *t = &e->session->quic->pulse;
    return loop_timer_armed(t) && t->due_ms > loop_now_ms(e->session->loop) + 5000;
}

/* An open stream on which nothing happens costs nothing. */
TEST(session_quic_sleeps_when_nothing_is_awaited)
{
    struct pair p;
    struct probe open = {0};
    open_pair(&p);
    probe_own(&open, session_open(p.master.session));
    stream_write(open.s, "one", 3);
    QRIG_UNTIL(&p.rig, p.agent.n == 1 && probe_got(&p.agent.streams[0], "one"));
    QRIG_UNTIL(&p.rig, sleeps(&p.master) && sleeps(&p.agent));
    p.rig.relay.cut = true;
    stream_write(open.s, "two", 3);
    QRIG_UNTIL(&p.rig, quic_waiting(p.master.session->quic->mux));
    CHECK(!sleeps(&p.master));
    p.rig.relay.cut = false;
    QRIG_UNTIL(&p.rig, sleeps(&p.master) && sleeps(&p.agent));
    CHECK_INT(p.master.moves + p.agent.moves, 2);
    probe_fini(&open);
    close_pair(&p);
}

/* For the sake of what keeps a mapping of us; it is the master that asks first. */
TEST(session_quic_is_kept_open)
{
    struct pair p;
    open_pair(&p);
    QRIG_UNTIL(&p.rig, sleeps(&p.master) && sleeps(&p.agent));
    uint64_t asked = p.rig.relay.to_server, answered = p.rig.relay.to_client;
    QRIG_UNTIL(&p.rig, p.rig.relay.to_server > asked || p.rig.relay.to_client > answered);
    CHECK(p.rig.relay.to_server > asked);
    close_pair(&p);
}

TEST(session_tells_of_a_carrier_that_brought_nothing)
{
    struct pair p = {0};
    int fds[2];
    qrig_begin(&p.rig, true);
    p.master.session = session_new(p.rig.loop, SESSION_MASTER, p.rig.session, &events, &p.master);
    unix_pair(fds);
    session_carry(p.master.session, fdstream_new(p.rig.loop, fds[0], fds[0]), NULL);
    close(fds[1]);
    QRIG_UNTIL(&p.rig, p.master.fails);
    CHECK_INT(p.master.downs, 0);
    /* What was up and is lost is told as such, and once. */
    p.agent.session = session_new(p.rig.loop, SESSION_AGENT, p.rig.session, &events, &p.agent);
    carry(&p);
    QRIG_UNTIL(&p.rig, p.master.ups && p.agent.ups);
    session_drop_carrier(p.agent.session);
    QRIG_UNTIL(&p.rig, p.master.downs);
    CHECK_INT(p.master.fails, 1);
    close_pair(&p);
}
