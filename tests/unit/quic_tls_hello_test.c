/* Hellos that another TLS might say: what is taken, and what is refused with which error. */
#include "core/mem.h"
#include "net/quic_tls_keys.h"
#include "net/quic_tls_wire.h"
#include "tests/unit/quic_tls_rig.h"
#include "tests/unit/test.h"

/* How a hello differs from ours. */
enum twist {
    NONE,
    OLD_VERSION,
    OLD_SESSION,
    NO_SUITE,
    ONLY_AES,
    ONLY_CHACHA,
    COMPRESSION,
    TWO_COMPRESSIONS,
    NO_TLS13,
    NO_VERSIONS,
    MORE_VERSIONS,
    NO_MODES,
    PLAIN_PSK_MODE,
    NO_SHARE,
    OTHER_GROUP,
    MORE_SHARES,
    TWO_SHARES,
    SHORT_SHARE,
    ZERO_SHARE,
    NO_ALPN,
    OTHER_ALPN,
    MORE_ALPN,
    NO_PARAMS,
    EMPTY_PARAMS,
    STRANGE_EXTENSION,
    TWICE,
    PSK_NOT_LAST,
    NO_PSK,
    LONG_IDENTITY,
    TWO_IDENTITIES,
    ONE_BINDER_FOR_TWO,
    TWO_BINDERS_FOR_ONE,
    SHORT_BINDER,
    NO_BINDERS,
    RETRY,
    PSK_INDEX,
    GROUPS,
    MISPLACED,
    LEFT_OVER,
};

static size_t open_at(struct writer *w, size_t size)
{
    write_bytes(w, "\0\0\0", size);
    return w->len;
}

static void close_at(struct writer *w, size_t from, size_t size)
{
    size_t len = w->len - from;
    for (size_t i = 1; i <= size; i++, len >>= 8)
        w->p[from - i] = (uint8_t)len;
}

static void put(struct writer *w, uint16_t type, const char *body, size_t len)
{
    write_u16(w, type);
    write_u16(w, (uint16_t)len);
    write_bytes(w, body, len);
}

/* A literal without its end. */
#define PUT(w, type, body) put(w, type, body, sizeof(body) - 1)

static void put_share(struct writer *w, enum twist twist)
{
    uint8_t secret[QUIC_X25519_LEN] = {1}, public[QUIC_X25519_LEN] = {0};
    if (twist != ZERO_SHARE)
        quic_x25519_public(public, secret);
    size_t len = twist == SHORT_SHARE ? QUIC_X25519_LEN - 1 : QUIC_X25519_LEN;
    write_u16(w, twist == OTHER_GROUP ? 0x17 : QUIC_TLS_X25519);
    write_u16(w, (uint16_t)len);
    write_bytes(w, public, len);
}

static void put_shares(struct writer *w, enum twist twist)
{
    write_u16(w, QUIC_TLS_KEY_SHARE);
    size_t extension = open_at(w, 2), list = open_at(w, 2);
    if (twist == MORE_SHARES)
        put_share(w, OTHER_GROUP);
    put_share(w, twist);
    if (twist == TWO_SHARES)
        put_share(w, twist);
    close_at(w, list, 2);
    close_at(w, extension, 2);
}

static void put_identity(struct writer *w, const struct tls_end *client, enum twist twist)
{
    write_u16(w, twist == LONG_IDENTITY ? SESSION_LEN + 1 : SESSION_LEN);
    write_bytes(w, client->session, SESSION_LEN);
    if (twist == LONG_IDENTITY)
        write_u8(w, 0);
    write_u32(w, 0x12345678);
}

static void put_binder(struct writer *w, enum twist twist)
{
    static const uint8_t zeros[QUIC_SECRET_LEN];
    size_t len = twist == SHORT_BINDER ? QUIC_SECRET_LEN - 1 : QUIC_SECRET_LEN;
    write_u8(w, (uint8_t)len);
    write_bytes(w, zeros, len);
}

