/* quic_crypto_conn.c: TLS and packet protection in the shapes that ngtcp2 asks for. */
#include "net/quic_crypto_conn.h"

#include <ngtcp2/ngtcp2.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* RFC 9001 §6.6: packets to protect, and forged ones to bear, under one key. */
#define AES_SEALED_MAX    (UINT64_C(1) << 23)
#define AES_FORGED_MAX    (UINT64_C(1) << 52)
#define CHACHA_SEALED_MAX (UINT64_C(1) << 62)
#define CHACHA_FORGED_MAX (UINT64_C(1) << 36)

struct quic_crypto_conn {
    ngtcp2_conn *conn;
    struct quic_tls *tls;
    struct quic_crypto_config config;
    int params_error; /* ngtcp2's, when it refused the peer's transport parameters */
};

/* What packets of one direction are protected with. */
struct keys {
    ngtcp2_crypto_aead_ctx aead;
    ngtcp2_crypto_cipher_ctx hp;
    uint8_t iv[QUIC_IV_LEN];
};

static ngtcp2_crypto_ctx context_of(enum quic_cipher cipher)
{
    bool aes = cipher == QUIC_AES_128_GCM;
    return (ngtcp2_crypto_ctx){.aead = {.max_overhead = QUIC_TAG_LEN},
                               .max_encryption = aes ? AES_SEALED_MAX : CHACHA_SEALED_MAX,
                               .max_decryption_failure = aes ? AES_FORGED_MAX : CHACHA_FORGED_MAX};
}

/* ---- packet protection ---- */

static struct quic_aead *derive_aead(enum quic_cipher cipher, const uint8_t *secret, uint8_t *iv)
{
    uint8_t key[QUIC_KEY_MAX];
    quic_expand_label(key, quic_cipher_key_len(cipher), secret, "quic key", NULL);
    quic_expand_label(iv, QUIC_IV_LEN, secret, "quic iv", NULL);
    struct quic_aead *aead = quic_aead_new(cipher, key);
    key_wipe(key, sizeof(key));
    return aead;
}

static struct keys keys_of(enum quic_cipher cipher, const uint8_t *secret)
{
    struct keys k = {0};
    uint8_t key[QUIC_KEY_MAX];
    k.aead.native_handle = derive_aead(cipher, secret, k.iv);
    quic_expand_label(key, quic_cipher_key_len(cipher), secret, "quic hp", NULL);
    k.hp.native_handle = quic_hp_new(cipher, key);
    key_wipe(key, sizeof(key));
    return k;
}

static void keys_free(struct keys *k)
{
    quic_aead_free(k->aead.native_handle);
    quic_hp_free(k->hp.native_handle);
}

/* The parameters of these two, and of on_update_key() and on_crypto_data(), are ngtcp2's.
 * NOLINTBEGIN(readability-function-size) */
static int on_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *plain, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    (void)aead, (void)nonce_len;
    quic_seal(ctx->native_handle, dest, &(struct quic_text){nonce, aad, aad_len, plain, len});
    return 0;
}

static int on_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *sealed, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    (void)aead, (void)nonce_len;
    struct quic_text text = {nonce, aad, aad_len, sealed, len};
    return quic_open(ctx->native_handle, dest, &text) ? NGTCP2_ERR_DECRYPT : 0;
}

/* RFC 9001 §6.1: new secrets from the old ones; header protection stays. */
static int on_update_key(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
                         ngtcp2_crypto_aead_ctx *rx, uint8_t *rx_iv, ngtcp2_crypto_aead_ctx *tx,
                         uint8_t *tx_iv, const uint8_t *old_rx_secret, const uint8_t *old_tx_secret,
                         size_t secret_len, void *user_data)
{
    const struct quic_crypto_conn *c = ngtcp2_conn_get_tls_native_handle(conn);
    enum quic_cipher cipher = quic_tls_cipher(c->tls);
    (void)user_data;
    quic_expand_label(rx_secret, secret_len, old_rx_secret, "quic ku", NULL);
    quic_expand_label(tx_secret, secret_len, old_tx_secret, "quic ku", NULL);
    rx->native_handle = derive_aead(cipher, rx_secret, rx_iv);
    tx->native_handle = derive_aead(cipher, tx_secret, tx_iv);
    return 0;
}

