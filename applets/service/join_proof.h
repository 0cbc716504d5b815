/* join_proof.h: what a device signs to prove, on a connection to its broker, that it has its key
 * (PROTOCOLS, section 6).
 *
 * "berth-bridge-v1" | nonce | the broker's URL | the device's id. The nonce makes it good for one
 * connection, the URL for one broker. Only the URL's length varies, so no two are the same text. */
#ifndef SERVICE_JOIN_PROOF_H
#define SERVICE_JOIN_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "core/key.h"

#define JOIN_NONCE_LEN  32
#define JOIN_URL_MAX    512u
#define JOIN_DEVICE_LEN 32 /* hex digits of a device's id */

/* A device's id, which is made of its key: both ends make it. */
void join_device_id(char id[static JOIN_DEVICE_LEN + 1],
                    const uint8_t public[static KEY_PUBLIC_LEN]);

struct join_proof {
    const uint8_t *nonce; /* [JOIN_NONCE_LEN] */
    const char *url;      /* at most JOIN_URL_MAX bytes */
    const char *device;   /* its id */
};

void join_sign(uint8_t signature[static KEY_SIGNATURE_LEN], const struct join_proof *p,
               const uint8_t secret[static KEY_SECRET_LEN]);
bool join_verify(const uint8_t signature[static KEY_SIGNATURE_LEN], const struct join_proof *p,
                 const uint8_t public[static KEY_PUBLIC_LEN]);

#endif
