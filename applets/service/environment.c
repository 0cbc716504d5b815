#include "applets/service/environment.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

static const char name_start[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char name_more[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
static const char *const refused[] = {"PATH", "IFS", "ENV", "BASH_ENV"};

static size_t weight(const char *pair)
{
    return strlen(pair) + 1 + sizeof pair;
}

void environment_fini(struct environment *e)
{
    for (size_t i = 0; i < e->count; i++)
        free(e->pairs[i]);
    free(e->pairs);
    *e = (struct environment){0};
}

/* The place of what has this name, or the end. */
static size_t find(const struct environment *e, const char *pair, size_t name_len)
{
    size_t at = 0;
    while (at < e->count && strncmp(e->pairs[at], pair, name_len + 1) != 0)
        at++;
    return at;
}

/* Takes `pair`. */
static void put(struct environment *e, char *pair)
{
    size_t at = find(e, pair, strcspn(pair, "="));
    if (at < e->count) {
        e->bytes -= weight(e->pairs[at]);
        free(e->pairs[at]);
    } else {
        e->pairs = xrealloc(e->pairs, (++e->count + 1) * sizeof *e->pairs);
        e->pairs[e->count] = NULL;
    }
    e->pairs[at] = pair;
    e->bytes += weight(pair);
}

void environment_put(struct environment *e, const char *name, const char *value)
{
    put(e, xasprintf("%s=%s", name, value));
}

void environment_inherit(struct environment *e)
{
    for (char **at = environ; at && *at; at++)
        put(e, xstrdup(*at));
}

void environment_merge(struct environment *e, const struct environment *over)
{
    for (size_t i = 0; over && i < over->count; i++)
        put(e, xstrdup(over->pairs[i]));
}

static bool is_name(const char *text)
{
    return strspn(text, name_start) > 0 && strspn(text, name_more) == strlen(text);
}

static bool is_refused(const char *name)
{
    for (size_t i = 0; i < countof(refused); i++)
        if (strcmp(refused[i], name) == 0)
            return true;
    return strncmp(name, "LD_", 3) == 0;
}

static int read_pair(struct environment *e, const struct json_iter *it, const char *field,
                     struct fault *why)
{
    const char *value = json_str(it->value);
    if (!is_name(it->key))
        return fault_set(why, ERR_INVALID_REQUEST, "%s: \"%s\" is not a name", field, it->key);
    if (is_refused(it->key))
        return fault_set(why, ERR_INVALID_REQUEST, "%s: %s cannot be set", field, it->key);
    if (!value)
        return fault_set(why, ERR_INVALID_REQUEST, "%s: %s is not a string", field, it->key);
    environment_put(e, it->key, value);
    return 0;
}

int environment_read(struct environment *e, const struct json_value *vars, const char *field,
                     struct fault *why)
{
    size_t seen = 0;
    if (vars && !json_is_object(vars))
        return fault_set(why, ERR_INVALID_REQUEST, "%s: not an object", field);
    if (json_count(vars) > ENVIRONMENT_NAMES_MAX)
        return fault_set(why, ERR_INVALID_REQUEST, "%s: more than %d names", field,
                         ENVIRONMENT_NAMES_MAX);
    for (struct json_iter it = json_iter(vars); json_next(&it); seen++)
        if (read_pair(e, &it, field, why) != 0)
            return -1;
    if (seen < json_count(vars))
        return fault_set(why, ERR_INVALID_REQUEST, "%s: a name has a NUL inside", field);
    return 0;
}

int environment_extend(struct environment *e, const struct environment *over, struct fault *why)
{
    struct environment both = {0};
    environment_merge(&both, e);
    environment_merge(&both, over);
    int result = 0;
    if (both.count > ENVIRONMENT_NAMES_MAX)
        result = fault_set(why, ERR_INVALID_REQUEST, "vars: %zu names in all, %d at most",
                           both.count, ENVIRONMENT_NAMES_MAX);
    else if (both.bytes > ENVIRONMENT_BYTES_MAX)
        result = fault_set(why, ERR_INVALID_REQUEST, "vars: %zu bytes in all, %zu at most",
                           both.bytes, ENVIRONMENT_BYTES_MAX);
    struct environment *loser = result == 0 ? e : &both;
    environment_fini(loser);
    if (result == 0)
        *e = both;
    return result;
}
