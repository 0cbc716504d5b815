#include "applets/broker/people.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/broker/errand.h"
#include "applets/broker/record.h"
#include "core/bytes.h"
#include "core/key.h"
#include "core/mem.h"

struct people_call {
    struct errand errand;
    struct principal who;
    bool remove;    /* whom it finds */
    bool cancelled; /* while a list was being told */
    people_fn *fn;
    void *arg;
};

/* ---- how a call ends ---- */

static void answer(struct people_call *c, int error)
{
    people_fn *fn = c->fn;
    errand_end(&c->errand);
    fn(c->arg, error, error ? NULL : &c->who);
}

void people_cancel(struct people_call *c)
{
    c->cancelled = true;
    errand_cancel(&c->errand);
}

static void on_error(void *arg)
{
    struct people_call *c = arg;
    answer(c, c->errand.error);
}

static struct people_call *fail(struct people_call *c, int error)
{
    errand_fail(&c->errand, error);
    return c;
}

static struct people_call *begin(struct store *s, people_fn *fn, void *arg)
{
    struct people_call *c = xcalloc(1, sizeof *c);
    c->fn = fn;
    c->arg = arg;
    errand_begin(&c->errand, s, on_error);
    return c;
}

/* ---- records ---- */

bool people_is_name(const char *name)
{
    static const char may[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= PEOPLE_NAME_MAX && strspn(name, may) == len;
}

static bool take_name(struct people_call *c, const char *name)
{
    if (!people_is_name(name))
        return false;
    memcpy(c->who.name, name, strlen(name) + 1);
    return true;
}

static void user_key(const struct people_call *c, char key[static STORE_KEY_MAX])
{
    snprintf(key, STORE_KEY_MAX, "user/%s", c->who.name);
}

static bool take_id(struct people_call *c, const struct json_value *record)
{
    return record_text(record, "id", c->who.id, sizeof c->who.id) &&
           strlen(c->who.id) == PEOPLE_ID_LEN;
}

/* ---- add ---- */

static void on_done(void *arg, const struct store_answer *a)
{
    answer(arg, a->error);
}

struct people_call *people_add(struct store *s, const char *name, people_fn *fn, void *arg)
{
    struct people_call *c = begin(s, fn, arg);
    if (!take_name(c, name))
        return fail(c, EINVAL);
    uint8_t id[PEOPLE_ID_LEN / 2];
    char key[STORE_KEY_MAX];
    key_random(id, sizeof id);
    hex_encode(c->who.id, id, sizeof id);
    struct json_out *record = json_out_new();
    json_put_str(record, json_out_root(record), "id", c->who.id);
    json_put_int(record, json_out_root(record), "created", time(NULL));
    user_key(c, key);
    c->errand.asked = record_put(s, &(struct store_entry){.key = key}, record, on_done, c);
    return c;
}

/* ---- list ---- */

static void tell(struct people_call *c, const struct store_entry *e)
{
    struct json *record = json_parse(e->value, e->len);
    if (take_name(c, e->key + strlen("user/")) && take_id(c, json_root(record)))
        c->fn(c->arg, 0, &c->who);
    json_free(record);
}

static void on_users(void *arg, const struct store_answer *a)
{
    struct people_call *c = arg;
    c->errand.asked = NULL;
    for (size_t i = 0; i < a->n && !c->cancelled; i++)
        tell(c, &a->entries[i]);
    if (c->cancelled)
        return;
    if (!a->error && a->more) {
        c->errand.asked =
            store_list(c->errand.store, "user/", a->entries[a->n - 1].key, on_users, c);
        return;
    }
    errand_end(&c->errand);
    c->fn(c->arg, a->error, NULL);
}

struct people_call *people_list(struct store *s, people_fn *fn, void *arg)
{
    struct people_call *c = begin(s, fn, arg);
    c->errand.asked = store_list(s, "user/", NULL, on_users, c);
    return c;
}

/* ---- find, remove ---- */

/* Who has removed the user meanwhile has done what was asked for. */
static void on_removed(void *arg, const struct store_answer *a)
{
    answer(arg, a->error == EEXIST ? ENOENT : a->error);
}

static void found(struct people_call *c, uint64_t revision)
{
    char key[STORE_KEY_MAX];
    if (!c->remove) {
        answer(c, 0);
        return;
    }
    user_key(c, key);
    c->errand.asked = store_delete(c->errand.store, key, revision, on_removed, c);
}

static void on_user(void *arg, const struct store_answer *a)
{
    struct people_call *c = arg;
    int error;
    struct json *doc = record_of(a, &error);
    if (!error && !take_id(c, json_root(doc)))
        error = EBADMSG;
    json_free(doc);
    if (error)
        answer(c, error);
    else
        found(c, a->entries->revision);
}

struct people_call *people_find(struct store *s, const char *name, people_fn *fn, void *arg)
{
    struct people_call *c = begin(s, fn, arg);
    char key[STORE_KEY_MAX];
    if (!take_name(c, name))
        return fail(c, EINVAL);
    user_key(c, key);
    c->errand.asked = store_get(s, key, on_user, c);
    return c;
}

struct people_call *people_remove(struct store *s, const char *name, people_fn *fn, void *arg)
{
    struct people_call *c = people_find(s, name, fn, arg);
    c->remove = true;
    return c;
}
