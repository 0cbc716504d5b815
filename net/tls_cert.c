/* tls_cert.c: a server's certificate chain and its key, from PEM. */
#include "net/tls_cert.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/key.h"
#include "core/mem.h"
#include "core/paths.h"
#include "net/tls_pem.h"

#define FILE_MAX      (1u * 1024 * 1024)
#define RSA_MIN_BITS  2048
#define RSA_MAX_BYTES 512 /* BearSSL's limit: 4096 bits */

struct loading {
    struct tls_cert *cert;
    const char *path; /* of what is read now */
    bool too_many, encrypted, has_key;
    int key_error;
};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && !strcmp(text + len - end_len, end);
}

static void found_cert(void *arg, const char *label, const uint8_t *der, size_t len)
{
    struct loading *l = arg;
    if (strcmp(label, "CERTIFICATE") != 0 && strcmp(label, "X509 CERTIFICATE") != 0)
        return;
    l->too_many |= l->cert->n == TLS_CHAIN_MAX;
    if (l->too_many)
        return;
    uint8_t *own = memcpy(xmalloc(len + 1), der, len);
    l->cert->chain[l->cert->n++] = (br_x509_certificate){own, len};
}

static void found_key(void *arg, const char *label, const uint8_t *der, size_t len)
{
    struct loading *l = arg;
    if (!ends_with(label, "PRIVATE KEY") || l->has_key)
        return;
    if (!strcmp(label, "ENCRYPTED PRIVATE KEY")) {
        l->encrypted = true;
        return;
    }
    l->has_key = true;
    br_skey_decoder_init(&l->cert->key);
    br_skey_decoder_push(&l->cert->key, der, len);
    l->key_error = br_skey_decoder_last_error(&l->cert->key);
}

/* Reads one file; 0, or -1 with a line in *why. */
static int read_pem(struct loading *l, pem_fn *fn, char **why)
{
    size_t len;
    char *text = path_read(l->path, FILE_MAX, &len);
    if (!text) {
        *why = xasprintf("cannot read %s: %s", l->path, strerror(errno));
        return -1;
    }
    size_t broken = pem_read(text, len, fn, l);
    /* The old form of an encrypted key has headers, which are no base64. */
    l->encrypted |= strstr(text, "Proc-Type: 4,ENCRYPTED") != NULL;
    key_wipe(text, len);
    free(text);
    if (broken && !l->encrypted) {
        *why = xasprintf("%s is broken: an object in it is not PEM", l->path);
        return -1;
    }
    return 0;
}

static char *complain(const char *path, const char *what)
{
    return xasprintf("%s: %s", path, what);
}

static char *check_chain(const struct loading *l)
{
    if (!l->cert->n)
        return complain(l->path, "there is no certificate in it");
    return l->too_many ? complain(l->path, "there are more than 10 certificates in it") : NULL;
}

static bool curve_is_known(int curve)
{
    return curve == BR_EC_secp256r1 || curve == BR_EC_secp384r1 || curve == BR_EC_secp521r1;
}

static char *check_key(const struct loading *l)
{
    const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(&l->cert->key);
    const br_ec_private_key *ec = br_skey_decoder_get_ec(&l->cert->key);
    if (l->encrypted && !l->has_key)
        return complain(l->path, "the key is encrypted; `openssl pkey -in FILE` decrypts it");
    if (!l->has_key)
        return complain(l->path, "there is no private key in it");
    if (l->key_error || (!rsa && !(ec && curve_is_known(ec->curve))))
        return complain(l->path, "the key is broken, or not of a kind that can be used:"
                                 " RSA of up to 4096 bits, P-256, P-384 or P-521");
    if (rsa && rsa->n_bitlen < RSA_MIN_BITS)
        return complain(l->path, "the key is too short: RSA takes 2048 bits or more");
    return NULL;
}

/* Big-endian numbers, whose leading zeros do not count. */
static bool same_number(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    for (; a_len && !*a; a_len--)
        a++;
    for (; b_len && !*b; b_len--)
        b++;
    return a_len == b_len && !memcmp(a, b, a_len);
}

static bool rsa_belongs(const br_rsa_private_key *key, const br_x509_pkey *leaf)
{
    uint8_t n[RSA_MAX_BYTES];
    br_rsa_compute_modulus compute = br_rsa_compute_modulus_get_default();
    size_t len = compute(NULL, key);
    if (leaf->key_type != BR_KEYTYPE_RSA || !len || len > sizeof(n))
        return false;
    len = compute(n, key);
    return same_number(n, len, leaf->key.rsa.n, leaf->key.rsa.nlen);
}

static bool ec_belongs(const br_ec_private_key *key, const br_x509_pkey *leaf)
{
    uint8_t q[BR_EC_KBUF_PUB_MAX_SIZE];
    br_ec_public_key own;
    if (leaf->key_type != BR_KEYTYPE_EC || leaf->key.ec.curve != key->curve ||
        !br_ec_compute_pub(br_ec_get_default(), &own, q, key))
        return false;
    return own.qlen == leaf->key.ec.qlen && !memcmp(own.q, leaf->key.ec.q, own.qlen);
}

static char *check_match(const struct loading *l, const char *chain_path)
{
    br_x509_decoder_context leaf;
    br_x509_decoder_init(&leaf, NULL, NULL);
    br_x509_decoder_push(&leaf, l->cert->chain[0].data, l->cert->chain[0].data_len);
    const br_x509_pkey *pub = br_x509_decoder_get_pkey(&leaf);
    const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(&l->cert->key);
    const br_ec_private_key *ec = br_skey_decoder_get_ec(&l->cert->key);
    if (!pub)
        return complain(chain_path, "the first certificate is broken, or its key not of a kind that"
                                    " can be used: RSA, P-256, P-384 or P-521");
    if (rsa ? rsa_belongs(rsa, pub) : ec_belongs(ec, pub))
        return NULL;
    return xasprintf("the key in %s does not belong to the first certificate in %s", l->path,
                     chain_path);
}

struct tls_cert *tls_cert_load(const char *chain_path, const char *key_path, char **why)
{
    struct loading l = {.cert = xcalloc(1, sizeof(*l.cert)), .path = chain_path};
    *why = NULL;
    if (read_pem(&l, found_cert, why) == 0)
        *why = check_chain(&l);
    l.path = key_path;
    if (!*why && read_pem(&l, found_key, why) == 0)
        *why = check_key(&l);
    if (!*why)
        *why = check_match(&l, chain_path);
    if (!*why)
        return l.cert;
    tls_cert_free(l.cert);
    return NULL;
}

void tls_cert_free(struct tls_cert *cert)
{
    if (!cert)
        return;
    for (size_t i = 0; i < cert->n; i++)
        free(cert->chain[i].data);
    key_wipe(cert, sizeof(*cert));
    free(cert);
}