/* Returns where the binders begin. */
static size_t put_psk(struct writer *w, const struct tls_end *client, enum twist twist)
{
    write_u16(w, QUIC_TLS_PRE_SHARED_KEY);
    size_t extension = open_at(w, 2), list = open_at(w, 2);
    put_identity(w, client, twist);
    if (twist == TWO_IDENTITIES || twist == ONE_BINDER_FOR_TWO)
        put_identity(w, client, LONG_IDENTITY);
    close_at(w, list, 2);
    size_t binders_at = w->len;
    list = open_at(w, 2);
    if (twist != NO_BINDERS)
        put_binder(w, twist);
    if (twist == TWO_IDENTITIES || twist == TWO_BINDERS_FOR_ONE)
        put_binder(w, twist);
    close_at(w, list, 2);
    close_at(w, extension, 2);
    return binders_at;
}

static void put_suites(struct writer *w, enum twist twist)
{
    size_t suites = open_at(w, 2);
    write_u16(w, 0x1302);
    if (twist != NO_SUITE && twist != ONLY_CHACHA)
        write_u16(w, QUIC_TLS_AES_128_GCM_SHA256);
    if (twist != NO_SUITE && twist != ONLY_AES)
        write_u16(w, QUIC_TLS_CHACHA20_POLY1305_SHA256);
    close_at(w, suites, 2);
}

static void put_lists(struct writer *w, enum twist twist)
{
    if (twist == NO_TLS13)
        PUT(w, QUIC_TLS_SUPPORTED_VERSIONS, "\2\3\3");
    else if (twist == MORE_VERSIONS)
        PUT(w, QUIC_TLS_SUPPORTED_VERSIONS, "\4\3\3\3\4");
    else if (twist != NO_VERSIONS)
        PUT(w, QUIC_TLS_SUPPORTED_VERSIONS, "\2\3\4");
    if (twist == TWICE)
        PUT(w, QUIC_TLS_SUPPORTED_VERSIONS, "\2\3\4");
    if (twist == PLAIN_PSK_MODE)
        PUT(w, QUIC_TLS_PSK_MODES, "\1\0");
    else if (twist != NO_MODES)
        PUT(w, QUIC_TLS_PSK_MODES, "\2\0\1");
    if (twist == OTHER_ALPN)
        PUT(w, QUIC_TLS_ALPN_EXT, "\0\x8\7berth/2");
    else if (twist == MORE_ALPN)
        PUT(w, QUIC_TLS_ALPN_EXT, "\0\xb\2h3\7berth/1");
    else if (twist != NO_ALPN)
        PUT(w, QUIC_TLS_ALPN_EXT, "\0\x8\7berth/1");
    if (twist == EMPTY_PARAMS)
        PUT(w, QUIC_TLS_TRANSPORT_PARAMETERS, "");
    else if (twist != NO_PARAMS)
        PUT(w, QUIC_TLS_TRANSPORT_PARAMETERS, "the client's");
    if (twist == STRANGE_EXTENSION)
        PUT(w, 0xfafa, "?");
}

static void put_compressions(struct writer *w, enum twist twist)
{
    write_u8(w, twist == TWO_COMPRESSIONS ? 2 : 1);
    write_u8(w, twist == COMPRESSION);
    if (twist == TWO_COMPRESSIONS)
        write_u8(w, 1);
}

static void bind(struct writer *w, const struct tls_end *client, size_t binders_at)
{
    uint8_t hash[SHA256_LEN];
    struct quic_tls_keys keys;
    key_sha256(w->p, binders_at, hash);
    quic_tls_keys_early(&keys, client->psk);
    quic_tls_keys_binder(&keys, "ext binder", hash, w->p + binders_at + 3);
}

static void put_client_hello(struct writer *w, const struct tls_end *client, enum twist twist)
{
    static const uint8_t random[QUIC_TLS_RANDOM_LEN] = "random";
    size_t binders_at = 0;
    write_u8(w, QUIC_TLS_CLIENT_HELLO);
    size_t message = open_at(w, 3);
    write_u16(w, twist == OLD_VERSION ? 0x0302 : QUIC_TLS_LEGACY_VERSION);
    write_bytes(w, random, sizeof(random));
    write_u8(w, twist == OLD_SESSION);
    write_bytes(w, "s", twist == OLD_SESSION);
    put_suites(w, twist);
    put_compressions(w, twist);
    size_t all = open_at(w, 2);
    put_lists(w, twist);
    if (twist != NO_SHARE)
        put_shares(w, twist);
    if (twist != NO_PSK)
        binders_at = put_psk(w, client, twist);
    if (twist == PSK_NOT_LAST)
        PUT(w, 0xfafa, "");
    close_at(w, all, 2);
    close_at(w, message, 3);
    CHECK(!w->bad);
    if (binders_at)
        bind(w, client, binders_at);
}

