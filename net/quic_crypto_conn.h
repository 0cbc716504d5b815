/* quic_crypto_conn.h: what ngtcp2 asks of a TLS and of a crypto library, answered by
 * quic_tls.h and quic_crypto.h (RFC 9001 §4, §5 and §6). QUIC v1 alone.
 *
 *     ngtcp2_callbacks cb = {…};          the owner's: streams, connection ids, paths
 *     quic_crypto_callbacks(&cb);         ours
 *     ngtcp2_conn_client_new(&conn, …) or ngtcp2_conn_server_new(&conn, …)
 *     c = quic_crypto_attach(conn, &config);   before the first packet is written or read
 *     …
 *     ngtcp2_conn_del(conn);
 *     quic_crypto_free(c);
 *
 * ngtcp2's native handle for TLS is `c`. On a server, while quic_crypto_session(c) is NULL the
 * peer has not named a session that is known. Our client does so in its first packet, so a
 * server whose session is NULL after one, with an error or without, has met a stranger: it
 * deletes the connection without writing anything, and keeps nothing. */
#ifndef NET_QUIC_CRYPTO_CONN_H
#define NET_QUIC_CRYPTO_CONN_H

#include "net/quic_tls.h"

#define QUIC_RESET_TOKEN_LEN 16

struct ngtcp2_callbacks;
struct ngtcp2_conn;
struct quic_crypto_conn;

struct quic_crypto_config {
    enum quic_cipher prefer;      /* quic_cipher_preferred() */
    const uint8_t *session, *psk; /* client; copied */
    /* As in quic_tls.h: the first is the server's, the second may be NULL. Neither may delete
     * the connection. */
    bool (*find_psk)(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN]);
    void (*keylog)(void *arg, const char *line);
    void *arg;
};

/* Sets client_initial, recv_client_initial, recv_crypto_data, recv_retry, encrypt, decrypt,
 * hp_mask, update_key, delete_crypto_aead_ctx, delete_crypto_cipher_ctx, rand,
 * get_path_challenge_data and version_negotiation; leaves the others. */
void quic_crypto_callbacks(struct ngtcp2_callbacks *callbacks);

struct quic_crypto_conn *quic_crypto_attach(struct ngtcp2_conn *conn,
                                            const struct quic_crypto_config *config);
void quic_crypto_free(struct quic_crypto_conn *c);

/* As in quic_tls.h. */
const uint8_t *quic_crypto_session(const struct quic_crypto_conn *c);
const uint8_t *quic_crypto_random(const struct quic_crypto_conn *c);
enum quic_tls_error quic_crypto_error(const struct quic_crypto_conn *c);

/* The stateless reset token of a connection id (RFC 9000 §10.3.2) under an endpoint's key. */
void quic_reset_token(uint8_t token[static QUIC_RESET_TOKEN_LEN],
                      const uint8_t key[static QUIC_SECRET_LEN], const uint8_t *cid,
                      size_t cid_len);

#endif
