/* tls_verify.h: whether a server's certificate is the right one, as BearSSL asks it.
 *
 * BearSSL's own engine (x509_minimal) follows the chain and compares names. It does not compare
 * addresses, and knows nothing of pins: both are done here, with the server's own certificate,
 * which is kept for that. */
#ifndef NET_TLS_VERIFY_H
#define NET_TLS_VERIFY_H

#include <bearssl.h>
#include <stdbool.h>

#include "core/buf.h"
#include "core/key.h"

struct tls_anchors;
struct tls_peer;

#define TLS_VERIFY_BAD_PIN 63 /* behind the last of BearSSL's own */

enum tls_verify_by { TLS_BY_NAME, TLS_BY_ADDRESS, TLS_BY_PIN };

struct tls_verify {
    const br_x509_class *table; /* first: it is what BearSSL points to */
    enum tls_verify_by by;
    br_x509_minimal_context minimal;
    br_x509_decoder_context decoder; /* of the pinned certificate's key */
    uint8_t pin[SHA256_LEN];
    uint8_t address[16];
    size_t address_len;
    unsigned certs; /* that have begun */
    bool named;     /* x509_minimal was given a name to compare */
    bool too_long;
    struct buf leaf; /* the first of them, DER */
};

/* What the engine of `peer` is to ask. True when its host is to be named to the server (SNI). */
bool tls_verify_init(struct tls_verify *v, const struct tls_peer *peer);
void tls_verify_fini(struct tls_verify *v);

/* tls_anchors.c */
const br_x509_trust_anchor *tls_anchors_list(const struct tls_anchors *anchors, size_t *n);

#endif
