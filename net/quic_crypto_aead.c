/* quic_crypto_aead.c: the two AEADs and their header protection. */
#include <bearssl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/key.h"
#include "core/mem.h"
#include "net/quic_crypto.h"

#define AES_KEY_LEN    16
#define CHACHA_KEY_LEN crypto_aead_chacha20poly1305_IETF_KEYBYTES

/* Each of them begins with the table of its functions. */
union aes {
    const br_block_ctr_class *table;
    br_aes_x86ni_ctr_keys instructions;
    br_aes_ct64_ctr_keys bit_sliced;
};

struct quic_aead {
    enum quic_cipher cipher;
    union aes aes;
    br_gcm_context gcm; /* points to `aes`, and holds the state of one packet at a time */
    uint8_t chacha[CHACHA_KEY_LEN];
};

struct quic_hp {
    enum quic_cipher cipher;
    union aes aes;
    uint8_t chacha[CHACHA_KEY_LEN];
};

/* What this processor is best at, asked once: where it is a guest, asking takes longer than
 * sealing ten packets, and every connection makes several keys. */
struct best {
    const br_block_ctr_class *aes;
    br_ghash ghash;
    bool instructions; /* for both */
};

static const struct best *best(void)
{
    static struct best b;
    if (b.aes)
        return &b;
    const br_block_ctr_class *aes = br_aes_x86ni_ctr_get_vtable();
    br_ghash ghash = br_ghash_pclmul_get();
    b = (struct best){.aes = aes ? aes : &br_aes_ct64_ctr_vtable,
                      .ghash = ghash ? ghash : br_ghash_ctmul64,
                      .instructions = aes && ghash};
    return &b;
}

enum quic_cipher quic_cipher_preferred(void)
{
    return best()->instructions ? QUIC_AES_128_GCM : QUIC_CHACHA20_POLY1305;
}

size_t quic_cipher_key_len(enum quic_cipher cipher)
{
    return cipher == QUIC_AES_128_GCM ? AES_KEY_LEN : CHACHA_KEY_LEN;
}

static void aes_init(union aes *aes, const uint8_t *key)
{
    best()->aes->init(&aes->table, key, AES_KEY_LEN);
}

struct quic_aead *quic_aead_new(enum quic_cipher cipher, const uint8_t *key)
{
    struct quic_aead *a = xcalloc(1, sizeof(*a));
    a->cipher = cipher;
    if (cipher == QUIC_CHACHA20_POLY1305) {
        memcpy(a->chacha, key, CHACHA_KEY_LEN);
        return a;
    }
    aes_init(&a->aes, key);
    br_gcm_init(&a->gcm, &a->aes.table, best()->ghash);
    return a;
}

void quic_aead_free(struct quic_aead *aead)
{
    if (aead)
        key_wipe(aead, sizeof(*aead));
    free(aead);
}

/* BearSSL works where the text stands. */
static void gcm_run(struct quic_aead *a, uint8_t *out, const struct quic_text *t, size_t len,
                    bool encrypt)
{
    if (len && out != t->in)
        memmove(out, t->in, len);
    br_gcm_reset(&a->gcm, t->nonce, QUIC_IV_LEN);
    br_gcm_aad_inject(&a->gcm, t->aad, t->aad_len);
    br_gcm_flip(&a->gcm);
    br_gcm_run(&a->gcm, encrypt, out, len);
}

static int gcm_open(struct quic_aead *a, uint8_t *out, const struct quic_text *t, size_t len)
{
    uint8_t tag[QUIC_TAG_LEN];
    memcpy(tag, t->in + len, QUIC_TAG_LEN);
    gcm_run(a, out, t, len, false);
    if (br_gcm_check_tag(&a->gcm, tag))
        return 0;
    key_wipe(out, len);
    return -1;
}

void quic_seal(struct quic_aead *aead, uint8_t *out, const struct quic_text *plain)
{
    if (aead->cipher == QUIC_CHACHA20_POLY1305) {
        crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain->in, plain->len, plain->aad,
                                                  plain->aad_len, NULL, plain->nonce, aead->chacha);
        return;
    }
    gcm_run(aead, out, plain, plain->len, true);
    br_gcm_get_tag(&aead->gcm, out + plain->len);
}

int quic_open(struct quic_aead *aead, uint8_t *out, const struct quic_text *sealed)
{
    if (sealed->len < QUIC_TAG_LEN)
        return -1;
    if (aead->cipher == QUIC_AES_128_GCM)
        return gcm_open(aead, out, sealed, sealed->len - QUIC_TAG_LEN);
    return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed->in, sealed->len,
                                                     sealed->aad, sealed->aad_len, sealed->nonce,
                                                     aead->chacha);
}

struct quic_hp *quic_hp_new(enum quic_cipher cipher, const uint8_t *key)
{
    struct quic_hp *hp = xcalloc(1, sizeof(*hp));
    hp->cipher = cipher;
    if (cipher == QUIC_CHACHA20_POLY1305)
        memcpy(hp->chacha, key, CHACHA_KEY_LEN);
    else
        aes_init(&hp->aes, key);
    return hp;
}

void quic_hp_free(struct quic_hp *hp)
{
    if (hp)
        key_wipe(hp, sizeof(*hp));
    free(hp);
}

/* One block of AES is the key stream of CTR whose counter is the sample. */
static void aes_mask(const struct quic_hp *hp, uint8_t *mask, const uint8_t *sample)
{
    struct reader r = reader_of(sample, QUIC_SAMPLE_LEN);
    const uint8_t *iv = read_bytes(&r, QUIC_IV_LEN);
    hp->aes.table->run(&hp->aes.table, iv, read_u32(&r), mask, QUIC_MASK_LEN);
}

static void chacha_mask(const struct quic_hp *hp, uint8_t *mask, const uint8_t *sample)
{
    struct reader r = reader_of(sample, QUIC_SAMPLE_LEN);
    uint32_t counter = __builtin_bswap32(read_u32(&r)); /* the one little-endian number here */
    const uint8_t *nonce = read_bytes(&r, QUIC_IV_LEN);
    crypto_stream_chacha20_ietf_xor_ic(mask, mask, QUIC_MASK_LEN, nonce, counter, hp->chacha);
}

void quic_hp_mask(const struct quic_hp *hp, uint8_t mask[static QUIC_MASK_LEN],
                  const uint8_t sample[static QUIC_SAMPLE_LEN])
{
    memset(mask, 0, QUIC_MASK_LEN);
    if (hp->cipher == QUIC_CHACHA20_POLY1305)
        chacha_mask(hp, mask, sample);
    else
        aes_mask(hp, mask, sample);
}
