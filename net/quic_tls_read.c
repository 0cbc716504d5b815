/* quic_tls_read.c: TLS 1.3's handshake messages from bytes. */
#include <string.h>

#include "core/mem.h"
#include "net/quic_tls_wire.h"

/* RFC 8446 §4.1.3: the random that makes a ServerHello a HelloRetryRequest. */
static const uint8_t retry_random[QUIC_TLS_RANDOM_LEN] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

/* What a length says is inside; as bad as its outer when that was too short. */
static struct reader inner(struct reader *r, size_t len)
{
    const uint8_t *p = read_bytes(r, len);
    struct reader in = reader_of(p, p ? len : 0);
    in.bad = r->bad;
    return in;
}

static struct reader vector8(struct reader *r)
{
    return inner(r, read_u8(r));
}

static struct reader vector16(struct reader *r)
{
    return inner(r, read_u16(r));
}

static bool more(const struct reader *r)
{
    return !r->bad && r->left;
}

static int end_of(const struct reader *r)
{
    return reader_done(r) ? QUIC_TLS_OK : QUIC_TLS_DECODE_ERROR;
}

struct quic_tls_header quic_tls_read_header(const uint8_t src[static QUIC_TLS_HEADER_LEN])
{
    struct reader r = reader_of(src, QUIC_TLS_HEADER_LEN);
    struct quic_tls_header h = {.type = read_u8(&r)};
    h.len = (uint32_t)read_u8(&r) << 16;
    h.len |= read_u16(&r);
    return h;
}

static int client_versions(struct quic_tls_hello *h, struct reader *body)
{
    struct reader list = vector8(body);
    while (more(&list))
        h->tls13 |= read_u16(&list) == QUIC_TLS_13;
    return end_of(&list) || end_of(body) ? QUIC_TLS_DECODE_ERROR : QUIC_TLS_OK;
}

static int server_version(struct quic_tls_hello *h, struct reader *body)
{
    h->tls13 = read_u16(body) == QUIC_TLS_13;
    if (end_of(body))
        return QUIC_TLS_DECODE_ERROR;
    return h->tls13 ? QUIC_TLS_OK : QUIC_TLS_ILLEGAL_PARAMETER;
}

static int read_modes(struct quic_tls_hello *h, struct reader *body)
{
    struct reader list = vector8(body);
    while (more(&list))
        h->psk_dhe_ke |= read_u8(&list) == QUIC_TLS_PSK_DHE_KE;
    return end_of(&list) || end_of(body) ? QUIC_TLS_DECODE_ERROR : QUIC_TLS_OK;
}

static int read_groups(struct quic_tls_hello *h, struct reader *body)
{
    struct reader list = vector16(body);
    (void)h;
    while (more(&list))
        (void)read_u16(&list);
    return end_of(&list) || end_of(body) ? QUIC_TLS_DECODE_ERROR : QUIC_TLS_OK;
}

/* One share; it is kept when it is of our group. */
static int read_share(struct quic_tls_hello *h, struct reader *r)
{
    uint16_t group = read_u16(r);
    struct reader key = vector16(r);
    if (key.bad)
        return QUIC_TLS_DECODE_ERROR;
    if (group != QUIC_TLS_X25519)
        return QUIC_TLS_OK;
    if (h->share || key.left != QUIC_X25519_LEN)
        return QUIC_TLS_ILLEGAL_PARAMETER;
    h->share = key.p;
    return QUIC_TLS_OK;
}

static int client_shares(struct quic_tls_hello *h, struct reader *body)
{
    struct reader list = vector16(body);
    int error = end_of(body);
    while (!error && more(&list))
        error = read_share(h, &list);
    return error ? error : end_of(&list);
}

static int server_share(struct quic_tls_hello *h, struct reader *body)
{
    int error = read_share(h, body);
    if (!error)
        error = end_of(body);
    if (error)
        return error;
    return h->share ? QUIC_TLS_OK : QUIC_TLS_ILLEGAL_PARAMETER;
}

static bool next_is_ours(struct reader *list)
{
    struct reader name = vector8(list);
    return name.left == strlen(QUIC_TLS_ALPN) && !memcmp(name.p, QUIC_TLS_ALPN, name.left);
}

static int client_alpn(struct quic_tls_hello *h, struct reader *body)
{
    struct reader list = vector16(body);
    while (more(&list))
        h->alpn |= next_is_ours(&list);
    return end_of(&list) || end_of(body) ? QUIC_TLS_DECODE_ERROR : QUIC_TLS_OK;
}

