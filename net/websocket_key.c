/* The handshake's key and its answer (RFC 6455 §1.3). The only user of SHA-1, so this file and no
 * other includes BearSSL's hashes for it. */
#include <bearssl.h>
#include <string.h>

#include "core/base64.h"
#include "core/key.h"
#include "net/websocket_frame.h"

#define NONCE_LEN 16

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

void ws_accept(char accept[static WS_ACCEPT_LEN + 1], const char *key)
{
    uint8_t hash[br_sha1_SIZE];
    br_sha1_context c;
    br_sha1_init(&c);
    br_sha1_update(&c, key, strlen(key));
    br_sha1_update(&c, guid, sizeof(guid) - 1);
    br_sha1_out(&c, hash);
    base64_encode(accept, hash, sizeof(hash));
}

bool ws_key_ok(const char *key)
{
    uint8_t nonce[NONCE_LEN];
    size_t len = strlen(key);
    return len == WS_KEY_LEN && base64_size(key, len) == NONCE_LEN &&
           base64_decode(nonce, key, len) == 0;
}

void ws_new_key(char key[static WS_KEY_LEN + 1])
{
    uint8_t nonce[NONCE_LEN];
    key_random(nonce, sizeof(nonce));
    base64_encode(key, nonce, sizeof(nonce));
}
