/* quic_tls_both.c: what the client and the server of a handshake do alike. */
#include <assert.h>
#include <stdio.h>

#include "core/bytes.h"
#include "net/quic_tls_state.h"

void quic_tls_hash_transcript(const struct quic_tls *t, uint8_t hash[static SHA256_LEN])
{
    key_sha256(buf_front(&t->transcript), t->transcript.len, hash);
}

static void log_key(struct quic_tls *t, const char *label, const uint8_t *secret)
{
    char random[2 * QUIC_TLS_RANDOM_LEN + 1], hex[2 * QUIC_SECRET_LEN + 1], line[192];
    if (!t->events->keylog)
        return;
    hex_encode(random, t->random, QUIC_TLS_RANDOM_LEN);
    hex_encode(hex, secret, QUIC_SECRET_LEN);
    snprintf(line, sizeof(line), "%s %s %s", label, random, hex);
    t->events->keylog(t->arg, line);
    key_wipe(hex, sizeof(hex));
    key_wipe(line, sizeof(line));
}

int quic_tls_give_secrets(struct quic_tls *t, enum quic_level level, const uint8_t *rx,
                          const uint8_t *tx)
{
    return t->events->secrets(t->arg, level, rx, tx) ? QUIC_INTERNAL_ERROR : QUIC_TLS_OK;
}

int quic_tls_handshake_keys(struct quic_tls *t, const uint8_t *peer_share)
{
    uint8_t shared[QUIC_X25519_LEN], hash[SHA256_LEN];
    int bad = quic_x25519(shared, t->ephemeral, peer_share);
    quic_tls_hash_transcript(t, hash);
    quic_tls_keys_handshake(&t->keys, shared, hash);
    key_wipe(shared, sizeof(shared));
    key_wipe(t->ephemeral, sizeof(t->ephemeral));
    if (bad)
        return QUIC_TLS_ILLEGAL_PARAMETER;
    log_key(t, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", t->keys.client);
    log_key(t, "SERVER_HANDSHAKE_TRAFFIC_SECRET", t->keys.server);
    return QUIC_TLS_OK;
}

void quic_tls_application_keys(struct quic_tls *t)
{
    uint8_t hash[SHA256_LEN];
    quic_tls_hash_transcript(t, hash);
    quic_tls_finished(t->client_verify, t->keys.client, hash);
    quic_tls_keys_application(&t->keys, hash);
    log_key(t, "CLIENT_TRAFFIC_SECRET_0", t->keys.client);
    log_key(t, "SERVER_TRAFFIC_SECRET_0", t->keys.server);
}

void quic_tls_binder_of(struct quic_tls *t, const uint8_t *msg, size_t len, uint8_t *binder)
{
    uint8_t hash[SHA256_LEN];
    key_sha256(msg, len, hash);
    quic_tls_keys_early(&t->keys, t->psk);
    key_wipe(t->psk, sizeof(t->psk));
    quic_tls_keys_binder(&t->keys, "ext binder", hash, binder);
}

void quic_tls_new_share(struct quic_tls *t, uint8_t share[static QUIC_X25519_LEN])
{
    key_random(t->ephemeral, sizeof(t->ephemeral));
    quic_x25519_public(share, t->ephemeral);
}

int quic_tls_offer_params(struct quic_tls *t, struct quic_tls_offer *o, uint8_t *out)
{
    o->params = out;
    o->params_len = t->events->local_params(t->arg, out, QUIC_TLS_PARAMS_MAX);
    return o->params_len ? QUIC_TLS_OK : QUIC_INTERNAL_ERROR;
}

int quic_tls_take_params(struct quic_tls *t, const struct quic_tls_hello *h)
{
    if (!h->has_params) /* RFC 9001 §8.2 */
        return QUIC_TLS_MISSING_EXTENSION;
    if (t->events->peer_params(t->arg, h->params, h->params_len))
        return QUIC_TRANSPORT_PARAMETER_ERROR;
    return QUIC_TLS_OK;
}

void quic_tls_send(struct quic_tls *t, enum quic_level level, const struct writer *w)
{
    assert(!w->bad);
    buf_append(&t->transcript, w->p, w->len);
    t->events->send(t->arg, level, w->p, w->len);
}
