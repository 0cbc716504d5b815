#include "applets/broker/devices.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/broker/errand.h"
#include "applets/broker/record.h"
#include "core/bytes.h"
#include "core/mem.h"

/* 32 characters that nobody takes for another: 40 bits in all. */
static const char code_letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

#define CODE_LETTERS 8
#define KEY_ROOM     (sizeof "agent//" + PEOPLE_ID_LEN + DEVICE_NAME_MAX)

struct device_call {
    struct errand errand;
    struct device device;
    struct device before; /* what device/ID said, if it was there */
    uint64_t revision;    /* of that; 0: it was not */
    char code_key[sizeof "code/" + 2 * SHA256_LEN];
    device_fn *fn;
    void *arg;
};

/* ---- how a call ends ---- */

static void answer(struct device_call *c, int error)
{
    device_fn *fn = c->fn;
    errand_end(&c->errand);
    fn(c->arg, error, error ? NULL : &c->device);
}

void device_cancel(struct device_call *c)
{
    errand_cancel(&c->errand);
}

static void on_error(void *arg)
{
    struct device_call *c = arg;
    answer(c, c->errand.error);
}

static struct device_call *fail(struct device_call *c, int error)
{
    errand_fail(&c->errand, error);
    return c;
}

static struct device_call *begin(struct store *s, device_fn *fn, void *arg)
{
    struct device_call *c = xcalloc(1, sizeof *c);
    c->fn = fn;
    c->arg = arg;
    errand_begin(&c->errand, s, on_error);
    return c;
}

static void on_done(void *arg, const struct store_answer *a)
{
    answer(arg, a->error);
}

/* ---- keys and records ---- */

static void agent_key(const struct device *d, char key[static KEY_ROOM])
{
    snprintf(key, KEY_ROOM, "agent/%s/%s", d->owner.id, d->name);
}

static void device_key(const struct device *d, char key[static KEY_ROOM])
{
    snprintf(key, KEY_ROOM, "device/%s", d->id);
}

static void get(struct device_call *c, const char *key, store_fn *fn)
{
    c->errand.asked = store_get(c->errand.store, key, fn, c);
}

static struct json_out *record_of_owner(const struct principal *owner)
{
    struct json_out *record = json_out_new();
    json_put_str(record, json_out_root(record), "user", owner->name);
    json_put_str(record, json_out_root(record), "id", owner->id);
    return record;
}

static bool take_owner(struct principal *owner, const struct json_value *record)
{
    return record_text(record, "user", owner->name, sizeof owner->name) &&
           record_text(record, "id", owner->id, sizeof owner->id) &&
           strlen(owner->id) == PEOPLE_ID_LEN;
}

/* agent/…: whether it is this device, with its key. */
static bool take_agent(struct device *d, const struct json_value *record)
{
    const char *id = json_get_str(record, "device"), *key = json_get_str(record, "key");
    return id && key && strcmp(id, d->id) == 0 && hex_decode(d->key, sizeof d->key, key) == 0 &&
           json_get_int(record, "created", &d->created_s) == 1;
}

/* ---- codes ---- */

void device_new_code(char code[static CODE_LEN + 1])
{
    for (size_t i = 0; i < CODE_LEN; i++)
        code[i] = code_letters[key_random_below(sizeof code_letters - 1)];
    code[CODE_LETTERS / 2] = '-';
    code[CODE_LEN] = '\0';
}

/* As people type it: -1 when it cannot be one. */
static int code_key(struct device_call *c, const char *code)
{
    char letters[CODE_LETTERS + 1] = "", hex[2 * SHA256_LEN + 1];
    size_t n = 0;
    uint8_t hash[SHA256_LEN];
    for (const char *p = code; *p; p++) {
        if (*p == '-' && n == CODE_LETTERS / 2)
            continue;
        char letter = (char)toupper((unsigned char)*p);
        if (n == CODE_LETTERS || !strchr(code_letters, letter))
            return -1;
        letters[n++] = letter;
    }
    if (n != CODE_LETTERS)
        return -1;
    key_sha256(letters, n, hash);
    hex_encode(hex, hash, sizeof hash);
    snprintf(c->code_key, sizeof c->code_key, "code/%s", hex);
    return 0;
}