static int on_hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
                      const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
    (void)hp;
    quic_hp_mask(ctx->native_handle, dest, sample);
    return 0;
}

static void on_delete_aead(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ctx, void *user_data)
{
    (void)conn, (void)user_data;
    quic_aead_free(ctx->native_handle);
}

static void on_delete_cipher(ngtcp2_conn *conn, ngtcp2_crypto_cipher_ctx *ctx, void *user_data)
{
    (void)conn, (void)user_data;
    quic_hp_free(ctx->native_handle);
}

/* ---- Initial keys: no secret, but what tells QUIC v1 from noise (RFC 9001 §5.2) ---- */

static struct keys initial_keys(const uint8_t *initial, const char *label)
{
    uint8_t secret[QUIC_SECRET_LEN];
    quic_expand_label(secret, sizeof(secret), initial, label, NULL);
    return keys_of(QUIC_AES_128_GCM, secret);
}

static int install_initial(ngtcp2_conn *conn, const ngtcp2_cid *client_dcid)
{
    static const uint8_t salt[] = {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
                                   0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};
    bool server = ngtcp2_conn_is_server(conn);
    uint8_t initial[QUIC_SECRET_LEN];
    ngtcp2_crypto_ctx context = context_of(QUIC_AES_128_GCM);
    if (ngtcp2_conn_get_client_chosen_version(conn) != NGTCP2_PROTO_VER_V1)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    ngtcp2_conn_set_initial_crypto_ctx(conn, &context);
    quic_hkdf_extract(initial, salt, sizeof(salt), client_dcid->data, client_dcid->datalen);
    struct keys rx = initial_keys(initial, server ? "client in" : "server in");
    struct keys tx = initial_keys(initial, server ? "server in" : "client in");
    if (!ngtcp2_conn_install_initial_key(conn, &rx.aead, rx.iv, &rx.hp, &tx.aead, tx.iv, &tx.hp,
                                         QUIC_IV_LEN))
        return 0;
    keys_free(&rx);
    keys_free(&tx);
    return NGTCP2_ERR_CALLBACK_FAILURE;
}

/* RFC 9001 §5.8: a client is to tell a Retry that answers its Initial. */
static void install_retry(ngtcp2_conn *conn)
{
    ngtcp2_crypto_aead aead = context_of(QUIC_AES_128_GCM).aead;
    const void *key = NGTCP2_RETRY_KEY_V1;
    ngtcp2_crypto_aead_ctx ctx = {.native_handle = quic_aead_new(QUIC_AES_128_GCM, key)};
    ngtcp2_conn_set_retry_aead(conn, &aead, &ctx);
}

static int on_client_initial(ngtcp2_conn *conn, void *user_data)
{
    const struct quic_crypto_conn *c = ngtcp2_conn_get_tls_native_handle(conn);
    (void)user_data;
    int error = install_initial(conn, ngtcp2_conn_get_dcid(conn));
    if (error)
        return error;
    install_retry(conn);
    return quic_tls_start(c->tls) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_server_initial(ngtcp2_conn *conn, const ngtcp2_cid *dcid, void *user_data)
{
    (void)user_data;
    return install_initial(conn, dcid);
}

static int on_retry(ngtcp2_conn *conn, const ngtcp2_pkt_hd *hd, void *user_data)
{
    (void)user_data;
    return install_initial(conn, &hd->scid);
}

/* Only between versions that were offered, and one was. */
static int on_version(ngtcp2_conn *conn, uint32_t version, const ngtcp2_cid *dcid, void *user_data)
{
    (void)conn, (void)version, (void)dcid, (void)user_data;
    return NGTCP2_ERR_CALLBACK_FAILURE;
}

/* ---- TLS ---- */

static const ngtcp2_encryption_level levels[] = {
    [QUIC_INITIAL] = NGTCP2_ENCRYPTION_LEVEL_INITIAL,
    [QUIC_HANDSHAKE] = NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE,
    [QUIC_ONE_RTT] = NGTCP2_ENCRYPTION_LEVEL_1RTT,
};

static enum quic_level level_of(ngtcp2_encryption_level level)
{
    switch (level) {
    case NGTCP2_ENCRYPTION_LEVEL_INITIAL: return QUIC_INITIAL;
    case NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE: return QUIC_HANDSHAKE;
    default: return QUIC_ONE_RTT; /* 0-RTT packets hold no handshake (RFC 9000 §12.5) */
    }
}

static bool tls_find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                         uint8_t psk[static PSK_LEN])
{
    const struct quic_crypto_conn *c = arg;
    return c->config.find_psk(c->config.arg, session, psk);
}

