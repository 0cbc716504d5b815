/* Flows of UDP between two sessions: over a link, over real packets of QUIC, and from one to the
 * other. The listener is the master's, the target's socket the agent's. */
#include <errno.h>

#include "applets/service/service.h"
#include "applets/service/udp_dial.h"
#include "applets/service/udp_listener.h"
#include "core/fdstream.h"
#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/quic_rig.h"

struct uside {
    struct session *session;
    struct udp_flows flows;
    struct service service;
    struct relay_count count;
    unsigned ups, moves, datagrams, requests;
    int heard; /* the last one; -1: nothing was */
};

struct urig {
    struct qrig q;
    struct uside master, agent;
    struct target bind, target;
    struct udp_listener *listener;
    struct stream *carriers[2];
    int server, clients[8]; /* sockets; the server is not read by itself */
    bool not_ready;
};

/* ---- both sides ---- */

static void on_up(void *arg)
{
    struct uside *u = arg;
    u->ups++;
    udp_flows_moved(&u->flows);
}

static void on_moved(void *arg)
{
    struct uside *u = arg;
    u->moves++;
    udp_flows_moved(&u->flows);
}

static void on_down(void *arg, int error)
{
    (void)arg;
    (void)error;
}

static void on_message(void *arg, const struct message *m)
{
    (void)arg;
    (void)m;
}

static void on_stream(void *arg, struct stream *s)
{
    struct uside *u = arg;
    service_serve(&u->service, s);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    struct uside *u = arg;
    u->datagrams++;
    udp_flows_datagram(&u->flows, data, len);
}

static const struct session_events events = {.up = on_up,
                                             .down = on_down,
                                             .moved = on_moved,
                                             .over = on_down,
                                             .message = on_message,
                                             .stream = on_stream,
                                             .datagram = on_datagram};

static void serve_attach(struct request *r)
{
    struct uside *u = r->service->owner;
    CHECK(session_attach(u->session, r->stream));
    request_detach(r);
    request_end(r);
}

static void on_heard(void *arg, int error)
{
    struct uside *u = arg;
    u->heard = error;
}

static void serve_udp(struct request *r)
{
    struct uside *u = r->service->owner;
    struct target target;
    const char *why, *text = json_get_str(r->message.body, "target");
    struct udp_dialling d = {
        .flows = &u->flows, .target = &target, .count = &u->count, .heard = on_heard, .arg = u};
    u->requests++;
    CHECK(text && target_parse(&target, text, &why) == 0);
    service_dial_udp(r, &d);
}

static const struct service_row rows[] = {
    {MSG_DIAL_UDP, serve_udp}, {MSG_ATTACH, serve_attach}, {MSG_COUNT, NULL}};

static void begin_side(struct urig *r, struct uside *u, enum session_side side)
{
    u->session = session_new(r->q.loop, side, r->q.session, &events, u);
    u->heard = -1;
    udp_flows_init(&u->flows, u->session, side);
    service_init(&u->service, r->q.loop);
    u->service.rows = rows;
    u->service.owner = u;
}

static void end_side(struct uside *u)
{
    service_fini(&u->service);
    udp_flows_fini(&u->flows);
    session_free(u->session);
}

/* ---- sockets ---- */

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int udp_socket(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in own = {0};
    socklen_t len = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &len);
    return ntohs(own.sin_port);
}

/* Client `i` speaks to the listener. */
static void say(struct urig *r, int i, const char *text)
{
    struct sockaddr_in to = loopback(udp_listener_port(r->listener));
    CHECK_INT(sendto(r->clients[i], text, strlen(text), 0, (const struct sockaddr *)&to, sizeof to),
              (long long)strlen(text));
}

/* What came to a socket, and from where; empty: nothing yet. */
static const char *heard(int fd, struct sockaddr_in *from)
{
    static char text[256];
    socklen_t len = sizeof *from;
    ssize_t n = recvfrom(fd, text, sizeof text - 1, 0, (struct sockaddr *)from, &len);
    text[n > 0 ? n : 0] = '\0';
    return n < 0 ? "" : text;
}

