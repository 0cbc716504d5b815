/* tls_self.c: a certificate that is signed by its own key (RFC 5280, written as DER). */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/key.h"
#include "core/mem.h"
#include "net/tls_cert.h"
#include "net/tls_der.h"
#include "net/tls_pem.h"

#define CERT_MAX   8192
#define KEY_MAX    256
#define SIG_MAX    128
#define SERIAL_LEN 16
#define NAME_MAX_  253 /* of a host, RFC 1035 */
#define DAY        86400
#define EARLIER    DAY /* for clients whose clock is slow */
#define VALID      ((time_t)3650 * DAY)
#define LAST_UTC   2049

/* What these numbers are is in RFC 5280 and RFC 5480. */
static const uint8_t oid_ec_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t oid_p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t oid_ecdsa_sha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t oid_common_name[] = {0x55, 0x04, 0x03};
static const uint8_t oid_key_usage[] = {0x55, 0x1d, 0x0f};
static const uint8_t oid_san[] = {0x55, 0x1d, 0x11};
static const uint8_t oid_constraints[] = {0x55, 0x1d, 0x13};
static const uint8_t oid_extended_usage[] = {0x55, 0x1d, 0x25};
static const uint8_t yes[] = {DER_BOOLEAN, 1, 0xff};
static const uint8_t digital_signature[] = {DER_BIT_STRING, 2, 7, 0x80};
static const uint8_t no_authority[] = {DER_SEQUENCE, 0};
static const uint8_t for_servers[] = {DER_SEQUENCE, 10, DER_OID, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1};

struct pair {
    br_ec_private_key secret;
    br_ec_public_key pub;
    uint8_t secret_buf[BR_EC_KBUF_PRIV_MAX_SIZE], pub_buf[BR_EC_KBUF_PUB_MAX_SIZE];
};

static void make_key(struct pair *k)
{
    uint8_t seed[32];
    br_hmac_drbg_context rng;
    key_random(seed, sizeof(seed));
    br_hmac_drbg_init(&rng, &br_sha256_vtable, seed, sizeof(seed));
    br_ec_keygen(&rng.vtable, br_ec_get_default(), &k->secret, k->secret_buf, BR_EC_secp256r1);
    br_ec_compute_pub(br_ec_get_default(), &k->pub, k->pub_buf, &k->secret);
    key_wipe(seed, sizeof(seed));
    key_wipe(&rng, sizeof(rng));
}

static void put_bits(struct der_writer *w, const void *p, size_t len)
{
    size_t end = w->at;
    der_put(w, p, len);
    der_put(w, "", 1); /* no bit of the last byte is unused */
    der_wrap(w, DER_BIT_STRING, end);
}

static void put_algorithm(struct der_writer *w)
{
    size_t end = w->at;
    der_put_element(w, DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
    der_wrap(w, DER_SEQUENCE, end);
}

/* `value` is the extension's DER. */
static void put_extension(struct der_writer *w, const uint8_t oid[3], bool critical,
                          const struct reader *value)
{
    size_t end = w->at;
    der_put_element(w, DER_OCTET_STRING, value->p, value->left);
    if (critical)
        der_put(w, yes, sizeof(yes));
    der_put_element(w, DER_OID, oid, 3);
    der_wrap(w, DER_SEQUENCE, end);
}

static bool is_host_name(const char *name)
{
    size_t len = strlen(name);
    return len && len <= NAME_MAX_ &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*") ==
               len;
}

static void put_name(struct der_writer *w, const char *name)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, name, address) == 1)
        der_put_element(w, DER_SAN_ADDRESS, address, 4);
    else if (inet_pton(AF_INET6, name, address) == 1)
        der_put_element(w, DER_SAN_ADDRESS, address, 16);
    else if (is_host_name(name))
        der_put_element(w, DER_SAN_NAME, name, strlen(name));
    else
        w->bad = true;
}

static void put_san(struct der_writer *w, const char *const *names, size_t n)
{
    uint8_t buf[CERT_MAX / 2];
    struct der_writer san = der_writer_to(buf, sizeof(buf));
    for (size_t i = n; i--;)
        put_name(&san, names[i]);
    der_wrap(&san, DER_SEQUENCE, sizeof(buf));
    w->bad |= san.bad;
    struct reader value = reader_of(buf + san.at, sizeof(buf) - san.at);
    put_extension(w, oid_san, false, &value);
}

static void put_extensions(struct der_writer *w, const char *const *names, size_t n)
{
    size_t end = w->at;
    struct reader constraints = reader_of(no_authority, sizeof(no_authority));
    struct reader usage = reader_of(digital_signature, sizeof(digital_signature));
    struct reader extended = reader_of(for_servers, sizeof(for_servers));
    put_extension(w, oid_extended_usage, false, &extended);
    put_extension(w, oid_key_usage, true, &usage);
    put_extension(w, oid_constraints, true, &constraints);
    put_san(w, names, n);
    der_wrap(w, DER_SEQUENCE, end);
    der_wrap(w, DER_EXPLICIT_3, end);
}