struct row {
    enum twist twist;
    enum quic_tls_error error;
};

static void check_client_hello(const struct row *row)
{
    struct tls_pair p;
    uint8_t out[QUIC_TLS_MESSAGE_MAX];
    struct writer w = writer_to(out, sizeof(out));
    tls_pair_init(&p, QUIC_AES_128_GCM, QUIC_AES_128_GCM);
    put_client_hello(&w, &p.client, row->twist);
    int status = quic_tls_receive(p.server.t, QUIC_INITIAL, out, w.len);
    if (quic_tls_error(p.server.t) != row->error)
        test_fail(__FILE__, __LINE__, "twist %d: error 0x%x, not 0x%x", (int)row->twist,
                  (unsigned)quic_tls_error(p.server.t), (unsigned)row->error);
    CHECK_INT(status, row->error ? -1 : 0);
    CHECK_INT(p.server.writes[QUIC_HANDSHAKE], !row->error);
    if (!row->error)
        CHECK_INT(quic_tls_cipher(p.server.t), row->twist == ONLY_CHACHA);
    tls_pair_fini(&p);
}

TEST(quic_tls_server_hears_a_hello)
{
    static const struct row rows[] = {
        {NONE, QUIC_TLS_OK},
        {MORE_VERSIONS, QUIC_TLS_OK},
        {MORE_SHARES, QUIC_TLS_OK},
        {MORE_ALPN, QUIC_TLS_OK},
        {EMPTY_PARAMS, QUIC_TLS_OK},
        {STRANGE_EXTENSION, QUIC_TLS_OK},
        {TWO_IDENTITIES, QUIC_TLS_OK},
        {ONLY_AES, QUIC_TLS_OK},
        {ONLY_CHACHA, QUIC_TLS_OK},
        {OLD_VERSION, QUIC_TLS_ILLEGAL_PARAMETER},
        {OLD_SESSION, QUIC_PROTOCOL_VIOLATION},
        {NO_SUITE, QUIC_TLS_HANDSHAKE_FAILURE},
        {COMPRESSION, QUIC_TLS_ILLEGAL_PARAMETER},
        {TWO_COMPRESSIONS, QUIC_TLS_ILLEGAL_PARAMETER},
        {NO_TLS13, QUIC_TLS_PROTOCOL_VERSION},
        {NO_VERSIONS, QUIC_TLS_PROTOCOL_VERSION},
        {NO_MODES, QUIC_TLS_HANDSHAKE_FAILURE},
        {PLAIN_PSK_MODE, QUIC_TLS_HANDSHAKE_FAILURE},
        {NO_SHARE, QUIC_TLS_HANDSHAKE_FAILURE},
        {OTHER_GROUP, QUIC_TLS_HANDSHAKE_FAILURE},
        {TWO_SHARES, QUIC_TLS_ILLEGAL_PARAMETER},
        {SHORT_SHARE, QUIC_TLS_ILLEGAL_PARAMETER},
        {ZERO_SHARE, QUIC_TLS_ILLEGAL_PARAMETER},
        {NO_ALPN, QUIC_TLS_NO_APPLICATION_PROTOCOL},
        {OTHER_ALPN, QUIC_TLS_NO_APPLICATION_PROTOCOL},
        {NO_PARAMS, QUIC_TLS_MISSING_EXTENSION},
        {TWICE, QUIC_TLS_ILLEGAL_PARAMETER},
        {PSK_NOT_LAST, QUIC_TLS_ILLEGAL_PARAMETER},
        {NO_PSK, QUIC_TLS_MISSING_EXTENSION},
        {LONG_IDENTITY, QUIC_TLS_UNKNOWN_PSK_IDENTITY},
        {ONE_BINDER_FOR_TWO, QUIC_TLS_ILLEGAL_PARAMETER},
        {TWO_BINDERS_FOR_ONE, QUIC_TLS_ILLEGAL_PARAMETER},
        {SHORT_BINDER, QUIC_TLS_ILLEGAL_PARAMETER},
        {NO_BINDERS, QUIC_TLS_ILLEGAL_PARAMETER},
    };
    for (size_t i = 0; i < countof(rows); i++)
        check_client_hello(&rows[i]);
}

