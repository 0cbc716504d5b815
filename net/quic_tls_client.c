/* quic_tls_client.c: the client's start and its three steps. */
#include "net/quic_tls_state.h"

int quic_tls_send_hello(struct quic_tls *t)
{
    uint8_t out[QUIC_TLS_MESSAGE_MAX], params[QUIC_TLS_PARAMS_MAX], share[QUIC_X25519_LEN];
    struct writer w = writer_to(out, sizeof(out));
    struct quic_tls_offer offer = {
        .random = t->random, .share = share, .cipher = t->cipher, .identity = t->session};
    key_random(t->random, sizeof(t->random));
    quic_tls_new_share(t, share);
    int error = quic_tls_offer_params(t, &offer, params);
    if (error)
        return error;
    quic_tls_write_client_hello(&w, &offer);
    quic_tls_binder_of(t, out, w.len - QUIC_TLS_BINDERS_LEN, out + w.len - QUIC_SECRET_LEN);
    quic_tls_send(t, QUIC_INITIAL, &w);
    return QUIC_TLS_OK;
}

int quic_tls_on_server_hello(struct quic_tls *t, const uint8_t *msg, size_t len)
{
    struct quic_tls_hello h;
    int error = quic_tls_read_server_hello(&h, msg, len);
    if (error)
        return error;
    if (!h.tls13)
        return QUIC_TLS_PROTOCOL_VERSION;
    if (!h.psk_chosen)
        return QUIC_TLS_HANDSHAKE_FAILURE;
    if (!h.share)
        return QUIC_TLS_MISSING_EXTENSION;
    t->cipher = h.cipher;
    buf_append(&t->transcript, msg, len);
    error = quic_tls_handshake_keys(t, h.share);
    return error ? error : quic_tls_give_secrets(t, QUIC_HANDSHAKE, t->keys.server, t->keys.client);
}

int quic_tls_on_extensions(struct quic_tls *t, const uint8_t *msg, size_t len)
{
    struct quic_tls_hello h;
    int error = quic_tls_read_extensions(&h, msg, len);
    if (error)
        return error;
    if (!h.alpn)
        return QUIC_TLS_NO_APPLICATION_PROTOCOL;
    buf_append(&t->transcript, msg, len);
    return quic_tls_take_params(t, &h);
}

int quic_tls_on_server_finished(struct quic_tls *t, const uint8_t *msg, size_t len)
{
    uint8_t out[QUIC_TLS_MESSAGE_MAX], hash[SHA256_LEN], expected[QUIC_SECRET_LEN];
    const uint8_t *verify = quic_tls_read_finished(msg, len);
    if (!verify)
        return QUIC_TLS_DECODE_ERROR;
    quic_tls_hash_transcript(t, hash);
    quic_tls_finished(expected, t->keys.server, hash);
    if (!quic_equal(verify, expected, sizeof(expected)))
        return QUIC_TLS_DECRYPT_ERROR;
    buf_append(&t->transcript, msg, len);
    quic_tls_application_keys(t);
    struct writer w = writer_to(out, sizeof(out));
    quic_tls_write_finished(&w, t->client_verify);
    quic_tls_send(t, QUIC_HANDSHAKE, &w);
    return quic_tls_give_secrets(t, QUIC_ONE_RTT, t->keys.server, t->keys.client);
}
