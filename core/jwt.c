/* JSON Web Tokens. */
#include "core/jwt.h"

#include <assert.h>
#include <bearssl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/json.h"
#include "core/key.h"
#include "core/mem.h"

#define KID_MAX   255u
#define RSA_MAX   512u /* bytes of a modulus */
#define RSA_MIN   256u
#define COORD_LEN 32u
#define POINT_LEN (1 + 2 * COORD_LEN)
#define ES256_LEN (2 * COORD_LEN)

enum algorithm { NO_ALGORITHM, RS256, ES256, EDDSA };

static const struct {
    const char *alg, *kty, *crv;
} algorithms[] = {
    [NO_ALGORITHM] = {"", "", NULL},
    [RS256] = {"RS256", "RSA", NULL},
    [ES256] = {"ES256", "EC", "P-256"},
    [EDDSA] = {"EdDSA", "OKP", "Ed25519"},
};

struct key {
    enum algorithm algorithm;
    char kid[KID_MAX + 1]; /* "": none */
    uint8_t material[RSA_MAX + 8];
    size_t n_len, e_len; /* RSA: the modulus, then the exponent */
};

struct jwks {
    size_t n;
    struct key key[];
};

/* JSON whose members may each come once only: readers that take the first and readers that take the last
 * would see two tokens in one (RFC 7515 section 4). */

static bool has_doubles(const struct json_value *v)
{
    for (struct json_iter a = json_iter(v); json_next(&a);) {
        unsigned n = 0;
        for (struct json_iter b = json_iter(v); json_next(&b);)
            n += !strcmp(a.key, b.key);
        if (n > 1)
            return true;
    }
    return false;
}

#define MEMBERS_MAX 256u /* of an object: the look above is at every pair */

static struct json *parse_object(const void *text, size_t len)
{
    struct json *doc = json_parse(text, len);
    const struct json_value *root = doc ? json_root(doc) : NULL;
    if (root && json_is_object(root) && json_count(root) <= MEMBERS_MAX && !has_doubles(root))
        return doc;
    json_free(doc);
    return NULL;
}

/* Key sets. */

/* A member's bytes, dst[cap]: how many; 0: none such. */
static size_t bytes_of(const struct json_value *v, const char *name, uint8_t *dst, size_t cap)
{
    const char *text = json_get_str(v, name);
    size_t len = text ? strlen(text) : 0, size = base64url_size(len);
    if (!size || size > cap || base64url_decode(dst, text, len) != 0)
        return 0;
    return size;
}

static bool read_rsa(struct key *k, const struct json_value *v)
{
    k->n_len = bytes_of(v, "n", k->material, RSA_MAX);
    k->e_len = bytes_of(v, "e", k->material + k->n_len, 8);
    if (k->n_len < RSA_MIN || !k->material[0] || !k->e_len)
        return false;
    uint8_t e = k->material[k->n_len + k->e_len - 1];
    return (k->material[k->n_len - 1] & 1) && (e & 1) && (e > 1 || k->e_len > 1);
}

static bool read_ec(struct key *k, const struct json_value *v)
{
    k->material[0] = 4; /* uncompressed (SEC 1 section 2.3.3) */
    return bytes_of(v, "x", k->material + 1, COORD_LEN) == COORD_LEN &&
           bytes_of(v, "y", k->material + 1 + COORD_LEN, COORD_LEN) == COORD_LEN;
}

static bool read_ed25519(struct key *k, const struct json_value *v)
{
    return bytes_of(v, "x", k->material, KEY_PUBLIC_LEN) == KEY_PUBLIC_LEN;
}

static bool says(const struct json_value *v, const char *name, const char *want)
{
    const char *said = json_get_str(v, name);
    return said && want && !strcmp(said, want);
}

static enum algorithm kind_of(const struct json_value *v)
{
    for (enum algorithm a = RS256; a <= EDDSA; a++) {
        bool fits = says(v, "kty", algorithms[a].kty) &&
                    (!algorithms[a].crv || says(v, "crv", algorithms[a].crv));
        if (fits && (!json_get(v, "alg") || says(v, "alg", algorithms[a].alg)))
            return a;
    }
    return NO_ALGORITHM;
}

