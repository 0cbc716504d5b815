/* quic_crypto.h: what TLS 1.3 and QUIC v1 rest on: HMAC and HKDF with SHA-256, X25519, and
 * the two AEADs with their header protection.
 *
 * Both suites hash with SHA-256, so a hash, a secret and an HMAC are 32 bytes everywhere.
 * AES is BearSSL's with the processor's instructions, else its constant-time bit-sliced one;
 * ChaCha20 and X25519 are libsodium's. What holds a key is wiped when it is freed. */
#ifndef NET_QUIC_CRYPTO_H
#define NET_QUIC_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUIC_SECRET_LEN 32
#define QUIC_KEY_MAX    32 /* the longer of the AEADs' keys */
#define QUIC_IV_LEN     12
#define QUIC_TAG_LEN    16
#define QUIC_SAMPLE_LEN 16 /* of ciphertext, for header protection */
#define QUIC_MASK_LEN   5
#define QUIC_X25519_LEN 32

/* In constant time. */
bool quic_equal(const void *a, const void *b, size_t len);

void quic_hmac(uint8_t mac[static QUIC_SECRET_LEN], const uint8_t key[static QUIC_SECRET_LEN],
               const void *data, size_t len);
/* HKDF-Extract (RFC 5869 §2.2). */
void quic_hkdf_extract(uint8_t secret[static QUIC_SECRET_LEN], const void *salt, size_t salt_len,
                       const void *ikm, size_t ikm_len);
/* HKDF-Expand-Label (RFC 8446 §7.1) of at most 32 bytes, with "tls13 " put before the label,
 * of at most 12 characters. The context is empty, or a hash: NULL or hash[32]. */
void quic_expand_label(uint8_t *out, size_t len, const uint8_t secret[static QUIC_SECRET_LEN],
                       const char *label, const uint8_t *hash);

/* X25519 (RFC 7748): the public half of a secret; and what is shared with a peer. -1: all
 * zero, which RFC 8446 §7.4.2 wants refused. */
void quic_x25519_public(uint8_t public[static QUIC_X25519_LEN],
                        const uint8_t secret[static QUIC_X25519_LEN]);
int quic_x25519(uint8_t shared[static QUIC_X25519_LEN],
                const uint8_t secret[static QUIC_X25519_LEN],
                const uint8_t peer[static QUIC_X25519_LEN]);

/* AEAD_AES_128_GCM and AEAD_CHACHA20_POLY1305 (RFC 5116 §5.1, RFC 8439 §2.8). */
enum quic_cipher { QUIC_AES_128_GCM, QUIC_CHACHA20_POLY1305 };

/* AES where the processor has instructions for it and for GHASH. */
enum quic_cipher quic_cipher_preferred(void);
size_t quic_cipher_key_len(enum quic_cipher cipher); /* of header protection too */

struct quic_text {
    const uint8_t *nonce; /* [QUIC_IV_LEN] */
    const uint8_t *aad;
    size_t aad_len;
    const uint8_t *in;
    size_t len;
};

struct quic_aead *quic_aead_new(enum quic_cipher cipher, const uint8_t *key);
void quic_aead_free(struct quic_aead *aead);
/* out[len + QUIC_TAG_LEN], which may be where the plaintext is. */
void quic_seal(struct quic_aead *aead, uint8_t *out, const struct quic_text *plain);
/* out[len - QUIC_TAG_LEN], which may be where the ciphertext is; 0, or -1 when it is forged:
 * then out holds nothing of use. */
int quic_open(struct quic_aead *aead, uint8_t *out, const struct quic_text *sealed);

/* Header protection (RFC 9001 §5.4.3 and §5.4.4). */
struct quic_hp *quic_hp_new(enum quic_cipher cipher, const uint8_t *key);
void quic_hp_free(struct quic_hp *hp);
void quic_hp_mask(const struct quic_hp *hp, uint8_t mask[static QUIC_MASK_LEN],
                  const uint8_t sample[static QUIC_SAMPLE_LEN]);

#endif
