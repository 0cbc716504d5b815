/* tls_handshake.c: BearSSL's engine from the first byte to the keys.
 *
 * The engine is given one record at a time, never a byte behind it, and all that it has to say is
 * sent before it is given more: so when it has the keys, what follows still lies in the carrier. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/key.h"
#include "core/mem.h"
#include "net/tls_reason.h"
#include "net/tls_state.h"

#define SEED_LEN 48

/* By how fast they are with the processor's help. A server takes its client's order: a phone
 * without that help asks for ChaCha20 first. */
static const uint16_t suites[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};

/* Where AES is done by hand, ChaCha20 is four times as fast. */
static const uint16_t suites_by_hand[] = {
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};

static_assert(sizeof(suites) == sizeof(suites_by_hand), "the same ones");

/* Asked once: where the processor is a guest's, asking takes long. */
static bool has_aes(void)
{
    static int known;
    if (!known)
        known = br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get() ? 1 : -1;
    return known > 0;
}

void tls_engine_init(struct tls_handshake *h, br_ssl_engine_context *engine)
{
    static const char *protocols[] = {"http/1.1"};
    uint8_t seed[SEED_LEN];
    h->engine = engine;
    br_ssl_engine_set_buffer(engine, h->record, sizeof(h->record), 0);
    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(engine, has_aes() ? suites : suites_by_hand, countof(suites));
    br_ssl_engine_set_default_ec(engine);
    br_ssl_engine_set_default_rsavrfy(engine);
    br_ssl_engine_set_default_ecdsa(engine);
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_hash(engine, br_sha512_ID, &br_sha512_vtable);
    br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(engine, &br_tls12_sha384_prf);
    br_ssl_engine_set_default_aes_gcm(engine);
    br_ssl_engine_set_default_chapol(engine);
    br_ssl_engine_set_protocol_names(engine, protocols, countof(protocols));
    br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);
    key_random(seed, sizeof(seed));
    br_ssl_engine_inject_entropy(engine, seed, sizeof(seed));
    key_wipe(seed, sizeof(seed));
}

static void send_some(struct tls *t)
{
    br_ssl_engine_context *engine = t->handshake->engine;
    size_t len;
    const uint8_t *p = br_ssl_engine_sendrec_buf(engine, &len);
    stream_write(t->carrier, p, len);
    br_ssl_engine_sendrec_ack(engine, len);
}

/* False when there is nothing to be had. */
static bool receive_some(struct tls *t)
{
    br_ssl_engine_context *engine = t->handshake->engine;
    size_t have, len;
    const uint8_t *from = stream_peek(t->carrier, &have);
    uint8_t *to = br_ssl_engine_recvrec_buf(engine, &len);
    if (!from)
        return false;
    len = have < len ? have : len;
    memcpy(to, from, len);
    stream_consume(t->carrier, len);
    br_ssl_engine_recvrec_ack(engine, len);
    return true;
}

/* The engine says nothing of most that it fails over. */
static void tell_failure(struct tls *t)
{
    struct tls_reason why = tls_reason_of(tls_handshake_error(t));
    if (why.alert >= 0)
        tls_seal_one(&t->handshake->engine->out.vtable, t->carrier, TLS_ALERT,
                     (const uint8_t[]){2, (uint8_t)why.alert});
}

int tls_handshake_run(struct tls *t)
{
    for (;;) {
        unsigned state = br_ssl_engine_current_state(t->handshake->engine);
        if (state & BR_SSL_CLOSED) {
            tell_failure(t);
            return -1;
        }
        if (state & BR_SSL_SENDREC)
            send_some(t);
        else if (state & BR_SSL_SENDAPP)
            return 1;
        else if (!(state & BR_SSL_RECVREC) || !receive_some(t))
            return 0;
    }
}

int tls_handshake_error(const struct tls *t)
{
    return br_ssl_engine_last_error(t->handshake->engine);
}

void tls_handshake_finish(struct tls *t)
{
    struct tls_handshake *h = t->handshake;
    const br_ssl_engine_context *engine = h->engine;
    const char *name = br_ssl_engine_get_server_name(engine);
    memcpy(&t->in, &engine->in, sizeof(t->in));
    memcpy(&t->out.keys, &engine->out, sizeof(t->out.keys));
    t->out.most = engine->max_frag_len;
    t->protocol = br_ssl_engine_get_selected_protocol(h->engine);
    t->server_name = name && *name ? xstrdup(name) : NULL;
    t->suite = engine->session.cipher_suite;
    t->handshake = NULL;
    tls_handshake_free(h);
}

void tls_handshake_free(struct tls_handshake *h)
{
    if (!h)
        return;
    loop_timer_del(&h->deadline);
    tls_verify_fini(&h->verify);
    tls_server_unref(h->of);
    key_wipe(h, sizeof(*h));
    free(h);
}
