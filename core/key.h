/* key.h: randomness and hashes, by libsodium. Every program calls key_init() first. */
#ifndef CORE_KEY_H
#define CORE_KEY_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN  32
#define SESSION_LEN 16 /* a session's id, bytes */
#define PSK_LEN     32 /* a session's pre-shared key, bytes */

void key_init(void); /* aborts when the system has no randomness */
void key_random(void *dst, size_t len);
uint32_t key_random_below(uint32_t bound); /* uniform in [0, bound) */
void key_wipe(void *p, size_t len);
/* SHA-256 (FIPS 180-4) of an open file from its start; 0 or -1 with errno. */
int key_sha256_fd(int fd, uint8_t hash[static SHA256_LEN]);
void key_sha256(const void *data, size_t len, uint8_t hash[static SHA256_LEN]);

#endif