static void put_server_extensions(struct writer *w, enum twist twist)
{
    if (twist == NO_TLS13)
        PUT(w, QUIC_TLS_SUPPORTED_VERSIONS, "\3\3");
    else if (twist != NO_VERSIONS)
        PUT(w, QUIC_TLS_SUPPORTED_VERSIONS, "\3\4");
    if (twist == TWICE)
        PUT(w, QUIC_TLS_SUPPORTED_VERSIONS, "\3\4");
    if (twist != NO_SHARE) {
        write_u16(w, QUIC_TLS_KEY_SHARE);
        size_t extension = open_at(w, 2);
        put_share(w, twist);
        write_bytes(w, "", twist == LEFT_OVER);
        close_at(w, extension, 2);
    }
    if (twist == PSK_INDEX)
        PUT(w, QUIC_TLS_PRE_SHARED_KEY, "\0\1");
    else if (twist != NO_PSK)
        PUT(w, QUIC_TLS_PRE_SHARED_KEY, "\0\0");
    if (twist == STRANGE_EXTENSION)
        PUT(w, 0xfafa, "");
    if (twist == MISPLACED)
        PUT(w, QUIC_TLS_ALPN_EXT, "\0\x8\7berth/1");
}

static void put_server_hello(struct writer *w, enum twist twist)
{
    static const uint8_t retry[QUIC_TLS_RANDOM_LEN] =
        "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"
        "\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33";
    uint8_t random[QUIC_TLS_RANDOM_LEN] = "random";
    if (twist == RETRY) {
        memcpy(random, retry, sizeof(retry));
        random[31] = 0x9c;
    }
    write_u8(w, QUIC_TLS_SERVER_HELLO);
    size_t message = open_at(w, 3);
    write_u16(w, twist == OLD_VERSION ? 0x0304 : QUIC_TLS_LEGACY_VERSION);
    write_bytes(w, random, sizeof(random));
    write_u8(w, twist == OLD_SESSION);
    write_bytes(w, "s", twist == OLD_SESSION);
    write_u16(w, twist == NO_SUITE ? 0x1302 : QUIC_TLS_CHACHA20_POLY1305_SHA256);
    write_u8(w, twist == COMPRESSION);
    size_t all = open_at(w, 2);
    put_server_extensions(w, twist);
    close_at(w, all, 2);
    close_at(w, message, 3);
    CHECK(!w->bad);
}

static void check_answer(struct tls_end *client, const struct row *row, enum quic_level level,
                         const struct writer *w)
{
    int status = quic_tls_receive(client->t, level, w->p, w->len);
    if (quic_tls_error(client->t) != row->error)
        test_fail(__FILE__, __LINE__, "twist %d: error 0x%x, not 0x%x", (int)row->twist,
                  (unsigned)quic_tls_error(client->t), (unsigned)row->error);
    CHECK_INT(status, row->error ? -1 : 0);
}

