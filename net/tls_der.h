/* tls_der.h: the little ASN.1 (X.690, DER) that BearSSL has no words for: an address in a
 * certificate's subjectAltName, and writing a certificate. */
#ifndef NET_TLS_DER_H
#define NET_TLS_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_UTF8_STRING = 0x0c,
    DER_UTC_TIME = 0x17,
    DER_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_SAN_NAME = 0x82,
    DER_SAN_ADDRESS = 0x87,
    DER_EXPLICIT_0 = 0xa0,
    DER_EXPLICIT_3 = 0xa3,
};

/* The next element: its tag, and its content in *inner. At the end, and for a length that is not
 * DER or too long, the reader goes bad. Tags of one byte only. */
uint8_t der_next(struct reader *r, struct reader *inner);
/* The content of the next element, which must have this tag. */
struct reader der_enter(struct reader *r, uint8_t tag);

/* Whether a certificate's subjectAltName has this iPAddress: 4 or 16 bytes, network order. */
bool der_cert_has_address(const uint8_t *cert, size_t len, const uint8_t *address,
                          size_t address_len);

/* A certificate's SubjectPublicKeyInfo, inside it; NULL: it is no certificate. */
const uint8_t *der_cert_public_key(const uint8_t *cert, size_t cert_len, size_t *len);

/* Writes from the end towards the front, so that each length is known when it is written. What
 * does not fit makes it bad. */
struct der_writer {
    uint8_t *buf;
    size_t at; /* where the front is; what was written is buf[at .. cap) */
    size_t cap;
    bool bad;
};

struct der_writer der_writer_to(uint8_t *buf, size_t cap);
void der_put(struct der_writer *w, const void *p, size_t len);
/* Makes an element of all that was written since w->at was `end`. */
void der_wrap(struct der_writer *w, uint8_t tag, size_t end);
void der_put_element(struct der_writer *w, uint8_t tag, const void *p, size_t len);

#endif