/* A turn that is not held up by what the loop does not watch; false: far too late. */
static bool turn(struct urig *r)
{
    loop_turn(r->q.loop, 10);
    return loop_clock_us() - r->q.started_us < 60000000;
}

/* Until `text` has come to a socket, whatever came before; who sent it. */
static struct sockaddr_in await(struct urig *r, int fd, const char *text)
{
    struct sockaddr_in from = {0};
    bool here;
    while (!(here = strcmp(heard(fd, &from), text) == 0) && turn(r))
        continue;
    if (!here)
        test_fail(__FILE__, __LINE__, "\"%s\" does not come", text);
    return from;
}

/* The server gets `text` and answers with it; which port asked. */
static uint16_t echo(struct urig *r, const char *text)
{
    struct sockaddr_in from = await(r, r->server, text);
    sendto(r->server, text, strlen(text), 0, (const struct sockaddr *)&from, sizeof from);
    return ntohs(from.sin_port);
}

static uint16_t exchange(struct urig *r, int i, const char *text)
{
    say(r, i, text);
    uint16_t port = echo(r, text);
    await(r, r->clients[i], text);
    return port;
}

/* ---- the rig ---- */

static bool on_ready(void *arg)
{
    const struct urig *r = arg;
    return !r->not_ready;
}

static struct draft on_request(void *arg, const char *peer)
{
    struct urig *r = arg;
    struct draft d = draft_of(MSG_DIAL_UDP);
    char text[TARGET_TEXT_MAX];
    CHECK(strncmp(peer, "127.0.0.1:", 10) == 0);
    target_format(&r->target, text);
    draft_str(&d, "target", text);
    return d;
}

static void on_listener_heard(void *arg, int error)
{
    struct urig *r = arg;
    r->master.heard = error;
}

static void carry(struct urig *r)
{
    int fds[2];
    unix_pair(fds);
    for (int i = 0; i < 2; i++)
        r->carriers[i] = fdstream_new(r->q.loop, fds[i], fds[i]);
    session_carry(r->master.session, r->carriers[0], NULL);
    session_carry(r->agent.session, r->carriers[1], NULL);
}

static void begin(struct urig *r, struct udp_listener_options limits)
{
    *r = (struct urig){.bind = {.kind = TARGET_UDP, .host = "127.0.0.1"},
                       .target = {.kind = TARGET_UDP, .host = "127.0.0.1"}};
    qrig_begin(&r->q, true);
    begin_side(r, &r->master, SESSION_MASTER);
    begin_side(r, &r->agent, SESSION_AGENT);
    r->server = udp_socket(0);
    r->target.port = port_of(r->server);
    for (size_t i = 0; i < countof(r->clients); i++)
        r->clients[i] = udp_socket(0);
    limits.bind = &r->bind;
    limits.flows = &r->master.flows;
    limits.count = &r->master.count;
    limits.ready = on_ready;
    limits.request = on_request;
    limits.heard = on_listener_heard;
    limits.arg = r;
    r->listener = udp_listener_new(r->q.loop, &limits);
    CHECK(r->listener);
    carry(r);
    QRIG_UNTIL(&r->q, r->master.ups && r->agent.ups);
}

static void promote(struct urig *r)
{
    qrig_connect(&r->q);
    QRIG_UNTIL(&r->q, r->q.a.ups && r->q.b.m);
    session_take_quic(r->master.session, r->q.a.m);
    session_take_quic(r->agent.session, r->q.b.m);
    r->q.a.m = r->q.b.m = NULL;
    QRIG_UNTIL(&r->q, session_datagram_max(r->master.session) > 1000);
}

static void end(struct urig *r)
{
    udp_listener_free(r->listener);
    end_side(&r->master);
    end_side(&r->agent);
    CHECK_INT(r->master.count.open, 0);
    CHECK_INT(r->agent.count.open, 0);
    close(r->server);
    for (size_t i = 0; i < countof(r->clients); i++)
        close(r->clients[i]);
    qrig_end(&r->q);
}

/* ---- the tests ---- */