TEST(quic_tls_client_hears_a_hello)
{
    static const struct row rows[] = {
        {NONE, QUIC_TLS_OK},
        {OLD_VERSION, QUIC_TLS_ILLEGAL_PARAMETER},
        {OLD_SESSION, QUIC_TLS_ILLEGAL_PARAMETER},
        {NO_SUITE, QUIC_TLS_ILLEGAL_PARAMETER},
        {COMPRESSION, QUIC_TLS_ILLEGAL_PARAMETER},
        {RETRY, QUIC_TLS_ILLEGAL_PARAMETER},
        {NO_TLS13, QUIC_TLS_ILLEGAL_PARAMETER},
        {NO_VERSIONS, QUIC_TLS_PROTOCOL_VERSION},
        {NO_SHARE, QUIC_TLS_MISSING_EXTENSION},
        {OTHER_GROUP, QUIC_TLS_ILLEGAL_PARAMETER},
        {SHORT_SHARE, QUIC_TLS_ILLEGAL_PARAMETER},
        {ZERO_SHARE, QUIC_TLS_ILLEGAL_PARAMETER},
        {LEFT_OVER, QUIC_TLS_DECODE_ERROR},
        {NO_PSK, QUIC_TLS_HANDSHAKE_FAILURE},
        {PSK_INDEX, QUIC_TLS_ILLEGAL_PARAMETER},
        {TWICE, QUIC_TLS_ILLEGAL_PARAMETER},
        {STRANGE_EXTENSION, QUIC_TLS_UNSUPPORTED_EXTENSION},
        {MISPLACED, QUIC_TLS_ILLEGAL_PARAMETER},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct tls_pair p;
        uint8_t out[QUIC_TLS_MESSAGE_MAX];
        struct writer w = writer_to(out, sizeof(out));
        tls_pair_init(&p, QUIC_AES_128_GCM, QUIC_AES_128_GCM);
        CHECK_INT(quic_tls_start(p.client.t), 0);
        put_server_hello(&w, rows[i].twist);
        check_answer(&p.client, &rows[i], QUIC_INITIAL, &w);
        CHECK_INT(p.client.reads[QUIC_HANDSHAKE], !rows[i].error);
        tls_pair_fini(&p);
    }
}

static void put_encrypted_extensions(struct writer *w, enum twist twist)
{
    write_u8(w, QUIC_TLS_ENCRYPTED_EXTENSIONS);
    size_t message = open_at(w, 3), all = open_at(w, 2);
    if (twist == OTHER_ALPN)
        PUT(w, QUIC_TLS_ALPN_EXT, "\0\x8\7berth/2");
    else if (twist == MORE_ALPN)
        PUT(w, QUIC_TLS_ALPN_EXT, "\0\xb\7berth/1\2h3");
    else if (twist != NO_ALPN)
        PUT(w, QUIC_TLS_ALPN_EXT, "\0\x8\7berth/1");
    if (twist == TWICE)
        PUT(w, QUIC_TLS_ALPN_EXT, "\0\x8\7berth/1");
    if (twist == GROUPS)
        PUT(w, QUIC_TLS_SUPPORTED_GROUPS, "\0\4\0\x1d\0\x17");
    if (twist != NO_PARAMS)
        PUT(w, QUIC_TLS_TRANSPORT_PARAMETERS, "the server's");
    if (twist == MISPLACED)
        PUT(w, QUIC_TLS_PRE_SHARED_KEY, "\0\0");
    if (twist == STRANGE_EXTENSION)
        PUT(w, 0xfafa, "");
    close_at(w, all, 2);
    write_bytes(w, "", twist == LEFT_OVER);
    close_at(w, message, 3);
    CHECK(!w->bad);
}

TEST(quic_tls_client_hears_extensions)
{
    static const struct row rows[] = {
        {NONE, QUIC_TLS_OK},
        {GROUPS, QUIC_TLS_OK},
        {NO_ALPN, QUIC_TLS_NO_APPLICATION_PROTOCOL},
        {OTHER_ALPN, QUIC_TLS_NO_APPLICATION_PROTOCOL},
        {MORE_ALPN, QUIC_TLS_DECODE_ERROR},
        {NO_PARAMS, QUIC_TLS_MISSING_EXTENSION},
        {TWICE, QUIC_TLS_ILLEGAL_PARAMETER},
        {MISPLACED, QUIC_TLS_ILLEGAL_PARAMETER},
        {STRANGE_EXTENSION, QUIC_TLS_UNSUPPORTED_EXTENSION},
        {LEFT_OVER, QUIC_TLS_DECODE_ERROR},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct tls_pair p;
        uint8_t out[QUIC_TLS_MESSAGE_MAX];
        struct writer w = writer_to(out, sizeof(out));
        tls_pair_init(&p, QUIC_AES_128_GCM, QUIC_AES_128_GCM);
        CHECK_INT(quic_tls_start(p.client.t), 0);
        tls_carry(&p.client, &p.server, QUIC_INITIAL, 0);
        tls_carry(&p.server, &p.client, QUIC_INITIAL, 0);
        put_encrypted_extensions(&w, rows[i].twist);
        check_answer(&p.client, &rows[i], QUIC_HANDSHAKE, &w);
        tls_pair_fini(&p);
    }
}
