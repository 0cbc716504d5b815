/* quic_tls_state.h: what the files of quic_tls.h share.
 *
 * A step is given one whole message, msg[len] with its header, that was due; it returns 0 or
 * the error that the handshake ends with. It puts the message into the transcript itself: what
 * has to be proven is a hash of what came before. */
#ifndef NET_QUIC_TLS_STATE_H
#define NET_QUIC_TLS_STATE_H

#include "core/buf.h"
#include "net/quic_tls.h"
#include "net/quic_tls_keys.h"
#include "net/quic_tls_wire.h"

struct quic_tls {
    const struct quic_tls_events *events;
    void *arg;
    unsigned state; /* quic_tls.c's */
    enum quic_tls_error error;
    enum quic_cipher cipher; /* preferred, then agreed upon */
    bool recognised;         /* `session` is known to both */
    uint8_t session[SESSION_LEN];
    uint8_t random[QUIC_TLS_RANDOM_LEN]; /* the client's, which names it in the key log */
    uint8_t psk[PSK_LEN];                /* wiped, like what follows, as soon as it was used */
    uint8_t ephemeral[QUIC_X25519_LEN];
    struct quic_tls_keys keys;
    uint8_t client_verify[QUIC_SECRET_LEN]; /* what the client's Finished has to say */
    struct buf received;                    /* less than a message */
    struct buf transcript;                  /* all messages, for what is bound to them */
};

/* quic_tls_client.c and quic_tls_server.c */
int quic_tls_send_hello(struct quic_tls *t);
int quic_tls_on_server_hello(struct quic_tls *t, const uint8_t *msg, size_t len);
int quic_tls_on_extensions(struct quic_tls *t, const uint8_t *msg, size_t len);
int quic_tls_on_server_finished(struct quic_tls *t, const uint8_t *msg, size_t len);
int quic_tls_on_client_hello(struct quic_tls *t, const uint8_t *msg, size_t len);
int quic_tls_on_client_finished(struct quic_tls *t, const uint8_t *msg, size_t len);

/* quic_tls_both.c. Those that return an int: 0 or an error. */

void quic_tls_hash_transcript(const struct quic_tls *t, uint8_t hash[static SHA256_LEN]);
/* From the key of the session to the binder of msg[len], a ClientHello that is cut off. */
void quic_tls_binder_of(struct quic_tls *t, const uint8_t *msg, size_t len, uint8_t *binder);
/* A new key of our own, and its public half. */
void quic_tls_new_share(struct quic_tls *t, uint8_t share[static QUIC_X25519_LEN]);
/* From ServerHello on. */
int quic_tls_handshake_keys(struct quic_tls *t, const uint8_t *peer_share);
/* From the server's Finished on. The client's covers the same messages, so what it has to say
 * is known from here, and the handshake's own secrets go. */
void quic_tls_application_keys(struct quic_tls *t);
int quic_tls_give_secrets(struct quic_tls *t, enum quic_level level, const uint8_t *rx,
                          const uint8_t *tx);

/* `out` is room for our transport parameters, [QUIC_TLS_PARAMS_MAX]. */
int quic_tls_offer_params(struct quic_tls *t, struct quic_tls_offer *o, uint8_t *out);
int quic_tls_take_params(struct quic_tls *t, const struct quic_tls_hello *h);
/* One message, into the transcript and out. */
void quic_tls_send(struct quic_tls *t, enum quic_level level, const struct writer *w);

#endif
