/* device_list.h: a user's devices, and what was last known of each: also of those that are not connected.
 *
 * In the store: seen/USER/NAME, when a device joined or left last, and what it said of itself. */
#ifndef BROKER_DEVICE_LIST_H
#define BROKER_DEVICE_LIST_H

#include "applets/broker/devices.h"
#include "core/json.h"

struct device_known {
    const char *name;
    int64_t enrolled_s;
    int64_t seen_s;                    /* 0: never */
    const struct json_value *metadata; /* what it said then; NULL: nothing */
};

/* Each device in the order of the names, then NULL; or an errno of the store's, and that is the end. ENOBUFS:
 * room() has refused. */
struct device_list;
typedef void device_list_fn(void *arg, int error, const struct device_known *device);
struct device_list *device_list(struct store *s, const struct principal *owner, device_list_fn *fn,
                                void *arg);
void device_list_cancel(struct device_list *l); /* until it has ended */
/* Asks, with the same `arg`, before it keeps so many bytes more. */
void device_list_bound(struct device_list *l, bool (*room)(void *arg, size_t len));

/* Keeps that it was there now. */
void device_seen(struct store *s, const struct device *device, const struct json_value *metadata);
/* Of one that is revoked. */
void device_forget(struct store *s, const struct device *device);

#endif