/* RFC 7301 §3.1: exactly one name. */
static int server_alpn(struct quic_tls_hello *h, struct reader *body)
{
    struct reader list = vector16(body);
    h->alpn = next_is_ours(&list);
    return end_of(&list) || end_of(body) ? QUIC_TLS_DECODE_ERROR : QUIC_TLS_OK;
}

static int read_params(struct quic_tls_hello *h, struct reader *body)
{
    h->has_params = true;
    h->params_len = body->left;
    h->params = read_bytes(body, body->left);
    return QUIC_TLS_OK;
}

/* The first identity, and its binder; the others must be in order, and are passed over. */
static int client_psk(struct quic_tls_hello *h, struct reader *body)
{
    struct reader identities = vector16(body);
    size_t n = 0;
    while (more(&identities)) {
        struct reader identity = vector16(&identities);
        (void)read_u32(&identities); /* the ticket's age: of no meaning from outside (§4.2.11) */
        if (n++ == 0) {
            h->identity = identity.p;
            h->identity_len = identity.left;
        }
    }
    h->binders_at = body->left; /* counted from the end for now: it is the last extension */
    struct reader binders = vector16(body);
    size_t n_binders = 0;
    while (more(&binders)) {
        struct reader binder = vector8(&binders);
        if (n_binders++ == 0 && binder.left == QUIC_SECRET_LEN)
            h->binder = binder.p;
    }
    if (end_of(&identities) || end_of(&binders) || end_of(body))
        return QUIC_TLS_DECODE_ERROR;
    return n == n_binders && h->binder ? QUIC_TLS_OK : QUIC_TLS_ILLEGAL_PARAMETER;
}

static int server_psk(struct quic_tls_hello *h, struct reader *body)
{
    uint16_t chosen = read_u16(body);
    if (end_of(body))
        return QUIC_TLS_DECODE_ERROR;
    h->psk_chosen = chosen == 0;
    return h->psk_chosen ? QUIC_TLS_OK : QUIC_TLS_ILLEGAL_PARAMETER;
}

/* RFC 8446 §4.2's table, as far as it concerns us. */
static const struct extension {
    uint8_t message;
    uint16_t type;
    int (*read)(struct quic_tls_hello *h, struct reader *body);
} extensions[] = {
    {QUIC_TLS_CLIENT_HELLO, QUIC_TLS_SUPPORTED_VERSIONS, client_versions},
    {QUIC_TLS_CLIENT_HELLO, QUIC_TLS_SUPPORTED_GROUPS, read_groups},
    {QUIC_TLS_CLIENT_HELLO, QUIC_TLS_KEY_SHARE, client_shares},
    {QUIC_TLS_CLIENT_HELLO, QUIC_TLS_PSK_MODES, read_modes},
    {QUIC_TLS_CLIENT_HELLO, QUIC_TLS_ALPN_EXT, client_alpn},
    {QUIC_TLS_CLIENT_HELLO, QUIC_TLS_TRANSPORT_PARAMETERS, read_params},
    {QUIC_TLS_CLIENT_HELLO, QUIC_TLS_PRE_SHARED_KEY, client_psk},
    {QUIC_TLS_SERVER_HELLO, QUIC_TLS_SUPPORTED_VERSIONS, server_version},
    {QUIC_TLS_SERVER_HELLO, QUIC_TLS_KEY_SHARE, server_share},
    {QUIC_TLS_SERVER_HELLO, QUIC_TLS_PRE_SHARED_KEY, server_psk},
    {QUIC_TLS_ENCRYPTED_EXTENSIONS, QUIC_TLS_SUPPORTED_GROUPS, read_groups},
    {QUIC_TLS_ENCRYPTED_EXTENSIONS, QUIC_TLS_ALPN_EXT, server_alpn},
    {QUIC_TLS_ENCRYPTED_EXTENSIONS, QUIC_TLS_TRANSPORT_PARAMETERS, read_params},
};

