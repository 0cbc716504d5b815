/* A master and its connections: a real session and real QUIC to an agent of this process, the ssh
 * program a script that leads nowhere; what would come through ssh is a pair of sockets. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "applets/master/master.h"
#include "applets/service/session_state.h"
#include "core/fdstream.h"
#include "core/mem.h"
#include "tests/unit/capture.h"
#include "tests/unit/probe.h"
#include "tests/unit/quic_rig.h"
#include "tests/unit/session_rig.h"

struct rig {
    struct qrig quic;
    struct master m;
    struct options options;
    struct session *agent;
    unsigned hellos, listens, goodbyes;
    char dir[32];
    char *path; /* $PATH as it was */
};

static char host[] = "somewhere";
static char *no_args[] = {NULL};

/* ---- the agent ---- */

static void on_up(void *arg)
{
    (void)arg;
}

static void on_down(void *arg, int error)
{
    (void)arg, (void)error;
}

static void on_over(void *arg, int error)
{
    struct rig *r = arg;
    (void)error;
    session_free(r->agent);
    r->agent = NULL;
}

static void on_message(void *arg, const struct message *m)
{
    struct rig *r = arg;
    r->hellos += m->type == MSG_HELLO;
    r->listens += m->type == MSG_LISTEN;
    r->goodbyes += m->type == MSG_SHUTDOWN;
}

static void on_first(void *arg, struct stream *s, enum stream_event event)
{
    struct rig *r = arg;
    if (event == STREAM_ERROR)
        stream_close(s);
    if (event == STREAM_DATA && !session_rig_attach(r->agent, s))
        stream_reset(s); /* a question about firewalls */
}

static void on_stream(void *arg, struct stream *s)
{
    stream_own(s, on_first, arg);
}

static const struct session_events events = {
    .up = on_up, .down = on_down, .over = on_over, .message = on_message, .stream = on_stream};

/* `addresses`: of a JSON array; `port` 0: the relay's. */
static void acknowledge(struct rig *r, uint16_t port, const char *const *addresses)
{
    struct draft d = draft_of(MSG_HELLO_ACK);
    draft_bool(&d, "quic", session_has_quic(r->agent));
    draft_int(&d, "udp_port", port ? port : ntohs(r->quic.target.remote.in.sin_port));
    struct json_node *list = json_put_array(d.out, d.root, "addresses");
    for (; *addresses; addresses++)
        json_put_str(d.out, list, NULL, *addresses);
    session_send(r->agent, &d);
}

static const char *const nowhere[] = {NULL};

/* ---- the master ---- */

static void put_ssh(struct rig *r)
{
    static const char script[] = "#!/bin/sh\n"
                                 "[ \"$1\" = -G ] && echo hostname 127.0.0.1 && exit\n"
                                 "exec cat >/dev/null\n";
    char file[sizeof r->dir + 8];
    strcpy(r->dir, "/tmp/berth-unit-XXXXXX");
    CHECK(mkdtemp(r->dir) != NULL);
    snprintf(file, sizeof file, "%s/ssh", r->dir);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    CHECK_INT(write(fd, script, sizeof script - 1), sizeof script - 1);
    close(fd);
    r->path = xstrdup(getenv("PATH"));
    cleanup_free char *path = xasprintf("%s:%s", r->dir, r->path);
    setenv("PATH", path, 1);
    setenv("HOME", r->dir, 1);
}

/* Before anything can come on it. */
static void take_quic(struct qside *side)
{
    struct rig *r = container_of(side, struct rig, quic.b);
    session_take_quic(r->agent, side->m);
    side->m = NULL;
}

static void begin(struct rig *r, enum transport transport)
{
    struct forward_spec spec = {.kind = FORWARD_REMOTE};
    const char *why;
    *r = (struct rig){0};
    qrig_begin(&r->quic, true);
    r->quic.b.on_up = take_quic;
    put_ssh(r);
    r->options = (struct options){
        .host = host, .ssh_args = no_args, .transport = transport, .idle_ms = 60000};
    r->m = (struct master){.loop = r->quic.loop, .options = &r->options, .ready_fd = -1};
    service_init(&r->m.service, r->quic.loop);
    r->m.service.owner = &r->m;
    forward_init(&r->m);
    CHECK_INT(target_parse_bind(&spec.bind, "127.0.0.1:4000", &why), 0);
    CHECK_INT(target_parse(&spec.target, "localhost:4000", &why), 0);
    forward_add(&r->m, &spec, false);
    connection_start(&r->m);
    QRIG_UNTIL(&r->quic, r->m.promotion.hostname || transport == TRANSPORT_SSH);
}