struct device_call *device_offer(struct store *s, const struct principal *owner, const char *code,
                                 device_fn *fn, void *arg)
{
    struct device_call *c = begin(s, fn, arg);
    c->device.owner = *owner;
    if (code_key(c, code) < 0)
        return fail(c, EINVAL);
    struct json_out *record = record_of_owner(owner);
    json_put_int(record, json_out_root(record), "expires", (int64_t)time(NULL) + CODE_S);
    c->errand.asked =
        record_put(c->errand.store, &(struct store_entry){.key = c->code_key}, record, on_done, c);
    return c;
}

/* ---- enrolment: the code is used up, the name is taken, the device is said to be that one ---- */

static bool is_renamed(const struct device_call *c)
{
    return c->revision && strcmp(c->before.owner.id, c->device.owner.id) == 0 &&
           strcmp(c->before.name, c->device.name) != 0;
}

static void on_old_name(void *arg, const struct store_answer *a)
{
    answer(arg, a->error == ENOENT ? 0 : a->error);
}

static void on_enrolled(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    char key[KEY_ROOM];
    if (a->error || !is_renamed(c)) {
        answer(c, a->error == EEXIST ? EADDRINUSE : a->error);
        return;
    }
    agent_key(&c->before, key);
    c->errand.asked = store_delete(c->errand.store, key, STORE_ANY, on_old_name, c);
}

static void say_which(struct device_call *c)
{
    char key[KEY_ROOM];
    struct json_out *record = record_of_owner(&c->device.owner);
    json_put_str(record, json_out_root(record), "name", c->device.name);
    device_key(&c->device, key);
    c->errand.asked =
        record_put(c->errand.store, &(struct store_entry){.key = key, .revision = c->revision},
                   record, on_enrolled, c);
}

static void on_same_name(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    struct device there = c->device;
    int error;
    struct json *doc = record_of(a, &error);
    if (!error && !take_agent(&there, json_root(doc)))
        error = EEXIST;
    json_free(doc);
    if (error)
        answer(c, error);
    else
        say_which(c);
}

static void on_name(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    char key[KEY_ROOM];
    if (a->error == EEXIST) {
        agent_key(&c->device, key);
        get(c, key, on_same_name);
    } else if (a->error) {
        answer(c, a->error);
    } else {
        say_which(c);
    }
}

static void take_the_name(struct device_call *c)
{
    char key[KEY_ROOM], hex[2 * KEY_PUBLIC_LEN + 1];
    struct store_entry entry = {.key = key};
    struct json_out *record = json_out_new();
    hex_encode(hex, c->device.key, sizeof c->device.key);
    json_put_str(record, json_out_root(record), "device", c->device.id);
    json_put_str(record, json_out_root(record), "key", hex);
    json_put_int(record, json_out_root(record), "created", c->device.created_s);
    agent_key(&c->device, key);
    cleanup_free char *text = json_out_text(record, false, &entry.len);
    entry.value = text;
    json_out_free(record);
    c->errand.asked = store_put_within(c->errand.store, &entry, DEVICES_EACH, on_name, c);
}

/* The key is somebody's: another user's, if that device answers to it. */
static void on_its_agent(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    int error;
    struct json *doc = record_of(a, &error);
    bool taken = !error && take_agent(&c->before, json_root(doc));
    json_free(doc);
    if (taken)
        answer(c, EADDRINUSE);
    else if (error && error != ENOENT)
        answer(c, error);
    else
        take_the_name(c);
}

static void on_before(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    char key[KEY_ROOM];
    int error;
    struct json *doc = record_of(a, &error);
    if (!error) {
        c->revision = a->entries->revision;
        memcpy(c->before.id, c->device.id, sizeof c->before.id);
        if (!take_owner(&c->before.owner, json_root(doc)) ||
            !record_text(json_root(doc), "name", c->before.name, sizeof c->before.name))
            error = EBADMSG;
    }
    json_free(doc);
    if (error && error != ENOENT) {
        answer(c, error);
    } else if (error || strcmp(c->before.owner.id, c->device.owner.id) == 0) {
        take_the_name(c);
    } else {
        agent_key(&c->before, key);
        get(c, key, on_its_agent);
    }
}

