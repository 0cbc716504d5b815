/* quic_tls_keys.h: TLS 1.3's key schedule (RFC 8446 §7.1) of a handshake with an external PSK.
 *
 *     PSK -> early secret -> binder
 *            + X25519 -> handshake secret -> client's and server's, and their Finished
 *                        -> master secret -> client's and server's for the data
 *
 * In this order: each step replaces the one secret that the next starts from. `hash` is always
 * SHA-256 over the handshake's messages so far, hash[QUIC_SECRET_LEN]. */
#ifndef NET_QUIC_TLS_KEYS_H
#define NET_QUIC_TLS_KEYS_H

#include "core/key.h"
#include "net/quic_crypto.h"

struct quic_tls_keys {
    uint8_t chain[QUIC_SECRET_LEN]; /* the early, the handshake, the master secret */
    uint8_t client[QUIC_SECRET_LEN], server[QUIC_SECRET_LEN]; /* traffic secrets of the step */
};

void quic_tls_keys_early(struct quic_tls_keys *k, const uint8_t psk[static PSK_LEN]);
/* The binder (RFC 8446 §4.2.11.2) over a ClientHello that is cut off before its binders;
 * `label` is "ext binder" for a PSK that came from outside TLS. After _early(). */
void quic_tls_keys_binder(const struct quic_tls_keys *k, const char *label, const uint8_t *hash,
                          uint8_t binder[static QUIC_SECRET_LEN]);
/* `hash` up to ServerHello. */
void quic_tls_keys_handshake(struct quic_tls_keys *k, const uint8_t *shared, const uint8_t *hash);
/* `hash` up to the server's Finished. */
void quic_tls_keys_application(struct quic_tls_keys *k, const uint8_t *hash);

/* What Finished carries (RFC 8446 §4.4.4) from the end whose handshake traffic secret it is. */
void quic_tls_finished(uint8_t verify[static QUIC_SECRET_LEN],
                       const uint8_t secret[static QUIC_SECRET_LEN], const uint8_t *hash);

#endif
