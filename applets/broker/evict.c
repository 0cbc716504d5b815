#include "applets/broker/evict.h"

#include <errno.h>
#include <stdlib.h>

#include "applets/broker/device_list.h"
#include "core/mem.h"

struct eviction {
    struct front *front;
    struct principal who;
    size_t pending; /* devices being revoked, and the list while it is told */
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

void evict(struct front *f, const struct principal *who, evict_fn *fn, void *arg)
{
    struct eviction *e = xcalloc(1, sizeof *e);
    *e = (struct eviction){.front = f, .who = *who, .pending = 1, .fn = fn, .arg = arg};
    device_list(f->store, who, on_device, e);
}
