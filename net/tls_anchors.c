/* tls_anchors.c: the certificate authorities that a client trusts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/paths.h"
#include "net/tls.h"
#include "net/tls_pem.h"
#include "net/tls_verify.h"

#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define BUNDLE_MAX    (8u * 1024 * 1024) /* Mozilla's list takes 220 KiB */

struct tls_anchors {
    br_x509_trust_anchor *list;
    size_t n;
};

static uint8_t *copy(const uint8_t *p, size_t len)
{
    return len ? memcpy(xmalloc(len), p, len) : NULL;
}

static void append_name(void *arg, const void *p, size_t len)
{
    buf_append(arg, p, len);
}

static br_x509_pkey copy_key(const br_x509_pkey *key)
{
    br_x509_pkey own = *key;
    if (key->key_type == BR_KEYTYPE_RSA) {
        own.key.rsa.n = copy(key->key.rsa.n, key->key.rsa.nlen);
        own.key.rsa.e = copy(key->key.rsa.e, key->key.rsa.elen);
    } else {
        own.key.ec.q = copy(key->key.ec.q, key->key.ec.qlen);
    }
    return own;
}

static void add(struct tls_anchors *a, br_x509_decoder_context *decoder, const struct buf *name)
{
    br_x509_trust_anchor anchor = {
        .dn = {copy(buf_front(name), name->len), name->len},
        .flags = br_x509_decoder_isCA(decoder) ? BR_X509_TA_CA : 0,
        .pkey = copy_key(br_x509_decoder_get_pkey(decoder)),
    };
    a->list = xrealloc(a->list, (a->n + 1) * sizeof(*a->list));
    a->list[a->n++] = anchor;
}

/* Some authorities have keys that BearSSL does not know: nobody can be asked to mend the list. */
static void found(void *arg, const char *label, const uint8_t *der, size_t len)
{
    br_x509_decoder_context decoder;
    struct buf name = {0};
    if (strcmp(label, "CERTIFICATE") != 0 && strcmp(label, "X509 CERTIFICATE") != 0)
        return;
    br_x509_decoder_init(&decoder, append_name, &name);
    br_x509_decoder_push(&decoder, der, len);
    if (br_x509_decoder_last_error(&decoder) == 0)
        add(arg, &decoder, &name);
    buf_fini(&name);
}

static const char *bundle_path(void)
{
    const char *path = getenv("SSL_CERT_FILE");
    return path && *path ? path : SYSTEM_BUNDLE;
}

struct tls_anchors *tls_anchors_load(const char *path, char **why)
{
    path = path ? path : bundle_path();
    size_t len;
    cleanup_free char *text = path_read(path, BUNDLE_MAX, &len);
    if (!text) {
        *why = xasprintf("cannot read the trusted certificates in %s: %s; install ca-certificates,"
                         " or name a file in SSL_CERT_FILE",
                         path, strerror(errno));
        return NULL;
    }
    struct tls_anchors *a = xcalloc(1, sizeof(*a));
    size_t broken = pem_read(text, len, found, a);
    if (a->n)
        return a;
    *why = xasprintf("%s has no certificate that can be used%s", path,
                     broken ? ", but a broken one" : "");
    tls_anchors_free(a);
    return NULL;
}

size_t tls_anchors_count(const struct tls_anchors *anchors)
{
    return anchors->n;
}

const br_x509_trust_anchor *tls_anchors_list(const struct tls_anchors *anchors, size_t *n)
{
    *n = anchors ? anchors->n : 0;
    return anchors ? anchors->list : NULL;
}

void tls_anchors_free(struct tls_anchors *anchors)
{
    if (!anchors)
        return;
    for (size_t i = 0; i < anchors->n; i++) {
        const br_x509_trust_anchor *a = &anchors->list[i];
        free(a->dn.data);
        if (a->pkey.key_type == BR_KEYTYPE_RSA) {
            free(a->pkey.key.rsa.n);
            free(a->pkey.key.rsa.e);
        } else {
            free(a->pkey.key.ec.q);
        }
    }
    free(anchors->list);
    free(anchors);
}
