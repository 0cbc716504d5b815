#include "tests/unit/front_rig.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "applets/broker/activity.h"
#include "applets/service/join_proof.h"
#include "core/bytes.h"
#include "core/fdstream.h"
#include "core/mem.h"
#include "net/http_client.h"
#include "net/sock.h"
#include "net/yamux.h"

static const char url[] = "http://broker.test";

/* ---- the front ---- */

static void on_user(void *arg, int error, const struct principal *who)
{
    struct front_rig *r = arg;
    CHECK_INT(error, 0);
    (void)who;
    r->done = true;
}

static void on_granted(void *arg, int error, const struct principal *who, const struct token *token)
{
    (void)token;
    on_user(arg, error, who);
}

static void settle(struct front_rig *r)
{
    TURN_UNTIL(r->loop, r->done);
    r->done = false;
}

static void on_proven(void *arg, int error, const struct principal *who, const struct token *token)
{
    struct front_user *u = arg;
    CHECK_INT(error, 0);
    (void)token;
    if (who)
        u->who = *who;
}

static void add_user(struct front_rig *r, struct front_user *u, const char *name)
{
    people_add(r->front.store, name, on_user, r);
    settle(r);
    token_new(u->token);
    token_grant(r->front.store, name, &(struct token_grant){u->token, 1}, on_granted, r);
    settle(r);
    token_prove(r->front.store, u->token, on_proven, u);
    TURN_UNTIL(r->loop, u->who.id[0]);
}

void front_rig_init(struct front_rig *r)
{
    char *why = NULL, text[] = "127.0.0.1:0";
    const char *flaw;
    struct target bind;
    *r = (struct front_rig){.loop = loop_new(), .dir = "/tmp/berth-front-XXXXXX"};
    CHECK(mkdtemp(r->dir) != NULL);
    r->home = getenv("HOME") ? xstrdup(getenv("HOME")) : NULL;
    CHECK_INT(setenv("HOME", r->dir, 1), 0);
    snprintf(r->store, sizeof r->store, "%s/state", r->dir);
    struct front *f = &r->front;
    f->loop = r->loop;
    f->url = url;
    r->patience = front_patience;
    f->patience = &r->patience;
    f->store = store_sqlite_open(r->loop, r->store, &why);
    if (!f->store)
        test_fail(__FILE__, __LINE__, "%s", why);
    free(why);
    f->activity = activity_new(f->store);
    f->registry = registry_new();
    room_init(&f->room, r->loop);
    leases_init(&f->leases, r->loop);
    f->bridges = (struct bridges){.loop = r->loop,
                                  .store = f->store,
                                  .registry = f->registry,
                                  .url = url,
                                  .strangers = &f->strangers};
    CHECK_INT(target_parse_bind(&bind, text, &flaw), 0);
    CHECK_INT(front_listen(f, &bind), 0);
    r->port = listener_port(f->listener);
    workload_init(&r->workload, r->loop);
    add_user(r, &r->ann, "ann");
    add_user(r, &r->bob, "bob");
}

