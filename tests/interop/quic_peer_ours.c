/* quic_peer_ours.c: quic_peer.c over our TLS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/quic_crypto_conn.h"
#include "tests/interop/quic_peer.h"

static struct quic_crypto_conn *crypto;
static uint8_t session[SESSION_LEN], psk[PSK_LEN];

static bool find_psk(void *arg, const uint8_t id[static SESSION_LEN], uint8_t out[static PSK_LEN])
{
    (void)arg;
    memcpy(out, psk, PSK_LEN);
    return !memcmp(id, session, SESSION_LEN);
}

static void keylog(void *arg, const char *line)
{
    const char *path = getenv("SSLKEYLOGFILE");
    FILE *f = path ? fopen(path, "a") : NULL;
    (void)arg;
    if (!f)
        return;
    fprintf(f, "%s\n", line);
    fclose(f);
}

void peer_callbacks(ngtcp2_callbacks *callbacks)
{
    key_init();
    quic_crypto_callbacks(callbacks);
}

void peer_attach(ngtcp2_conn *conn, const struct peer_options *options)
{
    memcpy(session, PEER_SESSION, SESSION_LEN);
    memcpy(psk, PEER_PSK, PSK_LEN);
    session[0] ^= options->stranger;
    psk[0] ^= options->wrong_key;
    struct quic_crypto_config config = {.prefer = options->chacha ? QUIC_CHACHA20_POLY1305
                                                                  : QUIC_AES_128_GCM,
                                        .session = session,
                                        .psk = psk,
                                        .find_psk = find_psk,
                                        .keylog = keylog};
    crypto = quic_crypto_attach(conn, &config);
}

void peer_detach(void)
{
    quic_crypto_free(crypto);
    crypto = NULL;
}

bool peer_silent(void)
{
    return !quic_crypto_session(crypto);
}
