/* quic_tls_wire.h: the handshake messages of TLS 1.3 (RFC 8446 §4) that the one mode of
 * quic_tls.h needs, as bytes. No I/O, no state.
 *
 * A reader returns 0 or the error that the connection ends with, and leaves pointers into the
 * message in what it filled. Extensions are a table: which may stand in which message, and how
 * each is read. What a ClientHello holds beyond that is passed over (§4.2), in the answers it
 * is refused. */
#ifndef NET_QUIC_TLS_WIRE_H
#define NET_QUIC_TLS_WIRE_H

#include "core/bytes.h"
#include "core/key.h"
#include "net/quic_tls.h"

#define QUIC_TLS_RANDOM_LEN  32
#define QUIC_TLS_HEADER_LEN  4   /* type u8, length u24 */
#define QUIC_TLS_PARAMS_MAX  256 /* bytes of transport parameters that we send */
#define QUIC_TLS_MESSAGE_MAX 512 /* the longest message that we send */
#define QUIC_TLS_BINDERS_LEN 35  /* our list of one binder, with its two lengths */

enum quic_tls_type {
    QUIC_TLS_CLIENT_HELLO = 1,
    QUIC_TLS_SERVER_HELLO = 2,
    QUIC_TLS_NEW_SESSION_TICKET = 4,
    QUIC_TLS_ENCRYPTED_EXTENSIONS = 8,
    QUIC_TLS_FINISHED = 20,
};

/* What is on the wire, and all of it that we speak. */
enum { QUIC_TLS_LEGACY_VERSION = 0x0303, QUIC_TLS_13 = 0x0304, QUIC_TLS_NO_COMPRESSION = 0 };
enum { QUIC_TLS_AES_128_GCM_SHA256 = 0x1301, QUIC_TLS_CHACHA20_POLY1305_SHA256 = 0x1303 };
enum { QUIC_TLS_X25519 = 0x001d, QUIC_TLS_PSK_DHE_KE = 1 };
enum quic_tls_extension {
    QUIC_TLS_SUPPORTED_GROUPS = 10,
    QUIC_TLS_ALPN_EXT = 16,
    QUIC_TLS_PRE_SHARED_KEY = 41,
    QUIC_TLS_SUPPORTED_VERSIONS = 43,
    QUIC_TLS_PSK_MODES = 45,
    QUIC_TLS_KEY_SHARE = 51,
    QUIC_TLS_TRANSPORT_PARAMETERS = 57,
};

struct quic_tls_header {
    uint8_t type;
    uint32_t len; /* of what follows */
};
struct quic_tls_header quic_tls_read_header(const uint8_t src[static QUIC_TLS_HEADER_LEN]);

/* What a ClientHello, a ServerHello or EncryptedExtensions says. NULL, 0, false: it does not. */
struct quic_tls_hello {
    const uint8_t *random;
    enum quic_cipher cipher; /* ClientHello: the first of the two that it lists */
    bool aes, chacha;        /* ClientHello: which of the two it lists */
    bool tls13;              /* supported_versions has 0x0304 */
    bool psk_dhe_ke;
    const uint8_t *share; /* [QUIC_X25519_LEN] */
    bool alpn;            /* ours is in the list, or is the answer */
    const uint8_t *params;
    size_t params_len;
    bool has_params;
    const uint8_t *identity; /* ClientHello: the first */
    size_t identity_len;
    const uint8_t *binder; /* [QUIC_SECRET_LEN], of the first identity */
    size_t binders_at;     /* where the list of binders begins in the whole message */
    bool psk_chosen;       /* ServerHello */
    unsigned seen;         /* rows of the table of extensions */
};

/* msg[len] is the whole message with its header. */
int quic_tls_read_client_hello(struct quic_tls_hello *h, const uint8_t *msg, size_t len);
int quic_tls_read_server_hello(struct quic_tls_hello *h, const uint8_t *msg, size_t len);
int quic_tls_read_extensions(struct quic_tls_hello *h, const uint8_t *msg, size_t len);
/* verify[QUIC_SECRET_LEN] within the message, or NULL when it has another length. */
const uint8_t *quic_tls_read_finished(const uint8_t *msg, size_t len);

struct quic_tls_offer {
    const uint8_t *random;   /* [QUIC_TLS_RANDOM_LEN] */
    const uint8_t *share;    /* [QUIC_X25519_LEN] */
    enum quic_cipher cipher; /* ClientHello: put first, the other behind it */
    const uint8_t *identity; /* [SESSION_LEN] */
    const uint8_t *params;
    size_t params_len;
};

/* The whole message with zeros for the binder, which are its last QUIC_SECRET_LEN bytes. */
void quic_tls_write_client_hello(struct writer *w, const struct quic_tls_offer *o);
void quic_tls_write_server_hello(struct writer *w, const struct quic_tls_offer *o);
void quic_tls_write_extensions(struct writer *w, const struct quic_tls_offer *o);
void quic_tls_write_finished(struct writer *w, const uint8_t verify[static QUIC_SECRET_LEN]);

#endif
