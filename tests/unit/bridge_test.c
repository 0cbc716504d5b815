/* The broker's end of an agent's connection, with an agent that does what a test wants. */
#include "applets/broker/bridge.h"

#include <errno.h>
#include <stdio.h>

#include "applets/service/join_proof.h"
#include "core/bytes.h"
#include "core/fdstream.h"
#include "core/mem.h"
#include "core/message.h"
#include "net/yamux.h"
#include "tests/unit/probe.h"
#include "tests/unit/store_home.h"

static const char url[] = "https://broker.example";
static const struct principal ann = {"00000000000000000000000000000aaa", "ann"};

struct rig {
    struct loop *loop;
    struct store *store;
    struct bridges all;
    struct store_home home;
    struct device device; /* enrolled */
    uint8_t key[KEY_PUBLIC_LEN], secret[KEY_SECRET_LEN];
    unsigned joins, leaves;
    bool answered;
};

/* An agent's end. */
struct agent {
    struct mux *mux;
    struct stream *hello, *request;
    struct frame_reader frames;
    uint8_t nonce[JOIN_NONCE_LEN];
    char broker[JOIN_URL_MAX];
    enum message_type last; /* MSG_COUNT: nothing yet */
    char text[256];         /* an Error's message, or Joined's agent */
    bool down;
};

static void on_changed(void *arg, struct agent_link *link, bool joined)
{
    struct rig *r = arg;
    (void)link;
    *(joined ? &r->joins : &r->leaves) += 1;
}

static void on_device(void *arg, int error, const struct device *device)
{
    struct rig *r = arg;
    CHECK_INT(error, 0);
    if (device)
        r->device = *device;
    r->answered = true;
}

static void enrol(struct rig *r)
{
    char code[CODE_LEN + 1];
    device_new_code(code);
    device_offer(r->store, &ann, code, on_device, r);
    TURN_UNTIL(r->loop, r->answered);
    r->answered = false;
    device_enrol(r->store, &(struct enrolment){code, "laptop", r->key}, on_device, r);
    TURN_UNTIL(r->loop, r->answered);
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    store_home_init(&r->home);
    r->store = store_home_open(&r->home, r->loop);
    key_pair(r->key, r->secret);
    r->all = (struct bridges){.loop = r->loop,
                              .store = r->store,
                              .registry = registry_new(),
                              .url = url,
                              .changed = on_changed,
                              .arg = r};
    enrol(r);
}

static void rig_fini(struct rig *r)
{
    bridges_end(&r->all);
    CHECK_INT(registry_count(r->all.registry), 0);
    CHECK_INT(r->joins, r->leaves);
    loop_turn(r->loop, 0);
    store_close(r->store);
    loop_turn(r->loop, 0);
    registry_free(r->all.registry);
    loop_free(r->loop);
    store_home_fini(&r->home);
}

/* ---- the agent's end ---- */

static void hear(struct agent *a, const struct frame *f)
{
    struct message m;
    const char *why = NULL, *text;
    CHECK_INT(message_parse(&m, f->payload, f->len, &why), 0);
    if (why)
        return;
    a->last = m.type;
    if (m.type == MSG_CHALLENGE) {
        const char *nonce = json_get_str(m.body, "nonce");
        CHECK(nonce && hex_decode(a->nonce, sizeof a->nonce, nonce) == 0);
        text = json_get_str(m.body, "broker");
        snprintf(a->broker, sizeof a->broker, "%s", text ? text : "");
    } else {
        text = json_get_str(m.body, m.type == MSG_ERROR ? "message" : "agent");
        snprintf(a->text, sizeof a->text, "%s", text ? text : "");
    }
    message_fini(&m);
}

static void on_hello(void *arg, struct stream *s, enum stream_event event)
{
    struct agent *a = arg;
    struct frame f;
    if (event == STREAM_DATA)
        while (frame_read(&a->frames, s, &f) == FRAME_READY)
            hear(a, &f);
    if (event == STREAM_EOF || event == STREAM_ERROR) {
        stream_close(s);
        a->hello = NULL;
    }
}

static void on_accepted(void *arg, struct stream *s)
{
    struct agent *a = arg;
    if (a->last == MSG_JOINED) {
        a->request = s;
        return;
    }
    a->hello = s;
    stream_own(s, on_hello, a);
}

