/* Tokens that openssl has signed, and what must not pass for one. */
#include "core/jwt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base64.h"
#include "core/buf.h"
#include "core/mem.h"
#include "tests/unit/test.h"
#include "tests/unit/tls_rig.h"

#define NOW 1800000000

static char *encode(const void *bytes, size_t len)
{
    char *text = xmalloc(BASE64_LEN(len) + 1);
    base64_encode(text, bytes, len);
    for (char *p = text; *p; p++)
        *p = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
    text[strcspn(text, "=")] = '\0';
    return text;
}

/* What a command prints. */
static struct buf run(const char *command)
{
    struct buf got = {0};
    uint8_t piece[4096];
    size_t n;
    FILE *f = popen(command, "re");
    CHECK(f);
    while (f && (n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_append(&got, piece, n);
    CHECK(f && pclose(f) == 0);
    return got;
}

/* The last `len` bytes of a public key's DER: a point, or what Ed25519 has. */
static char *public_end(const char *file, size_t len)
{
    cleanup_free char *path = tls_file(file);
    cleanup_free char *command = xasprintf("openssl pkey -in %s -pubout -outform DER", path);
    struct buf der = run(command);
    CHECK(der.len > len);
    char *bytes = xmalloc(len);
    memcpy(bytes, buf_front(&der) + der.len - len, len);
    buf_fini(&der);
    return bytes;
}

static char *modulus(const char *file)
{
    cleanup_free char *path = tls_file(file);
    cleanup_free char *command =
        xasprintf("openssl rsa -in %s -noout -modulus | cut -d= -f2 | tr -d '\\n'", path);
    struct buf hex = run(command);
    uint8_t bytes[512];
    size_t len = hex.len / 2;
    CHECK(len >= 128 && len <= sizeof(bytes));
    for (size_t i = 0; i < len; i++) {
        char two[3] = {(char)buf_front(&hex)[2 * i], (char)buf_front(&hex)[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    buf_fini(&hex);
    return encode(bytes, len);
}

static char *key_set(void)
{
    cleanup_free char *n = modulus("rsa.key");
    cleanup_free char *point = public_end("p256.key", 64);
    cleanup_free char *x = encode(point, 32), *y = encode(point + 32, 32);
    cleanup_free char *raw = public_end("ed25519.key", 32);
    cleanup_free char *ed = encode(raw, 32);
    return xasprintf(
        "{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\", \"kid\": \"secret\"},"
        "{\"kty\": \"RSA\", \"use\": \"enc\", \"n\": \"%s\", \"e\": \"AQAB\", \"kid\": \"enc\"},"
        "{\"kty\": \"RSA\", \"use\": \"sig\", \"n\": \"%s\", \"e\": \"AQAB\", \"kid\": \"rsa\"},"
        "{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"%s\", \"y\": \"%s\", \"kid\": \"ec\"},"
        "{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"%s\", \"kid\": \"ed\"}]}",
        n, n, x, y, ed);
}

static struct jwks *keys(void)
{
    static char *text;
    const char *why = NULL;
    if (!text)
        text = key_set();
    struct jwks *set = jwks_parse(text, strlen(text), &why);
    CHECK(set);
    return set;
}

/* r and s of a signature in DER, 32 bytes each. */
static void flatten(struct buf *der)
{
    uint8_t raw[64] = {0};
    const uint8_t *p = buf_front(der) + 2;
    for (size_t i = 0; i < 2; i++) {
        size_t len = p[1], skip = len > 32 ? len - 32 : 0, room = 32 - (len - skip);
        memcpy(raw + 32 * i + room, p + 2 + skip, len - skip);
        p += 2 + len;
    }
    der->len = 0;
    buf_append(der, raw, sizeof(raw));
}

/* "header.claims.signature", by openssl. */
static char *token(const char *key, const char *header, const char *claims)
{
    cleanup_free char *h = encode(header, strlen(header)), *c = encode(claims, strlen(claims));
    cleanup_free char *text = xasprintf("%s.%s", h, c);
    cleanup_free char *path = tls_file(key);
    cleanup_free char *command =
        !strcmp(key, "ed25519.key")
            ? xasprintf("printf %%s %s >%s.in; openssl pkeyutl -sign -rawin -in %s.in -inkey %s",
                        text, path, path, path)
            : xasprintf("printf %%s %s | openssl dgst -sha256 -sign %s", text, path);
    struct buf signature = run(command);
    if (!strncmp(key, "p256", 4))
        flatten(&signature);
    cleanup_free char *s = encode(buf_front(&signature), signature.len);
    buf_fini(&signature);
    return xasprintf("%s.%s", text, s);
}

static const struct jwt_rules rules = {
    .issuer = "https://issuer.example", .audience = "berth", .now_s = NOW};

static int verify(const char *text, struct jwt_claims *claims)
{
    struct jwks *set = keys();
    const char *why = NULL;
    errno = 0;
    int rc = jwt_verify(set, text, &rules, claims, &why);
    CHECK((rc == 0) == (why == NULL));
    jwks_free(set);
    return rc == 0 ? 0 : errno;
}

#define CLAIMS(more) "{\"iss\":\"https://issuer.example\",\"sub\":\"user_1\"" more "}"
#define GOOD         CLAIMS(",\"aud\":\"berth\",\"exp\":1800000100")
#define RS           "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"JWT\"}"

TEST(jwt_takes_what_openssl_has_signed)
{
    static const struct {
        const char *key, *header;
    } rows[] = {
        {"rsa.key", RS},
        {"p256.key", "{\"alg\":\"ES256\",\"kid\":\"ec\"}"},
        {"ed25519.key", "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct jwt_claims claims = {.exp_s = 0};
        cleanup_free char *good = token(rows[i].key, rows[i].header, GOOD);
        CHECK_INT(verify(good, &claims), 0);
        CHECK_STR(claims.sub, "user_1");
        CHECK_INT(claims.exp_s, 1800000100);
        /* Each of its characters matters. */
        for (size_t at = 0; good[at]; at += 1 + at % 7) {
            char was = good[at];
            good[at] = was == 'A' ? 'Q' : 'A';
            CHECK(verify(good, &claims) != 0);
            good[at] = was;
        }
        good[strlen(good) - 1] = '\0';
        CHECK(verify(good, &claims) != 0);
    }
}

/* Signed well each time; what it says is what is judged. */
TEST(jwt_judges_what_a_token_claims)
{
    static const struct {
        const char *claims;
        int error;
    } rows[] = {
        {CLAIMS(",\"aud\":[\"x\",\"berth\"],\"exp\":1799999941,\"nbf\":1800000060"), 0},
        {CLAIMS(",\"azp\":\"berth\",\"exp\":1800000100"), 0},
        {CLAIMS(",\"aud\":\"berth\",\"exp\":1799999940"), EKEYEXPIRED},
        {CLAIMS(",\"aud\":\"berth\",\"exp\":1800000100,\"nbf\":1800000061"), EKEYEXPIRED},
        {CLAIMS(",\"aud\":\"berth\""), EBADMSG},
        {CLAIMS(",\"aud\":\"berth\",\"exp\":\"1800000100\""), EBADMSG},
        {CLAIMS(",\"aud\":\"berth\",\"exp\":1800000100,\"nbf\":\"x\""), EBADMSG},
        {CLAIMS(",\"aud\":\"berths\",\"exp\":1800000100"), EACCES},
        {CLAIMS(",\"aud\":[],\"azp\":\"berth\",\"exp\":1800000100"), EACCES},
        {CLAIMS(",\"aud\":\"x\",\"azp\":\"berth\",\"exp\":1800000100"), EACCES},
        {CLAIMS(",\"exp\":1800000100"), EACCES},
        {"{\"iss\":\"https://issuer.example/\",\"sub\":\"u\",\"aud\":\"berth\",\"exp\":1800000100}",
         EACCES},
        {"{\"sub\":\"u\",\"aud\":\"berth\",\"exp\":1800000100}", EACCES},
        {"{\"iss\":\"https://issuer.example\",\"aud\":\"berth\",\"exp\":1800000100}", EBADMSG},
        {"{\"iss\":\"https://issuer.example\",\"sub\":\"\",\"aud\":\"berth\",\"exp\":1800000100}",
         EBADMSG},
        {CLAIMS(",\"aud\":\"berth\",\"exp\":1800000100,\"sub\":\"other\""), EBADMSG},
        {"[]", EBADMSG},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct jwt_claims claims;
        cleanup_free char *text = token("rsa.key", RS, rows[i].claims);
        CHECK_INT(verify(text, &claims), rows[i].error);
    }
}

TEST(jwt_refuses_other_keys_and_algorithms)
{
    static const struct {
        const char *key, *header;
        int error;
    } rows[] = {
        {"rsa.key", "{\"alg\":\"none\",\"kid\":\"rsa\"}", EKEYREJECTED},
        {"rsa.key", "{\"alg\":\"None\",\"kid\":\"rsa\"}", EKEYREJECTED},
        {"rsa.key", "{\"alg\":\"\",\"kid\":\"rsa\"}", EKEYREJECTED},
        {"rsa.key", "{\"kid\":\"rsa\"}", EKEYREJECTED},
        {"rsa.key", "{\"alg\":\"HS256\",\"kid\":\"rsa\"}", EKEYREJECTED},
        {"rsa.key", "{\"alg\":\"HS256\",\"kid\":\"secret\"}", EKEYREJECTED},
        {"rsa.key", "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", EKEYREJECTED},
        {"rsa.key", "{\"alg\":\"ES256\",\"kid\":\"rsa\"}", EKEYREJECTED},
        {"rsa.key", "{\"alg\":\"RS256\",\"kid\":\"ec\"}", EKEYREJECTED},
        {"rsa.key", "{\"alg\":\"RS256\",\"kid\":\"enc\"}", ENOKEY},
        {"rsa.key", "{\"alg\":\"RS256\",\"kid\":\"other\"}", ENOKEY},
        {"rsa.key", "{\"alg\":\"RS256\",\"kid\":\"\"}", ENOKEY},
        {"rsa.key", "{\"alg\":\"RS256\",\"kid\":7}", ENOKEY},
        {"rsa.key", "{\"alg\":\"RS256\"}", ENOKEY},
        {"rsa.key", "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[\"exp\"]}", EBADMSG},
        {"rsa.key", "{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"rsa\"}", EBADMSG},
        {"p384.key", "{\"alg\":\"ES256\",\"kid\":\"ec\"}", EKEYREJECTED},
        {"other.key", "{\"alg\":\"ES256\",\"kid\":\"ec\"}", EKEYREJECTED},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct jwt_claims claims;
        cleanup_free char *text = token(rows[i].key, rows[i].header, GOOD);
        CHECK_INT(verify(text, &claims), rows[i].error);
    }
}

/* The public key's own text as the secret of an HMAC; and no signature at all. */
TEST(jwt_is_not_fooled_by_the_public_key)
{
    struct jwt_claims claims;
    const char *header = "{\"alg\":\"HS256\",\"kid\":\"rsa\"}";
    cleanup_free char *h = encode(header, strlen(header)), *c = encode(GOOD, strlen(GOOD));
    cleanup_free char *path = tls_file("rsa.key");
    cleanup_free char *command = xasprintf(
        "openssl pkey -in %s -pubout >%s.pub; printf %%s %s.%s | openssl dgst -sha256 -hmac "
        "\"$(cat %s.pub)\" -binary",
        path, path, h, c, path);
    struct buf mac = run(command);
    CHECK_INT(mac.len, 32);
    cleanup_free char *s = encode(buf_front(&mac), mac.len);
    buf_fini(&mac);
    cleanup_free char *text = xasprintf("%s.%s.%s", h, c, s);
    CHECK_INT(verify(text, &claims), EKEYREJECTED);
    cleanup_free char *good = token("rsa.key", RS, GOOD);
    *(strrchr(good, '.') + 1) = '\0';
    CHECK_INT(verify(good, &claims), EKEYREJECTED);
}

TEST(jwt_refuses_what_is_no_token)
{
    static const char *const rows[] = {
        "",           ".",          "..",           "...",           "a.b.c",
        "e30.e30.",   "e30=.e30.",  "e30.e30",      "e30.e30.AA.AA", " e30.e30.AA",
        "e31.e30.AA", "W10.e30.AA", "e30.bnVsbA.AA"};
    struct jwt_claims claims;
    for (size_t i = 0; i < countof(rows); i++) {
        int error = verify(rows[i], &claims);
        CHECK(error == EBADMSG || (error == EKEYREJECTED && !strcmp(rows[i], "e30.e30.")));
    }
    cleanup_free char *long_one = xmalloc(JWT_MAX + 10);
    memset(long_one, 'A', JWT_MAX + 9);
    long_one[JWT_MAX + 9] = '\0';
    long_one[10] = long_one[20] = '.';
    CHECK_INT(verify(long_one, &claims), EBADMSG);
}

#define X "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

TEST(jwks_says_why_it_is_none)
{
    static const char exchange[] =
        "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"X25519\", \"x\": " X "}]}";
    static const char other_use[] =
        "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"alg\": \"RS256\", \"x\": " X "}]}";
    const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"keys\": {}}",
        "{\"keys\": []}",
        "{\"keys\": [1, null, []]}",
        "{\"keys\": [], \"keys\": [{}]}",
        "{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\"}]}",
        "{\"keys\": [{\"kty\": \"RSA\", \"n\": \"AAAA\", \"e\": \"AQAB\"}]}",
        "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"AAAA\", \"y\": \"AAAA\"}]}",
        exchange,
        other_use,
    };
    for (size_t i = 0; i < countof(rows); i++) {
        const char *why = NULL;
        CHECK(!jwks_parse(rows[i], strlen(rows[i]), &why));
        CHECK(why);
    }
}

/* The other key is that of RFC 8037 appendix A. */
TEST(jwt_with_a_single_key_needs_no_kid)
{
    static const char set[] = "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": "
                              "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    cleanup_free char *good = token("ed25519.key", "{\"alg\":\"EdDSA\"}", GOOD);
    cleanup_free char *raw = public_end("ed25519.key", 32);
    cleanup_free char *x = encode(raw, 32);
    cleanup_free char *own =
        xasprintf("{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"%s\"}]}", x);
    const char *why = NULL;
    struct jwt_claims claims;
    struct jwks *right = jwks_parse(own, strlen(own), &why);
    struct jwks *wrong = jwks_parse(set, strlen(set), &why);
    CHECK(right && wrong);
    CHECK_INT(jwt_verify(right, good, &rules, &claims, &why), 0);
    CHECK_INT(jwt_verify(wrong, good, &rules, &claims, &why), -1);
    CHECK_INT(errno, EKEYREJECTED);
    jwks_free(right);
    jwks_free(wrong);
}
