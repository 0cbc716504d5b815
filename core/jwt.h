/* jwt.h: who a JSON Web Token says it is, if its issuer has signed that (RFC 7515, 7517, 7519).
 *
 * RS256, ES256 and EdDSA (Ed25519) with the keys of a JWKS; nothing else: no `none`, no HMAC, for which
 * a public key would be a secret, no key that the token brings along. The key's kind decides together
 * with the algorithm, and the token's `kid` names it; without one there must be a single key. */
#ifndef CORE_JWT_H
#define CORE_JWT_H

#include <stddef.h>
#include <stdint.h>

#define JWT_MAX       16384u        /* bytes of a token */
#define JWT_LEEWAY_S  60            /* between the issuer's clock and ours */
#define JWT_SUB_MAX   255u          /* bytes of a subject */
#define JWKS_MAX      (256u * 1024) /* bytes of a key set … */
#define JWKS_KEYS_MAX 64u           /* … and keys of it that are looked at */

struct jwks;

/* Keys of other kinds or for other purposes are passed over. NULL with a line in *why (static) when it
 * is no key set, or has no key that can be used. RSA keys have 2048 to 4096 bits. */
struct jwks *jwks_parse(const void *text, size_t len, const char **why);
void jwks_free(struct jwks *keys); /* NULL is fine */

struct jwt_rules {
    const char *issuer;   /* `iss`, to the byte */
    const char *audience; /* among `aud`; or `azp` where there is no `aud`. NULL: any */
    int64_t now_s;        /* since 1970 */
};

struct jwt_claims {
    char sub[JWT_SUB_MAX + 1];
    int64_t exp_s; /* without the leeway */
};

/* 0 with *claims; or -1 with a line in *why (static) and errno: ENOKEY: no key has its `kid`, which a newer
 * key set may; EKEYREJECTED: not signed so; EKEYEXPIRED: expired, or not yet valid; EACCES: another
 * issuer or audience; EBADMSG: no such token at all. */
int jwt_verify(const struct jwks *keys, const char *token, const struct jwt_rules *rules,
               struct jwt_claims *claims, const char **why);

#endif
