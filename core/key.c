/* key.c: libsodium's randomness and hashes under our names. */
#include "core/key.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"

static_assert(SHA256_LEN == crypto_hash_sha256_BYTES, "the same hash");
static_assert(KEY_HASH_LEN == crypto_shorthash_KEYBYTES, "the same secret");
static_assert(KEY_PUBLIC_LEN == crypto_sign_PUBLICKEYBYTES, "the same keys");
static_assert(KEY_SECRET_LEN == crypto_sign_SECRETKEYBYTES, "the same keys");
static_assert(KEY_SIGNATURE_LEN == crypto_sign_BYTES, "the same signatures");

void key_init(void)
{
    if (sodium_init() < 0) {
        log_error("the system gives no random numbers");
        abort();
    }
}

void key_random(void *dst, size_t len)
{
    randombytes_buf(dst, len);
}

uint32_t key_random_below(uint32_t bound)
{
    return randombytes_uniform(bound);
}

void key_wipe(void *p, size_t len)
{
    sodium_memzero(p, len);
}

int key_sha256_fd(int fd, uint8_t hash[static SHA256_LEN])
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    uint8_t block[16384];
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, block, sizeof block, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        crypto_hash_sha256_update(&state, block, (unsigned long long)n);
        at += n;
    }
    crypto_hash_sha256_final(&state, hash);
    return 0;
}

void key_sha256(const void *data, size_t len, uint8_t hash[static SHA256_LEN])
{
    crypto_hash_sha256(hash, data, len);
}

uint64_t key_hash64(const void *data, size_t len, const uint8_t secret[static KEY_HASH_LEN])
{
    uint64_t hash;
    static_assert(sizeof hash == crypto_shorthash_BYTES, "the same hash");
    crypto_shorthash((unsigned char *)&hash, data, len, secret);
    return hash;
}

bool key_same(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}

void key_pair(uint8_t public[static KEY_PUBLIC_LEN], uint8_t secret[static KEY_SECRET_LEN])
{
    crypto_sign_keypair(public, secret);
}

void key_sign(uint8_t signature[static KEY_SIGNATURE_LEN], const void *data, size_t len,
              const uint8_t secret[static KEY_SECRET_LEN])
{
    crypto_sign_detached(signature, NULL, data, len, secret);
}

bool key_verify(const uint8_t signature[static KEY_SIGNATURE_LEN], const void *data, size_t len,
                const uint8_t public[static KEY_PUBLIC_LEN])
{
    return crypto_sign_verify_detached(signature, data, len, public) == 0;
}