static size_t tls_local_params(void *arg, uint8_t *out, size_t cap)
{
    const struct quic_crypto_conn *c = arg;
    ngtcp2_ssize len = ngtcp2_conn_encode_local_transport_params(c->conn, out, cap);
    return len > 0 ? (size_t)len : 0;
}

static int tls_peer_params(void *arg, const uint8_t *params, size_t len)
{
    struct quic_crypto_conn *c = arg;
    c->params_error = ngtcp2_conn_decode_and_set_remote_transport_params(c->conn, params, len);
    return c->params_error ? -1 : 0;
}

/* ngtcp2 keeps what it cannot send yet, unless it is out of memory. */
static void tls_send(void *arg, enum quic_level level, const uint8_t *p, size_t len)
{
    const struct quic_crypto_conn *c = arg;
    if (ngtcp2_conn_submit_crypto_data(c->conn, levels[level], p, len))
        abort();
}

static int install_rx(ngtcp2_conn *conn, enum quic_level level, const uint8_t *secret,
                      const struct keys *k)
{
    if (level == QUIC_HANDSHAKE)
        return ngtcp2_conn_install_rx_handshake_key(conn, &k->aead, k->iv, QUIC_IV_LEN, &k->hp);
    return ngtcp2_conn_install_rx_key(conn, secret, QUIC_SECRET_LEN, &k->aead, k->iv, QUIC_IV_LEN,
                                      &k->hp);
}

static int install_tx(ngtcp2_conn *conn, enum quic_level level, const uint8_t *secret,
                      const struct keys *k)
{
    if (level == QUIC_HANDSHAKE)
        return ngtcp2_conn_install_tx_handshake_key(conn, &k->aead, k->iv, QUIC_IV_LEN, &k->hp);
    return ngtcp2_conn_install_tx_key(conn, secret, QUIC_SECRET_LEN, &k->aead, k->iv, QUIC_IV_LEN,
                                      &k->hp);
}

typedef int install_fn(ngtcp2_conn *conn, enum quic_level level, const uint8_t *secret,
                       const struct keys *k);

static int install(const struct quic_crypto_conn *c, install_fn *fn, enum quic_level level,
                   const uint8_t *secret)
{
    if (!secret)
        return 0;
    struct keys k = keys_of(quic_tls_cipher(c->tls), secret);
    int error = fn(c->conn, level, secret, &k);
    if (error)
        keys_free(&k);
    key_wipe(k.iv, sizeof(k.iv));
    return error ? -1 : 0;
}

static int tls_secrets(void *arg, enum quic_level level, const uint8_t *rx, const uint8_t *tx)
{
    struct quic_crypto_conn *c = arg;
    ngtcp2_crypto_ctx context = context_of(quic_tls_cipher(c->tls));
    if (level == QUIC_HANDSHAKE)
        ngtcp2_conn_set_crypto_ctx(c->conn, &context);
    return install(c, install_rx, level, rx) || install(c, install_tx, level, tx) ? -1 : 0;
}

static void tls_keylog(void *arg, const char *line)
{
    const struct quic_crypto_conn *c = arg;
    if (c->config.keylog)
        c->config.keylog(c->config.arg, line);
}

static const struct quic_tls_events tls_events = {
    .find_psk = tls_find_psk,
    .local_params = tls_local_params,
    .peer_params = tls_peer_params,
    .send = tls_send,
    .secrets = tls_secrets,
    .keylog = tls_keylog,
};