TEST(udp_flow_over_the_link)
{
    struct urig r;
    begin(&r, (struct udp_listener_options){0});
    uint16_t first = exchange(&r, 0, "one"), second = exchange(&r, 1, "two");
    CHECK(first != second);
    CHECK_INT(exchange(&r, 0, "three"), first);
    CHECK_INT(r.master.count.open, 2);
    CHECK_INT(r.agent.count.open, 2);
    CHECK_INT(r.master.count.up_bytes, 11);
    CHECK_INT(r.agent.count.down_bytes, 11);
    CHECK_INT(r.master.datagrams + r.agent.datagrams, 0);
    end(&r);
}

TEST(udp_flow_over_quic)
{
    struct urig r;
    begin(&r, (struct udp_listener_options){0});
    promote(&r);
    uint16_t port = exchange(&r, 0, "by stream, before Ok");
    CHECK_INT(r.agent.datagrams, 0);
    CHECK_INT(r.master.datagrams, 1);
    CHECK_INT(exchange(&r, 0, "by datagram"), port);
    CHECK_INT(r.agent.datagrams, 1);
    CHECK_INT(r.master.datagrams, 2);
    end(&r);
}

TEST(udp_flow_goes_on_over_another_way)
{
    struct urig r;
    begin(&r, (struct udp_listener_options){0});
    uint16_t port = exchange(&r, 0, "over ssh");
    promote(&r);
    QRIG_UNTIL(&r.q, r.agent.requests == 2);
    CHECK_INT(exchange(&r, 0, "over quic"), port);
    r.q.relay.cut = true;
    while (session_way(r.master.session) == SESSION_QUIC && qrig_turn(&r.q))
        say(&r, 0, "lost");
    QRIG_UNTIL(&r.q, session_way(r.agent.session) == SESSION_SSH && r.agent.requests == 3);
    CHECK_INT(exchange(&r, 0, "over ssh again"), port);
    r.q.relay.cut = false;
    QRIG_UNTIL(&r.q, session_way(r.master.session) == SESSION_QUIC && r.agent.requests == 4);
    QRIG_UNTIL(&r.q, session_way(r.agent.session) == SESSION_QUIC);
    CHECK_INT(exchange(&r, 0, "over quic again"), port);
    CHECK_INT(r.master.count.open, 1);
    CHECK_INT(r.agent.count.open, 1);
    CHECK_INT(r.agent.flows.n, 1);
    end(&r);
}

/* Who stays is told by the port that the target sees. */
TEST(udp_flow_idlest_sender_goes)
{
    struct urig r;
    begin(&r, (struct udp_listener_options){.senders = 3});
    uint16_t ports[3];
    for (int i = 0; i < 3; i += 2)
        ports[i] = exchange(&r, i, "hello");
    say(&r, 1, "anybody?"); /* which nobody answers */
    await(&r, r.server, "anybody?");
    qrig_idle(&r.q, 5); /* so that the others are older by the clock */
    CHECK_INT(exchange(&r, 0, "again"), ports[0]);
    CHECK_INT(exchange(&r, 2, "again"), ports[2]);
    qrig_idle(&r.q, 5);
    exchange(&r, 3, "one too many");
    CHECK_INT(r.master.count.open, 3);
    QRIG_UNTIL(&r.q, r.agent.count.open == 3);
    CHECK_INT(exchange(&r, 0, "again"), ports[0]);
    CHECK_INT(exchange(&r, 2, "again"), ports[2]);
    end(&r);
}

TEST(udp_flow_unanswered_sender_goes_first)
{
    struct urig r;
    begin(&r, (struct udp_listener_options){.unanswered_ms = 50, .idle_ms = 3600 * 1000});
    exchange(&r, 0, "hello");
    say(&r, 1, "anybody?");
    await(&r, r.server, "anybody?");
    CHECK_INT(r.master.count.open, 2);
    QRIG_UNTIL(&r.q, r.master.count.open == 1 && r.agent.count.open == 1);
    qrig_idle(&r.q, 100);
    CHECK_INT(r.master.count.open, 1);
    end(&r);
}

