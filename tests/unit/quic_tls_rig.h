/* quic_tls_rig.h: the two ends of a handshake, joined by memory. */
#ifndef TESTS_UNIT_QUIC_TLS_RIG_H
#define TESTS_UNIT_QUIC_TLS_RIG_H

#include "core/buf.h"
#include "net/quic_tls.h"

#define TLS_LEVELS 3

struct tls_end {
    struct quic_tls *t;
    uint8_t session[SESSION_LEN], psk[PSK_LEN];
    const char *params; /* what it says of itself */
    bool refuses_params, refuses_secrets;
    /* What came out. */
    struct buf out[TLS_LEVELS];
    bool reads[TLS_LEVELS], writes[TLS_LEVELS];
    uint8_t rx[TLS_LEVELS][QUIC_SECRET_LEN], tx[TLS_LEVELS][QUIC_SECRET_LEN];
    char peer_params[64];
    struct buf keylog;
};

struct tls_pair {
    struct tls_end client, server;
};

/* Both with the same session and key; nothing has been sent. */
void tls_pair_init(struct tls_pair *p, enum quic_cipher client, enum quic_cipher server);
void tls_pair_fini(struct tls_pair *p);

/* Gives what one end has to say at a level to the other, `piece` bytes at a time (0: at once),
 * and returns quic_tls_receive()'s last answer. */
int tls_carry(struct tls_end *from, struct tls_end *to, enum quic_level level, size_t piece);
/* The whole handshake. */
void tls_shake(struct tls_pair *p, size_t piece);

#endif