static void put_key(struct der_writer *w, const br_ec_public_key *pub)
{
    size_t end = w->at;
    put_bits(w, pub->q, pub->qlen);
    size_t algorithm = w->at;
    der_put_element(w, DER_OID, oid_p256, sizeof(oid_p256));
    der_put_element(w, DER_OID, oid_ec_key, sizeof(oid_ec_key));
    der_wrap(w, DER_SEQUENCE, algorithm);
    der_wrap(w, DER_SEQUENCE, end);
}

static void put_time(struct der_writer *w, time_t when)
{
    struct tm tm;
    char text[32];
    gmtime_r(&when, &tm);
    bool utc = tm.tm_year + 1900 <= LAST_UTC;
    size_t len = strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm);
    size_t century = utc ? 2 : 0; /* which UTCTime leaves out */
    der_put_element(w, utc ? DER_UTC_TIME : DER_TIME, text + century, len - century);
}

static void put_validity(struct der_writer *w)
{
    size_t end = w->at;
    time_t now = time(NULL);
    put_time(w, now + VALID);
    put_time(w, now - EARLIER);
    der_wrap(w, DER_SEQUENCE, end);
}

static void put_subject(struct der_writer *w)
{
    static const char name[] = "berth";
    size_t end = w->at;
    der_put_element(w, DER_UTF8_STRING, name, sizeof(name) - 1);
    der_put_element(w, DER_OID, oid_common_name, sizeof(oid_common_name));
    der_wrap(w, DER_SEQUENCE, end);
    der_wrap(w, DER_SET, end);
    der_wrap(w, DER_SEQUENCE, end);
}

/* Positive, and with no zero byte in front, which would make it longer than need be. */
static void put_serial(struct der_writer *w)
{
    uint8_t serial[SERIAL_LEN];
    key_random(serial, sizeof(serial));
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
    der_put_element(w, DER_INTEGER, serial, sizeof(serial));
}

static void put_body(struct der_writer *w, const br_ec_public_key *pub, const char *const *names,
                     size_t n)
{
    static const uint8_t version_3[] = {DER_INTEGER, 1, 2};
    size_t end = w->at;
    put_extensions(w, names, n);
    put_key(w, pub);
    put_subject(w);
    put_validity(w);
    put_subject(w); /* the issuer */
    put_algorithm(w);
    put_serial(w);
    der_put_element(w, DER_EXPLICIT_0, version_3, sizeof(version_3));
    der_wrap(w, DER_SEQUENCE, end);
}

static size_t sign(const struct pair *k, const uint8_t *p, size_t len, uint8_t sig[SIG_MAX])
{
    uint8_t hash[SHA256_LEN];
    key_sha256(p, len, hash);
    return br_ecdsa_sign_asn1_get_default()(br_ec_get_default(), &br_sha256_vtable, hash,
                                            &k->secret, sig);
}

/* The certificate around a body that stands at the end of its own buffer. */
static void put_cert(struct der_writer *w, const struct pair *k, const struct der_writer *body)
{
    uint8_t sig[SIG_MAX];
    size_t len = body->cap - body->at, end = w->at;
    put_bits(w, sig, sign(k, body->buf + body->at, len, sig));
    put_algorithm(w);
    der_put(w, body->buf + body->at, len);
    der_wrap(w, DER_SEQUENCE, end);
}

static char *to_pem(const struct pair *k, const struct der_writer *cert)
{
    uint8_t key[KEY_MAX];
    size_t len = br_encode_ec_pkcs8_der(key, &k->secret, &k->pub);
    cleanup_free char *cert_text =
        pem_write("CERTIFICATE", cert->buf + cert->at, cert->cap - cert->at);
    char *key_text = pem_write(BR_ENCODE_PEM_PKCS8, key, len);
    char *both = xasprintf("%s%s", cert_text, key_text);
    key_wipe(key, sizeof(key));
    key_wipe(key_text, strlen(key_text));
    free(key_text);
    return both;
}

char *tls_self_signed(const char *const *names, size_t n)
{
    uint8_t body_buf[CERT_MAX], cert_buf[CERT_MAX + 512];
    struct der_writer body = der_writer_to(body_buf, sizeof(body_buf));
    struct der_writer cert = der_writer_to(cert_buf, sizeof(cert_buf));
    struct pair k;
    make_key(&k);
    put_body(&body, &k.pub, names, n);
    if (!body.bad)
        put_cert(&cert, &k, &body);
    char *text = body.bad || cert.bad || !n ? NULL : to_pem(&k, &cert);
    key_wipe(&k, sizeof(k));
    return text;
}
