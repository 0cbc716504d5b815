/* quic_peer.h: what quic_peer.c wants of a TLS: ours (quic_peer_ours.c, over the ngtcp2 that we
 * build), or GnuTLS' (quic_peer_gnutls.c, over Debian's). One connection a process. */
#ifndef TESTS_INTEROP_QUIC_PEER_H
#define TESTS_INTEROP_QUIC_PEER_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>

#define PEER_SESSION "a session's id.." /* 16 bytes */
#define PEER_PSK     "a pre-shared key of thirty-two b"

struct peer_options {
    bool server;
    bool chacha;   /* prefer it */
    bool stranger; /* another session */
    bool wrong_key;
    bool update; /* keys, again and again */
};

void peer_callbacks(ngtcp2_callbacks *callbacks);
void peer_attach(ngtcp2_conn *conn, const struct peer_options *options);
void peer_detach(void);
/* After an error on a server: nothing is to be answered. */
bool peer_silent(void);

#endif
