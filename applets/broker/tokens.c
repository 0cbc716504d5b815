#include "applets/broker/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/broker/errand.h"
#include "applets/broker/record.h"
#include "core/base64.h"
#include "core/bytes.h"
#include "core/mem.h"

#define KEYS         "token/"
#define TOKEN_PREFIX "berth_"
#define TOKEN_BYTES  32
#define DAY_S        86400

enum verb { GRANT, PROVE, LIST, REVOKE };

struct token_call {
    struct errand errand;
    enum verb verb;
    struct people_call *finding; /* the user, while that is asked */
    struct principal who;
    struct token token;
    char key[sizeof KEYS + 2 * SHA256_LEN]; /* or how the keys begin that are looked at */
    size_t alike;                           /* tokens that have that beginning … */
    uint64_t revision;                      /* … and of one of them */
    bool cancelled;                         /* while a list was being told */
    token_fn *fn;
    void *arg;
};

/* ---- how a call ends ---- */

static void answer(struct token_call *c, int error)
{
    token_fn *fn = c->fn;
    errand_end(&c->errand);
    fn(c->arg, error, error ? NULL : &c->who, error || c->verb == LIST ? NULL : &c->token);
}

void token_cancel(struct token_call *c)
{
    c->cancelled = true;
    if (c->finding)
        people_cancel(c->finding);
    errand_cancel(&c->errand);
}

static void on_error(void *arg)
{
    struct token_call *c = arg;
    answer(c, c->errand.error);
}

static struct token_call *fail(struct token_call *c, int error)
{
    errand_fail(&c->errand, error);
    return c;
}

static struct token_call *begin(struct store *s, enum verb verb, token_fn *fn, void *arg)
{
    struct token_call *c = xcalloc(1, sizeof *c);
    c->verb = verb;
    c->fn = fn;
    c->arg = arg;
    errand_begin(&c->errand, s, on_error);
    return c;
}

/* ---- records ---- */

static void take_text(struct token_call *c, const char *token)
{
    char hex[2 * SHA256_LEN + 1];
    key_sha256(token, strlen(token), c->token.hash);
    hex_encode(hex, c->token.hash, SHA256_LEN);
    snprintf(c->key, sizeof c->key, KEYS "%s", hex);
}

static bool is_over(const struct token *t)
{
    return time(NULL) >= t->expires_s;
}

/* 0, or an errno. */
static int read_record(const struct json_value *record, struct principal *who, struct token *t)
{
    if (!record_text(record, "user", who->name, sizeof who->name) || !people_is_name(who->name) ||
        !record_text(record, "id", who->id, sizeof who->id) || strlen(who->id) != PEOPLE_ID_LEN ||
        json_get_int(record, "expires", &t->expires_s) != 1)
        return EBADMSG;
    t->made_s = 0;
    (void)json_get_int(record, "made", &t->made_s);
    return is_over(t) ? EACCES : 0;
}

/* ---- a new one ---- */

void token_new(char token[static TOKEN_LEN + 1])
{
    uint8_t secret[TOKEN_BYTES];
    char text[BASE64URL_LEN(TOKEN_BYTES) + 1];
    key_random(secret, sizeof secret);
    base64url_encode(text, secret, sizeof secret);
    snprintf(token, TOKEN_LEN + 1, TOKEN_PREFIX "%s", text);
    key_wipe(secret, sizeof secret);
    key_wipe(text, sizeof text);
}

static void on_granted(void *arg, const struct store_answer *a)
{
    answer(arg, a->error);
}

static void grant(struct token_call *c)
{
    struct json_out *record = json_out_new();
    json_put_str(record, json_out_root(record), "user", c->who.name);
    json_put_str(record, json_out_root(record), "id", c->who.id);
    json_put_int(record, json_out_root(record), "made", c->token.made_s);
    json_put_int(record, json_out_root(record), "expires", c->token.expires_s);
    c->errand.asked =
        record_put(c->errand.store, &(struct store_entry){.key = c->key}, record, on_granted, c);
}

/* ---- those that there are ---- */

/* The store answers in the order of the questions: whoever had found the token has found its user, too. */
static void on_nobody(void *arg, const struct store_answer *a)
{
    (void)a;
    answer(arg, 0);
}

static void on_deleted(void *arg, const struct store_answer *a)
{
    struct token_call *c = arg;
    c->errand.asked = NULL;
    if (a->error)
        answer(c, a->error == EEXIST || a->error == ENOENT ? ENOKEY : a->error);
    else
        c->errand.asked = store_get(c->errand.store, "-", on_nobody, c);
}

