/* quic_tls.h: TLS 1.3 for QUIC (RFC 8446, RFC 9001), reduced to one mode. No I/O.
 *
 * Both ends know a session's id and its 256-bit key, which ssh delivered. So there are
 * neither certificates nor tickets nor 0-RTT, and one way to shake hands:
 *
 *     client                                       server
 *     ClientHello          §4.1.2  Initial ->
 *       supported_versions §4.2.1, supported_groups and key_share §4.2.8: X25519,
 *       psk_key_exchange_modes §4.2.9: psk_dhe_ke, ALPN (RFC 7301), transport parameters
 *       (RFC 9001 §8.2), pre_shared_key §4.2.11: the session's id, and its binder
 *                                       <- Initial    §4.1.3  ServerHello
 *                                       <- Handshake  §4.3.1  EncryptedExtensions
 *                                       <- Handshake  §4.4.4  Finished
 *     Finished             §4.4.4  Handshake ->
 *
 * HelloRetryRequest is never sent, and refused: X25519 is the only group, and its share is in
 * every ClientHello. Tickets are passed over (§4.6.1), KeyUpdate is refused (RFC 9001 §6), and
 * so is the middlebox compatibility mode (RFC 9001 §8.4).
 *
 * The handshake's bytes go in by quic_tls_receive() in the order of their level; bytes and
 * secrets come out by the events, from within that call. Errors are QUIC's (RFC 9000 §20.1),
 * a TLS alert is 0x100 + its number (RFC 9001 §4.8); after one nothing more comes. */
#ifndef NET_QUIC_TLS_H
#define NET_QUIC_TLS_H

#include "core/key.h"
#include "net/quic_crypto.h"

#define QUIC_TLS_ALPN "berth/1"

struct quic_tls;

enum quic_level { QUIC_INITIAL, QUIC_HANDSHAKE, QUIC_ONE_RTT };

enum quic_tls_error {
    QUIC_TLS_OK,
    QUIC_INTERNAL_ERROR = 0x01,
    QUIC_TRANSPORT_PARAMETER_ERROR = 0x08,
    QUIC_PROTOCOL_VIOLATION = 0x0a,
    QUIC_TLS_UNEXPECTED_MESSAGE = 0x10a,
    QUIC_TLS_HANDSHAKE_FAILURE = 0x128,
    QUIC_TLS_ILLEGAL_PARAMETER = 0x12f,
    QUIC_TLS_DECODE_ERROR = 0x132,
    QUIC_TLS_DECRYPT_ERROR = 0x133,
    QUIC_TLS_PROTOCOL_VERSION = 0x146,
    QUIC_TLS_MISSING_EXTENSION = 0x16d,
    QUIC_TLS_UNSUPPORTED_EXTENSION = 0x16e,
    QUIC_TLS_UNKNOWN_PSK_IDENTITY = 0x173,
    QUIC_TLS_NO_APPLICATION_PROTOCOL = 0x178,
};

/* None of them may free the engine. */
struct quic_tls_events {
    /* Server: the key of a session; false when there is none such. */
    bool (*find_psk)(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN]);
    /* Our transport parameters into out[cap], encoded: how many bytes, 0 on failure. On a
     * server after the peer's were taken. */
    size_t (*local_params)(void *arg, uint8_t *out, size_t cap);
    /* The peer's; -1 ends the handshake. On a server they are the client's who has the key,
     * on a client only Finished, which follows, proves the server's. */
    int (*peer_params)(void *arg, const uint8_t *params, size_t len);
    /* Handshake bytes for the peer. */
    void (*send)(void *arg, enum quic_level level, const uint8_t *p, size_t len);
    /* Secrets [QUIC_SECRET_LEN] to derive packet keys from, to read with and to write with;
     * one may be NULL. -1 ends the handshake. */
    int (*secrets)(void *arg, enum quic_level level, const uint8_t *rx, const uint8_t *tx);
    /* A line of SSLKEYLOGFILE, without its line end. May be NULL. */
    void (*keylog)(void *arg, const char *line);
};

struct quic_tls_config {
    enum quic_cipher prefer;      /* quic_cipher_preferred(); both are accepted */
    const uint8_t *session, *psk; /* client; copied */
    const struct quic_tls_events *events;
    void *arg;
};

struct quic_tls *quic_tls_client(const struct quic_tls_config *config);
struct quic_tls *quic_tls_server(const struct quic_tls_config *config);
void quic_tls_free(struct quic_tls *t);

/* Client: sends its ClientHello. 0 or -1. */
int quic_tls_start(struct quic_tls *t);
/* Bytes of the peer, cut anywhere. 0, or -1 when the handshake has failed. */
int quic_tls_receive(struct quic_tls *t, enum quic_level level, const uint8_t *p, size_t len);

enum quic_tls_error quic_tls_error(const struct quic_tls *t);
bool quic_tls_done(const struct quic_tls *t);
/* Both are known once secrets were given out. On a server the session is NULL until the peer
 * has named one that is known: whatever went wrong before that is answered with nothing. */
enum quic_cipher quic_tls_cipher(const struct quic_tls *t);
const uint8_t *quic_tls_session(const struct quic_tls *t); /* [SESSION_LEN] */
const uint8_t *quic_tls_random(const struct quic_tls *t);  /* [32] the client's, of its hello */

#endif