TEST(udp_flow_idle_sender_goes)
{
    struct urig r;
    begin(&r, (struct udp_listener_options){.unanswered_ms = 3600 * 1000, .idle_ms = 50});
    exchange(&r, 0, "hello");
    QRIG_UNTIL(&r.q, !r.master.count.open && !r.agent.count.open);
    exchange(&r, 0, "hello");
    end(&r);
}

TEST(udp_flow_refused_until_an_answer)
{
    struct urig r;
    begin(&r, (struct udp_listener_options){0});
    close(r.server);
    say(&r, 0, "anybody?");
    QRIG_UNTIL(&r.q, r.master.heard == ECONNREFUSED);
    CHECK_INT(r.agent.heard, ECONNREFUSED);
    CHECK_INT(r.master.count.open, 1);
    r.server = udp_socket(r.target.port);
    exchange(&r, 0, "now?");
    CHECK_INT(r.master.heard, 0);
    CHECK_INT(r.agent.heard, 0);
    CHECK_INT(r.agent.requests, 1);
    close(r.server);
    say(&r, 0, "and now?");
    QRIG_UNTIL(&r.q, r.master.heard == ECONNREFUSED);
    r.server = udp_socket(r.target.port);
    end(&r);
}

TEST(udp_flow_second_address_after_a_refusal)
{
    struct urig r;
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    begin(&r, (struct udp_listener_options){0});
    at.sin6_port = htons(r.target.port);
    close(r.server);
    r.server = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    strcpy(r.target.host, "localhost");
    if (r.server >= 0 && bind(r.server, (const struct sockaddr *)&at, sizeof at) == 0) {
        say(&r, 0, "lost");
        QRIG_UNTIL(&r.q, r.master.heard == ECONNREFUSED);
        say(&r, 0, "there");
        await(&r, r.server, "there");
    }
    end(&r);
}

TEST(udp_flow_that_cannot_be_is_not_asked_for_at_once_again)
{
    struct urig r;
    begin(&r, (struct udp_listener_options){0});
    strcpy(r.target.host, "192.0.2.1%nowhere"); /* an address of no family: looked up in vain */
    say(&r, 0, "x");
    QRIG_UNTIL(&r.q, r.agent.requests == 1 && !r.agent.count.open && !r.master.count.open);
    CHECK(r.master.heard > 0);
    say(&r, 0, "x");
    qrig_idle(&r.q, 50);
    CHECK_INT(r.agent.requests, 1);
    strcpy(r.target.host, "127.0.0.1");
    while (r.agent.requests == 1 && qrig_turn(&r.q))
        say(&r, 0, "x");
    CHECK_INT(r.agent.requests, 2);
    end(&r);
}

TEST(udp_flow_waits_for_nothing)
{
    struct urig r;
    struct sockaddr_in from;
    begin(&r, (struct udp_listener_options){0});
    r.not_ready = true;
    say(&r, 0, "dropped");
    qrig_idle(&r.q, 50);
    CHECK_INT(r.agent.requests, 0);
    r.not_ready = false;
    exchange(&r, 0, "here");
    session_drop_carrier(r.master.session);
    session_drop_carrier(r.agent.session);
    say(&r, 0, "old by then");
    qrig_idle(&r.q, 50);
    carry(&r);
    QRIG_UNTIL(&r.q, session_is_up(r.master.session) && session_is_up(r.agent.session));
    qrig_idle(&r.q, 50);
    CHECK_STR(heard(r.server, &from), "");
    exchange(&r, 0, "here again");
    CHECK_INT(r.agent.requests, 1);
    end(&r);
}

/* A carrier that takes nothing: what waits is bounded. */
TEST(udp_flow_queue_is_bounded)
{
    struct urig r;
    static uint8_t data[DGRAM_MAX];
    size_t taken = 0;
    begin(&r, (struct udp_listener_options){0});
    exchange(&r, 0, "hello");
    struct udp_flow *f = udp_flow_find(&r.master.flows, 2);
    CHECK(f && !udp_flow_is_peers(f));
    while (f && taken < 64 << 20 && udp_flow_send(f, data, 1000))
        taken += 1000;
    CHECK(taken >= 65507);
    CHECK(taken <= UDP_FLOW_QUEUE);
    CHECK(!udp_flow_send(f, data, sizeof data));
    end(&r);
}

