/* A user's agents: which there are, how one is joined, and how one is revoked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/broker/activity.h"
#include "applets/broker/call.h"
#include "applets/broker/device_list.h"
#include "core/bytes.h"
#include "core/mem.h"

/* ---- which there are ---- */

struct listing {
    struct device_list *asked;
    struct json_out *out;
    struct json_node *agents;
};

static void forget_listing(struct call *c)
{
    struct listing *l = c->state;
    if (l->asked)
        device_list_cancel(l->asked);
    json_out_free(l->out);
    free(l);
}

static void put_time(struct json_out *out, struct json_node *to, const char *key, int64_t s)
{
    char text[CALL_TIME_LEN + 1];
    call_time(text, s);
    if (s)
        json_put_str(out, to, key, text);
    else
        json_put_null(out, to, key);
}

/* What agents say of themselves is theirs to say: copied as text, whatever it is. */
static void put_said(struct json_out *out, struct json_node *to, const struct json_value *metadata)
{
    static const char *const texts[] = {"hostname", "user", "platform", "arch", "version"};
    for (size_t i = 0; i < countof(texts); i++) {
        const char *text = json_get_str(metadata, texts[i]);
        if (text)
            json_put_str(out, to, texts[i], text);
        else
            json_put_null(out, to, texts[i]);
    }
    struct json_node *allow = json_put_array(out, to, "allow");
    for (struct json_iter it = json_iter(json_get(metadata, "allow")); json_next(&it);)
        json_put_str(out, allow, NULL, json_str(it.value));
}

static void on_known(void *arg, int error, const struct device_known *device)
{
    struct call *c = arg;
    struct listing *l = c->state;
    if (!device) {
        struct json_out *out = l->out;
        l->asked = NULL;
        l->out = NULL;
        if (!error) {
            call_json(c, "", out);
            return;
        }
        json_out_free(out);
        if (error == ENOBUFS)
            call_no_room(c);
        else
            call_fault(c, "the list of agents", error);
        return;
    }
    struct agent_link *link = registry_find(c->front->registry, &c->who, device->name);
    struct json_node *agent = json_put_object(l->out, l->agents, NULL);
    json_put_str(l->out, agent, "name", device->name);
    put_said(l->out, agent, link ? bridge_metadata(link) : device->metadata);
    json_put_bool(l->out, agent, "connected", link != NULL);
    put_time(l->out, agent, "since", link ? bridge_since_s(link) : 0);
    put_time(l->out, agent, "lastSeen", link ? (int64_t)time(NULL) : device->seen_s);
}

static bool has_room(void *arg, size_t len)
{
    return len <= ROOM_SURE || call_hold(arg, len);
}

void api_agents(struct call *c)
{
    struct listing *l = xcalloc(1, sizeof *l);
    l->out = json_out_new();
    l->agents = json_put_array(l->out, json_out_root(l->out), "agents");
    c->state = l;
    c->abort = forget_listing;
    l->asked = device_list(c->front->store, &c->who, on_known, c);
    device_list_bound(l->asked, has_room);
}

/* ---- joining and leaving ---- */

struct asking {
    struct device_call *asked;
    char code[CODE_LEN + 1];
};

static void forget_asking(struct call *c)
{
    struct asking *a = c->state;
    if (a->asked)
        device_cancel(a->asked);
    free(a);
}

static struct asking *ask(struct call *c)
{
    struct asking *a = xcalloc(1, sizeof *a);
    c->state = a;
    c->abort = forget_asking;
    return a;
}

static void on_offered(void *arg, int error, const struct device *device)
{
    struct call *c = arg;
    struct asking *a = c->state;
    char expires[CALL_TIME_LEN + 1];
    (void)device;
    a->asked = NULL;
    if (error) {
        call_fault(c, "a join code", error);
        return;
    }
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    cleanup_free char *command = install_command(&c->front->install, a->code);
    call_time(expires, time(NULL) + CODE_S);
    json_put_str(out, root, "code", a->code);
    json_put_str(out, root, "expiresAt", expires);
    json_put_str(out, root, "command", command);
    call_json(c, "", out);
}

void api_agent_code(struct call *c)
{
    struct asking *a = ask(c);
    device_new_code(a->code);
    a->asked = device_offer(c->front->store, &c->who, a->code, on_offered, c);
}

static void note(struct call *c, enum activity_kind kind, const struct device *device)
{
    activity_note(c->front->activity, &(struct activity_what){.who = &device->owner,
                                                              .kind = kind,
                                                              .agent = device->name,
                                                              .hostname = "",
                                                              .what = ""});
}

static void on_enrolled(void *arg, int error, const struct device *device)
{
    struct call *c = arg;
    struct asking *a = c->state;
    a->asked = NULL;
    switch (error) {
    case 0: break;
    case EINVAL:
        call_error(c, API_INVALID_REQUEST,
                   "An agent's name has 1 to 64 letters, digits, dots, dashes and underscores.");
        return;
    case EACCES:
        call_error(c, API_UNAUTHORIZED,
                   "This code stands for nobody: it is wrong, used, or too old.");
        return;
    case EEXIST:
        call_error(c, API_CONFLICT, "There is another agent of that name: choose one with --name.");
        return;
    case EADDRINUSE:
        call_error(c, API_CONFLICT, "This machine's key has joined for another user.");
        return;
    case EMLINK:
        call_error(c, API_CONFLICT,
                   "This user has %u agents, as many as one may have: revoke one first.",
                   DEVICES_EACH);
        return;
    default: call_fault(c, "an enrolment", error); return;
    }
    note(c, ACTIVITY_ENROLL, device);
    struct json_out *out = json_out_new();
    json_put_str(out, json_out_root(out), "agent", device->name);
    json_put_str(out, json_out_root(out), "user", device->owner.name);
    json_put_str(out, json_out_root(out), "device", device->id);
    call_json(c, "", out);
}

static void enroll(struct call *c, const struct json_value *body)
{
    const char *code = json_get_str(body, "code"), *hex = json_get_str(body, "public_key");
    const char *name = json_get_str(body, "name");
    uint8_t key[KEY_PUBLIC_LEN];
    if (!code || !name || !hex || hex_decode(key, sizeof key, hex) < 0) {
        call_error(c, API_INVALID_REQUEST, "Needed are code, name and public_key (%u hex digits).",
                   2 * KEY_PUBLIC_LEN);
        return;
    }
    struct asking *a = ask(c);
    a->asked = device_enrol(c->front->store, &(struct enrolment){code, name, key}, on_enrolled, c);
}

void api_agent_enroll(struct call *c)
{
    call_read_json(c, enroll);
}

static void on_revoked(void *arg, int error, const struct device *device)
{
    struct call *c = arg;
    struct asking *a = c->state;
    a->asked = NULL;
    if (error == ENOENT) {
        call_error(c, API_NOT_FOUND, "You have no agent of that name.");
    } else if (error) {
        call_fault(c, "an agent cannot be revoked", error);
    } else {
        note(c, ACTIVITY_REVOKE, device);
        bridge_revoke(&c->front->bridges, device->id);
        device_forget(c->front->store, device);
        call_empty(c, "");
    }
}

void api_agent_revoke(struct call *c)
{
    cleanup_free char *name = NULL;
    if (call_path_rest(c, &name) < 0)
        return;
    struct asking *a = ask(c);
    a->asked = device_revoke(c->front->store, &c->who, name, on_revoked, c);
}
