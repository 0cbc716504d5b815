/* A token and a key set from anywhere: the first byte says which the rest is. Nothing that is made up here can
 * be signed well. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/jwt.h"
#include "core/key.h"
#include "core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ED "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static const char known[] =
    "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"e\", \"x\": " ED "},"
    "{\"kty\": \"EC\", \"crv\": \"P-256\", \"kid\": \"p\", \"x\": "
    "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\", \"y\": "
    "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static struct jwks *keys;

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void try_token(const char *token)
{
    static const struct jwt_rules rules = {.issuer = "i", .audience = "a", .now_s = 1800000000};
    struct jwt_claims claims;
    const char *why = NULL;
    errno = 0;
    require(jwt_verify(keys, token, &rules, &claims, &why) == -1 && why && errno);
}

static void try_keys(const char *text, size_t len)
{
    const char *why = NULL;
    struct jwks *set = jwks_parse(text, len, &why);
    require(set || why);
    jwks_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why;
    if (!keys) {
        key_init();
        keys = jwks_parse(known, sizeof(known) - 1, &why);
        require(keys);
    }
    if (size < 1)
        return 0;
    char *text = xstrndup((const char *)data + 1, size - 1);
    if (data[0] & 1)
        try_keys(text, strlen(text));
    else
        try_token(text);
    free(text);
    return 0;
}
