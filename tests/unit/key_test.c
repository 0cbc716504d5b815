#include "core/key.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/mem.h"
#include "tests/unit/test.h"

/* FIPS 180-4's examples, and the empty one. */
static const struct {
    const char *text, *hash;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};
static const char million_a[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static int file_with(const char *text, size_t times)
{
    int fd = memfd_create("key_test", MFD_CLOEXEC);
    for (size_t i = 0; i < times; i++)
        if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
            return -1;
    return fd;
}

static void check_file(const char *text, size_t times, const char *want)
{
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    cleanup_fd int fd = file_with(text, times);
    CHECK_INT(key_sha256_fd(fd, hash), 0);
    hex_encode(hex, hash, sizeof hash);
    CHECK_STR(hex, want);
}

TEST(key_sha256_vectors)
{
    for (size_t i = 0; i < countof(vectors); i++) {
        uint8_t hash[SHA256_LEN];
        char hex[2 * SHA256_LEN + 1];
        key_sha256(vectors[i].text, strlen(vectors[i].text), hash);
        hex_encode(hex, hash, sizeof hash);
        CHECK_STR(hex, vectors[i].hash);
    }
}

TEST(key_sha256_of_files)
{
    for (size_t i = 0; i < countof(vectors); i++)
        check_file(vectors[i].text, 1, vectors[i].hash);
    check_file("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 20000, million_a);
}

TEST(key_sha256_of_no_file)
{
    uint8_t hash[SHA256_LEN];
    CHECK_INT(key_sha256_fd(-1, hash), -1);
    CHECK_INT(errno, EBADF);
}

TEST(key_random_differs)
{
    uint8_t a[PSK_LEN] = {0}, b[PSK_LEN] = {0};
    key_random(a, sizeof a);
    key_random(b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
}

TEST(key_random_below_bound)
{
    unsigned seen[3] = {0};
    for (unsigned i = 0; i < 300; i++) {
        uint32_t n = key_random_below(3);
        CHECK(n < 3);
        if (n < 3)
            seen[n]++;
    }
    CHECK(seen[0] && seen[1] && seen[2]);
    CHECK_INT(key_random_below(1), 0);
}

TEST(key_wipe_zeroes)
{
    uint8_t secret[4] = {1, 2, 3, 4};
    key_wipe(secret, 3);
    CHECK(memcmp(secret, "\0\0\0\4", 4) == 0);
}

/* The example of the paper "SipHash: a fast short-input PRF", appendix A. */
TEST(key_hash64_is_siphash)
{
    uint8_t secret[KEY_HASH_LEN], data[15];
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t)i;
    memcpy(data, secret, sizeof data);
    CHECK(key_hash64(data, sizeof data, secret) == 0xa129ca6149be45e5ULL);
    CHECK(key_hash64(data, sizeof data - 1, secret) != 0xa129ca6149be45e5ULL);
}

/* RFC 8032 section 7.1, TEST 2. */
TEST(key_sign_is_ed25519)
{
    uint8_t secret[KEY_SECRET_LEN], signature[KEY_SIGNATURE_LEN], want[KEY_SIGNATURE_LEN];
    CHECK_INT(hex_decode(secret, sizeof secret,
                         "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
                         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
              0);
    CHECK_INT(hex_decode(want, sizeof want,
                         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                         "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
              0);
    const uint8_t *public = secret + KEY_SECRET_LEN - KEY_PUBLIC_LEN;
    key_sign(signature, "\x72", 1, secret);
    CHECK(key_same(signature, want, sizeof want));
    CHECK(key_verify(signature, "\x72", 1, public));
    CHECK(!key_verify(signature, "\x73", 1, public));
    for (size_t i = 0; i < sizeof signature; i++) {
        signature[i] ^= 0x10;
        CHECK(!key_same(signature, want, sizeof want));
        CHECK(!key_verify(signature, "\x72", 1, public));
        signature[i] ^= 0x10;
    }
}

TEST(key_verify_refuses_keys_that_are_none)
{
    static const uint8_t zero[KEY_PUBLIC_LEN], signature[KEY_SIGNATURE_LEN];
    CHECK(!key_verify(signature, "", 0, zero));
    uint8_t public[KEY_PUBLIC_LEN], other[KEY_PUBLIC_LEN], secret[KEY_SECRET_LEN],
        mine[KEY_SIGNATURE_LEN];
    key_pair(other, secret);
    key_pair(public, secret);
    key_sign(mine, "text", 4, secret);
    CHECK(key_verify(mine, "text", 4, public));
    CHECK(!key_verify(mine, "text", 4, other));
}
