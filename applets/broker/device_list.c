#include "applets/broker/device_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/broker/errand.h"
#include "applets/broker/record.h"
#include "core/mem.h"

struct seen {
    char *name;
    struct json *record;
};

/* Both lists come in the order of the names, so that one walk joins them. */
struct device_list {
    struct errand errand;
    char owner[PEOPLE_ID_LEN + 1];
    struct seen *seen;
    size_t n, at;
    bool over;
    device_list_fn *fn;
    bool (*room)(void *arg, size_t len); /* NULL: as much as there is */
    void *arg;
};

static void forget_seen(struct device_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->seen[i].name);
        json_free(l->seen[i].record);
    }
    free(l->seen);
    l->seen = NULL;
    l->n = 0;
}

void device_list_cancel(struct device_list *l)
{
    l->over = true;
    forget_seen(l);
    errand_cancel(&l->errand);
}

static void end(struct device_list *l, int error)
{
    device_list_fn *fn = l->fn;
    void *arg = l->arg;
    l->over = true;
    forget_seen(l);
    errand_end(&l->errand);
    fn(arg, error, NULL);
}

static void list(struct device_list *l, const char *kind, const char *after, store_fn *fn)
{
    char prefix[sizeof "agent//" + PEOPLE_ID_LEN];
    snprintf(prefix, sizeof prefix, "%s/%s/", kind, l->owner);
    l->errand.asked = store_list(l->errand.store, prefix, after, fn, l);
}

static const char *name_of(const struct store_entry *e)
{
    return strrchr(e->key, '/') + 1;
}

/* What was seen of a device that is gone is passed over. */
static const struct json_value *seen_of(struct device_list *l, const char *name)
{
    while (l->at < l->n && strcmp(l->seen[l->at].name, name) < 0)
        l->at++;
    bool same = l->at < l->n && strcmp(l->seen[l->at].name, name) == 0;
    return same ? json_root(l->seen[l->at].record) : NULL;
}

static void tell(struct device_list *l, const struct store_entry *e)
{
    struct json *record = json_parse(e->value, e->len);
    struct device_known known = {.name = name_of(e)};
    const struct json_value *seen = seen_of(l, known.name);
    (void)json_get_int(json_root(record), "created", &known.enrolled_s);
    (void)json_get_int(seen, "at", &known.seen_s);
    known.metadata = json_get(seen, "metadata");
    if (record)
        l->fn(l->arg, 0, &known);
    json_free(record);
}

static void on_agents(void *arg, const struct store_answer *a)
{
    struct device_list *l = arg;
    l->errand.asked = NULL;
    for (size_t i = 0; i < a->n && !l->over; i++)
        tell(l, &a->entries[i]);
    if (l->over)
        return;
    if (a->error || !a->more)
        end(l, a->error);
    else
        list(l, "agent", a->entries[a->n - 1].key, on_agents);
}

/* What parsing makes of it is about as much again. */
static bool has_room(const struct device_list *l, const struct store_answer *a)
{
    size_t len = 0;
    for (size_t i = 0; i < a->n; i++)
        len += 2 * a->entries[i].len;
    return !l->room || l->room(l->arg, len);
}

static void on_seen(void *arg, const struct store_answer *a)
{
    struct device_list *l = arg;
    l->errand.asked = NULL;
    if (a->error || !has_room(l, a)) {
        end(l, a->error ? a->error : ENOBUFS);
        return;
    }
    l->seen = xrealloc(l->seen, (l->n + a->n + 1) * sizeof *l->seen);
    for (size_t i = 0; i < a->n; i++) {
        struct json *record = json_parse(a->entries[i].value, a->entries[i].len);
        if (record)
            l->seen[l->n++] = (struct seen){xstrdup(name_of(&a->entries[i])), record};
    }
    if (a->more)
        list(l, "seen", a->entries[a->n - 1].key, on_seen);
    else
        list(l, "agent", NULL, on_agents);
}

struct device_list *device_list(struct store *s, const struct principal *owner, device_list_fn *fn,
                                void *arg)
{
    struct device_list *l = xcalloc(1, sizeof *l);
    memcpy(l->owner, owner->id, sizeof l->owner);
    l->fn = fn;
    l->arg = arg;
    errand_begin(&l->errand, s, NULL);
    list(l, "seen", NULL, on_seen);
    return l;
}

void device_list_bound(struct device_list *l, bool (*room)(void *arg, size_t len))
{
    l->room = room;
}

/* ---- what is kept of one ---- */

static void seen_key(const struct device *d, char key[static STORE_KEY_MAX])
{
    snprintf(key, STORE_KEY_MAX, "seen/%s/%s", d->owner.id, d->name);
}

void device_seen(struct store *s, const struct device *device, const struct json_value *metadata)
{
    char key[STORE_KEY_MAX];
    struct json_out *record = json_out_new();
    json_put_int(record, json_out_root(record), "at", time(NULL));
    if (metadata)
        json_put_copy(record, json_out_root(record), "metadata", metadata);
    seen_key(device, key);
    record_put(s, &(struct store_entry){.key = key, .revision = STORE_ANY}, record, NULL, NULL);
}

void device_forget(struct store *s, const struct device *device)
{
    char key[STORE_KEY_MAX];
    seen_key(device, key);
    store_delete(s, key, STORE_ANY, NULL, NULL);
}
