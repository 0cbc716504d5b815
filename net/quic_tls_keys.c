/* quic_tls_keys.c: TLS 1.3's key schedule. */
#include "net/quic_tls_keys.h"

static const uint8_t zeros[QUIC_SECRET_LEN];

/* Derive-Secret: `hash` of the messages that the secret is bound to. */
static void derive(uint8_t *out, const uint8_t *secret, const char *label, const uint8_t *hash)
{
    quic_expand_label(out, QUIC_SECRET_LEN, secret, label, hash);
}

/* Derive-Secret(…, "") */
static void derive_unbound(uint8_t *out, const uint8_t *secret, const char *label)
{
    uint8_t hash[SHA256_LEN];
    key_sha256("", 0, hash);
    derive(out, secret, label, hash);
}

/* From one secret of the chain to the next, by what comes in beside it. */
static void advance(struct quic_tls_keys *k, const uint8_t input[static QUIC_SECRET_LEN])
{
    uint8_t salt[QUIC_SECRET_LEN];
    derive_unbound(salt, k->chain, "derived");
    quic_hkdf_extract(k->chain, salt, sizeof(salt), input, QUIC_SECRET_LEN);
    key_wipe(salt, sizeof(salt));
}

void quic_tls_keys_early(struct quic_tls_keys *k, const uint8_t psk[static PSK_LEN])
{
    quic_hkdf_extract(k->chain, zeros, sizeof(zeros), psk, PSK_LEN);
}

void quic_tls_keys_binder(const struct quic_tls_keys *k, const char *label, const uint8_t *hash,
                          uint8_t binder[static QUIC_SECRET_LEN])
{
    uint8_t key[QUIC_SECRET_LEN];
    derive_unbound(key, k->chain, label);
    quic_tls_finished(binder, key, hash);
    key_wipe(key, sizeof(key));
}

void quic_tls_keys_handshake(struct quic_tls_keys *k, const uint8_t *shared, const uint8_t *hash)
{
    advance(k, shared);
    derive(k->client, k->chain, "c hs traffic", hash);
    derive(k->server, k->chain, "s hs traffic", hash);
}

void quic_tls_keys_application(struct quic_tls_keys *k, const uint8_t *hash)
{
    advance(k, zeros);
    derive(k->client, k->chain, "c ap traffic", hash);
    derive(k->server, k->chain, "s ap traffic", hash);
}

void quic_tls_finished(uint8_t verify[static QUIC_SECRET_LEN],
                       const uint8_t secret[static QUIC_SECRET_LEN], const uint8_t *hash)
{
    uint8_t key[QUIC_SECRET_LEN];
    quic_expand_label(key, sizeof(key), secret, "finished", NULL);
    quic_hmac(verify, key, hash, SHA256_LEN);
    key_wipe(key, sizeof(key));
}
