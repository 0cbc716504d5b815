#include "applets/broker/oidc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/bytes.h"
#include "core/json.h"
#include "core/jwt.h"
#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"
#include "net/web_ask.h"

#define FETCH_MS   10000   /* for each of the two documents */
#define RETRY_MS   5000    /* between two of which the first failed */
#define AGAIN_MS   60000   /* between two fetches for an unknown key */
#define REFRESH_MS 3600000 /* between two fetches of a known set */
#define SUB_CUT    48      /* characters of a long subject in a name */

struct oidc {
    struct loop *loop;
    char *issuer, *audience;
    struct jwks *keys; /* NULL: none yet */
    bool fetches;
    struct tls_anchors *anchors;
    struct web_server issuer_at, keys_at;
    struct web_ask *asking;
    uint64_t fetched_ms; /* when that began last; 0: never */
    uint64_t again_ms;   /* when it did last because of an unknown key; 0: never */
    struct oidc_check *checks;
};

struct oidc_check {
    struct oidc *oidc;
    struct oidc_check *next, *prev;
    char *token;
    bool waits;   /* for the fetch that is under way */
    bool fetched; /* it has waited for one already */
    struct loop_task look;
    oidc_fn *fn;
    void *arg;
};

/* ---- a check ---- */

static void release(void *p)
{
    struct oidc_check *c = p;
    key_wipe(c->token, strlen(c->token));
    free(c->token);
    free(c);
}

void oidc_cancel(struct oidc_check *c)
{
    loop_task_del(&c->look);
    if (c->next)
        c->next->prev = c->prev;
    *(c->prev ? &c->prev->next : &c->oidc->checks) = c->next;
    loop_reap(c->oidc->loop, c, release);
}

static void settle(struct oidc_check *c, const struct proof *proof, const char *why)
{
    oidc_cancel(c);
    c->fn(c->arg, proof, why);
}

