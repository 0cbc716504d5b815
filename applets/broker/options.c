#include "applets/broker/options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "applets/broker/tokens.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"
#include "core/paths.h"

#define LISTEN     "127.0.0.1:3000"
#define ROOT_STATE "/var/lib/berth"

enum {
    OPT_LISTEN = 1,
    OPT_URL,
    OPT_STATE,
    OPT_CERT,
    OPT_KEY,
    OPT_SELF_SIGNED,
    OPT_INSECURE,
    OPT_PROXY,
    OPT_LIMIT,
    OPT_ISSUER,
    OPT_AUDIENCE,
    OPT_JWKS,
    OPT_USER,
    OPT_UNCONFINED,
    OPT_DAYS,
    OPT_HELP
};

static const struct opt options[] = {
    {0, "listen", OPT_VALUE, OPT_LISTEN},
    {0, "url", OPT_VALUE, OPT_URL},
    {0, "state", OPT_VALUE, OPT_STATE},
    {0, "tls-cert", OPT_VALUE, OPT_CERT},
    {0, "tls-key", OPT_VALUE, OPT_KEY},
    {0, "tls-self-signed", OPT_FLAG, OPT_SELF_SIGNED},
    {0, "insecure-http", OPT_FLAG, OPT_INSECURE},
    {0, "behind-proxy", OPT_FLAG, OPT_PROXY},
    {0, "limit", OPT_VALUE, OPT_LIMIT},
    {0, "oidc-issuer", OPT_VALUE, OPT_ISSUER},
    {0, "oidc-audience", OPT_VALUE, OPT_AUDIENCE},
    {0, "jwks-file", OPT_VALUE, OPT_JWKS},
    {0, "user", OPT_VALUE, OPT_USER},
    {0, "unconfined", OPT_FLAG, OPT_UNCONFINED},
    {0, "days", OPT_VALUE, OPT_DAYS},
    {'h', "help", OPT_FLAG, OPT_HELP},
    {0},
};

static const struct {
    const char *name;
    struct limit_rate rate; /* where nothing is said */
} limits[LIMIT_COUNT] = {
    [LIMIT_DEFAULT] = {"default", {1200, 200}},
    [LIMIT_EXEC] = {"exec", {600, 100}},
    [LIMIT_NOBODY] = {"nobody", {300, 60}},
};

/* ---- one option ---- */

static int wrong(const char *option, const char *value, const char *why)
{
    log_error("%s %s: %s", option, value, why);
    return 2;
}

static int take_limit(struct broker_options *o, const char *part, size_t len)
{
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        size_t name = strlen(limits[i].name);
        if (len <= name || part[name] != '=' || strncmp(part, limits[i].name, name) != 0)
            continue;
        cleanup_free char *rate = xstrndup(part + name + 1, len - name - 1);
        if (strcmp(rate, "none") == 0) {
            o->limits[i] = (struct limit_rate){0};
            return 0;
        }
        return limit_parse(rate, &o->limits[i]);
    }
    return -1;
}

static int take_limits(struct broker_options *o, const char *text)
{
    if (strcmp(text, "none") == 0) {
        memset(o->limits, 0, sizeof o->limits);
        return 0;
    }
    for (const char *part = text;; part++) {
        size_t len = strcspn(part, ",");
        if (take_limit(o, part, len) < 0)
            return wrong(
                "--limit", text,
                "needed is exec=, default= or nobody= with PER_MINUTE:BURST or none; or just none");
        part += len;
        if (!*part)
            return 0;
    }
}

static int take_days(struct broker_options *o, const char *text)
{
    uint64_t days;
    if (opt_unsigned(text, TOKEN_DAYS_MAX, &days) < 0 || days == 0)
        return wrong("--days", text, "1 to 3650");
    o->days = (unsigned)days;
    return 0;
}

static int take_state(struct broker_options *o, const char *text)
{
    char here[PATH_MAX];
    free(o->state);
    o->state = NULL;
    if (text[0] == '/')
        o->state = xstrdup(text);
    else if (*text && getcwd(here, sizeof here))
        o->state = xasprintf("%s/%s", here, text);
    return o->state ? 0 : wrong("--state", text, "not a directory");
}