/* As if ssh had got through to an agent that knows this session. */
static void carry(struct rig *r)
{
    int fds[2];
    memcpy(r->quic.session, session_id(r->m.session), SESSION_LEN);
    memcpy(r->quic.psk, r->m.psk, PSK_LEN);
    r->hellos = 0;
    if (!r->agent)
        r->agent = session_new(r->quic.loop, SESSION_AGENT, r->quic.session, &events, r);
    unix_pair(fds);
    session_carry(r->m.session, fdstream_new(r->quic.loop, fds[0], fds[0]), NULL);
    session_carry(r->agent, fdstream_new(r->quic.loop, fds[1], fds[1]), NULL);
    QRIG_UNTIL(&r->quic, session_is_sure(r->m.session) && r->agent->control && r->hellos);
    CHECK_INT(r->m.state, MASTER_UP);
}

static void remove_file(const struct rig *r, const char *name)
{
    char file[sizeof r->dir + 64];
    snprintf(file, sizeof file, "%s/%s", r->dir, name);
    remove(file);
}

static void finish(struct rig *r)
{
    service_fini(&r->m.service);
    forward_fini(&r->m);
    connection_fini(&r->m);
    session_free(r->agent);
    qrig_end(&r->quic);
    while (waitpid(-1, NULL, 0) > 0)
        ; /* the script ends with its input */
    setenv("PATH", r->path, 1);
    setenv("HOME", "/", 1);
    free(r->path);
    static const char *const left[] = {"ssh",
                                       ".config/berth/forwards.json",
                                       ".config/berth/forwards.lock",
                                       ".config/berth",
                                       ".config",
                                       ""};
    for (size_t i = 0; i < countof(left); i++)
        remove_file(r, left[i]);
}

static struct rig r;

/* ---- tests ---- */

TEST(connection_begins_forwards_by_ssh)
{
    begin(&r, TRANSPORT_AUTO);
    carry(&r);
    r.m.promotion.told = true; /* of an earlier one */
    acknowledge(&r, 0, nowhere);
    QRIG_UNTIL(&r.quic, r.listens == 1);
    QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_QUIC);
    CHECK_INT(r.listens, 1);
    CHECK(!r.m.promotion.told);
    finish(&r);
}

TEST(connection_awaits_quic_where_it_was_asked_for)
{
    begin(&r, TRANSPORT_QUIC);
    r.quic.relay.cut = true;
    carry(&r);
    acknowledge(&r, 0, nowhere);
    QRIG_UNTIL(&r.quic, r.m.greeted);
    qrig_idle(&r.quic, 100);
    CHECK_INT(r.listens, 0);
    r.quic.relay.cut = false;
    QRIG_UNTIL(&r.quic, r.listens == 1);
    r.m.wants_quic = r.m.forwards.ready = true;
    promote_hinted(&r.m); /* once forwards have begun they go on without */
    CHECK(!r.m.exit_status && session_is_up(r.m.session));
    finish(&r);
}

/* Then it comes while there is no ssh connection at all. */
TEST(connection_begins_forwards_when_quic_comes_without_ssh)
{
    begin(&r, TRANSPORT_QUIC);
    r.quic.relay.cut = true;
    carry(&r);
    acknowledge(&r, 0, nowhere);
    QRIG_UNTIL(&r.quic, r.m.greeted && r.quic.relay.front >= 0);
    session_drop_carrier(r.agent);
    QRIG_UNTIL(&r.quic, r.m.state != MASTER_UP);
    r.quic.relay.cut = false;
    QRIG_UNTIL(&r.quic, r.m.state == MASTER_UP && r.listens == 1);
    CHECK(!r.m.wants_quic && !r.m.ssh);
    finish(&r);
}