static void tell(struct token_call *c, const struct store_entry *e)
{
    struct principal who;
    struct token token;
    struct json *record = json_parse(e->value, e->len);
    bool theirs = hex_decode(token.hash, SHA256_LEN, e->key + strlen(KEYS)) == 0 &&
                  read_record(json_root(record), &who, &token) == 0 &&
                  strcmp(who.id, c->who.id) == 0;
    json_free(record);
    if (!theirs)
        return;
    c->alike++;
    c->token = token;
    c->revision = e->revision;
    if (c->verb == LIST)
        c->fn(c->arg, 0, &c->who, &c->token);
}

static void revoke_one(struct token_call *c)
{
    char key[STORE_KEY_MAX], hex[2 * SHA256_LEN + 1];
    if (c->alike != 1) {
        answer(c, c->alike ? ENOTUNIQ : ENOKEY);
        return;
    }
    hex_encode(hex, c->token.hash, SHA256_LEN);
    snprintf(key, sizeof key, KEYS "%s", hex);
    c->errand.asked = store_delete(c->errand.store, key, c->revision, on_deleted, c);
}

static void on_tokens(void *arg, const struct store_answer *a)
{
    struct token_call *c = arg;
    c->errand.asked = NULL;
    for (size_t i = 0; i < a->n && !c->cancelled; i++)
        tell(c, &a->entries[i]);
    if (c->cancelled)
        return;
    if (!a->error && a->more)
        c->errand.asked =
            store_list(c->errand.store, c->key, a->entries[a->n - 1].key, on_tokens, c);
    else if (!a->error && c->verb == REVOKE)
        revoke_one(c);
    else
        answer(c, a->error);
}

/* ---- what each begins with ---- */

static void on_user(void *arg, int error, const struct principal *who)
{
    struct token_call *c = arg;
    c->finding = NULL;
    if (c->verb == PROVE && (error == ENOENT || (who && strcmp(who->id, c->who.id) != 0)))
        error = EACCES; /* gone, or another one of that name */
    if (error || c->verb == PROVE) {
        answer(c, error);
        return;
    }
    c->who = *who;
    if (c->verb == GRANT)
        grant(c);
    else
        c->errand.asked = store_list(c->errand.store, c->key, NULL, on_tokens, c);
}

static struct token_call *find_user(struct token_call *c, const char *name)
{
    c->finding = people_find(c->errand.store, name, on_user, c);
    return c;
}

struct token_call *token_grant(struct store *s, const char *name, const struct token_grant *grant,
                               token_fn *fn, void *arg)
{
    struct token_call *c = begin(s, GRANT, fn, arg);
    take_text(c, grant->token);
    c->token.made_s = time(NULL);
    c->token.expires_s = c->token.made_s + (int64_t)grant->days * DAY_S;
    if (grant->days == 0 || grant->days > TOKEN_DAYS_MAX)
        return fail(c, EINVAL);
    return find_user(c, name);
}

static void on_token(void *arg, const struct store_answer *a)
{
    struct token_call *c = arg;
    int error;
    struct json *doc = record_of(a, &error);
    c->errand.asked = NULL;
    if (error == ENOENT)
        error = EACCES;
    if (!error)
        error = read_record(json_root(doc), &c->who, &c->token);
    json_free(doc);
    if (error)
        answer(c, error);
    else
        find_user(c, c->who.name);
}

struct token_call *token_prove(struct store *s, const char *token, token_fn *fn, void *arg)
{
    struct token_call *c = begin(s, PROVE, fn, arg);
    if (strlen(token) != TOKEN_LEN || strncmp(token, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) != 0)
        return fail(c, EACCES);
    take_text(c, token);
    c->errand.asked = store_get(s, c->key, on_token, c);
    return c;
}

struct token_call *token_list(struct store *s, const char *name, token_fn *fn, void *arg)
{
    struct token_call *c = begin(s, LIST, fn, arg);
    memcpy(c->key, KEYS, sizeof KEYS);
    return find_user(c, name);
}

struct token_call *token_revoke(struct store *s, const char *name, const char *id, token_fn *fn,
                                void *arg)
{
    struct token_call *c = begin(s, REVOKE, fn, arg);
    size_t len = strlen(id);
    if (!len || len > (size_t)2 * SHA256_LEN || strspn(id, "0123456789abcdef") != len)
        return fail(c, ENOKEY);
    snprintf(c->key, sizeof c->key, KEYS "%s", id);
    return find_user(c, name);
}