static void on_down(void *arg, int error)
{
    struct agent *a = arg;
    (void)error;
    a->down = true;
    mux_free(a->mux);
    a->mux = NULL;
}

static const struct mux_events agent_events = {.accepted = on_accepted, .down = on_down};

static void come(struct rig *r, struct agent *a)
{
    int fd[2];
    *a = (struct agent){.last = MSG_COUNT};
    unix_pair(fd);
    a->mux = yamux_new(fdstream_new(r->loop, fd[1], fd[1]), YAMUX_CLIENT, &agent_events, a);
    bridge_accept(&r->all, fdstream_new(r->loop, fd[0], fd[0]), NULL, NULL);
    TURN_UNTIL(r->loop, a->last == MSG_CHALLENGE);
    CHECK_STR(a->broker, url);
}

static void go(struct agent *a)
{
    if (a->hello)
        stream_close(a->hello);
    if (a->request)
        stream_close(a->request);
    mux_free(a->mux);
    frame_reader_fini(&a->frames);
}

static void send_join(struct agent *a, const char *device, const uint8_t *signature)
{
    char hex[2 * KEY_SIGNATURE_LEN + 1];
    struct draft d = draft_of(MSG_JOIN);
    hex_encode(hex, signature, KEY_SIGNATURE_LEN);
    draft_str(&d, "device", device);
    draft_str(&d, "signature", hex);
    json_put_str(d.out, json_put_object(d.out, d.root, "metadata"), "hostname", "box");
    draft_send(&d, a->hello);
}

/* With a signature of that over this. */
static enum message_type prove(struct rig *r, struct agent *a, const struct join_proof *p,
                               const uint8_t *secret)
{
    uint8_t signature[KEY_SIGNATURE_LEN];
    join_sign(signature, p, secret);
    send_join(a, p->device, signature);
    TURN_UNTIL(r->loop, a->last != MSG_CHALLENGE || a->down);
    return a->last;
}

static enum message_type join(struct rig *r, struct agent *a)
{
    come(r, a);
    return prove(r, a, &(struct join_proof){a->nonce, url, r->device.id}, r->secret);
}

static struct agent_link *found(const struct rig *r)
{
    return registry_find(r->all.registry, &ann, NULL);
}

/* ---- */

TEST(bridge_joins_and_opens_streams)
{
    struct rig r;
    struct agent a;
    rig_init(&r);
    CHECK_INT(join(&r, &a), MSG_JOINED);
    CHECK_STR(a.text, "laptop");
    struct agent_link *link = found(&r);
    CHECK(link != NULL);
    if (link) {
        CHECK_STR(link->device.owner.name, "ann");
        CHECK_STR(json_get_str(bridge_metadata(link), "hostname"), "box");
        CHECK(bridge_since_s(link) > 1700000000);
        struct stream *s = bridge_open(link);
        stream_write(s, "x", 1);
        TURN_UNTIL(r.loop, a.request != NULL);
        stream_close(s);
    }
    CHECK_INT(r.joins, 1);
    go(&a);
    TURN_UNTIL(r.loop, !found(&r));
    CHECK_INT(r.leaves, 1);
    rig_fini(&r);
}

TEST(bridge_refuses_who_proves_nothing)
{
    struct rig r;
    struct agent a;
    uint8_t key[KEY_PUBLIC_LEN], other[KEY_SECRET_LEN], nonce[JOIN_NONCE_LEN] = {0};
    rig_init(&r);
    key_pair(key, other);
    const struct {
        const char *device, *url;
        const uint8_t *nonce, *secret;
    } rows[] = {
        {r.device.id, url, NULL, other},                           /* another key */
        {r.device.id, url, nonce, r.secret},                       /* another connection's */
        {r.device.id, "https://other.example", NULL, r.secret},    /* another broker's */
        {"00000000000000000000000000000000", url, NULL, r.secret}, /* no such device */
        {"../../user/ann", url, NULL, r.secret},
        {"", url, NULL, r.secret}, /* no id */
    };
    for (size_t i = 0; i < countof(rows); i++) {
        come(&r, &a);
        struct join_proof p = {rows[i].nonce ? rows[i].nonce : a.nonce, rows[i].url,
                               rows[i].device};
        CHECK_INT(prove(&r, &a, &p, rows[i].secret), MSG_ERROR);
        CHECK_STR(a.text, "not a device that this broker knows");
        CHECK(!found(&r));
        go(&a);
    }
    rig_fini(&r);
}

