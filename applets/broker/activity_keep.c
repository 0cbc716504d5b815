#include "applets/broker/activity_keep.h"

#include <string.h>

#include "core/log.h"

static void cut(struct activity_keep *k, const char *after);

/* After a failure the next mark tries again. */
static void on_old(void *arg, const struct store_answer *a)
{
    struct activity_keep *k = arg;
    k->cutting = false;
    if (a->error)
        log_error("a trail is not cut: %s", strerror(a->error));
    for (size_t i = 0; i < a->n; i++)
        store_delete(k->store, a->entries[i].key, STORE_ANY, NULL, NULL);
    if (a->more)
        cut(k, a->entries[a->n - 1].key);
}

static void cut(struct activity_keep *k, const char *after)
{
    char prefix[ACTIVITY_KEY_ROOM];
    activity_prefix(prefix, &k->who);
    k->cutting = true;
    store_list(k->store, prefix, after, on_old, k);
}

static void cut_behind(struct activity_keep *k, uint64_t id)
{
    char key[ACTIVITY_KEY_ROOM];
    activity_key(key, &k->who, id);
    if (!k->cutting)
        cut(k, key);
}

static void drop_oldest(struct activity_keep *k)
{
    memmove(k->marks, k->marks + 1, --k->n * sizeof k->marks[0]);
    cut_behind(k, k->marks[0]);
}

/* ---- what was there before ---- */

static void walk(struct activity_keep *k, const char *after);

/* The walk goes back in time: its marks are older than all others. */
static void found(struct activity_keep *k, const struct store_entry *e)
{
    struct activity_row row;
    if (++k->walked < ACTIVITY_STEP)
        return;
    k->walked = 0;
    struct json *doc = activity_row_of(e, &row);
    if (doc) {
        memmove(k->marks + 1, k->marks, k->n++ * sizeof k->marks[0]);
        k->marks[0] = row.id;
    }
    json_free(doc);
}

static void on_page(void *arg, const struct store_answer *a)
{
    struct activity_keep *k = arg;
    for (size_t i = 0; i < a->n && k->n < ACTIVITY_MARKS; i++)
        found(k, &a->entries[i]);
    if (k->n == ACTIVITY_MARKS)
        cut_behind(k, k->marks[0]);
    else if (a->more)
        walk(k, a->entries[a->n - 1].key);
}

static void walk(struct activity_keep *k, const char *after)
{
    char prefix[ACTIVITY_KEY_ROOM];
    activity_prefix(prefix, &k->who);
    store_list(k->store, prefix, after, on_page, k);
}

/* ---- */

void activity_kept(struct activity_keep *k, uint64_t id)
{
    char key[ACTIVITY_KEY_ROOM];
    if (!k->begun) {
        activity_key(key, &k->who, id);
        walk(k, key);
    }
    k->begun = true;
    if (++k->fresh < ACTIVITY_STEP)
        return;
    k->fresh = 0;
    k->marks[k->n++] = id;
    if (k->n > ACTIVITY_MARKS)
        drop_oldest(k);
}
