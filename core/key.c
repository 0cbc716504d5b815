/* key.c: libsodium's randomness and hashes under our names. */
#include "core/key.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"

static_assert(SHA256_LEN == crypto_hash_sha256_BYTES, "the same hash");

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
