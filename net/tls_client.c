/* tls_client.c: the side that connects. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/tls_state.h"

/* A name may end with the root's dot; in certificates it never does. */
static char *plain_name(const char *host)
{
    size_t len = strlen(host);
    return xstrndup(host, len && host[len - 1] == '.' ? len - 1 : len);
}

struct stream *tls_connect(const struct tls_peer *peer, struct stream *carrier)
{
    struct tls *t = tls_new(carrier);
    struct tls_handshake *h = t->handshake;
    cleanup_free char *name = plain_name(peer->host);
    bool by_name = tls_verify_init(&h->verify, peer);
    br_ssl_client_zero(&h->client);
    tls_engine_init(h, &h->client.eng);
    br_ssl_engine_set_x509(h->engine, &h->verify.table);
    /* A name that is too long for BearSSL leaves the engine closed, which is found out first. */
    br_ssl_client_reset(&h->client, by_name ? name : NULL, 0);
    tls_begin(t);
    return &t->s;
}
