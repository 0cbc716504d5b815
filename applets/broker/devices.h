/* devices.h: the machines that users have joined: each by a code, once, and by its own key from then on.
 *
 * In the store: code/HASH, the user that a code stands for and when it ends; agent/USER/NAME, a user's
 * device with its key; device/ID, whose it is and under what name. A device's id is made of its key.
 * What counts is agent/…: a device/… that another one, or none, answers to is nothing. */
#ifndef BROKER_DEVICES_H
#define BROKER_DEVICES_H

#include <stdint.h>

#include "applets/broker/people.h"
#include "applets/service/join_proof.h"
#include "core/key.h"
#include "core/store.h"

#define DEVICE_NAME_MAX 64    /* as a user's name */
#define DEVICES_EACH    1000u /* that one user has enrolled */
#define CODE_LEN        9     /* XXXX-XXXX */
#define CODE_S          600

struct device {
    char id[JOIN_DEVICE_LEN + 1];
    char name[DEVICE_NAME_MAX + 1];
    uint8_t key[KEY_PUBLIC_LEN];
    struct principal owner;
    int64_t created_s;
};

/* Once, from the loop, unless it is cancelled: 0 and the device, or an errno: EINVAL: no such name can be;
 * EACCES: a code that stands for nobody: never given, used, or at its end; EEXIST: the user has another device
 * of that name; EADDRINUSE: the key is another user's device; EMLINK: the user has DEVICES_EACH; ENOENT: no such
 * device; else the store's. */
struct device_call;
typedef void device_fn(void *arg, int error, const struct device *device);
void device_cancel(struct device_call *call);

/* A code that was never given out, and stands for nobody yet. */
void device_new_code(char code[static CODE_LEN + 1]);
/* From fn() on, and for CODE_S seconds, it stands for that user, once. The device that fn() is told has an
 * owner alone. */
struct device_call *device_offer(struct store *s, const struct principal *owner, const char *code,
                                 device_fn *fn, void *arg);

struct enrolment {
    const char *code; /* in any case, with its dash or without */
    const char *name;
    const uint8_t *key; /* [KEY_PUBLIC_LEN] */
};
/* The code is used up, whatever comes of it, unless the name or the code itself is none. A device
 * that its owner enrols again gets the new name. */
struct device_call *device_enrol(struct store *s, const struct enrolment *e, device_fn *fn,
                                 void *arg);

/* Who a device says it is: to be proven by its key. */
struct device_call *device_find(struct store *s, const char *id, device_fn *fn, void *arg);
struct device_call *device_revoke(struct store *s, const struct principal *owner, const char *name,
                                  device_fn *fn, void *arg);

#endif
