/* people.h: who may use the broker: its users, and the API tokens that prove who one is.
 *
 * In the store: user/NAME has the user's id, which everything that is theirs is kept by, so that who
 * is made again under an old name inherits nothing; token/HASH has the user and when the token
 * ends. A token itself is kept nowhere. */
#ifndef BROKER_PEOPLE_H
#define BROKER_PEOPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/store.h"

#define PEOPLE_NAME_MAX  64 /* characters of a user's name: A–Z a–z 0–9 . _ - */
#define PEOPLE_ID_LEN    32 /* hex digits */
#define PEOPLE_TOKEN_LEN 49 /* characters of a token: "berth_", 256 bits in base64url */
#define PEOPLE_DAYS_MAX  3650

struct principal {
    char id[PEOPLE_ID_LEN + 1];
    char name[PEOPLE_NAME_MAX + 1];
};

/* Whether a user, or what one owns, can have that name. */
bool people_is_name(const char *name);

/* A call that is under way. Once, from the loop, unless it is cancelled: 0 and `who`, or an errno:
 * EINVAL: no such name can be; ENOENT: no such user; EEXIST; EACCES: a token that proves nothing: unknown,
 * at its end, or its user is gone; else the store's. */
struct people_call;
typedef void people_fn(void *arg, int error, const struct principal *who);
/* What was asked for may happen all the same. */
void people_cancel(struct people_call *call);

struct people_call *people_add(struct store *s, const char *name, people_fn *fn, void *arg);
/* Their tokens prove nothing any more. */
struct people_call *people_remove(struct store *s, const char *name, people_fn *fn, void *arg);
/* Each user in the order of the names, then NULL; an error ends it. */
struct people_call *people_list(struct store *s, people_fn *fn, void *arg);
/* A token that nobody has had before, and that proves nothing yet. */
void people_new_token(char token[static PEOPLE_TOKEN_LEN + 1]);
struct people_grant {
    const char *token; /* such a one */
    unsigned days;     /* 1…PEOPLE_DAYS_MAX, from now */
};
struct people_call *people_grant(struct store *s, const char *name,
                                 const struct people_grant *grant, people_fn *fn, void *arg);
struct people_call *people_by_token(struct store *s, const char *token, people_fn *fn, void *arg);

#endif