static bool read_key(struct key *k, const struct json_value *v)
{
    const char *kid = json_get_str(v, "kid");
    *k = (struct key){.algorithm = kind_of(v)};
    if ((json_get(v, "use") && !says(v, "use", "sig")) || (json_get(v, "kid") && !kid) ||
        (kid && strlen(kid) > KID_MAX))
        return false;
    memcpy(k->kid, kid ? kid : "", kid ? strlen(kid) : 0);
    switch (k->algorithm) {
    case RS256: return read_rsa(k, v);
    case ES256: return read_ec(k, v);
    case EDDSA: return read_ed25519(k, v);
    case NO_ALGORITHM: break;
    }
    return false;
}

struct jwks *jwks_parse(const void *text, size_t len, const char **why)
{
    struct json *doc = len <= JWKS_MAX ? parse_object(text, len) : NULL;
    const struct json_value *list = doc ? json_get(json_root(doc), "keys") : NULL;
    size_t n = json_is_array(list) ? json_count(list) : 0, looked = 0;
    *why = "it is no JSON Web Key Set";
    if (n == 0 || n > JWKS_KEYS_MAX) {
        json_free(doc);
        return NULL;
    }
    struct jwks *keys = xcalloc(1, sizeof(*keys) + n * sizeof(keys->key[0]));
    for (struct json_iter it = json_iter(list); json_next(&it) && looked < n; looked++)
        if (json_is_object(it.value) && read_key(&keys->key[keys->n], it.value))
            keys->n++;
    json_free(doc);
    if (keys->n)
        return keys;
    *why = "none of its keys is an RSA, P-256 or Ed25519 key for signatures";
    free(keys);
    return NULL;
}

void jwks_free(struct jwks *keys)
{
    free(keys);
}

/* Signatures. */

static bool rsa_ok(const struct key *k, const uint8_t hash[static SHA256_LEN], const uint8_t *sig,
                   size_t len)
{
    uint8_t signed_hash[SHA256_LEN];
    const br_rsa_public_key pk = {.n = (uint8_t *)(uintptr_t)k->material,
                                  .nlen = k->n_len,
                                  .e = (uint8_t *)(uintptr_t)k->material + k->n_len,
                                  .elen = k->e_len};
    return len == k->n_len &&
           br_rsa_pkcs1_vrfy_get_default()(sig, len, BR_HASH_OID_SHA256, sizeof(signed_hash), &pk,
                                           signed_hash) &&
           !memcmp(signed_hash, hash, sizeof(signed_hash));
}

static bool ecdsa_ok(const struct key *k, const uint8_t hash[static SHA256_LEN], const uint8_t *sig,
                     size_t len)
{
    const br_ec_public_key pk = {
        .curve = BR_EC_secp256r1, .q = (uint8_t *)(uintptr_t)k->material, .qlen = POINT_LEN};
    return len == ES256_LEN && br_ecdsa_vrfy_raw_get_default()(br_ec_get_default(), hash,
                                                               SHA256_LEN, &pk, sig, len) == 1;
}

static bool signature_ok(const struct key *k, const char *text, size_t text_len, const uint8_t *sig,
                         size_t len)
{
    uint8_t hash[SHA256_LEN];
    key_sha256(text, text_len, hash);
    switch (k->algorithm) {
    case RS256: return rsa_ok(k, hash, sig, len);
    case ES256: return ecdsa_ok(k, hash, sig, len);
    case EDDSA: return len == KEY_SIGNATURE_LEN && key_verify(sig, text, text_len, k->material);
    case NO_ALGORITHM: break;
    }
    return false;
}

/* Tokens. */

struct token {
    const char *text;
    size_t signed_len; /* of "header.claims" */
    struct json *header, *claims;
    uint8_t signature[RSA_MAX];
    size_t signature_len;
};

static int refuse(int error, const char *reason, const char **why)
{
    *why = reason;
    errno = error;
    return -1;
}

static struct json *part_of(const char *text, size_t len)
{
    size_t size = base64url_size(len);
    cleanup_free char *bytes = xmalloc(size + 1);
    return base64url_decode(bytes, text, len) == 0 ? parse_object(bytes, size) : NULL;
}

