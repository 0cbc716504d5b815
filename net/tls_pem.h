/* tls_pem.h: what is in a PEM file (RFC 7468), whatever stands between. */
#ifndef NET_TLS_PEM_H
#define NET_TLS_PEM_H

#include <stddef.h>
#include <stdint.h>

#define PEM_OBJECT_MAX (64u * 1024) /* bytes of DER; one that is longer counts as broken */

/* `label` is in capitals: "CERTIFICATE". */
typedef void pem_fn(void *arg, const char *label, const uint8_t *der, size_t len);

/* Calls fn for each whole object of text[len]; returns how many were broken. What passed through
 * is wiped: it may have been a key. */
size_t pem_read(const char *text, size_t len, pem_fn *fn, void *arg);
/* Heap text, ending with a newline. */
char *pem_write(const char *label, const uint8_t *der, size_t len);

#endif
