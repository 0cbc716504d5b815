/* environment.h: names and their values, as a command is given them.
 *
 * Whoever asks names [A-Za-z_][A-Za-z0-9_]*, but none of those that decide which program a
 * command runs: PATH, IFS, ENV, BASH_ENV, LD_*. A zeroed struct is an empty one. */
#ifndef SERVICE_ENVIRONMENT_H
#define SERVICE_ENVIRONMENT_H

#include <stddef.h>

#include "applets/service/fault.h"
#include "core/json.h"

#define ENVIRONMENT_NAMES_MAX 1024 /* that a request may name, or SetEnv set in all */
#define ENVIRONMENT_BYTES_MAX ((size_t)128 << 10) /* of those that SetEnv set */

struct environment {
    char **pairs; /* "NAME=value", NULL-terminated; NULL: none */
    size_t count;
    size_t bytes; /* as exec counts them: each with its NUL and a pointer */
};

void environment_fini(struct environment *e);

/* What this process has. */
void environment_inherit(struct environment *e);
void environment_put(struct environment *e, const char *name, const char *value);
/* Adds all of `over`, whose values win. NULL is fine. */
void environment_merge(struct environment *e, const struct environment *over);

/* Adds an object of strings, each name and value checked; NULL is an empty one. -1 with *why,
 * which begins with `field`: e may then have some of them. */
int environment_read(struct environment *e, const struct json_value *vars, const char *field,
                     struct fault *why);
/* As environment_merge(), within the limits above: the kernel's own (ARG_MAX, and 128 KiB for
 * a single string) are not to be met for what was set once and for all. -1 with *why, and e
 * is as it was. */
int environment_extend(struct environment *e, const struct environment *over, struct fault *why);

#endif