/* What was good on one connection is worth nothing on the next. */
TEST(bridge_refuses_a_replayed_signature)
{
    struct rig r;
    struct agent a, b;
    uint8_t signature[KEY_SIGNATURE_LEN];
    rig_init(&r);
    come(&r, &a);
    join_sign(signature, &(struct join_proof){a.nonce, url, r.device.id}, r.secret);
    send_join(&a, r.device.id, signature);
    TURN_UNTIL(r.loop, a.last == MSG_JOINED);
    come(&r, &b);
    send_join(&b, r.device.id, signature);
    TURN_UNTIL(r.loop, b.last != MSG_CHALLENGE);
    CHECK_INT(b.last, MSG_ERROR);
    CHECK(found(&r) != NULL);
    CHECK(!a.down);
    go(&a);
    go(&b);
    rig_fini(&r);
}

TEST(bridge_newer_connection_wins)
{
    struct rig r;
    struct agent a, b;
    rig_init(&r);
    CHECK_INT(join(&r, &a), MSG_JOINED);
    struct agent_link *first = found(&r);
    CHECK_INT(join(&r, &b), MSG_JOINED);
    CHECK(found(&r) && found(&r) != first);
    TURN_UNTIL(r.loop, a.down);
    CHECK(!b.down && found(&r));
    go(&a);
    go(&b);
    rig_fini(&r);
}

TEST(bridge_closes_what_is_revoked)
{
    struct rig r;
    struct agent a;
    rig_init(&r);
    CHECK_INT(join(&r, &a), MSG_JOINED);
    bridge_revoke(&r.all, "00000000000000000000000000000000");
    CHECK(found(&r) != NULL);
    bridge_revoke(&r.all, r.device.id);
    CHECK(!found(&r));
    TURN_UNTIL(r.loop, a.down);
    go(&a);
    rig_fini(&r);
}

/* Whose device it may be is being looked up while others revoke theirs, and while its own is. */
TEST(bridge_closes_of_those_who_join_what_is_revoked)
{
    const struct {
        bool own;
        enum message_type said;
    } rows[] = {{false, MSG_JOINED}, {true, MSG_CHALLENGE}};
    for (size_t i = 0; i < countof(rows); i++) {
        struct rig r;
        struct agent a;
        uint8_t signature[KEY_SIGNATURE_LEN];
        rig_init(&r);
        const char *id = rows[i].own ? r.device.id : "00000000000000000000000000000000";
        come(&r, &a);
        join_sign(signature, &(struct join_proof){a.nonce, url, r.device.id}, r.secret);
        send_join(&a, r.device.id, signature);
        TURN_UNTIL(r.loop, (bridge_revoke(&r.all, id), a.last != MSG_CHALLENGE || a.down));
        CHECK_INT(a.last, rows[i].said);
        CHECK_INT(a.down, rows[i].own);
        go(&a);
        rig_fini(&r);
    }
}

TEST(bridge_takes_no_stream_from_an_agent)
{
    struct rig r;
    struct agent a;
    rig_init(&r);
    CHECK_INT(join(&r, &a), MSG_JOINED);
    struct stream *s = mux_open(a.mux);
    struct probe p = {0};
    probe_own(&p, s);
    stream_write(s, "hello", 5);
    TURN_UNTIL(r.loop, p.errors == 1);
    CHECK_INT(p.error, ECONNRESET);
    probe_fini(&p);
    go(&a);
    rig_fini(&r);
}

TEST(bridge_refuses_what_is_no_join)
{
    static const char *const bad[] = {
        "{\"type\":\"Ping\"}",
        "{\"type\":\"Join\"}",
        "{\"type\":\"Join\",\"device\":\"x\",\"signature\":\"00\"}",
        "{",
    };
    struct rig r;
    struct agent a;
    rig_init(&r);
    for (size_t i = 0; i < countof(bad); i++) {
        come(&r, &a);
        frame_write(a.hello, bad[i], strlen(bad[i]));
        TURN_UNTIL(r.loop, a.last != MSG_CHALLENGE);
        CHECK_INT(a.last, MSG_ERROR);
        go(&a);
    }
    come(&r, &a);
    stream_write(a.hello, "\xff\xff\xff\xff", 4);
    TURN_UNTIL(r.loop, a.last == MSG_ERROR);
    go(&a);
    CHECK_INT(r.joins, 0);
    rig_fini(&r);
}
