/* An agent that joins the broker's own bridge, over TCP, HTTP and a WebSocket on the loopback. */
#include "applets/agent/join.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "applets/agent/enrol.h"
#include "applets/agent/join_memory.h"
#include "applets/broker/bridge.h"
#include "core/mem.h"
#include "net/http_server.h"
#include "net/netwatch.h"
#include "net/sock.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"
#include "net/yamux.h"
#include "tests/unit/netns.h"
#include "tests/unit/probe.h"
#include "tests/unit/store_home.h"
#include "tests/unit/wire.h"

#define PATIENT_MS 2000 /* an agent that backs off in full waits so long at least */
#define FRESH_MS   3000 /* so long a try is left alone when the network changes */

static const struct principal ann = {"00000000000000000000000000000aaa", "ann"};

struct rig {
    struct loop *loop;
    struct store_home home;
    struct store *store;
    struct bridges all;
    struct listener *listener;
    struct web_server server; /* as the agent names it */
    char text[64];            /* as the broker does */
    bool deaf;                /* it answers 404 */
    bool mute;                /* it does not answer on the next connection */
    struct probe unheard;     /* that one */
    unsigned tries;           /* connections */
    uint64_t tried_ms;        /* when the last one came */
    unsigned impatient;       /* of them, one after the other, sooner than a full back-off */
    /* the agent */
    struct device_key key;
    struct service_policy policy;
    struct join *join;
    unsigned ups, losts, ends;
    char why[256], user[64], agent[64];
    /* a request of the broker's */
    struct probe request;
    bool answered;
};

/* ---- the broker ---- */

static void on_request(void *arg, struct stream *x)
{
    struct rig *r = arg;
    CHECK_STR(http_target(http_request_head(x)), "/api/bridge?type=agent");
    CHECK(http_field(http_request_head(x), "Origin") == NULL);
    if (r->deaf) {
        http_answer(x, 404, "", "", 0);
        return;
    }
    struct stream *carrier = websocket_accept(x, NULL);
    if (carrier)
        bridge_accept(&r->all, websocket_stream_new(carrier, WS_SERVER), NULL, NULL);
}

static void on_conn_ended(void *arg, struct http_conn *c)
{
    (void)arg, (void)c;
}

static void on_connection(void *arg, struct stream *s, const char *peer)
{
    static const struct http_server_events events = {.request = on_request, .ended = on_conn_ended};
    struct rig *r = arg;
    (void)peer;
    r->tries++;
    r->impatient = loop_now_ms(r->loop) - r->tried_ms < PATIENT_MS ? r->impatient + 1 : 0;
    r->tried_ms = loop_now_ms(r->loop);
    if (r->mute)
        probe_own(&r->unheard, s);
    else
        http_serve(s, &http_server_limits, &events, arg);
    r->mute = false;
}

static void on_device(void *arg, int error, const struct device *device)
{
    struct rig *r = arg;
    (void)device;
    CHECK_INT(error, 0);
    r->answered = true;
}

static void await_answer(struct rig *r)
{
    TURN_UNTIL(r->loop, r->answered);
    r->answered = false;
}

static void enrol_device(struct rig *r)
{
    char code[CODE_LEN + 1];
    device_new_code(code);
    device_offer(r->store, &ann, code, on_device, r);
    await_answer(r);
    device_enrol(r->store, &(struct enrolment){code, "laptop", r->key.public}, on_device, r);
    await_answer(r);
}

static void withdraw(struct rig *r)
{
    device_revoke(r->store, &ann, "laptop", on_device, r);
    await_answer(r);
    bridge_revoke(&r->all, r->key.id);
}

static void listen_on(struct rig *r, uint16_t port)
{
    const struct target bind = {.kind = TARGET_TCP, .host = "127.0.0.1", .port = port};
    r->listener = listener_new(r->loop, &bind, on_connection, r);
    CHECK(r->listener != NULL);
}