/* What ngtcp2 makes the same error of. */
static int report(const struct quic_crypto_conn *c)
{
    enum quic_tls_error error = quic_tls_error(c->tls);
    switch (error) {
    case QUIC_PROTOCOL_VIOLATION: return NGTCP2_ERR_PROTO;
    case QUIC_TRANSPORT_PARAMETER_ERROR: return c->params_error;
    case QUIC_INTERNAL_ERROR: return NGTCP2_ERR_CALLBACK_FAILURE;
    default: ngtcp2_conn_set_tls_alert(c->conn, (uint8_t)error); return NGTCP2_ERR_CRYPTO;
    }
}

static int on_crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                          const uint8_t *data, size_t len, void *user_data)
{
    const struct quic_crypto_conn *c = ngtcp2_conn_get_tls_native_handle(conn);
    bool was_done = quic_tls_done(c->tls);
    (void)offset, (void)user_data;
    if (quic_tls_receive(c->tls, level_of(level), data, len))
        return report(c);
    if (!was_done && quic_tls_done(c->tls))
        ngtcp2_conn_tls_handshake_completed(conn);
    return 0;
}
/* NOLINTEND(readability-function-size) */

/* ---- the rest ---- */

static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx)
{
    (void)ctx;
    key_random(dest, len);
}

static int on_path_challenge(ngtcp2_conn *conn, uint8_t *data, void *user_data)
{
    (void)conn, (void)user_data;
    key_random(data, NGTCP2_PATH_CHALLENGE_DATALEN);
    return 0;
}

void quic_crypto_callbacks(struct ngtcp2_callbacks *callbacks)
{
    callbacks->client_initial = on_client_initial;
    callbacks->recv_client_initial = on_server_initial;
    callbacks->recv_crypto_data = on_crypto_data;
    callbacks->recv_retry = on_retry;
    callbacks->encrypt = on_encrypt;
    callbacks->decrypt = on_decrypt;
    callbacks->hp_mask = on_hp_mask;
    callbacks->update_key = on_update_key;
    callbacks->delete_crypto_aead_ctx = on_delete_aead;
    callbacks->delete_crypto_cipher_ctx = on_delete_cipher;
    callbacks->rand = on_rand;
    callbacks->get_path_challenge_data = on_path_challenge;
    callbacks->version_negotiation = on_version;
}

struct quic_crypto_conn *quic_crypto_attach(struct ngtcp2_conn *conn,
                                            const struct quic_crypto_config *config)
{
    struct quic_crypto_conn *c = xcalloc(1, sizeof(*c));
    c->conn = conn;
    c->config = *config;
    struct quic_tls_config tls = {.prefer = config->prefer,
                                  .session = config->session,
                                  .psk = config->psk,
                                  .events = &tls_events,
                                  .arg = c};
    c->tls = ngtcp2_conn_is_server(conn) ? quic_tls_server(&tls) : quic_tls_client(&tls);
    c->config.session = c->config.psk = NULL; /* the caller's */
    ngtcp2_conn_set_tls_native_handle(conn, c);
    return c;
}

void quic_crypto_free(struct quic_crypto_conn *c)
{
    if (c)
        quic_tls_free(c->tls);
    free(c);
}

const uint8_t *quic_crypto_session(const struct quic_crypto_conn *c)
{
    return quic_tls_session(c->tls);
}

const uint8_t *quic_crypto_random(const struct quic_crypto_conn *c)
{
    return quic_tls_random(c->tls);
}

enum quic_tls_error quic_crypto_error(const struct quic_crypto_conn *c)
{
    return quic_tls_error(c->tls);
}

void quic_reset_token(uint8_t token[static QUIC_RESET_TOKEN_LEN],
                      const uint8_t key[static QUIC_SECRET_LEN], const uint8_t *cid, size_t cid_len)
{
    uint8_t mac[QUIC_SECRET_LEN];
    quic_hmac(mac, key, cid, cid_len);
    memcpy(token, mac, QUIC_RESET_TOKEN_LEN);
}
