#include "applets/service/join_proof.h"

#include "core/buf.h"
#include "core/bytes.h"

#define CONTEXT "berth-bridge-v1"

void join_device_id(char id[static JOIN_DEVICE_LEN + 1],
                    const uint8_t public[static KEY_PUBLIC_LEN])
{
    uint8_t hash[SHA256_LEN];
    key_sha256(public, KEY_PUBLIC_LEN, hash);
    hex_encode(id, hash, JOIN_DEVICE_LEN / 2);
}

static struct buf text_of(const struct join_proof *p)
{
    struct buf text = {0};
    buf_append(&text, CONTEXT, sizeof CONTEXT - 1);
    buf_append(&text, p->nonce, JOIN_NONCE_LEN);
    buf_printf(&text, "%s%s", p->url, p->device);
    return text;
}

void join_sign(uint8_t signature[static KEY_SIGNATURE_LEN], const struct join_proof *p,
               const uint8_t secret[static KEY_SECRET_LEN])
{
    struct buf text = text_of(p);
    key_sign(signature, buf_front(&text), text.len, secret);
    buf_fini(&text);
}

bool join_verify(const uint8_t signature[static KEY_SIGNATURE_LEN], const struct join_proof *p,
                 const uint8_t public[static KEY_PUBLIC_LEN])
{
    struct buf text = text_of(p);
    bool good = key_verify(signature, buf_front(&text), text.len, public);
    buf_fini(&text);
    return good;
}
