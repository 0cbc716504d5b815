/* tls_server.c: the side that is connected to: what it shows, and the sessions it knows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"
#include "net/tls_cert.h"
#include "net/tls_der.h"
#include "net/tls_state.h"

#define SESSIONS_BYTES (128u * 1024) /* about a hundred for each session */

struct tls_server {
    unsigned refs;
    struct tls_cert *cert;
    br_ssl_session_cache_lru sessions;
    uint8_t sessions_store[SESSIONS_BYTES];
};

struct tls_server *tls_server_load(const char *chain_path, const char *key_path, char **why)
{
    struct tls_cert *cert = tls_cert_load(chain_path, key_path, why);
    if (!cert)
        return NULL;
    struct tls_server *server = xcalloc(1, sizeof(*server));
    server->refs = 1;
    server->cert = cert;
    br_ssl_session_cache_lru_init(&server->sessions, server->sessions_store, SESSIONS_BYTES);
    return server;
}

/* 0, or -1 with a line in *why. */
static int make(const char *path, const char *const *names, size_t n, char **why)
{
    char *text = tls_self_signed(names, n);
    if (!text) {
        *why = xasprintf("no certificate can be made for these names: host names and IP addresses"
                         " are needed, up to some 4000 characters");
        return -1;
    }
    int failed = path_write_atomic(path, text, strlen(text), 0600);
    if (failed)
        *why = xasprintf("cannot write %s: %s", path, strerror(errno));
    key_wipe(text, strlen(text));
    free(text);
    return failed;
}

struct tls_server *tls_server_self_signed(const char *path, const char *const *names, size_t n,
                                          char **why)
{
    if (access(path, F_OK) < 0 && errno == ENOENT && make(path, names, n, why) < 0)
        return NULL;
    return tls_server_load(path, path, why);
}

void tls_server_fingerprint(const struct tls_server *server, uint8_t hash[static SHA256_LEN])
{
    const br_x509_certificate *leaf = &server->cert->chain[0];
    key_sha256(leaf->data, leaf->data_len, hash);
}

int tls_server_key_hash(const struct tls_server *server, uint8_t hash[static SHA256_LEN])
{
    const br_x509_certificate *leaf = &server->cert->chain[0];
    size_t len;
    const uint8_t *key = der_cert_public_key(leaf->data, leaf->data_len, &len);
    if (!key)
        return -1;
    key_sha256(key, len, hash);
    return 0;
}

void tls_server_unref(struct tls_server *server)
{
    if (!server || --server->refs)
        return;
    tls_cert_free(server->cert);
    key_wipe(server, sizeof(*server));
    free(server);
}

void tls_server_free(struct tls_server *server)
{
    tls_server_unref(server);
}

static void show_cert(br_ssl_server_context *s, const struct tls_cert *cert)
{
    const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(&cert->key);
    const br_ec_private_key *ec = br_skey_decoder_get_ec(&cert->key);
    if (rsa)
        br_ssl_server_set_single_rsa(s, cert->chain, cert->n, rsa, BR_KEYTYPE_SIGN,
                                     br_rsa_private_get_default(), br_rsa_pkcs1_sign_get_default());
    else
        br_ssl_server_set_single_ec(s, cert->chain, cert->n, ec, BR_KEYTYPE_SIGN, BR_KEYTYPE_EC,
                                    br_ec_get_default(), br_ecdsa_sign_asn1_get_default());
}

struct stream *tls_accept(struct tls_server *server, struct stream *carrier)
{
    struct tls *t = tls_new(carrier);
    struct tls_handshake *h = t->handshake;
    h->of = server;
    server->refs++;
    br_ssl_server_zero(&h->server);
    tls_engine_init(h, &h->server.eng);
    br_ssl_engine_add_flags(h->engine, BR_OPT_FAIL_ON_ALPN_MISMATCH);
    show_cert(&h->server, server->cert);
    br_ssl_server_set_cache(&h->server, &server->sessions.vtable);
    br_ssl_server_reset(&h->server);
    tls_begin(t);
    return &t->s;
}
