/* oidc.h: users whom somebody else knows: a JWT of the configured OpenID Connect issuer says who one is.
 *
 * The issuer's keys come from a file, or from where its discovery document says (OpenID Connect Discovery
 * 1.0 §4): when a token is first shown, when one names a key that is not known (at most once a minute), and
 * once an hour, so that a key that the issuer has withdrawn proves nothing for much longer. */
#ifndef BROKER_OIDC_H
#define BROKER_OIDC_H

#include "applets/broker/lease.h"

struct oidc;

struct oidc_options {
    const char *issuer;    /* its URL, as tokens have it: https, or http on this machine */
    const char *audience;  /* whom a token is for; NULL: anybody */
    const char *jwks_file; /* NULL: fetched */
};

/* Reads what it needs of the file system. NULL with a line in *why (heap). */
struct oidc *oidc_new(struct loop *loop, const struct oidc_options *o, char **why);
void oidc_free(struct oidc *o); /* no check is under way; NULL is fine */

/* A principal's id is made of the issuer and the subject; the name is the subject, as far as it goes. */
struct oidc_check;
/* Once, from the loop: NULL with why, a static text for who asks. */
typedef void oidc_fn(void *arg, const struct proof *proof, const char *why);
struct oidc_check *oidc_check(struct oidc *o, const char *token, oidc_fn *fn, void *arg);
void oidc_cancel(struct oidc_check *c); /* before the callback only */

#endif