static int take_listen(struct broker_options *o, const char *text)
{
    const char *why;
    return target_parse_bind(&o->listen, text, &why) < 0 ? wrong("--listen", text, why) : 0;
}

static int take_word(struct broker_options *o, const char *word)
{
    if (o->n_words == countof(o->words)) {
        log_error("what is %s? see berth broker --help", word);
        return 2;
    }
    o->words[o->n_words++] = word;
    return 0;
}

static int take(struct broker_options *o, int id, const char *value)
{
    switch (id) {
    case OPT_LISTEN: return take_listen(o, value);
    case OPT_URL: o->url_said = value; return 0;
    case OPT_STATE: return take_state(o, value);
    case OPT_CERT: o->tls_cert = value; return 0;
    case OPT_KEY: o->tls_key = value; return 0;
    case OPT_SELF_SIGNED: o->tls_self_signed = true; return 0;
    case OPT_INSECURE: o->insecure_http = true; return 0;
    case OPT_PROXY: o->behind_proxy = true; return 0;
    case OPT_LIMIT: return take_limits(o, value);
    case OPT_ISSUER: o->oidc.issuer = value; return 0;
    case OPT_AUDIENCE: o->oidc.audience = value; return 0;
    case OPT_JWKS: o->oidc.jwks_file = value; return 0;
    case OPT_USER: o->user = value; return 0;
    case OPT_UNCONFINED: o->unconfined = true; return 0;
    case OPT_DAYS: return take_days(o, value);
    case OPT_HELP: o->help = true; return 0;
    case OPT_OPERAND: return take_word(o, value);
    }
    return 2;
}

int broker_options_parse(struct broker_options *o, char **argv)
{
    struct opts at = opts_of(options, argv);
    int id, status;
    *o = (struct broker_options){.days = 90};
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        o->limits[i] = limits[i].rate;
    (void)take_listen(o, LISTEN);
    o->state = geteuid() == 0 && !getenv("XDG_STATE_HOME") ? xstrdup(ROOT_STATE) : path_state();
    while ((id = opt_next(&at)) != OPT_END)
        if ((status = take(o, id, at.value)))
            return status;
    return 0;
}

/* ---- all of them ---- */

/* The URL that follows: this host's name where it listens on every address. */
static char *own_url(const struct broker_options *o)
{
    char bind[TARGET_TEXT_MAX], name[HOST_NAME_MAX + 1] = "localhost";
    const char *scheme = o->tls_cert || o->tls_self_signed ? "https" : "http";
    target_format(&o->listen, bind);
    if (o->listen.host[0] != '\0' && strcmp(o->listen.host, "*") != 0)
        return xasprintf("%s://%s", scheme, bind);
    gethostname(name, sizeof name - 1);
    return xasprintf("%s://%s:%u", scheme, name, o->listen.port);
}

int broker_options_settle(struct broker_options *o)
{
    const char *why;
    bool tls = o->tls_cert || o->tls_self_signed;
    if (!o->tls_cert != !o->tls_key)
        return wrong("--tls-cert", "and --tls-key", "one does not go without the other");
    if ((o->oidc.audience || o->oidc.jwks_file) && !o->oidc.issuer)
        return wrong("--oidc-audience", "or --jwks-file", "needs --oidc-issuer");
    if (o->tls_cert && o->tls_self_signed)
        return wrong("--tls-self-signed", "and --tls-cert", "one or the other");
    if (!tls && !target_is_loopback(&o->listen) && !o->insecure_http) {
        log_error(
            "it is to listen beyond this machine: tokens and commands would pass in the clear. "
            "Give --tls-cert and --tls-key, or --tls-self-signed; or say --insecure-http");
        return 2;
    }
    cleanup_free char *own = o->url_said ? xstrdup(o->url_said) : own_url(o);
    return url_parse(&o->url, own, &why) < 0 ? wrong("--url", own, why) : 0;
}

void broker_options_fini(struct broker_options *o)
{
    free(o->state);
}