/* ---- the agent ---- */

static void on_join(void *arg, const struct join_news *news)
{
    struct rig *r = arg;
    switch (news->event) {
    case JOIN_UP:
        r->ups++;
        snprintf(r->user, sizeof r->user, "%s", news->user);
        snprintf(r->agent, sizeof r->agent, "%s", news->agent);
        break;
    case JOIN_LOST: r->losts++; break;
    case JOIN_ENDED: r->ends++;
    }
    if (news->why)
        snprintf(r->why, sizeof r->why, "%s", news->why);
}

static void start(struct rig *r)
{
    const struct join_identity who = {r->server.url.text, &r->key, &r->policy};
    r->join = join_new(r->loop, &r->server, &who, on_join, r);
}

static void rig_init(struct rig *r)
{
    const char *flaw;
    *r = (struct rig){.loop = loop_new()};
    store_home_init(&r->home);
    r->store = store_home_open(&r->home, r->loop);
    listen_on(r, 0);
    snprintf(r->text, sizeof r->text, "http://127.0.0.1:%u", listener_port(r->listener));
    CHECK_INT(url_parse(&r->server.url, r->text, &flaw), 0);
    r->all = (struct bridges){
        .loop = r->loop, .store = r->store, .registry = registry_new(), .url = r->text};
    r->policy.allow = POLICY_EXEC | POLICY_DIAL;
    key_pair(r->key.public, r->key.secret);
    join_device_id(r->key.id, r->key.public);
}

/* Commands that were hung up on have their time to go. */
static bool have_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

static void rig_fini(struct rig *r)
{
    probe_fini(&r->request);
    probe_fini(&r->unheard);
    join_free(r->join);
    bridges_end(&r->all);
    listener_free(r->listener);
    for (int i = 0; i < 20; i++)
        loop_turn(r->loop, 0);
    TURN_UNTIL(r->loop, !have_children());
    store_close(r->store);
    loop_turn(r->loop, 0);
    registry_free(r->all.registry);
    loop_free(r->loop);
    policy_fini(&r->policy);
    store_home_fini(&r->home);
}

static struct agent_link *found(const struct rig *r)
{
    return registry_find(r->all.registry, &ann, NULL);
}

/* Sends a request on a stream of its own, and leaves its answer in `request`. */
static void ask(struct rig *r, const char *text)
{
    probe_fini(&r->request);
    struct stream *s = bridge_open(found(r));
    r->request = (struct probe){0};
    probe_own(&r->request, s);
    frame_write(s, text, strlen(text));
}

static bool heard(struct rig *r, const char *word)
{
    return r->request.got.len &&
           memmem(buf_front(&r->request.got), r->request.got.len, word, strlen(word));
}

/* ---- */

TEST(join_proves_itself_and_serves_what_is_allowed)
{
    struct rig r;
    rig_init(&r);
    enrol_device(&r);
    start(&r);
    TURN_UNTIL(r.loop, r.ups == 1 && found(&r));
    CHECK_STR(r.user, "ann");
    CHECK_STR(r.agent, "laptop");
    const struct json_value *said = bridge_metadata(found(&r));
    CHECK_STR(json_get_str(said, "type"), "agent-metadata");
    CHECK_STR(json_get_str(said, "platform"), "linux");
    CHECK(json_get_str(said, "hostname") && json_get_str(said, "user"));
    CHECK_INT(json_count(json_get(said, "allow")), 2);
    ask(&r, "{\"type\":\"Exec\",\"command\":\"echo here\"}");
    TURN_UNTIL(r.loop, heard(&r, "\"here\\n\""));
    ask(&r, "{\"type\":\"ListDir\",\"path\":\"/\"}");
    TURN_UNTIL(r.loop, heard(&r, "does not allow files"));
    CHECK(heard(&r, "PermissionDenied"));
    ask(&r, "{\"type\":\"ExecStream\",\"pty\":{}}");
    TURN_UNTIL(r.loop, heard(&r, "does not allow terminal"));
    CHECK_INT(r.losts + r.ends, 0);
    rig_fini(&r);
}

