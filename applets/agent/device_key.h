/* device_key.h: the key by which this machine's agent of this user is known to brokers. */
#ifndef AGENT_DEVICE_KEY_H
#define AGENT_DEVICE_KEY_H

#include "applets/service/join_proof.h"

struct device_key {
    uint8_t public[KEY_PUBLIC_LEN], secret[KEY_SECRET_LEN];
    char id[JOIN_DEVICE_LEN + 1];
};

/* From ~/.config/berth/device-MACHINE.key, which is made if it is not there; MACHINE keeps machines apart that
 * share a home. 0, or -1 with a line in *why (heap). */
int device_key_load(struct device_key *key, char **why);

/* MACHINE: a few hex digits; heap. */
char *device_machine(void);

#endif
