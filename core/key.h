/* key.h: randomness, hashes and signatures, by libsodium. Every program calls key_init() first. */
#ifndef CORE_KEY_H
#define CORE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN  32
#define SESSION_LEN 16 /* a session's id, bytes */
#define PSK_LEN     32 /* a session's pre-shared key, bytes */

/* Ed25519 (RFC 8032): a device's key. */
#define KEY_PUBLIC_LEN    32
#define KEY_SECRET_LEN    64
#define KEY_SIGNATURE_LEN 64

#define KEY_HASH_LEN 16 /* the secret under a table's hash, bytes */

void key_init(void); /* aborts when the system has no randomness */
void key_random(void *dst, size_t len);
uint32_t key_random_below(uint32_t bound); /* uniform in [0, bound) */
void key_wipe(void *p, size_t len);
/* SHA-256 (FIPS 180-4) of an open file from its start; 0 or -1 with errno. */
int key_sha256_fd(int fd, uint8_t hash[static SHA256_LEN]);
void key_sha256(const void *data, size_t len, uint8_t hash[static SHA256_LEN]);
/* For tables whose keys a stranger chooses (SipHash-2-4). */
uint64_t key_hash64(const void *data, size_t len, const uint8_t secret[static KEY_HASH_LEN]);
/* In a time that says nothing of where they differ. */
bool key_same(const void *a, const void *b, size_t len);

void key_pair(uint8_t public[static KEY_PUBLIC_LEN], uint8_t secret[static KEY_SECRET_LEN]);
void key_sign(uint8_t signature[static KEY_SIGNATURE_LEN], const void *data, size_t len,
              const uint8_t secret[static KEY_SECRET_LEN]);
/* False too for a public key that no secret one belongs to. */
bool key_verify(const uint8_t signature[static KEY_SIGNATURE_LEN], const void *data, size_t len,
                const uint8_t public[static KEY_PUBLIC_LEN]);

#endif
