/* The readers of files and certificates that are ours. The first byte says which of these the rest is:
 *     PEM      a file: what is found is given to the other readers
 *     ADDRESS  u8 length of an address (0 to 16) | address | a certificate (DER)
 *     WALK     DER, entered wherever it can be */
#include <stdlib.h>

#include "core/bytes.h"
#include "net/tls_der.h"
#include "net/tls_pem.h"

#define DEPTH_MAX 32

enum kind { PEM, ADDRESS, WALK, KINDS };

static volatile uint8_t seen;

static void look(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        seen = (uint8_t)(seen + p[i]);
}

static void walk(struct reader r, unsigned depth)
{
    while (r.left && !r.bad) {
        struct reader inner;
        der_next(&r, &inner);
        if (depth < DEPTH_MAX)
            walk(inner, depth + 1);
        size_t left = inner.left;
        look(read_bytes(&inner, left), left);
    }
}

static void address(const uint8_t *p, size_t len)
{
    struct reader r = reader_of(p, len);
    size_t address_len = read_u8(&r) % 17;
    const uint8_t *wanted = read_bytes(&r, address_len);
    size_t left = r.left;
    const uint8_t *cert = read_bytes(&r, left);
    if (wanted && cert)
        seen = der_cert_has_address(cert, left, wanted, address_len);
}

static void found(void *arg, const char *label, const uint8_t *der, size_t len)
{
    (void)arg;
    while (*label)
        seen = (uint8_t)*label++;
    walk(reader_of(der, len), 0);
    seen = der_cert_has_address(der, len, (const uint8_t *)"\x7f\0\0\1", 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!len)
        return 0;
    switch (data[0] % KINDS) {
    case PEM: seen = (uint8_t)pem_read((const char *)data + 1, len - 1, found, NULL); break;
    case ADDRESS: address(data + 1, len - 1); break;
    case WALK: walk(reader_of(data + 1, len - 1), 0); break;
    default: break;
    }
    return 0;
}
