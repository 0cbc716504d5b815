/* tls_cert.h: a server's certificate chain and its key. */
#ifndef NET_TLS_CERT_H
#define NET_TLS_CERT_H

#include <bearssl.h>
#include <sys/types.h>

#define TLS_CHAIN_MAX 10

/* Not to be moved: the key points into its own decoder. */
struct tls_cert {
    br_x509_certificate chain[TLS_CHAIN_MAX];
    size_t n;
    br_skey_decoder_context key;
};

/* As tls_server_load(). NULL with a line in *why (heap). */
struct tls_cert *tls_cert_load(const char *chain_path, const char *key_path, char **why);
void tls_cert_free(struct tls_cert *cert); /* wipes the key */

/* A new P-256 key and a certificate for `names` signed by it, as PEM; heap text, to be wiped. NULL:
 * there are too many names, or one that is neither a host name nor an address. */
char *tls_self_signed(const char *const *names, size_t n);

#endif
