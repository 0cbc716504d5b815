/* quic_peer_gnutls.c: quic_peer.c over GnuTLS, by Debian's libngtcp2-crypto-gnutls. */
#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/interop/quic_peer.h"

#define SESSION_LEN 16
#define PSK_LEN     32

static gnutls_session_t tls;
static gnutls_psk_client_credentials_t client_key;
static gnutls_psk_server_credentials_t server_key;
static ngtcp2_crypto_conn_ref reference;
static uint8_t session[SESSION_LEN], psk[PSK_LEN];

static void must(int status)
{
    if (status >= 0)
        return;
    fprintf(stderr, "GnuTLS: %s\n", gnutls_strerror(status));
    abort();
}

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref)
{
    return ref->user_data;
}

static int find_psk(gnutls_session_t s, const gnutls_datum_t *name, gnutls_datum_t *key)
{
    (void)s;
    if (name->size != SESSION_LEN || memcmp(name->data, session, SESSION_LEN) != 0)
        return -1;
    key->data = gnutls_malloc(PSK_LEN);
    key->size = PSK_LEN;
    memcpy(key->data, psk, PSK_LEN);
    return 0;
}

void peer_callbacks(ngtcp2_callbacks *callbacks)
{
    callbacks->client_initial = ngtcp2_crypto_client_initial_cb;
    callbacks->recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
    callbacks->recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb;
    callbacks->encrypt = ngtcp2_crypto_encrypt_cb;
    callbacks->decrypt = ngtcp2_crypto_decrypt_cb;
    callbacks->hp_mask = ngtcp2_crypto_hp_mask_cb;
    callbacks->recv_retry = ngtcp2_crypto_recv_retry_cb;
    callbacks->update_key = ngtcp2_crypto_update_key_cb;
    callbacks->delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb;
    callbacks->delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb;
    callbacks->get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb;
    callbacks->version_negotiation = ngtcp2_crypto_version_negotiation_cb;
}

static void give_key(bool server)
{
    gnutls_datum_t name = {session, SESSION_LEN}, key = {psk, PSK_LEN};
    if (server) {
        must(gnutls_psk_allocate_server_credentials(&server_key));
        gnutls_psk_set_server_credentials_function2(server_key, find_psk);
        must(gnutls_credentials_set(tls, GNUTLS_CRD_PSK, server_key));
        must(ngtcp2_crypto_gnutls_configure_server_session(tls));
        return;
    }
    must(gnutls_psk_allocate_client_credentials(&client_key));
    must(gnutls_psk_set_client_credentials2(client_key, &name, &key, GNUTLS_PSK_KEY_RAW));
    must(gnutls_credentials_set(tls, GNUTLS_CRD_PSK, client_key));
    must(ngtcp2_crypto_gnutls_configure_client_session(tls));
}

void peer_attach(ngtcp2_conn *conn, const struct peer_options *options)
{
    char priority[256];
    unsigned char alpn[] = "berth/1";
    gnutls_datum_t name = {alpn, sizeof(alpn) - 1};
    memcpy(session, PEER_SESSION, SESSION_LEN);
    memcpy(psk, PEER_PSK, PSK_LEN);
    session[0] ^= options->stranger;
    psk[0] ^= options->wrong_key;
    must(gnutls_init(&tls, options->server ? GNUTLS_SERVER : GNUTLS_CLIENT));
    snprintf(priority, sizeof(priority),
             "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:%s:-KX-ALL:+DHE-PSK:-GROUP-ALL:"
             "+GROUP-X25519:%%DISABLE_TLS13_COMPAT_MODE",
             options->chacha ? "+CHACHA20-POLY1305" : "+AES-128-GCM:+CHACHA20-POLY1305");
    must(gnutls_priority_set_direct(tls, priority, NULL));
    must(gnutls_alpn_set_protocols(tls, &name, 1, GNUTLS_ALPN_MANDATORY));
    give_key(options->server);
    reference = (ngtcp2_crypto_conn_ref){.get_conn = get_conn, .user_data = conn};
    gnutls_session_set_ptr(tls, &reference);
    ngtcp2_conn_set_tls_native_handle(conn, tls);
}

void peer_detach(void)
{
    if (tls)
        gnutls_deinit(tls);
    if (client_key)
        gnutls_psk_free_client_credentials(client_key);
    if (server_key)
        gnutls_psk_free_server_credentials(server_key);
}

bool peer_silent(void)
{
    return false;
}
