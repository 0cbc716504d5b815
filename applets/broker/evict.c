#include "applets/broker/evict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/broker/device_list.h"
#include "core/mem.h"

struct eviction {
    struct front *front;
    struct principal who;
    size_t pending; /* devices being revoked, and the lists while they are told */
    int error;
    evict_fn *fn;
    void *arg;
};

static void settle(struct eviction *e, int error)
{
    if (error && error != ENOENT)
        e->error = error;
    if (--e->pending > 0)
        return;
    loop_reap(e->front->loop, e, free);
    e->fn(e->arg, e->error);
}

static void on_revoked(void *arg, int error, const struct device *device)
{
    struct eviction *e = arg;
    if (device) {
        bridge_revoke(&e->front->bridges, device->id);
        device_forget(e->front->store, device);
    }
    settle(e, error);
}

static void on_device(void *arg, int error, const struct device_known *device)
{
    struct eviction *e = arg;
    if (!device) {
        settle(e, error);
        return;
    }
    e->pending++;
    device_revoke(e->front->store, &e->who, device->name, on_revoked, e);
}

/* ---- codes, by which machines would join all the same ---- */

static bool is_theirs(const struct eviction *e, const struct store_entry *code)
{
    struct json *record = json_parse(code->value, code->len);
    const char *id = json_get_str(json_root(record), "id");
    bool theirs = id && strcmp(id, e->who.id) == 0;
    json_free(record);
    return theirs;
}

static void on_codes(void *arg, const struct store_answer *a)
{
    struct eviction *e = arg;
    struct store *s = e->front->store;
    for (size_t i = 0; i < a->n; i++)
        if (is_theirs(e, &a->entries[i]))
            store_delete(s, a->entries[i].key, STORE_ANY, NULL, NULL);
    if (!a->error && a->more)
        store_list(s, "code/", a->entries[a->n - 1].key, on_codes, e);
    else
        settle(e, a->error);
}

void evict(struct front *f, const struct principal *who, evict_fn *fn, void *arg)
{
    struct eviction *e = xcalloc(1, sizeof *e);
    *e = (struct eviction){.front = f, .who = *who, .pending = 2, .fn = fn, .arg = arg};
    leases_revoke(&f->leases, who, NULL);
    store_list(f->store, "code/", NULL, on_codes, e);
    device_list(f->store, who, on_device, e);
}