static bool take_apart(struct token *t, const char *text)
{
    size_t header = strcspn(text, "."), len = strnlen(text, JWT_MAX + 1);
    if (len > JWT_MAX || !text[header])
        return false;
    size_t claims = strcspn(text + header + 1, ".");
    t->text = text;
    t->signed_len = header + 1 + claims;
    if (!text[t->signed_len])
        return false;
    const char *signature = text + t->signed_len + 1;
    size_t signature_len = len - t->signed_len - 1;
    t->signature_len = base64url_size(signature_len);
    t->header = part_of(text, header);
    t->claims = part_of(text + header + 1, claims);
    return t->header && t->claims && t->signature_len <= RSA_MAX &&
           base64url_decode(t->signature, signature, signature_len) == 0;
}

static const struct key *key_for(const struct jwks *keys, const struct json_value *header)
{
    const char *kid = json_get_str(header, "kid");
    if (!json_get(header, "kid"))
        return keys->n == 1 ? &keys->key[0] : NULL;
    for (size_t i = 0; kid && i < keys->n; i++)
        if (keys->key[i].kid[0] && !strcmp(keys->key[i].kid, kid))
            return &keys->key[i];
    return NULL;
}

static int check_signature(const struct token *t, const struct jwks *keys, const char **why)
{
    const struct json_value *header = json_root(t->header);
    const char *alg = json_get_str(header, "alg");
    bool known = false;
    for (size_t a = RS256; a <= EDDSA; a++)
        known |= alg && !strcmp(alg, algorithms[a].alg);
    if (!known)
        return refuse(EKEYREJECTED, "it is not signed with RS256, ES256 or EdDSA", why);
    if (json_get(header, "crit"))
        return refuse(EBADMSG, "it demands what is not known here", why);
    const struct key *k = key_for(keys, header);
    if (!k)
        return refuse(ENOKEY, "it is signed with a key that the issuer does not name", why);
    if (strcmp(alg, algorithms[k->algorithm].alg) != 0)
        return refuse(EKEYREJECTED, "its key is for another algorithm", why);
    if (!signature_ok(k, t->text, t->signed_len, t->signature, t->signature_len))
        return refuse(EKEYREJECTED, "its signature is wrong", why);
    return 0;
}

static bool is_among(const struct json_value *list, const char *name)
{
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        const char *one = json_str(it.value);
        if (one && !strcmp(one, name))
            return true;
    }
    return false;
}

static bool is_for(const struct json_value *claims, const char *audience)
{
    const struct json_value *aud = json_get(claims, "aud");
    if (!aud)
        return says(claims, "azp", audience);
    return json_is_array(aud) ? is_among(aud, audience) : says(claims, "aud", audience);
}

static int check_time(const struct json_value *claims, int64_t now, int64_t *exp, const char **why)
{
    int64_t nbf = INT64_MIN;
    if (json_get_int(claims, "exp", exp) != 1 || json_get_int(claims, "nbf", &nbf) < 0)
        return refuse(EBADMSG, "it does not say when it expires", why);
    if (*exp <= now - JWT_LEEWAY_S)
        return refuse(EKEYEXPIRED, "it has expired", why);
    if (nbf > now + JWT_LEEWAY_S)
        return refuse(EKEYEXPIRED, "it is not valid yet", why);
    return 0;
}

static int check_claims(const struct json_value *v, const struct jwt_rules *rules,
                        struct jwt_claims *claims, const char **why)
{
    const char *sub = json_get_str(v, "sub");
    if (!says(v, "iss", rules->issuer))
        return refuse(EACCES, "another issuer has made it", why);
    if (rules->audience && !is_for(v, rules->audience))
        return refuse(EACCES, "it was made for another audience", why);
    if (check_time(v, rules->now_s, &claims->exp_s, why) != 0)
        return -1;
    if (!sub || !*sub || strlen(sub) > JWT_SUB_MAX)
        return refuse(EBADMSG, "it does not say who its subject is", why);
    memcpy(claims->sub, sub, strlen(sub) + 1);
    return 0;
}

int jwt_verify(const struct jwks *keys, const char *token, const struct jwt_rules *rules,
               struct jwt_claims *claims, const char **why)
{
    struct token t = {.header = NULL};
    int rc;
    if (!take_apart(&t, token))
        rc = refuse(EBADMSG, "it is no JSON Web Token", why);
    else if ((rc = check_signature(&t, keys, why)) == 0)
        rc = check_claims(json_root(t.claims), rules, claims, why);
    int error = errno;
    json_free(t.header);
    json_free(t.claims);
    errno = error;
    return rc;
}
