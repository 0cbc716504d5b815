#include "applets/broker/people.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/broker/errand.h"
#include "applets/broker/record.h"
#include "core/base64.h"
#include "core/bytes.h"
#include "core/key.h"
#include "core/mem.h"

#define TOKEN_PREFIX "berth_"
#define TOKEN_BYTES  32
#define DAY_S        86400

enum verb { ADD, REMOVE, LIST, GRANT, PROVE };

struct people_call {
    struct errand errand;
    enum verb verb;
    struct principal who;
    int64_t expires_s;
    bool cancelled; /* while a list was being told */
    char token_key[sizeof "token/" + 2 * SHA256_LEN];
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

static struct people_call *begin(struct store *s, enum verb verb, people_fn *fn, void *arg)
{
    struct people_call *c = xcalloc(1, sizeof *c);
    c->verb = verb;
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

static void token_key(struct people_call *c, const char *token)
{
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    key_sha256(token, strlen(token), hash);
    hex_encode(hex, hash, sizeof hash);
    snprintf(c->token_key, sizeof c->token_key, "token/%s", hex);
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
    struct people_call *c = begin(s, ADD, fn, arg);
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
    struct people_call *c = begin(s, LIST, fn, arg);
    c->errand.asked = store_list(s, "user/", NULL, on_users, c);
    return c;
}

/* ---- what begins with finding the user ---- */

/* Who has removed the user meanwhile has done what was asked for. */
static void on_removed(void *arg, const struct store_answer *a)
{
    answer(arg, a->error == EEXIST ? ENOENT : a->error);
}

static void found(struct people_call *c, uint64_t revision)
{
    char key[STORE_KEY_MAX];
    struct json_out *record;
    switch (c->verb) {
    case REMOVE:
        user_key(c, key);
        c->errand.asked = store_delete(c->errand.store, key, revision, on_removed, c);
        return;
    case GRANT:
        record = json_out_new();
        json_put_str(record, json_out_root(record), "user", c->who.name);
        json_put_str(record, json_out_root(record), "id", c->who.id);
        json_put_int(record, json_out_root(record), "expires", c->expires_s);
        c->errand.asked = record_put(c->errand.store, &(struct store_entry){.key = c->token_key},
                                     record, on_done, c);
        return;
    case PROVE:
    case LIST:
    case ADD: answer(c, 0); return;
    }
}

static void on_user(void *arg, const struct store_answer *a)
{
    struct people_call *c = arg;
    char proven[PEOPLE_ID_LEN + 1];
    int error;
    memcpy(proven, c->who.id, sizeof proven);
    struct json *doc = record_of(a, &error);
    if (!error && !take_id(c, json_root(doc)))
        error = EBADMSG;
    json_free(doc);
    if (c->verb == PROVE && (error == ENOENT || (!error && strcmp(proven, c->who.id) != 0)))
        error = EACCES; /* gone, or another one of that name */
    if (error)
        answer(c, error);
    else
        found(c, a->entries->revision);
}

static void find_user(struct people_call *c)
{
    char key[STORE_KEY_MAX];
    user_key(c, key);
    c->errand.asked = store_get(c->errand.store, key, on_user, c);
}

struct people_call *people_remove(struct store *s, const char *name, people_fn *fn, void *arg)
{
    struct people_call *c = begin(s, REMOVE, fn, arg);
    if (!take_name(c, name))
        return fail(c, EINVAL);
    find_user(c);
    return c;
}

void people_new_token(char token[static PEOPLE_TOKEN_LEN + 1])
{
    uint8_t secret[TOKEN_BYTES];
    char text[BASE64URL_LEN(TOKEN_BYTES) + 1];
    key_random(secret, sizeof secret);
    base64url_encode(text, secret, sizeof secret);
    snprintf(token, PEOPLE_TOKEN_LEN + 1, TOKEN_PREFIX "%s", text);
    key_wipe(secret, sizeof secret);
    key_wipe(text, sizeof text);
}

struct people_call *people_grant(struct store *s, const char *name,
                                 const struct people_grant *grant, people_fn *fn, void *arg)
{
    struct people_call *c = begin(s, GRANT, fn, arg);
    token_key(c, grant->token);
    c->expires_s = (int64_t)time(NULL) + (int64_t)grant->days * DAY_S;
    if (!take_name(c, name) || grant->days == 0 || grant->days > PEOPLE_DAYS_MAX)
        return fail(c, EINVAL);
    find_user(c);
    return c;
}

/* ---- a token ---- */

static int take_token(struct people_call *c, const struct json_value *record)
{
    const char *name = json_get_str(record, "user");
    if (!name || !take_name(c, name) || !take_id(c, record) ||
        json_get_int(record, "expires", &c->expires_s) != 1)
        return EBADMSG;
    return time(NULL) < c->expires_s ? 0 : EACCES;
}

static void on_token(void *arg, const struct store_answer *a)
{
    struct people_call *c = arg;
    int error;
    struct json *doc = record_of(a, &error);
    if (error == ENOENT)
        error = EACCES;
    if (!error)
        error = take_token(c, json_root(doc));
    json_free(doc);
    if (error)
        answer(c, error);
    else
        find_user(c);
}

struct people_call *people_by_token(struct store *s, const char *token, people_fn *fn, void *arg)
{
    struct people_call *c = begin(s, PROVE, fn, arg);
    if (strlen(token) != PEOPLE_TOKEN_LEN ||
        strncmp(token, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) != 0)
        return fail(c, EACCES);
    token_key(c, token);
    c->errand.asked = store_get(s, c->token_key, on_token, c);
    return c;
}
