/* tls_verify.c: whether a server's certificate is the right one. */
#include "net/tls_verify.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "net/tls.h"
#include "net/tls_der.h"

#define LEAF_MAX      (16u * 1024)
#define DAYS_TO_1970  719528 /* since the year 0, as BearSSL counts */
#define DAY           86400
#define RSA_MIN_BYTES 256 /* 2048 bits */

static struct tls_verify *verify_of(const br_x509_class **table)
{
    return container_of(table, struct tls_verify, table);
}

static void start_chain(const br_x509_class **table, const char *server_name)
{
    struct tls_verify *v = verify_of(table);
    v->certs = 0;
    v->named = server_name && *server_name;
    v->minimal.vtable->start_chain(&v->minimal.vtable, server_name);
}

static void start_cert(const br_x509_class **table, uint32_t len)
{
    struct tls_verify *v = verify_of(table);
    v->certs++;
    v->too_long |= v->certs == 1 && len > LEAF_MAX;
    v->minimal.vtable->start_cert(&v->minimal.vtable, len);
}

static void append(const br_x509_class **table, const unsigned char *p, size_t len)
{
    struct tls_verify *v = verify_of(table);
    if (v->certs == 1 && v->by != TLS_BY_NAME && !v->too_long)
        buf_append(&v->leaf, p, len);
    v->minimal.vtable->append(&v->minimal.vtable, p, len);
}

static void end_cert(const br_x509_class **table)
{
    struct tls_verify *v = verify_of(table);
    v->minimal.vtable->end_cert(&v->minimal.vtable);
}

static unsigned check_pin(struct tls_verify *v)
{
    uint8_t hash[SHA256_LEN];
    key_sha256(buf_front(&v->leaf), v->leaf.len, hash);
    if (memcmp(hash, v->pin, sizeof(hash)) != 0)
        return TLS_VERIFY_BAD_PIN;
    br_x509_decoder_init(&v->decoder, NULL, NULL);
    br_x509_decoder_push(&v->decoder, buf_front(&v->leaf), v->leaf.len);
    return (unsigned)br_x509_decoder_last_error(&v->decoder);
}

static unsigned end_chain(const br_x509_class **table)
{
    struct tls_verify *v = verify_of(table);
    unsigned error = v->minimal.vtable->end_chain(&v->minimal.vtable);
    if (v->too_long)
        return BR_ERR_X509_LIMIT_EXCEEDED;
    if (v->by == TLS_BY_PIN)
        return check_pin(v);
    /* To x509_minimal, no name is one that need not match. */
    if (!error && v->by == TLS_BY_NAME && !v->named)
        return BR_ERR_X509_BAD_SERVER_NAME;
    if (!error && v->by == TLS_BY_ADDRESS &&
        !der_cert_has_address(buf_front(&v->leaf), v->leaf.len, v->address, v->address_len))
        return BR_ERR_X509_BAD_SERVER_NAME;
    return error;
}

static const br_x509_pkey *get_key(const br_x509_class *const *table, unsigned *usages)
{
    const struct tls_verify *v = (const struct tls_verify *)(const void *)table;
    if (v->by != TLS_BY_PIN)
        return v->minimal.vtable->get_pkey(&v->minimal.vtable, usages);
    if (usages)
        *usages = BR_KEYTYPE_SIGN;
    return &v->decoder.pkey;
}

static const br_x509_class class = {
    .context_size = sizeof(struct tls_verify),
    .start_chain = start_chain,
    .start_cert = start_cert,
    .append = append,
    .end_cert = end_cert,
    .end_chain = end_chain,
    .get_pkey = get_key,
};

static size_t parse_address(const char *host, uint8_t address[16])
{
    if (inet_pton(AF_INET, host, address) == 1)
        return 4;
    return inet_pton(AF_INET6, host, address) == 1 ? 16 : 0;
}

static void init_minimal(br_x509_minimal_context *m, const struct tls_anchors *anchors)
{
    size_t n;
    const br_x509_trust_anchor *list = tls_anchors_list(anchors, &n);
    time_t now = time(NULL);
    br_x509_minimal_init(m, &br_sha256_vtable, list, n);
    br_x509_minimal_set_rsa(m, br_rsa_pkcs1_vrfy_get_default());
    br_x509_minimal_set_ecdsa(m, br_ec_get_default(), br_ecdsa_vrfy_asn1_get_default());
    br_x509_minimal_set_hash(m, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_hash(m, br_sha384_ID, &br_sha384_vtable);
    br_x509_minimal_set_hash(m, br_sha512_ID, &br_sha512_vtable);
    br_x509_minimal_set_minrsa(m, RSA_MIN_BYTES);
    br_x509_minimal_set_time(m, (uint32_t)(now / DAY + DAYS_TO_1970), (uint32_t)(now % DAY));
}

bool tls_verify_init(struct tls_verify *v, const struct tls_peer *peer)
{
    *v = (struct tls_verify){.table = &class};
    v->address_len = parse_address(peer->host, v->address);
    if (peer->pin) {
        v->by = TLS_BY_PIN;
        memcpy(v->pin, peer->pin, SHA256_LEN);
    } else if (v->address_len) {
        v->by = TLS_BY_ADDRESS;
    }
    init_minimal(&v->minimal, peer->anchors);
    return !v->address_len;
}

void tls_verify_fini(struct tls_verify *v)
{
    buf_fini(&v->leaf);
}
