/* The key schedule against RFC 8448. */
#include "net/quic_tls_keys.h"

#include "core/bytes.h"
#include "tests/unit/test.h"

static size_t hex(uint8_t *dst, const char *text)
{
    size_t len = strlen(text) / 2;
    CHECK_INT(hex_decode(dst, len, text), 0);
    return len;
}

static void check_hex(const uint8_t got[static QUIC_SECRET_LEN], const char *want)
{
    char text[2 * QUIC_SECRET_LEN + 1];
    hex_encode(text, got, QUIC_SECRET_LEN);
    CHECK_STR(text, want);
}

/* One trace: what goes in, and what comes out. The messages are those of the wire. */
struct trace {
    const char *psk, *shared;
    const char *client_hello, *server_hello, *server_flight;
    const char *early, *handshake, *client_handshake, *server_handshake;
    const char *master, *client_application, *server_application;
    const char *server_verify;
};

/* §3: without a PSK, which is a PSK of zeros. */
static const struct trace simple = {
    .psk = "0000000000000000000000000000000000000000000000000000000000000000",
    .shared = "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d",
    .client_hello =
        "010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece70000061301"
        "13031302010000910000000b0009000006736572766572ff01000100000a00140012001d00170018001901"
        "00010101020103010400230000003300260024001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51"
        "c13cae4d5413691e529aaf2c002b0003020304000d0020001e040305030603020308040805080604010501"
        "060102010402050206020202002d00020101001c00024001",
    .server_hello =
        "020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e269280013010000"
        "2e00330024001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b"
        "00020304",
    .server_flight =
        "080000240022000a00140012001d00170018001901000101010201030104001c00024001000000000b0001"
        "b9000001b50001b0308201ac30820115a003020102020102300d06092a864886f70d01010b0500300e310c"
        "300a06035504031303727361301e170d3136303733303031323335395a170d323630373330303132333539"
        "5a300e310c300a0603550403130372736130819f300d06092a864886f70d010101050003818d0030818902"
        "818100b4bb498f8279303d980836399b36c6988c0c68de55e1bdb826d3901a2461eafd2de49a91d015abbc"
        "9a95137ace6c1af19eaa6af98c7ced43120998e187a80ee0ccb0524b1b018c3e0b63264d449a6d38e22a5f"
        "da430846748030530ef0461c8ca9d9efbfae8ea6d1d03e2bd193eff0ab9a8002c47428a6d35a8d88d79f7f"
        "1e3f0203010001a31a301830090603551d1304023000300b0603551d0f0404030205a0300d06092a864886"
        "f70d01010b05000381810085aad2a0e5b9276b908c65f73a7267170618a54c5f8a7b337d2df7a594365417"
        "f2eae8f8a58c8f8172f9319cf36b7fd6c55b80f21a03015156726096fd335e5e67f2dbf102702e608ccae6"
        "bec1fc63a42a99be5c3eb7107c3c54e9b9eb2bd5203b1c3b84e0a8b2f759409ba3eac9d91d402dcc0cc8f8"
        "961229ac9187b42b4de100000f000084080400805a747c5d88fa9bd2e55ab085a61015b7211f824cd48414"
        "5ab3ff52f1fda8477b0b7abc90db78e2d33a5c141a078653fa6bef780c5ea248eeaaa785c4f394cab6d30b"
        "be8d4859ee511f602957b15411ac027671459e46445c9ea58c181e818e95b8c3fb0bf3278409d3be152a3d"
        "a5043e063dda65cdf5aea20d53dfacd42f74f3",
    .early = "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a",
    .handshake = "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac",
    .client_handshake = "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
    .server_handshake = "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
    .master = "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919",
    .client_application = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
    .server_application = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
    .server_verify = "9b9b141d906337fbd2cbdce71df4deda4ab42c309572cb7fffee5454b78f0718",
};