/* The broker is gone, and what it had begun with it; then it is back. */
TEST(join_lets_nothing_run_on_and_comes_back)
{
    struct rig r;
    rig_init(&r);
    enrol_device(&r);
    start(&r);
    TURN_UNTIL(r.loop, r.ups == 1 && found(&r));
    cleanup_free char *fifo = xasprintf("%s/fifo", r.home.folder);
    CHECK_INT(mkfifo(fifo, 0600), 0);
    cleanup_fd int held = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    cleanup_free char *command = xasprintf(
        "{\"type\":\"ExecStream\",\"command\":\"exec 9>%s; echo x >&9; sleep 1000\"}", fifo);
    char byte[2];
    bool runs = false;
    ask(&r, command);
    TURN_UNTIL(r.loop, runs || (runs = read(held, byte, 2) == 2));
    uint16_t port = listener_port(r.listener);
    listener_free(r.listener);
    probe_fini(&r.request);
    bridges_end(&r.all);
    TURN_UNTIL(r.loop, r.losts == 1);
    TURN_UNTIL(r.loop, read(held, byte, 1) == 0); /* nobody writes there any more */
    listen_on(&r, port);
    TURN_UNTIL(r.loop, r.ups == 2 && found(&r));
    ask(&r, "{\"type\":\"Ping\"}");
    TURN_UNTIL(r.loop, heard(&r, "Pong"));
    CHECK_INT(r.losts, 1);
    CHECK_INT(unlink(fifo), 0);
    rig_fini(&r);
}

TEST(join_tells_of_a_loss_once)
{
    struct rig r;
    rig_init(&r);
    enrol_device(&r);
    r.deaf = true;
    start(&r);
    TURN_UNTIL(r.loop, r.losts == 1);
    CHECK_STR(r.why, "it answers with HTTP status 404 where agents come in");
    r.deaf = false;
    TURN_UNTIL(r.loop, r.ups == 1);
    CHECK_INT(r.losts, 1);
    rig_fini(&r);
}

TEST(join_ends_when_its_device_is_revoked)
{
    struct rig r;
    rig_init(&r);
    enrol_device(&r);
    start(&r);
    TURN_UNTIL(r.loop, r.ups == 1);
    withdraw(&r);
    TURN_UNTIL(r.loop, r.ends == 1);
    CHECK_STR(r.why, "not a device that this broker knows");
    CHECK_INT(r.ups, 1);
    CHECK_INT(r.losts, 1);
    rig_fini(&r);
}

TEST(join_ends_where_it_is_not_known)
{
    struct rig r;
    rig_init(&r);
    start(&r);
    TURN_UNTIL(r.loop, r.ends == 1);
    CHECK_INT(r.ups + r.losts, 0);
    rig_fini(&r);
}

/* What is signed for one broker must not be had by another. */
TEST(join_signs_for_no_other_url)
{
    struct rig r;
    rig_init(&r);
    enrol_device(&r);
    r.all.url = "https://other.example";
    start(&r);
    TURN_UNTIL(r.loop, r.ends == 1);
    CHECK(strstr(r.why, "https://other.example") != NULL);
    CHECK(!found(&r));
    rig_fini(&r);
}

/* One that was joined before may be at fault for a while. */
TEST(join_waits_for_a_url_to_be_mended)
{
    struct rig r;
    rig_init(&r);
    enrol_device(&r);
    start(&r);
    TURN_UNTIL(r.loop, r.ups == 1 && found(&r));
    r.all.url = "https://other.example";
    bridges_end(&r.all);
    TURN_UNTIL(r.loop, r.losts == 1);
    r.all.url = r.text;
    TURN_UNTIL(r.loop, r.ups == 2);
    CHECK_INT(r.ends, 0);
    rig_fini(&r);
}

