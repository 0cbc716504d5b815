/* quic_tls_write.c: TLS 1.3's handshake messages to bytes. */
#include <string.h>

#include "net/quic_tls_wire.h"

static uint16_t suite_of(enum quic_cipher cipher)
{
    return cipher == QUIC_AES_128_GCM ? QUIC_TLS_AES_128_GCM_SHA256
                                      : QUIC_TLS_CHACHA20_POLY1305_SHA256;
}

/* A length of `size` bytes that is not known yet; close_vector() fills it in. */
static size_t open_vector(struct writer *w, size_t size)
{
    static const uint8_t zeros[4];
    write_bytes(w, zeros, size);
    return w->len;
}

static void close_vector(struct writer *w, size_t from, size_t size)
{
    if (w->bad)
        return;
    size_t len = w->len - from;
    for (size_t i = 1; i <= size; i++, len >>= 8)
        w->p[from - i] = (uint8_t)len;
}

static size_t open_message(struct writer *w, enum quic_tls_type type)
{
    write_u8(w, (uint8_t)type);
    return open_vector(w, 3);
}

static size_t open_extension(struct writer *w, enum quic_tls_extension type)
{
    write_u16(w, (uint16_t)type);
    return open_vector(w, 2);
}

static void write_hello_start(struct writer *w, const struct quic_tls_offer *o)
{
    write_u16(w, QUIC_TLS_LEGACY_VERSION);
    write_bytes(w, o->random, QUIC_TLS_RANDOM_LEN);
    write_u8(w, 0); /* no session of the old kind */
}

static void write_share(struct writer *w, const struct quic_tls_offer *o)
{
    write_u16(w, QUIC_TLS_X25519);
    write_u16(w, QUIC_X25519_LEN);
    write_bytes(w, o->share, QUIC_X25519_LEN);
}

static void write_alpn(struct writer *w)
{
    size_t extension = open_extension(w, QUIC_TLS_ALPN_EXT);
    size_t list = open_vector(w, 2);
    write_u8(w, (uint8_t)strlen(QUIC_TLS_ALPN));
    write_bytes(w, QUIC_TLS_ALPN, strlen(QUIC_TLS_ALPN));
    close_vector(w, list, 2);
    close_vector(w, extension, 2);
}

static void write_params(struct writer *w, const struct quic_tls_offer *o)
{
    size_t extension = open_extension(w, QUIC_TLS_TRANSPORT_PARAMETERS);
    write_bytes(w, o->params, o->params_len);
    close_vector(w, extension, 2);
}

static void write_client_lists(struct writer *w)
{
    size_t extension = open_extension(w, QUIC_TLS_SUPPORTED_VERSIONS);
    write_u8(w, 2);
    write_u16(w, QUIC_TLS_13);
    close_vector(w, extension, 2);

    extension = open_extension(w, QUIC_TLS_SUPPORTED_GROUPS);
    write_u16(w, 2);
    write_u16(w, QUIC_TLS_X25519);
    close_vector(w, extension, 2);

    extension = open_extension(w, QUIC_TLS_PSK_MODES);
    write_u8(w, 1);
    write_u8(w, QUIC_TLS_PSK_DHE_KE);
    close_vector(w, extension, 2);
}

static void write_client_psk(struct writer *w, const struct quic_tls_offer *o)
{
    static const uint8_t no_binder_yet[QUIC_SECRET_LEN];
    size_t extension = open_extension(w, QUIC_TLS_PRE_SHARED_KEY);
    size_t identities = open_vector(w, 2);
    write_u16(w, SESSION_LEN);
    write_bytes(w, o->identity, SESSION_LEN);
    write_u32(w, 0); /* §4.2.11: the age of what is no ticket */
    close_vector(w, identities, 2);
    size_t binders = open_vector(w, 2);
    write_u8(w, QUIC_SECRET_LEN);
    write_bytes(w, no_binder_yet, sizeof(no_binder_yet));
    close_vector(w, binders, 2);
    close_vector(w, extension, 2);
}

void quic_tls_write_client_hello(struct writer *w, const struct quic_tls_offer *o)
{
    size_t message = open_message(w, QUIC_TLS_CLIENT_HELLO);
    write_hello_start(w, o);
    write_u16(w, 4);
    write_u16(w, suite_of(o->cipher));
    write_u16(w,
              suite_of(o->cipher == QUIC_AES_128_GCM ? QUIC_CHACHA20_POLY1305 : QUIC_AES_128_GCM));
    write_u8(w, 1);
    write_u8(w, QUIC_TLS_NO_COMPRESSION);
    size_t all = open_vector(w, 2);
    write_client_lists(w);
    size_t extension = open_extension(w, QUIC_TLS_KEY_SHARE);
    size_t shares = open_vector(w, 2);
    write_share(w, o);
    close_vector(w, shares, 2);
    close_vector(w, extension, 2);
    write_alpn(w);
    write_params(w, o);
    write_client_psk(w, o);
    close_vector(w, all, 2);
    close_vector(w, message, 3);
}

void quic_tls_write_server_hello(struct writer *w, const struct quic_tls_offer *o)
{
    size_t message = open_message(w, QUIC_TLS_SERVER_HELLO);
    write_hello_start(w, o);
    write_u16(w, suite_of(o->cipher));
    write_u8(w, QUIC_TLS_NO_COMPRESSION);
    size_t all = open_vector(w, 2);
    size_t extension = open_extension(w, QUIC_TLS_SUPPORTED_VERSIONS);
    write_u16(w, QUIC_TLS_13);
    close_vector(w, extension, 2);
    extension = open_extension(w, QUIC_TLS_KEY_SHARE);
    write_share(w, o);
    close_vector(w, extension, 2);
    extension = open_extension(w, QUIC_TLS_PRE_SHARED_KEY);
    write_u16(w, 0); /* the first identity */
    close_vector(w, extension, 2);
    close_vector(w, all, 2);
    close_vector(w, message, 3);
}

void quic_tls_write_extensions(struct writer *w, const struct quic_tls_offer *o)
{
    size_t message = open_message(w, QUIC_TLS_ENCRYPTED_EXTENSIONS);
    size_t all = open_vector(w, 2);
    write_alpn(w);
    write_params(w, o);
    close_vector(w, all, 2);
    close_vector(w, message, 3);
}

void quic_tls_write_finished(struct writer *w, const uint8_t verify[static QUIC_SECRET_LEN])
{
    size_t message = open_message(w, QUIC_TLS_FINISHED);
    write_bytes(w, verify, QUIC_SECRET_LEN);
    close_vector(w, message, 3);
}