/* §4: with a PSK, and X25519 beside it, as ours is. */
static const struct trace resumed = {
    .psk = "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3",
    .shared = "f44194756ff9ec9d25180635d66ea6824c6ab3bf179977be37f723570e7ccb2e",
    .client_hello =
        "010001fc03031bc3ceb6bbe39cff938355b5a50adb6db21b7a6af649d7b4bc419d7876487d950000061301"
        "13031302010001cd0000000b0009000006736572766572ff01000100000a00140012001d00170018001901"
        "000101010201030104003300260024001d0020e4ffb68ac05f8d96c99da26698346c6be16482badddafe05"
        "1a66b4f18d668f0b002a0000002b0003020304000d0020001e040305030603020308040805080604010501"
        "060102010402050206020202002d00020101001c0002400100150057000000000000000000000000000000"
        "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000002900dd00b800b22c035d829359"
        "ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa90bf1b0070ad3c498883c9367c09a2be785abc55"
        "cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d4e"
        "6da4d29ee03725a6a4dafcd0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9"
        "fbf297b5aea617646fac5c03272e970727c621a79141ef5f7de6505e5bfbc388e93343694093934ae4d357"
        "fad6aacb0021203add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d",
    .server_hello =
        "0200005c03033ccfd2dec890222763472ae8136777c9d7358777bb66e91ea5122495f559ea2d0013010000"
        "3400290002000000330024001d0020121761ee42c333e1b9e77b60dd57c2053cd94512ab47f115e86eff50"
        "942cea31002b00020304",
    .server_flight =
        "080000280026000a00140012001d00170018001901000101010201030104001c0002400100000000002a00"
        "00",
    .early = "9b2188e9b2fc6d64d71dc329900e20bb41915000f678aa839cbb797cb7d8332c",
    .handshake = "005cb112fd8eb4ccc623bb88a07c64b3ede1605363fc7d0df8c7ce4ff0fb4ae6",
    .client_handshake = "2faac08f851d35fea3604fcb4de82dc62c9b164a70974d0462e27f1ab278700f",
    .server_handshake = "fe927ae271312e8bf0275b581c54eef020450dc4ecffaa05a1a35d27518e7803",
    .master = "e2d32d4ed66dd37897a0e80c84107503ce58bf8aad4cb55a5002d77ecb890ece",
    .client_application = "2abbf2b8e381d23dbebe1dd2a7d16a8bf484cb4950d23fb7fb7fa8547062d9a1",
    .server_application = "cc21f1bf8feb7dd5fa505bd9c4b468a9984d554a993dc49e6d285598fb672691",
    .server_verify = "48d3e0e1b3d907c6acff145e16090388c77b05c050b634ab1a88bbd0dd1a34b2",
};

struct transcript {
    uint8_t bytes[2048];
    size_t len;
};

static void add(struct transcript *t, const char *message)
{
    t->len += hex(t->bytes + t->len, message);
}

static void check_trace(const struct trace *t)
{
    struct quic_tls_keys k;
    struct transcript messages = {.len = 0};
    uint8_t psk[PSK_LEN], shared[QUIC_SECRET_LEN], hash[SHA256_LEN], verify[QUIC_SECRET_LEN];
    hex(psk, t->psk);
    hex(shared, t->shared);
    quic_tls_keys_early(&k, psk);
    check_hex(k.chain, t->early);

    add(&messages, t->client_hello);
    add(&messages, t->server_hello);
    key_sha256(messages.bytes, messages.len, hash);
    quic_tls_keys_handshake(&k, shared, hash);
    check_hex(k.chain, t->handshake);
    check_hex(k.client, t->client_handshake);
    check_hex(k.server, t->server_handshake);

    add(&messages, t->server_flight);
    key_sha256(messages.bytes, messages.len, hash);
    quic_tls_finished(verify, k.server, hash);
    check_hex(verify, t->server_verify);

    messages.len += hex(messages.bytes + messages.len, "14000020");
    add(&messages, t->server_verify);
    key_sha256(messages.bytes, messages.len, hash);
    quic_tls_keys_application(&k, hash);
    check_hex(k.chain, t->master);
    check_hex(k.client, t->client_application);
    check_hex(k.server, t->server_application);
}

TEST(quic_tls_keys_simple_handshake)
{
    check_trace(&simple);
}

TEST(quic_tls_keys_resumed_handshake)
{
    check_trace(&resumed);
}

/* RFC 8448 §3's client, whose Finished covers the same messages as its application keys. */
TEST(quic_tls_keys_client_finished)
{
    struct transcript messages = {.len = 0};
    uint8_t secret[QUIC_SECRET_LEN], hash[SHA256_LEN], verify[QUIC_SECRET_LEN];
    add(&messages, simple.client_hello);
    add(&messages, simple.server_hello);
    add(&messages, simple.server_flight);
    add(&messages, "14000020");
    add(&messages, simple.server_verify);
    key_sha256(messages.bytes, messages.len, hash);
    hex(secret, simple.client_handshake);
    quic_tls_finished(verify, secret, hash);
    check_hex(verify, "a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61");
}

/* RFC 8448 §4: a ticket's binder, whose label is the one thing that ours does otherwise. */
TEST(quic_tls_keys_binder)
{
    struct quic_tls_keys k;
    struct transcript hello = {.len = 0};
    uint8_t psk[PSK_LEN], hash[SHA256_LEN], binder[QUIC_SECRET_LEN];
    hex(psk, resumed.psk);
    quic_tls_keys_early(&k, psk);
    add(&hello, resumed.client_hello);
    key_sha256(hello.bytes, hello.len - 35, hash);
    check_hex(hash, "63224b2e4573f2d3454ca84b9d009a04f6be9e05711a8396473aefa01e924a14");
    quic_tls_keys_binder(&k, "res binder", hash, binder);
    check_hex(binder, "3add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d");
    CHECK(!memcmp(binder, hello.bytes + hello.len - sizeof(binder), sizeof(binder)));
    quic_tls_keys_binder(&k, "ext binder", hash, binder);
    CHECK(memcmp(binder, hello.bytes + hello.len - sizeof(binder), sizeof(binder)) != 0);
}
