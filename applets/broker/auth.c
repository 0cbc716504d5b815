#include "applets/broker/auth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "applets/broker/oidc.h"
#include "applets/broker/tokens.h"
#include "core/mem.h"
#include "net/http_server.h"

struct asking {
    struct token_call *proving;
    struct oidc_check *checking;
    call_fn *fn;
};

static void forget(struct call *c)
{
    struct asking *a = c->state;
    if (a->proving)
        token_cancel(a->proving);
    if (a->checking)
        oidc_cancel(a->checking);
    free(a);
    c->state = NULL;
}

const char *call_cookie_name(const struct call *c)
{
    return c->front->secure ? "__Host-berth" : "berth";
}

/* Heap; NULL: none. */
static char *cookie(const struct call *c)
{
    const char *field = call_field(c, "Cookie"), *name = call_cookie_name(c);
    size_t own = strlen(name);
    while (field && *field) {
        size_t len = strcspn(field, ";");
        if (len > own + 1 && strncmp(field, name, own) == 0 && field[own] == '=')
            return xstrndup(field + own + 1, len - own - 1);
        field += len;
        field += strspn(field, "; ");
    }
    return NULL;
}

static char *token_of(struct call *c)
{
    static const char scheme[] = "Bearer ";
    const char *field = call_field(c, "Authorization");
    if (field && strncasecmp(field, scheme, strlen(scheme)) == 0)
        return xstrdup(field + strlen(scheme));
    char *token = cookie(c);
    c->by_cookie = token != NULL;
    return token;
}

/* The scheme counts where ours is https: whoever is in the network's middle can be any http site. */
static bool is_own_origin(const struct call *c, const char *origin)
{
    const char *host = call_field(c, "Host"), *at = origin ? strstr(origin, "://") : NULL;
    bool safe = !c->front->secure || (at && strncasecmp(origin, "https://", 8) == 0);
    return at && host && safe && strcasecmp(at + 3, host) == 0;
}

bool call_is_foreign(const struct call *c)
{
    const char *site = call_field(c, "Sec-Fetch-Site");
    if (http_field_count(http_request_head(c->exchange), "Origin") == 0)
        return site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
    return !is_own_origin(c, call_field(c, "Origin"));
}

/* A browser sends the cookie along whoever made it ask. What reads and changes nothing is no use to
 * another site, which is not shown the answer. */
static bool is_from_elsewhere(const struct call *c)
{
    const struct http_head *head = http_request_head(c->exchange);
    bool reads = strcmp(head->method, "GET") == 0 || strcmp(head->method, "HEAD") == 0;
    return c->by_cookie && (!reads || head->upgrade) && call_is_foreign(c);
}

static void refuse(struct call *c, const char *why)
{
    uint32_t wait = front_limit(c->front, LIMIT_NOBODY, c->peer);
    if (wait)
        call_limited(c, wait);
    else
        call_error(c, API_UNAUTHORIZED, "%s", why);
}

static void on_unproven(void *arg, enum lease_end end)
{
    struct call *c = arg;
    if (c->unproven)
        c->unproven(c, end);
    else if (c->exchange && !http_is_answered(c->exchange))
        call_error(c, API_UNAUTHORIZED, "The token %s.", lease_why(end));
    else
        call_end(c);
}

static void proven(struct call *c, const struct proof *proof)
{
    struct asking *a = c->state;
    call_fn *fn = a->fn;
    forget(c);
    c->abort = NULL;
    c->who = proof->who;
    c->lease.fn = on_unproven;
    c->lease.arg = c;
    lease_begin(&c->front->leases, &c->lease, proof);
    fn(c);
}

static void on_principal(void *arg, int error, const struct principal *who,
                         const struct token *token)
{
    struct call *c = arg;
    struct asking *a = c->state;
    a->proving = NULL;
    if (error == EACCES) {
        refuse(c, "This token proves nothing: it is unknown, expired, revoked, or its user is "
                  "gone.");
    } else if (error) {
        call_fault(c, "a token cannot be looked up", error);
    } else {
        struct proof proof = {.who = *who, .until_s = token->expires_s};
        memcpy(proof.token, token->hash, sizeof proof.token);
        proven(c, &proof);
    }
}

static void on_checked(void *arg, const struct proof *proof, const char *why)
{
    struct call *c = arg;
    struct asking *a = c->state;
    a->checking = NULL;
    if (proof) {
        proven(c, proof);
        return;
    }
    cleanup_free char *text = xasprintf("This token proves nothing: %s.", why);
    refuse(c, text);
}

/* What is not of our own making may be the issuer's. */
static bool is_jwt(const char *token)
{
    return strchr(token, '.') != NULL;
}

/* Takes the token, which is heap memory. */
static void prove(struct call *c, char *token, call_fn *fn)
{
    struct asking *a = xcalloc(1, sizeof *a);
    a->fn = fn;
    c->token = token;
    c->state = a;
    c->abort = forget;
    if (c->front->oidc && is_jwt(token))
        a->checking = oidc_check(c->front->oidc, token, on_checked, c);
    else
        a->proving = token_prove(c->front->store, token, on_principal, c);
}

void call_prove(struct call *c, const char *token, call_fn *fn)
{
    prove(c, xstrdup(token), fn);
}

void call_foreign(struct call *c)
{
    call_error(c, API_FORBIDDEN, "Another site has no business here.");
}

void call_authenticate(struct call *c, call_fn *fn)
{
    char *token = token_of(c);
    if (token && !is_from_elsewhere(c)) {
        prove(c, token, fn);
        return;
    }
    if (token)
        call_foreign(c);
    else
        refuse(c, "Say who you are: Authorization: Bearer TOKEN.");
    free(token);
}
