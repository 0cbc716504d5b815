#include "applets/broker/activity_row.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"

static const char *const kinds[ACTIVITY_KIND_COUNT] = {
    [ACTIVITY_EXEC] = "exec",
    [ACTIVITY_FILE_READ] = "file-read",
    [ACTIVITY_FILE_WRITE] = "file-write",
    [ACTIVITY_TERMINAL] = "terminal",
    [ACTIVITY_JOIN] = "join",
    [ACTIVITY_LEAVE] = "leave",
    [ACTIVITY_ENROLL] = "enroll",
    [ACTIVITY_REVOKE] = "revoke",
};

static const char *const outcomes[ACTIVITY_OUTCOME_COUNT] = {
    [ACTIVITY_RUNNING] = "",
    [ACTIVITY_OK] = "ok",
    [ACTIVITY_FAILED] = "failed",
    [ACTIVITY_TIMEOUT] = "timeout",
    [ACTIVITY_LOST] = "lost",
    [ACTIVITY_REFUSED] = "refused",
    [ACTIVITY_INTERRUPTED] = "interrupted",
};

const char *activity_kind_name(enum activity_kind kind)
{
    return kinds[kind];
}

const char *activity_outcome_name(enum activity_outcome outcome)
{
    return outcomes[outcome];
}

/* ---- keys ---- */

void activity_prefix(char key[static ACTIVITY_KEY_ROOM], const struct principal *who)
{
    snprintf(key, ACTIVITY_KEY_ROOM, "activity/%s/", who->id);
}

void activity_key(char key[static ACTIVITY_KEY_ROOM], const struct principal *who, uint64_t id)
{
    snprintf(key, ACTIVITY_KEY_ROOM, "activity/%s/%016" PRIx64, who->id, ~id);
}

int activity_read_id(const char *text, uint64_t *id)
{
    if (strlen(text) != ACTIVITY_ID_LEN || strspn(text, "0123456789abcdef") != ACTIVITY_ID_LEN)
        return -1;
    *id = strtoull(text, NULL, 16);
    return 0;
}

/* ---- the store's ---- */

static void put_text(struct json_out *out, const char *key, const char *text)
{
    if (*text)
        json_put_str(out, json_out_root(out), key, text);
}

struct json_out *activity_record(const struct activity_row *row)
{
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    json_put_str(out, root, "kind", kinds[row->kind]);
    put_text(out, "agent", row->agent);
    put_text(out, "hostname", row->hostname);
    put_text(out, "what", row->what);
    put_text(out, "outcome", outcomes[row->outcome]);
    if (row->exit_code != ACTIVITY_NO_CODE)
        json_put_int(out, root, "exitCode", row->exit_code);
    if (row->duration_ms >= 0)
        json_put_int(out, root, "durationMs", row->duration_ms);
    return out;
}

/* Which of names[n] that is; n: none. */
static size_t which(const char *const *names, size_t n, const char *name)
{
    size_t i = 0;
    while (i < n && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static const char *text_of(const struct json_value *record, const char *key)
{
    const char *text = json_get_str(record, key);
    return text ? text : "";
}

struct json *activity_row_of(const struct store_entry *e, struct activity_row *row)
{
    struct json *doc = json_parse(e->value, e->len);
    const struct json_value *record = json_root(doc);
    const char *name = strrchr(e->key, '/');
    size_t kind = which(kinds, countof(kinds), text_of(record, "kind"));
    size_t outcome = which(outcomes, countof(outcomes), text_of(record, "outcome"));
    int64_t code = ACTIVITY_NO_CODE;
    uint64_t id;
    *row = (struct activity_row){.revision = e->revision, .duration_ms = -1};
    if (kind == countof(kinds) || outcome == countof(outcomes) || !name ||
        activity_read_id(name + 1, &id) < 0 || json_get_int(record, "exitCode", &code) < 0 ||
        code != (int)code || json_get_int(record, "durationMs", &row->duration_ms) < 0) {
        json_free(doc);
        return NULL;
    }
    row->id = ~id;
    row->kind = (enum activity_kind)kind;
    row->outcome = (enum activity_outcome)outcome;
    row->exit_code = (int)code;
    row->agent = text_of(record, "agent");
    row->hostname = text_of(record, "hostname");
    row->what = text_of(record, "what");
    return doc;
}

/* ---- how it is told ---- */

static void put_time(struct json_out *out, struct json_node *to, uint64_t us)
{
    char text[ACTIVITY_TIME_ROOM] = "", date[ACTIVITY_TIME_ROOM];
    struct tm tm;
    time_t s = (time_t)(us / 1000000);
    if (gmtime_r(&s, &tm) && strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf(text, sizeof text, "%.20s.%03uZ", date, (unsigned)(us / 1000 % 1000));
    json_put_str(out, to, "at", text);
}

static void put_or_null(struct json_out *out, struct json_node *to, const char *key,
                        const char *text)
{
    if (*text)
        json_put_str(out, to, key, text);
    else
        json_put_null(out, to, key);
}

static void put_number(struct json_out *out, struct json_node *to, const char *key, int64_t n,
                       bool there)
{
    if (there)
        json_put_int(out, to, key, n);
    else
        json_put_null(out, to, key);
}

void activity_tell(struct json_out *out, struct json_node *to, const struct activity_row *row)
{
    char id[ACTIVITY_ID_LEN + 1];
    snprintf(id, sizeof id, "%016" PRIx64, row->id);
    json_put_str(out, to, "id", id);
    put_time(out, to, row->id);
    json_put_str(out, to, "kind", kinds[row->kind]);
    put_or_null(out, to, "agent", row->agent);
    put_or_null(out, to, "hostname", row->hostname);
    put_or_null(out, to, "what", row->what);
    put_or_null(out, to, "outcome", outcomes[row->outcome]);
    put_number(out, to, "exitCode", row->exit_code, row->exit_code != ACTIVITY_NO_CODE);
    put_number(out, to, "durationMs", row->duration_ms, row->duration_ms >= 0);
}