TEST(join_can_be_freed_at_any_time)
{
    for (int turns = 0; turns < 40; turns++) {
        struct rig r;
        rig_init(&r);
        enrol_device(&r);
        start(&r);
        for (int i = 0; i < turns && !r.ups; i++)
            loop_turn(r.loop, 1);
        rig_fini(&r);
    }
}

/* ---- when the network changes ---- */

struct unrest {
    struct netwatch *watch;
    unsigned changes;
};

/* No change is the last one. */
static void on_network(void *arg, enum netwatch_event event)
{
    struct unrest *u = arg;
    if (event == NETWATCH_CHANGED)
        CHECK_INT(netns_lo_address(u->changes++ % 2 ? "10.9.8.7" : "10.9.8.6"), 0);
}

static void unrest_begin(struct unrest *u, struct loop *loop)
{
    *u = (struct unrest){.watch = netwatch_new(loop, on_network, u)};
    on_network(u, NETWATCH_CHANGED);
}

/* In a network namespace; which to go back to, or -1. */
static int init_apart(struct rig *r, const char *test)
{
    int home = netns_enter(test);
    if (home < 0)
        return -1;
    CHECK_INT(netns_lo_up(), 0);
    rig_init(r);
    enrol_device(r);
    return home;
}

static void fini_apart(struct rig *r, int home)
{
    rig_fini(r);
    CHECK_INT(netns_leave(home), 0);
}

/* The broker turns all of them away: as many in a row are not to be had by waiting, which takes longer each time. */
TEST(join_tries_at_once_when_the_network_changes)
{
    struct rig r;
    struct unrest u;
    int home = init_apart(&r, __func__);
    if (home < 0)
        return;
    r.deaf = true;
    start(&r);
    unrest_begin(&u, r.loop);
    TURN_UNTIL(r.loop, r.impatient > 5);
    r.deaf = false;
    TURN_UNTIL(r.loop, r.ups == 1);
    netwatch_free(u.watch);
    fini_apart(&r, home);
}

/* What the network was when it began may be why it gets no answer; no loss is told of it. */
TEST(join_begins_a_try_anew_when_the_network_changes)
{
    struct rig r;
    struct unrest u;
    int home = init_apart(&r, __func__);
    if (home < 0)
        return;
    r.mute = true;
    uint64_t from_ms = loop_now_ms(r.loop);
    start(&r);
    unrest_begin(&u, r.loop);
    TURN_UNTIL(r.loop, r.ups == 1);
    CHECK(loop_now_ms(r.loop) - from_ms >= FRESH_MS);
    CHECK_INT(r.tries, 2);
    CHECK(r.unheard.eofs || r.unheard.errors);
    CHECK_INT(r.losts, 0);
    netwatch_free(u.watch);
    fini_apart(&r, home);
}

/* With its way gone the broker's silence alone would tell, after half a minute. */
TEST(join_asks_for_a_sign_when_the_network_changes)
{
    struct rig r;
    int home = init_apart(&r, __func__);
    if (home < 0)
        return;
    start(&r);
    TURN_UNTIL(r.loop, r.ups == 1);
    uint64_t from_ms = loop_now_ms(r.loop);
    CHECK_INT(netns_lo_flags(0), 0);
    TURN_UNTIL(r.loop, r.losts == 1);
    CHECK_STR(r.why, "it answers no more");
    CHECK(loop_now_ms(r.loop) - from_ms < JOIN_DEAD_MS);
    CHECK_INT(netns_lo_up(), 0);
    TURN_UNTIL(r.loop, r.ups == 2);
    fini_apart(&r, home);
}