/* Of two that use a code at once, one has deleted it. */
static void on_used(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    char key[KEY_ROOM];
    if (a->error) {
        answer(c, a->error == EEXIST || a->error == ENOENT ? EACCES : a->error);
        return;
    }
    device_key(&c->device, key);
    get(c, key, on_before);
}

static void on_code(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    int64_t expires;
    int error;
    struct json *doc = record_of(a, &error);
    if (error == ENOENT)
        error = EACCES;
    else if (!error && (!take_owner(&c->device.owner, json_root(doc)) ||
                        json_get_int(json_root(doc), "expires", &expires) != 1))
        error = EBADMSG;
    else if (!error && time(NULL) >= expires)
        error = EACCES;
    json_free(doc);
    if (error)
        answer(c, error);
    else
        c->errand.asked =
            store_delete(c->errand.store, c->code_key, a->entries->revision, on_used, c);
}

struct device_call *device_enrol(struct store *s, const struct enrolment *e, device_fn *fn,
                                 void *arg)
{
    struct device_call *c = begin(s, fn, arg);
    struct device *d = &c->device;
    if (!people_is_name(e->name))
        return fail(c, EINVAL);
    if (code_key(c, e->code) < 0)
        return fail(c, EACCES);
    join_device_id(d->id, e->key);
    memcpy(d->name, e->name, strlen(e->name) + 1);
    memcpy(d->key, e->key, sizeof d->key);
    d->created_s = time(NULL);
    get(c, c->code_key, on_code);
    return c;
}

/* ---- who it is ---- */

static void on_found(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    int error;
    struct json *doc = record_of(a, &error);
    if (!error && !take_agent(&c->device, json_root(doc)))
        error = ENOENT;
    json_free(doc);
    answer(c, error);
}

static void on_device(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    char key[KEY_ROOM];
    int error;
    struct json *doc = record_of(a, &error);
    if (!error && (!take_owner(&c->device.owner, json_root(doc)) ||
                   !record_text(json_root(doc), "name", c->device.name, sizeof c->device.name)))
        error = EBADMSG;
    json_free(doc);
    if (error) {
        answer(c, error);
        return;
    }
    agent_key(&c->device, key);
    get(c, key, on_found);
}

struct device_call *device_find(struct store *s, const char *id, device_fn *fn, void *arg)
{
    struct device_call *c = begin(s, fn, arg);
    char key[KEY_ROOM];
    if (strlen(id) != JOIN_DEVICE_LEN || strspn(id, "0123456789abcdef") != JOIN_DEVICE_LEN)
        return fail(c, ENOENT);
    memcpy(c->device.id, id, JOIN_DEVICE_LEN + 1);
    device_key(&c->device, key);
    get(c, key, on_device);
    return c;
}

/* ---- its end ---- */

/* device/… stays: it is nothing now, and the next who enrols that key writes it anew. */
static void on_revoked(void *arg, const struct store_answer *a)
{
    answer(arg, a->error == EEXIST ? ENOENT : a->error);
}

static void on_to_revoke(void *arg, const struct store_answer *a)
{
    struct device_call *c = arg;
    char key[KEY_ROOM];
    int error;
    struct json *doc = record_of(a, &error);
    if (!error && (!record_text(json_root(doc), "device", c->device.id, sizeof c->device.id) ||
                   !take_agent(&c->device, json_root(doc))))
        error = EBADMSG;
    json_free(doc);
    if (error) {
        answer(c, error);
        return;
    }
    agent_key(&c->device, key);
    c->errand.asked = store_delete(c->errand.store, key, a->entries->revision, on_revoked, c);
}

struct device_call *device_revoke(struct store *s, const struct principal *owner, const char *name,
                                  device_fn *fn, void *arg)
{
    struct device_call *c = begin(s, fn, arg);
    char key[KEY_ROOM];
    if (!people_is_name(name))
        return fail(c, ENOENT);
    c->device.owner = *owner;
    memcpy(c->device.name, name, strlen(name) + 1);
    agent_key(&c->device, key);
    get(c, key, on_to_revoke);
    return c;
}
