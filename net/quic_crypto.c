/* quic_crypto.c: HMAC, HKDF and X25519. The AEADs are in quic_crypto_aead.c. */
#include "net/quic_crypto.h"

#include <assert.h>
#include <bearssl.h>
#include <sodium.h>
#include <string.h>

#include "core/bytes.h"
#include "core/key.h"

static_assert(QUIC_SECRET_LEN == br_sha256_SIZE, "one hash for all");

bool quic_equal(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}

static void hmac(uint8_t *mac, const void *key, size_t key_len, const void *data, size_t len)
{
    br_hmac_key_context keyed;
    br_hmac_context running;
    br_hmac_key_init(&keyed, &br_sha256_vtable, key, key_len);
    br_hmac_init(&running, &keyed, 0);
    br_hmac_update(&running, data, len);
    br_hmac_out(&running, mac);
    key_wipe(&keyed, sizeof(keyed));
    key_wipe(&running, sizeof(running));
}

void quic_hmac(uint8_t mac[static QUIC_SECRET_LEN], const uint8_t key[static QUIC_SECRET_LEN],
               const void *data, size_t len)
{
    hmac(mac, key, QUIC_SECRET_LEN, data, len);
}

void quic_hkdf_extract(uint8_t secret[static QUIC_SECRET_LEN], const void *salt, size_t salt_len,
                       const void *ikm, size_t ikm_len)
{
    hmac(secret, salt, salt_len, ikm, ikm_len);
}

void quic_expand_label(uint8_t *out, size_t len, const uint8_t secret[static QUIC_SECRET_LEN],
                       const char *label, const uint8_t *hash)
{
    uint8_t info[64], block[QUIC_SECRET_LEN];
    struct writer w = writer_to(info, sizeof(info));
    write_u16(&w, (uint16_t)len);
    write_u8(&w, (uint8_t)(strlen("tls13 ") + strlen(label)));
    write_bytes(&w, "tls13 ", strlen("tls13 "));
    write_bytes(&w, label, strlen(label));
    write_u8(&w, hash ? QUIC_SECRET_LEN : 0);
    write_bytes(&w, hash, hash ? QUIC_SECRET_LEN : 0);
    /* HKDF-Expand's number of the block: there is never more than the first. */
    write_u8(&w, 1);
    assert(!w.bad && len <= sizeof(block));
    quic_hmac(block, secret, info, w.len);
    memcpy(out, block, len);
    key_wipe(block, sizeof(block));
}

void quic_x25519_public(uint8_t public[static QUIC_X25519_LEN],
                        const uint8_t secret[static QUIC_X25519_LEN])
{
    crypto_scalarmult_base(public, secret);
}

int quic_x25519(uint8_t shared[static QUIC_X25519_LEN],
                const uint8_t secret[static QUIC_X25519_LEN],
                const uint8_t peer[static QUIC_X25519_LEN])
{
    return crypto_scalarmult(shared, secret, peer);
}