TEST(join_that_has_ended_minds_no_network)
{
    struct rig r;
    struct unrest u;
    int home = init_apart(&r, __func__);
    if (home < 0)
        return;
    withdraw(&r);
    start(&r);
    TURN_UNTIL(r.loop, r.ends == 1);
    TURN_UNTIL(r.loop, loop_now_ms(r.loop) - r.tried_ms > FRESH_MS);
    unrest_begin(&u, r.loop);
    TURN_UNTIL(r.loop, u.changes > 2);
    CHECK_INT(r.tries, 1);
    netwatch_free(u.watch);
    fini_apart(&r, home);
}

/* ---- enrolment ---- */

TEST(enrol_names_are_cut)
{
    static const struct {
        const char *host, *name;
    } rows[] = {
        {"box", "box"},
        {"Box_1.example-net", "Box_1.example-net"},
        {"a b/c\xc3\xa9", "a-b-c--"},
        {"", "agent"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789",
         "0123456789012345678901234567890123456789012345678901234567890123"},
    };
    char name[ENROL_NAME_MAX + 1];
    for (size_t i = 0; i < countof(rows); i++) {
        enrol_name(name, rows[i].host);
        CHECK_STR(name, rows[i].name);
    }
}

TEST(enrol_says_why_not)
{
    static const struct {
        int status;
        const char *body, *flaw;
    } rows[] = {
        {200, "{\"agent\":\"a\",\"user\":\"u\",\"device\":\"d\"}", NULL},
        {201, "{\"agent\":\"a\",\"user\":\"u\"}", NULL},
        {200, "{\"agent\":\"a\"}", "what it answers is not a broker's"},
        {200, "<html>", "what it answers is not a broker's"},
        {200, "", "what it answers is not a broker's"},
        {401, "{\"error\":\"unauthorized\",\"message\":\"No such code.\"}", "No such code."},
        {401, "{\"message\":\"a\\u001b[2J\\nb\"}", "a?[2J?b"},
        {502, "<html>", "it answers with HTTP status 502"},
        {409, "{\"message\":7}", "it answers with HTTP status 409"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        const struct web_answer a = {
            .status = rows[i].status, .body = rows[i].body, .len = strlen(rows[i].body)};
        cleanup_free char *flaw = enrol_flaw(&a);
        CHECK_STR(flaw ? flaw : "", rows[i].flaw ? rows[i].flaw : "");
    }
}

/* ---- what is remembered ---- */

TEST(join_memory_keeps_what_was_said)
{
    static const char url[] = "https://broker.example";
    char dir[] = "/tmp/berth-join-XXXXXX";
    struct join_memory m;
    struct join_words w = {.allow = "files", .root = "/srv/x", .name = "n", .code = "c"};
    CHECK(mkdtemp(dir) != NULL);
    setenv("XDG_CONFIG_HOME", dir, 1);
    cleanup_free char *berth = xasprintf("%s/berth", dir);
    CHECK_INT(mkdir(berth, 0700), 0);
    w.broker.pin = "00ff";
    CHECK_INT(join_memory_open(&m, url), 0);
    CHECK(!m.doc);
    CHECK_INT(join_memory_keep(&m, url, &w), 0);
    join_memory_fini(&m);
    struct join_words later = {.allow = "exec"};
    CHECK_INT(join_memory_open(&m, url), 0);
    join_memory_recall(&m, &later);
    CHECK_STR(later.allow, "exec"); /* what is said wins */
    CHECK_STR(later.root, "/srv/x");
    CHECK_STR(later.broker.pin, "00ff");
    CHECK(!later.code && !later.name && !later.broker.ca && !later.broker.insecure_http);
    cleanup_free char *path = xstrdup(m.path);
    join_memory_fini(&m);
    CHECK_INT(join_memory_open(&m, "https://other.example"), 0);
    CHECK(!m.doc);
    join_memory_fini(&m);
    CHECK_INT(truncate(path, 20), 0);
    CHECK_INT(join_memory_open(&m, url), -1);
    join_memory_fini(&m);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(berth), 0);
    CHECK_INT(rmdir(dir), 0);
    unsetenv("XDG_CONFIG_HOME");
}
