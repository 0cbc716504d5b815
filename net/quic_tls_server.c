/* quic_tls_server.c: the server's two steps. */
#include <string.h>

#include "net/quic_tls_state.h"

static void write_own_finished(struct quic_tls *t, struct writer *w)
{
    uint8_t hash[SHA256_LEN], verify[QUIC_SECRET_LEN];
    quic_tls_hash_transcript(t, hash);
    quic_tls_finished(verify, t->keys.server, hash);
    quic_tls_write_finished(w, verify);
}

static int recognise(struct quic_tls *t, const struct quic_tls_hello *h)
{
    if (h->identity_len != SESSION_LEN || !t->events->find_psk(t->arg, h->identity, t->psk))
        return QUIC_TLS_UNKNOWN_PSK_IDENTITY;
    memcpy(t->session, h->identity, SESSION_LEN);
    memcpy(t->random, h->random, QUIC_TLS_RANDOM_LEN);
    t->recognised = true;
    return QUIC_TLS_OK;
}

static int check_binder(struct quic_tls *t, const struct quic_tls_hello *h, const uint8_t *msg)
{
    uint8_t binder[QUIC_SECRET_LEN];
    quic_tls_binder_of(t, msg, h->binders_at, binder);
    return quic_equal(binder, h->binder, sizeof(binder)) ? QUIC_TLS_OK : QUIC_TLS_DECRYPT_ERROR;
}

/* AES only where both have instructions for it: the client's order says whether it has. */
static int agree(struct quic_tls *t, const struct quic_tls_hello *h)
{
    if (!h->tls13)
        return QUIC_TLS_PROTOCOL_VERSION;
    if (!h->psk_dhe_ke || !h->share || (!h->aes && !h->chacha))
        return QUIC_TLS_HANDSHAKE_FAILURE;
    if (!h->alpn) /* RFC 9001 §8.1 */
        return QUIC_TLS_NO_APPLICATION_PROTOCOL;
    if (!h->chacha || (h->aes && t->cipher == QUIC_AES_128_GCM && h->cipher == QUIC_AES_128_GCM))
        t->cipher = QUIC_AES_128_GCM;
    else
        t->cipher = QUIC_CHACHA20_POLY1305;
    return QUIC_TLS_OK;
}

static int answer_hello(struct quic_tls *t, const uint8_t *peer_share)
{
    uint8_t out[QUIC_TLS_MESSAGE_MAX], random[QUIC_TLS_RANDOM_LEN], share[QUIC_X25519_LEN];
    struct writer w = writer_to(out, sizeof(out));
    struct quic_tls_offer offer = {.random = random, .share = share, .cipher = t->cipher};
    key_random(random, sizeof(random));
    quic_tls_new_share(t, share);
    quic_tls_write_server_hello(&w, &offer);
    quic_tls_send(t, QUIC_INITIAL, &w);
    int error = quic_tls_handshake_keys(t, peer_share);
    return error ? error : quic_tls_give_secrets(t, QUIC_HANDSHAKE, t->keys.client, t->keys.server);
}

static int finish_answer(struct quic_tls *t)
{
    uint8_t out[QUIC_TLS_MESSAGE_MAX], params[QUIC_TLS_PARAMS_MAX];
    struct writer w = writer_to(out, sizeof(out));
    struct quic_tls_offer offer = {0};
    int error = quic_tls_offer_params(t, &offer, params);
    if (error)
        return error;
    quic_tls_write_extensions(&w, &offer);
    quic_tls_send(t, QUIC_HANDSHAKE, &w);
    w = writer_to(out, sizeof(out));
    write_own_finished(t, &w);
    quic_tls_send(t, QUIC_HANDSHAKE, &w);
    quic_tls_application_keys(t);
    /* RFC 9001 §5.7: what the client sends is not read before its Finished. */
    return quic_tls_give_secrets(t, QUIC_ONE_RTT, NULL, t->keys.server);
}

int quic_tls_on_client_hello(struct quic_tls *t, const uint8_t *msg, size_t len)
{
    struct quic_tls_hello h;
    int error = quic_tls_read_client_hello(&h, msg, len);
    if (!error)
        error = h.identity ? recognise(t, &h) : QUIC_TLS_MISSING_EXTENSION;
    if (!error)
        error = check_binder(t, &h, msg);
    if (!error)
        error = agree(t, &h);
    if (!error)
        error = quic_tls_take_params(t, &h);
    if (error)
        return error;
    buf_append(&t->transcript, msg, len);
    error = answer_hello(t, h.share);
    return error ? error : finish_answer(t);
}

int quic_tls_on_client_finished(struct quic_tls *t, const uint8_t *msg, size_t len)
{
    const uint8_t *verify = quic_tls_read_finished(msg, len);
    if (!verify)
        return QUIC_TLS_DECODE_ERROR;
    if (!quic_equal(verify, t->client_verify, QUIC_SECRET_LEN))
        return QUIC_TLS_DECRYPT_ERROR;
    return quic_tls_give_secrets(t, QUIC_ONE_RTT, t->keys.client, NULL);
}
