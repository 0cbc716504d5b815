/* tls.h: TLS 1.2 as a stream over a stream, by BearSSL.
 *
 * ECDHE with AES-GCM or ChaCha20-Poly1305 and nothing else: no CBC, no RSA key exchange, no version
 * below 1.2, no compression; a renegotiation ends the connection. ALPN is http/1.1.
 *
 * - OPEN comes when the handshake is done, on both sides; writes may precede it.
 * - stream_shutdown() says close_notify, and the peer's is EOF; the other direction stays usable.
 *   A carrier that ends without it is ERROR (ECONNRESET): the end may have been cut off.
 * - A write is sealed at once and queued nowhere but in the carrier, whose room is ours. Of what
 *   arrives, one record (16 KiB) is held here and 64 KiB in the carrier; stream_want() counts in
 *   records.
 * - ERROR is EKEYREJECTED for a certificate that is not accepted, EPROTO for what is not TLS as
 *   above, EBADMSG for a record that was changed on its way, ETIMEDOUT for a handshake that takes
 *   longer than TLS_HANDSHAKE_MS, else the carrier's. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "core/key.h"
#include "core/stream.h"

#define TLS_HANDSHAKE_MS 30000

/* A server's certificate, its key, and the sessions that may be resumed. */
struct tls_server;

/* Reads PEM: the server's certificate first, then those that lead to its CA; an RSA (2048 bits and
 * more), P-256, P-384 or P-521 key, not encrypted. Both may be in one file. NULL with a line in *why
 * (heap), which names the file. */
struct tls_server *tls_server_load(const char *chain_path, const char *key_path, char **why);
/* The same from `path`; before that, if nothing is there, makes a P-256 key and a certificate for
 * `names` (host names and IP addresses, at least one) that is good for ten years, and writes both
 * with mode 0600. Names given later do not change what is there: its fingerprint may be pinned. */
struct tls_server *tls_server_self_signed(const char *path, const char *const *names, size_t n,
                                          char **why);
/* SHA-256 of the certificate (DER): what a client may pin, and what browsers show. */
void tls_server_fingerprint(const struct tls_server *server, uint8_t hash[static SHA256_LEN]);
/* SHA-256 of its SubjectPublicKeyInfo, which is what curl pins (RFC 7469 §2.4). -1: it is written in a way
 * that only others can read. */
int tls_server_key_hash(const struct tls_server *server, uint8_t hash[static SHA256_LEN]);
/* Handshakes under way go on. NULL is fine. */
void tls_server_free(struct tls_server *server);

/* Takes the carrier. */
struct stream *tls_accept(struct tls_server *server, struct stream *carrier);

/* The certificate authorities that a client trusts. */
struct tls_anchors;

/* All certificates of a PEM file, whatever else is in it; NULL with a line in *why (heap) when none
 * can be used. `path` may be NULL: $SSL_CERT_FILE, else /etc/ssl/certs/ca-certificates.crt. */
struct tls_anchors *tls_anchors_load(const char *path, char **why);
size_t tls_anchors_count(const struct tls_anchors *anchors);
void tls_anchors_free(struct tls_anchors *anchors);

/* `host` is a name or an IP address, without a port. With `pin` the server's certificate is to be
 * that very one, and neither its CA nor its names nor its dates matter; else it is to lead to one
 * of `anchors` and to bear `host`: a DNS name in its subjectAltName, "*." standing for one label, or
 * in its common name if it has no subjectAltName; an address in its subjectAltName. */
struct tls_peer {
    const char *host;
    const struct tls_anchors *anchors; /* borrowed until OPEN or ERROR */
    const uint8_t *pin;                /* [SHA256_LEN], or NULL */
};

/* Takes the carrier, which may not be connected yet. */
struct stream *tls_connect(const struct tls_peer *peer, struct stream *carrier);

/* Of a stream of this kind; of any other NULL or false. Valid as long as the stream. */

bool tls_is(const struct stream *s);
/* Why ERROR came, for a person: "its certificate has expired". */
const char *tls_reason(const struct stream *s);
/* The name that the client asked for; NULL: none, or not OPEN yet. */
const char *tls_server_name(const struct stream *s);
/* What ALPN has chosen; NULL: nothing. */
const char *tls_protocol(const struct stream *s);
/* As IANA writes it: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256". */
const char *tls_suite(const struct stream *s);

#endif
