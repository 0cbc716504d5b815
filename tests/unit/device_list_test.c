/* A user's devices, and what was last known of them. */
#include "applets/broker/device_list.h"

#include <errno.h>
#include <stdio.h>

#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/store_home.h"

static const struct principal ann = {"00000000000000000000000000000aaa", "ann"};
static const struct principal bob = {"00000000000000000000000000000bbb", "bob"};

struct rig {
    struct loop *loop;
    struct store *store;
    struct store_home home;
    struct device device;
    struct buf names; /* each followed by its hostname and ';' */
    unsigned told, ends;
    int error;
    struct device_list *list;
    bool cancels, answered;
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    store_home_init(&r->home);
    r->store = store_home_open(&r->home, r->loop);
}

static void rig_fini(struct rig *r)
{
    buf_fini(&r->names);
    store_home_end(&r->home, r->store, r->loop);
}

static void on_device(void *arg, int error, const struct device *device)
{
    struct rig *r = arg;
    CHECK_INT(error, 0);
    if (device)
        r->device = *device;
    r->answered = true;
}

static void enrol(struct rig *r, const struct principal *owner, const char *name)
{
    char code[CODE_LEN + 1];
    uint8_t key[KEY_PUBLIC_LEN], secret[KEY_SECRET_LEN];
    key_pair(key, secret);
    device_new_code(code);
    r->answered = false;
    device_offer(r->store, owner, code, on_device, r);
    TURN_UNTIL(r->loop, r->answered);
    r->answered = false;
    device_enrol(r->store, &(struct enrolment){code, name, key}, on_device, r);
    TURN_UNTIL(r->loop, r->answered);
}

static void see(struct rig *r, const char *hostname)
{
    struct json_out *out = json_out_new();
    size_t len;
    json_put_str(out, json_out_root(out), "hostname", hostname);
    cleanup_free char *text = json_out_text(out, false, &len);
    struct json *metadata = json_parse(text, len);
    device_seen(r->store, &r->device, json_root(metadata));
    json_free(metadata);
    json_out_free(out);
}

static void on_known(void *arg, int error, const struct device_known *d)
{
    struct rig *r = arg;
    if (!d) {
        r->ends++;
        r->error = error;
        return;
    }
    const char *hostname = json_get_str(d->metadata, "hostname");
    CHECK(d->enrolled_s > 0);
    CHECK(hostname ? d->seen_s > 0 : d->seen_s == 0);
    buf_printf(&r->names, "%s=%s;", d->name, hostname ? hostname : "?");
    r->told++;
    if (r->cancels)
        device_list_cancel(r->list);
}

/* What is told of a user's devices, as a text. */
static void check_list(struct rig *r, const struct principal *owner, const char *want)
{
    unsigned ends = r->ends;
    buf_consume(&r->names, r->names.len);
    r->list = device_list(r->store, owner, on_known, r);
    TURN_UNTIL(r->loop, r->ends > ends);
    CHECK_INT(r->error, 0);
    buf_append(&r->names, "", 1);
    CHECK_STR((const char *)buf_front(&r->names), want);
}

TEST(device_list_tells_what_is_known)
{
    struct rig r;
    rig_init(&r);
    check_list(&r, &ann, "");
    enrol(&r, &ann, "laptop");
    see(&r, "x270");
    enrol(&r, &bob, "desk");
    see(&r, "bobs");
    enrol(&r, &ann, "attic");
    enrol(&r, &ann, "zoo");
    see(&r, "old");
    see(&r, "new");
    check_list(&r, &ann, "attic=?;laptop=x270;zoo=new;");
    check_list(&r, &bob, "desk=bobs;");
    device_forget(r.store, &r.device);
    check_list(&r, &ann, "attic=?;laptop=x270;zoo=?;");
    rig_fini(&r);
}

/* More than one answer of the store has. */
TEST(device_list_goes_on_behind_a_full_answer)
{
    struct rig r;
    const unsigned many = STORE_LIST_MAX + 2;
    rig_init(&r);
    enrol(&r, &ann, "x");
    for (unsigned i = 0; i < many; i++) {
        cleanup_free char *key = xasprintf("agent/%s/n%05u", ann.id, i);
        snprintf(r.device.name, sizeof r.device.name, "n%05u", i);
        store_put(r.store, &(struct store_entry){.key = key, .value = "{\"created\":1}", .len = 13},
                  NULL, NULL);
        see(&r, "h");
    }
    device_list(r.store, &ann, on_known, &r);
    TURN_UNTIL(r.loop, r.ends == 1);
    CHECK_INT(r.told, many + 1);
    buf_append(&r.names, "", 1);
    CHECK(strstr((const char *)buf_front(&r.names), "n01001=h;x=?;") != NULL);
    rig_fini(&r);
}

TEST(device_list_cancelled_while_it_tells)
{
    struct rig r;
    rig_init(&r);
    enrol(&r, &ann, "a");
    enrol(&r, &ann, "b");
    r.cancels = true;
    r.list = device_list(r.store, &ann, on_known, &r);
    TURN_UNTIL(r.loop, r.told == 1);
    loop_turn(r.loop, 50);
    CHECK_INT(r.told, 1);
    CHECK_INT(r.ends, 0);
    r.list = device_list(r.store, &ann, on_known, &r);
    device_list_cancel(r.list);
    loop_turn(r.loop, 50);
    CHECK_INT(r.told, 1);
    rig_fini(&r);
}
