/* people.h: who may use the broker: its users.
 *
 * In the store: user/NAME has the user's id, which everything that is theirs is kept by, so that who
 * is made again under an old name inherits nothing. */
#ifndef BROKER_PEOPLE_H
#define BROKER_PEOPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/store.h"

#define PEOPLE_NAME_MAX 64 /* characters of a user's name: A–Z a–z 0–9 . _ - */
#define PEOPLE_ID_LEN   32 /* hex digits */

struct principal {
    char id[PEOPLE_ID_LEN + 1];
    char name[PEOPLE_NAME_MAX + 1];
};

/* Whether a user, or what one owns, can have that name. */
bool people_is_name(const char *name);

/* A call that is under way. Once, from the loop, unless it is cancelled: 0 and `who`, or an errno:
 * EINVAL: no such name can be; ENOENT: no such user; EEXIST; else the store's. */
struct people_call;
typedef void people_fn(void *arg, int error, const struct principal *who);
/* What was asked for may happen all the same. */
void people_cancel(struct people_call *call);

struct people_call *people_find(struct store *s, const char *name, people_fn *fn, void *arg);
struct people_call *people_add(struct store *s, const char *name, people_fn *fn, void *arg);
/* Their tokens prove nothing any more. */
struct people_call *people_remove(struct store *s, const char *name, people_fn *fn, void *arg);
/* Each user in the order of the names, then NULL; an error ends it. */
struct people_call *people_list(struct store *s, people_fn *fn, void *arg);

#endif