/* Nobody hears of the end but by Shutdown: the agent need not keep the session. */
TEST(connection_says_goodbye_where_quic_cannot_be_had)
{
    begin(&r, TRANSPORT_QUIC);
    carry(&r);
    capture_begin();
    acknowledge(&r, 1, nowhere);
    QRIG_UNTIL(&r.quic, r.goodbyes);
    cleanup_free char *said = capture_end();
    CHECK(strstr(said, "UDP port 1 does not get through\n") != NULL);
    CHECK(strstr(said, "QUIC cannot be had, and --transport quic asks for it\n") != NULL);
    CHECK_INT(r.m.exit_status, 1);
    CHECK_INT(r.listens, 0);
    finish(&r);
}

/* The agent was killed while it was being asked why. */
TEST(connection_gives_quic_up_in_a_new_session_too)
{
    begin(&r, TRANSPORT_QUIC);
    carry(&r);
    r.m.promotion.told = true;
    session_free(r.agent);
    r.agent = NULL;
    QRIG_UNTIL(&r.quic, r.m.takeover);
    carry(&r);
    acknowledge(&r, 1, nowhere);
    QRIG_UNTIL(&r.quic, r.goodbyes);
    CHECK_INT(r.m.exit_status, 1);
    finish(&r);
}

TEST(connection_looks_for_quic_again_and_again)
{
    begin(&r, TRANSPORT_AUTO);
    carry(&r);
    acknowledge(&r, 0, nowhere);
    QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_QUIC);
    for (int i = 0; i < 2; i++) {
        loop_timer_set(&r.m.promotion.again, 0);
        QRIG_UNTIL(&r.quic, r.m.promotion.again.due_ms > loop_now_ms(r.m.loop) + 1000);
        CHECK(!r.m.promotion.attempts[0].mux); /* there is one already */
    }
    /* It goes while it is not in use, of which nobody is told. */
    r.quic.relay.cut = true;
    session_quic_probe(r.m.session->quic);
    QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_SSH);
    session_quic_free(r.m.session);
    r.quic.relay.cut = false;
    loop_timer_set(&r.m.promotion.again, 0);
    QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_QUIC);
    finish(&r);
}

/* What is open on it would keep the master looking for it for ever. */
static void lose_quic(bool noticed)
{
    struct probe stuck = {0};
    begin(&r, TRANSPORT_AUTO);
    carry(&r);
    acknowledge(&r, 0, nowhere);
    QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_QUIC && session_has_quic(r.agent));
    probe_own(&stuck, session_open(r.m.session));
    stream_write(stuck.s, "one", 3);
    r.quic.relay.cut = true;
    session_quic_free(r.agent);
    if (noticed)
        QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_SSH);
    else
        qrig_idle(&r.quic, 10);
    r.quic.relay.cut = false;
    acknowledge(&r, 0, nowhere);
    QRIG_UNTIL(&r.quic, stuck.errors == 1);
    loop_timer_set(&r.m.promotion.again, 0);
    QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_QUIC && session_has_quic(r.agent));
    probe_fini(&stuck);
    finish(&r);
}

TEST(connection_replaces_what_the_agent_has_lost)
{
    lose_quic(true);
}

TEST(connection_replaces_it_when_it_falls_silent)
{
    lose_quic(false);
}

/* The agent said so before it had it. */
TEST(connection_keeps_what_answers_after_all)
{
    begin(&r, TRANSPORT_AUTO);
    carry(&r);
    acknowledge(&r, 0, nowhere);
    QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_QUIC);
    const struct session_quic *q = r.m.session->quic;
    session_quic_is_lost(r.m.session);
    CHECK(q->disowned);
    QRIG_UNTIL(&r.quic, !q->disowned);
    CHECK(r.m.session->quic == q && session_way(r.m.session) == SESSION_QUIC);
    finish(&r);
}

/* A try that ends while nothing gets through says nothing of UDP. */
TEST(connection_blames_udp_only_where_ssh_gets_through)
{
    begin(&r, TRANSPORT_AUTO);
    carry(&r);
    acknowledge(&r, 1, nowhere);
    QRIG_UNTIL(&r.quic, r.m.promotion.attempts[0].mux);
    session_drop_carrier(r.agent);
    QRIG_UNTIL(&r.quic, r.m.state != MASTER_UP);
    QRIG_UNTIL(&r.quic, !r.m.promotion.attempts[0].mux);
    CHECK(!r.m.promotion.told);
    finish(&r);
}