TEST(udp_flow_every_size)
{
    static const size_t sizes[] = {0, 1, 1200, 1500, 9000, 65507};
    static uint8_t data[65536], got[65536];
    struct urig r;
    begin(&r, (struct udp_listener_options){0});
    promote(&r);
    struct sockaddr_in to = loopback(udp_listener_port(r.listener));
    memset(data, 'x', sizeof data);
    exchange(&r, 0, "hello");
    for (size_t i = 0; i < countof(sizes); i++) {
        ssize_t n = -1;
        sendto(r.clients[0], data, sizes[i], 0, (const struct sockaddr *)&to, sizeof to);
        while ((n = recv(r.server, got, sizeof got, 0)) < 0 && turn(&r))
            continue;
        CHECK_INT(n, sizes[i]);
        CHECK_INT(memcmp(got, data, sizes[i]), 0);
    }
    end(&r);
}

static void hear_noise(struct uside *u, const struct udp_flow *open)
{
    static const uint8_t unknown[] = {0, 1, 0, 0, 'x'}, cut[] = {0, 0, 0};
    udp_flows_datagram(&u->flows, unknown, sizeof unknown);
    udp_flows_datagram(&u->flows, cut, sizeof cut);
    udp_flows_datagram(&u->flows, cut, 0);
    CHECK(open);
}

TEST(udp_flow_unknown_numbers_are_dropped)
{
    struct urig r;
    struct sockaddr_in from;
    begin(&r, (struct udp_listener_options){0});
    exchange(&r, 0, "hello");
    hear_noise(&r.master, udp_flow_find(&r.master.flows, 2));
    hear_noise(&r.agent, udp_flow_find(&r.agent.flows, 2));
    qrig_idle(&r.q, 20);
    CHECK_STR(heard(r.server, &from), "");
    CHECK_STR(heard(r.clients[0], &from), "");
    exchange(&r, 0, "hello");
    end(&r);
}

static void ask(struct urig *r, struct probe *p, const char *target, int64_t number)
{
    struct draft d = draft_of(MSG_DIAL_UDP);
    *p = (struct probe){0};
    probe_own(p, session_open(r->master.session));
    draft_str(&d, "target", target);
    draft_int(&d, "flow", number);
    draft_send(&d, p->s);
}

TEST(udp_flow_numbers_that_are_not_to_be_given)
{
    static const struct {
        const char *target;
        int64_t number;
    } rows_of[] = {{"udp:127.0.0.1:9", 3},  /* an agent's */
                   {"udp:127.0.0.1:9", 2},  /* open, and leads elsewhere */
                   {"udp:127.0.0.1:9", -1}, /* none */
                   {"udp:127.0.0.1:9", 1ll << 32}};
    struct urig r;
    begin(&r, (struct udp_listener_options){0});
    uint16_t port = exchange(&r, 0, "hello");
    for (size_t i = 0; i < countof(rows_of); i++) {
        struct probe p;
        ask(&r, &p, rows_of[i].target, rows_of[i].number);
        QRIG_UNTIL(&r.q, p.eofs);
        CHECK(p.got.len > 4 && memmem(buf_front(&p.got), p.got.len, "InvalidRequest", 14));
        probe_fini(&p);
    }
    CHECK_INT(r.agent.flows.n, 1);
    CHECK_INT(exchange(&r, 0, "hello"), port);
    end(&r);
}

/* What is neither a message nor data ends the flow, and nothing else. */
TEST(udp_flow_ends_by_a_bad_frame)
{
    static const char bad[] = {0, 0, 0, 1, 1};
    struct urig r;
    struct probe p;
    char target[TARGET_TEXT_MAX];
    begin(&r, (struct udp_listener_options){0});
    exchange(&r, 0, "hello");
    target_format(&r.target, target);
    ask(&r, &p, target, 1000);
    QRIG_UNTIL(&r.q, r.agent.flows.n == 2);
    stream_write(p.s, bad, sizeof bad);
    QRIG_UNTIL(&r.q, r.agent.flows.n == 1);
    probe_fini(&p);
    exchange(&r, 0, "hello");
    end(&r);
}
