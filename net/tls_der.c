/* tls_der.c: the little ASN.1 that BearSSL has no words for. */
#include "net/tls_der.h"

#include <string.h>

#define LONG_FORM 0x80

static const uint8_t oid_san[] = {0x55, 0x1d, 0x11}; /* 2.5.29.17 */

/* ---- reading ---- */

static size_t read_length(struct reader *r)
{
    uint8_t first = read_u8(r);
    if (first < LONG_FORM)
        return first;
    size_t len = first == (LONG_FORM | 1) ? read_u8(r) : read_u16(r);
    bool shortest = len >= (first == (LONG_FORM | 1) ? LONG_FORM : 0x100);
    r->bad |= first == LONG_FORM || first > (LONG_FORM | 2) || !shortest;
    return len;
}

uint8_t der_next(struct reader *r, struct reader *inner)
{
    uint8_t tag = read_u8(r);
    size_t len = read_length(r);
    const uint8_t *p = r->bad ? NULL : read_bytes(r, len);
    *inner = reader_of(p, p ? len : 0);
    inner->bad = r->bad;
    return r->bad ? 0 : tag;
}

struct reader der_enter(struct reader *r, uint8_t tag)
{
    struct reader inner;
    if (der_next(r, &inner) != tag)
        r->bad = inner.bad = true;
    return inner;
}

static bool more(const struct reader *r)
{
    return r->left && !r->bad;
}

static bool names_have(struct reader names, const uint8_t *address, size_t len)
{
    bool found = false;
    while (more(&names)) {
        struct reader name;
        uint8_t tag = der_next(&names, &name);
        size_t left = name.left;
        const uint8_t *p = read_bytes(&name, left);
        found |= tag == DER_SAN_ADDRESS && left == len && !memcmp(p, address, len);
    }
    return found && !names.bad;
}

/* Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue OCTET STRING } */
static bool extension_has(struct reader ext, const uint8_t *address, size_t len)
{
    struct reader id = der_enter(&ext, DER_OID), value;
    size_t id_len = id.left;
    const uint8_t *p = read_bytes(&id, id_len);
    if (id_len != sizeof(oid_san) || !p || memcmp(p, oid_san, id_len) != 0)
        return false;
    if (der_next(&ext, &value) == DER_BOOLEAN)
        der_next(&ext, &value);
    struct reader names = der_enter(&value, DER_SEQUENCE);
    return !ext.bad && names_have(names, address, len);
}

bool der_cert_has_address(const uint8_t *cert, size_t len, const uint8_t *address,
                          size_t address_len)
{
    struct reader r = reader_of(cert, len), field;
    struct reader whole = der_enter(&r, DER_SEQUENCE), body = der_enter(&whole, DER_SEQUENCE);
    bool found = false;
    while (more(&body)) {
        if (der_next(&body, &field) != DER_EXPLICIT_3)
            continue;
        struct reader list = der_enter(&field, DER_SEQUENCE);
        while (more(&list))
            found |= extension_has(der_enter(&list, DER_SEQUENCE), address, address_len);
        if (list.bad)
            return false;
    }
    return found && !body.bad;
}

/* TBSCertificate ::= SEQUENCE { version [0] DEFAULT v1, serialNumber, signature, issuer, validity, subject,
 * subjectPublicKeyInfo, … } (RFC 5280 §4.1) */
const uint8_t *der_cert_public_key(const uint8_t *cert, size_t cert_len, size_t *len)
{
    struct reader r = reader_of(cert, cert_len), field;
    struct reader whole = der_enter(&r, DER_SEQUENCE), body = der_enter(&whole, DER_SEQUENCE);
    int before = der_next(&body, &field) == DER_EXPLICIT_0 ? 5 : 4;
    for (int i = 0; i < before; i++)
        der_next(&body, &field);
    const uint8_t *at = body.p;
    der_enter(&body, DER_SEQUENCE);
    *len = (size_t)(body.p - at);
    return body.bad ? NULL : at;
}

/* ---- writing ---- */

struct der_writer der_writer_to(uint8_t *buf, size_t cap)
{
    return (struct der_writer){.buf = buf, .at = cap, .cap = cap};
}

void der_put(struct der_writer *w, const void *p, size_t len)
{
    if (w->bad || len > w->at) {
        w->bad = true;
        return;
    }
    w->at -= len;
    if (len)
        memcpy(w->buf + w->at, p, len);
}

static void put_u8(struct der_writer *w, size_t v)
{
    const uint8_t byte = (uint8_t)v;
    der_put(w, &byte, 1);
}

void der_wrap(struct der_writer *w, uint8_t tag, size_t end)
{
    size_t len = end - w->at, size = 0;
    if (len < LONG_FORM) {
        put_u8(w, len);
    } else {
        for (size_t rest = len; rest; rest >>= 8, size++)
            put_u8(w, rest);
        put_u8(w, LONG_FORM | size);
    }
    put_u8(w, tag);
}

void der_put_element(struct der_writer *w, uint8_t tag, const void *p, size_t len)
{
    size_t end = w->at;
    der_put(w, p, len);
    der_wrap(w, tag, end);
}
