/* tokens.h: API tokens, which prove who one is.
 *
 * In the store: token/HASH has the user, and when the token was made and ends. A token itself is kept
 * nowhere. */
#ifndef BROKER_TOKENS_H
#define BROKER_TOKENS_H

#include "applets/broker/people.h"
#include "core/key.h"

#define TOKEN_LEN      49 /* characters: "berth_", 256 bits in base64url */
#define TOKEN_ID_LEN   12 /* of the hash's hex digits, by which a person names it */
#define TOKEN_DAYS_MAX 3650

/* What is known of one. */
struct token {
    uint8_t hash[SHA256_LEN];
    int64_t made_s; /* 0: not known */
    int64_t expires_s;
};

/* A call that is under way. Once, from the loop, unless it is cancelled: 0 with whose it is and what is
 * known of it, or an errno: EINVAL: no such name can be; ENOENT: no such user; EACCES: a token that proves
 * nothing: unknown, at its end, or its user is gone; ENOKEY: the user has none of that id; ENOTUNIQ: and
 * several; else the store's. */
struct token_call;
typedef void token_fn(void *arg, int error, const struct principal *who, const struct token *token);
/* What was asked for may happen all the same. */
void token_cancel(struct token_call *call);

/* One that nobody has had before, and that proves nothing yet. */
void token_new(char token[static TOKEN_LEN + 1]);
struct token_grant {
    const char *token; /* such a one */
    unsigned days;     /* 1…TOKEN_DAYS_MAX, from now */
};
struct token_call *token_grant(struct store *s, const char *name, const struct token_grant *grant,
                               token_fn *fn, void *arg);
struct token_call *token_prove(struct store *s, const char *token, token_fn *fn, void *arg);
/* Each of the user's that prove something still, then one that is NULL; an error ends it. */
struct token_call *token_list(struct store *s, const char *name, token_fn *fn, void *arg);
/* `id`: the beginning of its hash, as much of it as tells it from the user's others. Who was being proven by
 * it meanwhile is told so before fn(). */
struct token_call *token_revoke(struct store *s, const char *name, const char *id, token_fn *fn,
                                void *arg);

#endif