static int read_extension(struct quic_tls_hello *h, uint8_t message, struct reader *all)
{
    uint16_t type = read_u16(all);
    struct reader body = vector16(all);
    if (body.bad)
        return QUIC_TLS_DECODE_ERROR;
    bool known = false;
    for (size_t i = 0; i < countof(extensions); i++) {
        known |= extensions[i].type == type;
        if (extensions[i].type != type || extensions[i].message != message)
            continue;
        if (h->seen & 1u << i)
            return QUIC_TLS_ILLEGAL_PARAMETER;
        h->seen |= 1u << i;
        return extensions[i].read(h, &body);
    }
    if (message == QUIC_TLS_CLIENT_HELLO)
        return QUIC_TLS_OK;
    return known ? QUIC_TLS_ILLEGAL_PARAMETER : QUIC_TLS_UNSUPPORTED_EXTENSION;
}

/* To the end of the message. */
static int read_all_extensions(struct quic_tls_hello *h, uint8_t message, struct reader *r)
{
    struct reader all = vector16(r);
    if (end_of(r))
        return QUIC_TLS_DECODE_ERROR;
    while (more(&all)) {
        if (h->binder) /* §4.2.11: pre_shared_key is the last */
            return QUIC_TLS_ILLEGAL_PARAMETER;
        int error = read_extension(h, message, &all);
        if (error)
            return error;
    }
    return QUIC_TLS_OK;
}

static void note_suite(struct quic_tls_hello *h, uint16_t suite)
{
    bool first = !h->aes && !h->chacha;
    if (suite == QUIC_TLS_AES_128_GCM_SHA256) {
        h->cipher = first ? QUIC_AES_128_GCM : h->cipher;
        h->aes = true;
    } else if (suite == QUIC_TLS_CHACHA20_POLY1305_SHA256) {
        h->cipher = first ? QUIC_CHACHA20_POLY1305 : h->cipher;
        h->chacha = true;
    }
}

static struct reader body_of(const uint8_t *msg, size_t len)
{
    struct reader r = reader_of(msg, len);
    read_bytes(&r, QUIC_TLS_HEADER_LEN);
    return r;
}

int quic_tls_read_client_hello(struct quic_tls_hello *h, const uint8_t *msg, size_t len)
{
    *h = (struct quic_tls_hello){0};
    struct reader r = body_of(msg, len);
    uint16_t version = read_u16(&r);
    h->random = read_bytes(&r, QUIC_TLS_RANDOM_LEN);
    struct reader old_session = vector8(&r), suites = vector16(&r), compressions = vector8(&r);
    while (more(&suites))
        note_suite(h, read_u16(&suites));
    if (r.bad || suites.bad)
        return QUIC_TLS_DECODE_ERROR;
    if (old_session.left)
        return QUIC_PROTOCOL_VIOLATION; /* RFC 9001 §8.4 */
    if (version != QUIC_TLS_LEGACY_VERSION || compressions.left != 1 ||
        read_u8(&compressions) != QUIC_TLS_NO_COMPRESSION)
        return QUIC_TLS_ILLEGAL_PARAMETER;
    int error = read_all_extensions(h, QUIC_TLS_CLIENT_HELLO, &r);
    h->binders_at = len - h->binders_at;
    return error;
}

int quic_tls_read_server_hello(struct quic_tls_hello *h, const uint8_t *msg, size_t len)
{
    *h = (struct quic_tls_hello){0};
    struct reader r = body_of(msg, len);
    uint16_t version = read_u16(&r);
    h->random = read_bytes(&r, QUIC_TLS_RANDOM_LEN);
    struct reader old_session = vector8(&r);
    note_suite(h, read_u16(&r));
    uint8_t compression = read_u8(&r);
    if (r.bad)
        return QUIC_TLS_DECODE_ERROR;
    if (version != QUIC_TLS_LEGACY_VERSION || old_session.left ||
        compression != QUIC_TLS_NO_COMPRESSION || (!h->aes && !h->chacha) ||
        !memcmp(h->random, retry_random, sizeof(retry_random)))
        return QUIC_TLS_ILLEGAL_PARAMETER;
    return read_all_extensions(h, QUIC_TLS_SERVER_HELLO, &r);
}

int quic_tls_read_extensions(struct quic_tls_hello *h, const uint8_t *msg, size_t len)
{
    *h = (struct quic_tls_hello){0};
    struct reader r = body_of(msg, len);
    return read_all_extensions(h, QUIC_TLS_ENCRYPTED_EXTENSIONS, &r);
}

const uint8_t *quic_tls_read_finished(const uint8_t *msg, size_t len)
{
    struct reader r = body_of(msg, len);
    const uint8_t *verify = read_bytes(&r, QUIC_SECRET_LEN);
    return reader_done(&r) ? verify : NULL;
}
