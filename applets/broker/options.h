/* options.h: what `berth broker` was asked to do. */
#ifndef BROKER_OPTIONS_H
#define BROKER_OPTIONS_H

#include <stdbool.h>

#include "applets/broker/front.h"
#include "applets/broker/oidc.h"
#include "net/url.h"

#define BROKER_WORDS 4

struct broker_options {
    struct target listen;
    struct url url;       /* by which it is known */
    const char *url_said; /* NULL: it follows from `listen` */
    char *state;          /* the directory, absolute */
    const char *tls_cert, *tls_key;
    bool tls_self_signed, insecure_http, behind_proxy, unconfined, help;
    struct oidc_options oidc;              /* without an issuer: none */
    const char *user;                      /* whom root becomes */
    struct limit_rate limits[LIMIT_COUNT]; /* burst 0: none */
    /* of `user` and `token` */
    const char *words[BROKER_WORDS]; /* after "broker": "user", "add", "ann" */
    unsigned n_words;
    unsigned days;
};

/* 0; or 2 after one line. Words are left to the subcommands. */
int broker_options_parse(struct broker_options *o, char **argv);
/* What goes with what, where a broker is to be started: 0; or 2 after one line. */
int broker_options_settle(struct broker_options *o);
void broker_options_fini(struct broker_options *o);

#endif