TEST(connection_leaves_quic_alone_where_ssh_was_asked_for)
{
    static const char *const named[] = {"192.0.2.7", NULL};
    begin(&r, TRANSPORT_SSH);
    carry(&r);
    acknowledge(&r, 0, named);
    QRIG_UNTIL(&r.quic, r.m.greeted);
    CHECK(!r.m.promotion.n && !r.m.promotion.attempts[0].mux && !r.m.promotion.told);
    finish(&r);
}

/* What was tried beside the one that is taken goes with it. */
TEST(connection_takes_the_first_that_answers)
{
    static const char *const dead[] = {"192.0.2.7", NULL};
    begin(&r, TRANSPORT_AUTO);
    carry(&r);
    acknowledge(&r, 9, nowhere); /* where it was before */
    acknowledge(&r, 0, dead);
    QRIG_UNTIL(&r.quic, session_way(r.m.session) == SESSION_QUIC);
    CHECK_INT(r.m.promotion.n, 2);
    for (size_t i = 0; i < countof(r.m.promotion.attempts); i++)
        CHECK(!r.m.promotion.attempts[i].mux);
    finish(&r);
}

TEST(connection_says_once_that_udp_is_blocked)
{
    begin(&r, TRANSPORT_AUTO);
    carry(&r);
    capture_begin();
    acknowledge(&r, 1, nowhere);
    QRIG_UNTIL(&r.quic, r.m.promotion.told);
    for (int i = 0; i < 2; i++) {
        loop_timer_set(&r.m.promotion.again, 0);
        QRIG_UNTIL(&r.quic, r.m.promotion.attempts[0].mux);
        promote_try(&r.m);
        CHECK(!r.m.promotion.attempts[1].mux);
        QRIG_UNTIL(&r.quic, !r.m.promotion.attempts[0].mux);
    }
    cleanup_free char *said = capture_end();
    const char *line = strstr(said, "UDP port 1 does not get through: staying on ssh\n");
    CHECK(line && !strstr(line + 1, "UDP port"));
    CHECK_INT(r.m.state, MASTER_UP);
    CHECK(loop_timer_armed(&r.m.promotion.again));
    finish(&r);
}

/* What an agent names is sent to, so it cannot name everything, nor as much as it likes. */
TEST(connection_believes_only_so_many_places)
{
    static const char *const bad[] = {"127.0.0.1",
                                      "0.0.0.0",
                                      "224.0.0.251",
                                      "255.255.255.255",
                                      "::1",
                                      "::",
                                      "ff02::fb",
                                      "fe80::1",
                                      "fe80::1%lo",
                                      "::ffff:127.0.0.1",
                                      "::ffff:224.0.0.1",
                                      "example.com",
                                      "",
                                      "192.0.2.7",
                                      "192.0.2.7",
                                      NULL};
    begin(&r, TRANSPORT_AUTO);
    carry(&r);
    acknowledge(&r, 9, bad);
    QRIG_UNTIL(&r.quic, r.m.greeted);
    CHECK_INT(r.m.promotion.n, 2); /* that one, and where ssh leads */
    CHECK_INT(r.m.session->n_peers, 2);
    for (unsigned i = 0; i < 100; i++) {
        char text[32];
        const char *one[] = {text, NULL};
        snprintf(text, sizeof text, "192.0.2.%u", i);
        acknowledge(&r, (uint16_t)(i + 10), one);
        QRIG_UNTIL(&r.quic, r.m.promotion.port == i + 10);
        promote_stop(&r.m);
    }
    CHECK(r.m.promotion.begun > 10 && r.m.promotion.begun < 50);
    r.m.promotion.counted_ms -= 60000; /* a minute later */
    acknowledge(&r, 9, nowhere);
    QRIG_UNTIL(&r.quic, r.m.promotion.port == 9);
    CHECK(r.m.promotion.begun > 0 && r.m.promotion.begun < 10);
    finish(&r);
}