/* Two subjects that differ have ids that differ; what is shown of a long one may not. */
static struct principal principal_of(const struct oidc *o, const char *sub)
{
    struct principal who;
    uint8_t hash[SHA256_LEN];
    cleanup_free char *whole = xasprintf("oidc %zu %s %s", strlen(o->issuer), o->issuer, sub);
    key_sha256(whole, strlen(whole), hash);
    hex_encode(who.id, hash, PEOPLE_ID_LEN / 2);
    size_t len = strlen(sub);
    if (len <= PEOPLE_NAME_MAX)
        memcpy(who.name, sub, len + 1);
    else
        snprintf(who.name, sizeof who.name, "%.*s~%.8s", SUB_CUT, sub, who.id);
    for (char *p = who.name; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    return who;
}

static void fetch(struct oidc *o);

static bool is_past(const struct oidc *o, uint64_t since_ms, uint32_t ms)
{
    return !since_ms || loop_now_ms(o->loop) - since_ms >= ms;
}

/* A newer set may have the key: who asks again and again for one that is in none has that looked up once. */
static void await_keys(struct oidc_check *c)
{
    struct oidc *o = c->oidc;
    if (o->fetches && !o->asking && !c->fetched) {
        if (!o->keys && is_past(o, o->fetched_ms, RETRY_MS)) {
            fetch(o);
        } else if (o->keys && is_past(o, o->again_ms, AGAIN_MS)) {
            o->again_ms = loop_now_ms(o->loop);
            fetch(o);
        }
    }
    c->waits = o->asking && !c->fetched;
    if (!c->waits)
        settle(c, NULL,
               o->keys ? "no key of its issuer's has signed this token"
                       : "its issuer's keys cannot be had now");
}

static void look(void *arg)
{
    struct oidc_check *c = arg;
    struct oidc *o = c->oidc;
    const struct jwt_rules rules = {o->issuer, o->audience, time(NULL)};
    struct jwt_claims claims;
    const char *why;
    if (!o->keys) {
        await_keys(c);
    } else if (jwt_verify(o->keys, c->token, &rules, &claims, &why) == 0) {
        const struct proof proof = {.who = principal_of(o, claims.sub),
                                    .until_s = claims.exp_s < INT64_MAX - JWT_LEEWAY_S
                                                   ? claims.exp_s + JWT_LEEWAY_S
                                                   : INT64_MAX};
        settle(c, &proof, NULL);
    } else if (errno == ENOKEY) {
        await_keys(c);
    } else {
        settle(c, NULL, why);
    }
}

struct oidc_check *oidc_check(struct oidc *o, const char *token, oidc_fn *fn, void *arg)
{
    struct oidc_check *c = xcalloc(1, sizeof *c);
    c->oidc = o;
    c->token = xstrdup(token);
    c->fn = fn;
    c->arg = arg;
    c->next = o->checks;
    if (c->next)
        c->next->prev = c;
    o->checks = c;
    loop_task_init(o->loop, &c->look, look, c);
    loop_task_post(&c->look);
    if (o->keys && o->fetches && !o->asking && is_past(o, o->fetched_ms, REFRESH_MS))
        fetch(o);
    return c;
}

/* ---- the keys ---- */

static void fetched(struct oidc *o, const char *why)
{
    o->asking = NULL;
    if (why)
        log_error("the keys of %s: %s", o->issuer, why);
    for (struct oidc_check *c = o->checks; c; c = c->next) {
        if (!c->waits)
            continue;
        c->waits = false;
        c->fetched = true;
        loop_task_post(&c->look);
    }
}

static const char *fault_of(const struct web_answer *a)
{
    if (a->why)
        return a->why;
    return a->status == 200 ? NULL : "the answer's status is not 200";
}

static void on_keys(void *arg, const struct web_answer *a)
{
    struct oidc *o = arg;
    const char *why = fault_of(a);
    struct jwks *keys = why ? NULL : jwks_parse(a->body, a->len, &why);
    if (keys) {
        jwks_free(o->keys);
        o->keys = keys;
    }
    fetched(o, why);
}

/* http says nothing of who answers, but on this machine. */
static const char *take_url(struct url *url, const char *text)
{
    const char *why = NULL;
    if (url_parse(url, text, &why) < 0)
        return why;
    return url->tls || target_is_loopback(&url->at) ? NULL : "it is not https";
}

static void on_discovery(void *arg, const struct web_answer *a)
{
    struct oidc *o = arg;
    const char *why = fault_of(a);
    struct json *doc = why ? NULL : json_parse(a->body, a->len);
    const char *issuer = json_get_str(doc ? json_root(doc) : NULL, "issuer");
    const char *uri = json_get_str(doc ? json_root(doc) : NULL, "jwks_uri");
    if (!why && (!issuer || strcmp(issuer, o->issuer) != 0 || !uri))
        why = "its discovery document is of another issuer, or without a jwks_uri";
    if (!why)
        why = take_url(&o->keys_at.url, uri);
    if (why) {
        fetched(o, why);
    } else {
        o->keys_at.anchors = o->anchors;
        const struct web_question q = {
            .method = "GET", .path = o->keys_at.url.path[0] ? "" : "/", .limit_ms = FETCH_MS};
        o->asking = web_ask(o->loop, &o->keys_at, &q, on_keys, o);
    }
    json_free(doc);
}

static void fetch(struct oidc *o)
{
    const struct web_question q = {
        .method = "GET", .path = "/.well-known/openid-configuration", .limit_ms = FETCH_MS};
    o->fetched_ms = loop_now_ms(o->loop);
    o->asking = web_ask(o->loop, &o->issuer_at, &q, on_discovery, o);
}

/* ---- its start ---- */

static int read_keys(struct oidc *o, const char *path, char **why)
{
    size_t len;
    const char *fault = NULL;
    cleanup_free char *text = path_read(path, JWKS_MAX, &len);
    if (text)
        o->keys = jwks_parse(text, len, &fault);
    if (!o->keys)
        *why = xasprintf("--jwks-file %s: %s", path, text ? fault : strerror(errno));
    return o->keys ? 0 : -1;
}

static int reach_issuer(struct oidc *o, char **why)
{
    const char *fault = take_url(&o->issuer_at.url, o->issuer);
    o->fetches = true;
    if (fault) {
        *why = xasprintf("--oidc-issuer %s: %s", o->issuer, fault);
        return -1;
    }
    o->anchors = tls_anchors_load(NULL, why);
    if (!o->anchors && o->issuer_at.url.tls)
        return -1;
    free(*why);
    *why = NULL;
    o->issuer_at.anchors = o->anchors;
    return 0;
}

struct oidc *oidc_new(struct loop *loop, const struct oidc_options *options, char **why)
{
    struct oidc *o = xcalloc(1, sizeof *o);
    *why = NULL;
    o->loop = loop;
    o->issuer = xstrdup(options->issuer);
    o->audience = options->audience ? xstrdup(options->audience) : NULL;
    int got = options->jwks_file ? read_keys(o, options->jwks_file, why) : reach_issuer(o, why);
    if (got == 0)
        return o;
    oidc_free(o);
    return NULL;
}

void oidc_free(struct oidc *o)
{
    if (!o)
        return;
    if (o->asking)
        web_ask_cancel(o->asking);
    tls_anchors_free(o->anchors);
    jwks_free(o->keys);
    free(o->issuer);
    free(o->audience);
    free(o);
}