static bool have_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void front_rig_fini(struct front_rig *r)
{
    front_end(&r->front);
    CHECK(!r->front.calls && !r->front.terminals && !r->front.connections);
    CHECK(!r->front.leases.first);
    workload_fini(&r->workload);
    TURN_UNTIL(r->loop, !have_children());
    store_close(r->front.store);
    loop_turn(r->loop, 0);
    activity_free(r->front.activity);
    registry_free(r->front.registry);
    loop_free(r->loop);
    nftw(r->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    CHECK_INT(r->home ? setenv("HOME", r->home, 1) : unsetenv("HOME"), 0);
    free(r->home);
}

static struct front_rig *holding; /* there is one store at a time */

static void hold(struct store *s, struct store_call *call)
{
    struct store_call **end = &holding->held;
    (void)s;
    while (*end)
        end = &(*end)->next;
    *end = call;
}

void front_store_hold(struct front_rig *r)
{
    static const struct store_ops held_ops = {.ask = hold};
    holding = r;
    r->store_ops = r->front.store->ops;
    r->front.store->ops = &held_ops;
}

void front_store_go_on(struct front_rig *r)
{
    r->front.store->ops = r->store_ops;
    while (r->held) {
        struct store_call *call = r->held;
        r->held = call->next;
        call->next = NULL;
        r->store_ops->ask(r->front.store, call);
    }
}

static void on_passed(void *arg)
{
    *(bool *)arg = true;
}

void front_pass_time(struct front_rig *r, uint32_t ms)
{
    struct loop_timer timer;
    bool passed = false;
    loop_timer_init(r->loop, &timer, on_passed, &passed);
    loop_timer_set(&timer, ms);
    TURN_UNTIL(r->loop, passed);
}

/* ---- agents ---- */

static void on_device(void *arg, int error, const struct device *device)
{
    struct front_rig *r = arg;
    CHECK_INT(error, 0);
    if (device)
        r->device = *device;
    r->done = true;
}

static void hear(struct front_agent *a, const struct message *m)
{
    uint8_t nonce[JOIN_NONCE_LEN], signature[KEY_SIGNATURE_LEN];
    char hex[2 * KEY_SIGNATURE_LEN + 1];
    const char *text = json_get_str(m->body, "nonce");
    a->joined = m->type == MSG_JOINED;
    if (m->type != MSG_CHALLENGE || !text || hex_decode(nonce, sizeof nonce, text) < 0)
        return;
    join_sign(signature, &(struct join_proof){nonce, url, a->device.id}, a->secret);
    hex_encode(hex, signature, sizeof signature);
    struct draft d = draft_of(MSG_JOIN);
    draft_str(&d, "device", a->device.id);
    draft_str(&d, "signature", hex);
    json_put_str(d.out, json_put_object(d.out, d.root, "metadata"), "hostname", "box");
    draft_send(&d, a->hello);
}

static void on_hello(void *arg, struct stream *s, enum stream_event event)
{
    struct front_agent *a = arg;
    struct frame f;
    struct message m;
    const char *why;
    if (event == STREAM_DATA)
        while (frame_read(&a->frames, s, &f) == FRAME_READY)
            if (message_parse(&m, f.payload, f.len, &why) == 0) {
                hear(a, &m);
                message_fini(&m);
            }
    if (event != STREAM_EOF && event != STREAM_ERROR)
        return;
    stream_close(s);
    a->hello = NULL;
}

static void on_accepted(void *arg, struct stream *s)
{
    struct front_agent *a = arg;
    if (a->joined && a->accept) {
        a->accept(a, s);
    } else if (a->joined) {
        service_serve(&a->service, s);
    } else {
        a->hello = s;
        stream_own(s, on_hello, a);
    }
}

static void on_down(void *arg, int error)
{
    (void)error;
    front_agent_leave(arg);
}

static const struct mux_events agent_events = {.accepted = on_accepted, .down = on_down};

static void enrol(struct front_rig *r, struct front_agent *a, const struct front_user *owner,
                  const char *name)
{
    char code[CODE_LEN + 1];
    key_pair(a->key, a->secret);
    device_new_code(code);
    device_offer(r->front.store, &owner->who, code, on_device, r);
    settle(r);
    device_enrol(r->front.store, &(struct enrolment){code, name, a->key}, on_device, r);
    settle(r);
    a->device = r->device;
}

void front_agent_join(struct front_rig *r, struct front_agent *a, const struct front_user *owner,
                      const char *name)
{
    int fd[2];
    *a = (struct front_agent){.rig = r};
    enrol(r, a, owner, name);
    service_init(&a->service, r->loop);
    a->service.workload = &r->workload;
    unix_pair(fd);
    a->mux = yamux_new(fdstream_new(r->loop, fd[1], fd[1]), YAMUX_CLIENT, &agent_events, a);
    bridge_accept(&r->front.bridges, fdstream_new(r->loop, fd[0], fd[0]), NULL, NULL);
    TURN_UNTIL(r->loop, a->joined);
}

void front_agent_leave(struct front_agent *a)
{
    if (!a->mux)
        return;
    if (a->hello)
        stream_close(a->hello);
    a->hello = NULL;
    service_fini(&a->service);
    mux_free(a->mux);
    a->mux = NULL;
    frame_reader_fini(&a->frames);
}

/* ---- clients ---- */

static void on_dialled(void *arg, struct stream *s, int error)
{
    struct stream **to = arg;
    CHECK_INT(error, 0);
    *to = s;
}

struct stream *front_dial(struct front_rig *r)
{
    struct stream *s = NULL;
    struct target to = {.kind = TARGET_TCP, .port = r->port, .host = "127.0.0.1"};
    dial_start(r->loop, &to, on_dialled, &s);
    TURN_UNTIL(r->loop, s);
    return s;
}

struct asking {
    struct front_reply *reply;
    bool over;
};

static void take_field(char dst[static 64], const struct http_head *h, const char *name)
{
    const char *value = http_field(h, name);
    snprintf(dst, 64, "%s", value ? value : "");
}

static void take_head(struct front_reply *reply, const struct http_head *h)
{
    reply->status = h->status;
    reply->length = h->length;
    take_field(reply->type, h, "Content-Type");
    take_field(reply->range, h, "Content-Range");
}

static void on_answer(void *arg, struct stream *s, enum stream_event event)
{
    struct asking *a = arg;
    const uint8_t *data;
    size_t len;
    if (event == STREAM_OPEN)
        take_head(a->reply, http_response_head(s));
    while (event == STREAM_DATA && (data = stream_peek(s, &len))) {
        buf_append(&a->reply->body, data, len);
        stream_consume(s, len);
    }
    a->reply->error = stream_error(s);
    a->over |= event == STREAM_EOF || event == STREAM_ERROR;
}

void front_ask(struct front_rig *r, const struct front_user *who, const char *method_and_target,
               const char *fields, struct front_reply *reply)
{
    struct asking a = {.reply = reply};
    struct http_client *client = http_client_new(front_dial(r), &http_client_limits);
    cleanup_free char *method = xstrndup(method_and_target, strcspn(method_and_target, " "));
    cleanup_free char *all =
        xasprintf("Authorization: Bearer %s\r\n%s", who->token, fields ? fields : "");
    *reply = (struct front_reply){0};
    struct stream *x = http_client_send(
        client, &(struct http_request){.method = method,
                                       .target = strchr(method_and_target, ' ') + 1,
                                       .host = "broker.test",
                                       .fields = all,
                                       .body_max = UINT64_MAX});
    stream_own(x, on_answer, &a);
    stream_shutdown(x);
    TURN_UNTIL(r->loop, a.over);
    stream_close(x);
    http_client_free(client);
}

void front_reply_fini(struct front_reply *reply)
{
    buf_fini(&reply->body);
}

const char *front_error(const struct front_reply *reply)
{
    static char text[64];
    struct json *doc = json_parse(buf_front(&reply->body), reply->body.len);
    const char *code = json_get_str(json_root(doc), "error");
    snprintf(text, sizeof text, "%s", code ? code : "");
    json_free(doc);
    return text;
}
