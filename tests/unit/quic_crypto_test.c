/* Key derivation, packet and header protection against the published vectors. */
#include "net/quic_crypto.h"

#include "core/bytes.h"
#include "core/key.h"
#include "core/mem.h"
#include "tests/unit/quic_vectors.h"
#include "tests/unit/test.h"

#define PACKET_MAX 1200

static size_t hex(uint8_t *dst, const char *text)
{
    size_t len = strlen(text) / 2;
    CHECK_INT(hex_decode(dst, len, text), 0);
    return len;
}

static void check_hex(const uint8_t *got, size_t len, const char *want)
{
    char text[2 * PACKET_MAX + 1];
    hex_encode(text, got, len);
    CHECK_STR(text, want);
}

static void check_label(const uint8_t *secret, const char *label, const char *want)
{
    uint8_t out[QUIC_SECRET_LEN];
    quic_expand_label(out, strlen(want) / 2, secret, label, NULL);
    check_hex(out, strlen(want) / 2, want);
}

/* RFC 9001, appendix A: what is sent, and how. */
struct packet {
    enum quic_cipher cipher;
    const char *secret; /* hex */
    uint64_t number;
    const char *header; /* hex, unprotected; its last number_len bytes are the packet number */
    size_t number_len;
    const char *payload;       /* hex */
    size_t payload_len;        /* with zeros behind it */
    const char *packet;        /* hex, protected */
    const char *key, *iv, *hp; /* hex */
};

const char quic_client_initial[] =
    "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92"
    "ec356c0bab7df5976d27cd449f63300099f3991c260ec4c60d17b31f8429157bb35a1282a643a8d2262cad6750"
    "0cadb8e7378c8eb7539ec4d4905fed1bee1fc8aafba17c750e2c7ace01e6005f80fcb7df621230c83711b39343"
    "fa028cea7f7fb5ff89eac2308249a02252155e2347b63d58c5457afd84d05dfffdb20392844ae812154682e9cf"
    "012f9021a6f0be17ddd0c2084dce25ff9b06cde535d0f920a2db1bf362c23e596d11a4f5a6cf3948838a3aec4e"
    "15daf8500a6ef69ec4e3feb6b1d98e610ac8b7ec3faf6ad760b7bad1db4ba3485e8a94dc250ae3fdb41ed15fb6"
    "a8e5eba0fc3dd60bc8e30c5c4287e53805db059ae0648db2f64264ed5e39be2e20d82df566da8dd5998ccabdae"
    "053060ae6c7b4378e846d29f37ed7b4ea9ec5d82e7961b7f25a9323851f681d582363aa5f89937f5a67258bf63"
    "ad6f1a0b1d96dbd4faddfcefc5266ba6611722395c906556be52afe3f565636ad1b17d508b73d8743eeb524be2"
    "2b3dcbc2c7468d54119c7468449a13d8e3b95811a198f3491de3e7fe942b330407abf82a4ed7c1b311663ac698"
    "90f4157015853d91e923037c227a33cdd5ec281ca3f79c44546b9d90ca00f064c99e3dd97911d39fe9c5d0b23a"
    "229a234cb36186c4819e8b9c5927726632291d6a418211cc2962e20fe47feb3edf330f2c603a9d48c0fcb5699d"
    "bfe5896425c5bac4aee82e57a85aaf4e2513e4f05796b07ba2ee47d80506f8d2c25e50fd14de71e6c418559302"
    "f939b0e1abd576f279c4b2e0feb85c1f28ff18f58891ffef132eef2fa09346aee33c28eb130ff28f5b76695333"
    "4113211996d20011a198e3fc433f9f2541010ae17c1bf202580f6047472fb36857fe843b19f5984009ddc32404"
    "4e847a4f4a0ab34f719595de37252d6235365e9b84392b061085349d73203a4a13e96f5432ec0fd4a1ee65accd"
    "d5e3904df54c1da510b0ff20dcc0c77fcb2c0e0eb605cb0504db87632cf3d8b4dae6e705769d1de354270123cb"
    "11450efc60ac47683d7b8d0f811365565fd98c4c8eb936bcab8d069fc33bd801b03adea2e1fbc5aa463d08ca19"
    "896d2bf59a071b851e6c239052172f296bfb5e72404790a2181014f3b94a4e97d117b438130368cc39dbb2d198"
    "065ae3986547926cd2162f40a29f0c3c8745c0f50fba3852e566d44575c29d39a03f0cda721984b6f440591f35"
    "5e12d439ff150aab7613499dbd49adabc8676eef023b15b65bfc5ca06948109f23f350db82123535eb8a7433bd"
    "abcb909271a6ecbcb58b936a88cd4e8f2e6ff5800175f113253d8fa9ca8885c2f552e657dc603f252e1a8e308f"
    "76f0be79e2fb8f5d5fbbe2e30ecadd220723c8c0aea8078cdfcb3868263ff8f0940054da48781893a7e49ad5af"
    "f4af300cd804a6b6279ab3ff3afb64491c85194aab760d58a606654f9f4400e8b38591356fbf6425aca26dc852"
    "44259ff2b19c41b9f96f3ca9ec1dde434da7d2d392b905ddf3d1f9af93d1af5950bd493f5aa731b4056df31bd2"
    "67b6b90a079831aaf579be0a39013137aac6d404f518cfd46840647e78bfe706ca4cf5e9c5453e9f7cfd2b8b4c"
    "8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e194cd934";

static const struct packet packets[] = {
    {QUIC_AES_128_GCM, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea", 2,
     "c300000001088394c8f03e5157080000449e00000002", 4,
     "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00"
     "000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d"
     "0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fbaba"
     "f4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e04030503060302"
     "03080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000"
     "ffff0801100104800075300901100f088394c8f03e51570806048000ffff",
     1162, quic_client_initial, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
     "9f50449e04a0e810283a1e9933adedd2"},
    {QUIC_AES_128_GCM, "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b", 1,
     "c1000000010008f067a5502a4262b50040750001", 2,
     "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b"
     "9a045a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d53"
     "11bcf32bb9da1a002b00020304",
     99,
     "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c6979"
     "7554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f"
     "3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc421"
     "58407dd074ee",
     "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e",
     "c206b8d9b9f0f37644430b490eeaa314"},
    {QUIC_CHACHA20_POLY1305, "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b",
     654360564, "4200bff4", 3, "01", 1, "4cfe4189655e5cd55c41f69080575d7999c25a5bfb",
     "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8", "e0459b3474bdd0e44a41c144",
     "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"},
};

struct keys {
    struct quic_aead *aead;
    struct quic_hp *hp;
    uint8_t nonce[QUIC_IV_LEN];
};

static struct keys keys_of(const struct packet *p)
{
    struct keys k;
    uint8_t secret[QUIC_SECRET_LEN], key[QUIC_KEY_MAX];
    size_t len = quic_cipher_key_len(p->cipher);
    hex(secret, p->secret);
    quic_expand_label(key, len, secret, "quic key", NULL);
    check_hex(key, len, p->key);
    k.aead = quic_aead_new(p->cipher, key);
    quic_expand_label(key, len, secret, "quic hp", NULL);
    check_hex(key, len, p->hp);
    k.hp = quic_hp_new(p->cipher, key);
    quic_expand_label(k.nonce, QUIC_IV_LEN, secret, "quic iv", NULL);
    check_hex(k.nonce, QUIC_IV_LEN, p->iv);
    for (size_t i = 0; i < 8; i++)
        k.nonce[QUIC_IV_LEN - 1 - i] ^= (uint8_t)(p->number >> (8 * i));
    return k;
}

static void keys_free(struct keys *k)
{
    quic_aead_free(k->aead);
    quic_hp_free(k->hp);
}

/* RFC 9001 §5.4.1; on a header that is protected, back. */
static void protect_header(const struct keys *k, const struct packet *p, uint8_t *packet)
{
    uint8_t mask[QUIC_MASK_LEN];
    size_t at = strlen(p->header) / 2 - p->number_len;
    quic_hp_mask(k->hp, mask, packet + at + 4);
    packet[0] ^= mask[0] & (packet[0] & 0x80 ? 0x0f : 0x1f);
    for (size_t i = 0; i < p->number_len; i++)
        packet[at + i] ^= mask[1 + i];
}

static void check_sealing(const struct packet *p)
{
    struct keys k = keys_of(p);
    uint8_t packet[PACKET_MAX], payload[PACKET_MAX] = {0};
    size_t header_len = hex(packet, p->header);
    hex(payload, p->payload);
    struct quic_text t = {k.nonce, packet, header_len, payload, p->payload_len};
    quic_seal(k.aead, packet + header_len, &t);
    protect_header(&k, p, packet);
    check_hex(packet, header_len + p->payload_len + QUIC_TAG_LEN, p->packet);
    keys_free(&k);
}

static void check_opening(const struct packet *p)
{
    struct keys k = keys_of(p);
    uint8_t packet[PACKET_MAX], payload[PACKET_MAX] = {0};
    size_t header_len = strlen(p->header) / 2, len = hex(packet, p->packet);
    hex(payload, p->payload);
    protect_header(&k, p, packet);
    check_hex(packet, header_len, p->header);
    struct quic_text t = {k.nonce, packet, header_len, packet + header_len, len - header_len};
    CHECK_INT(quic_open(k.aead, packet + header_len, &t), 0);
    CHECK(!memcmp(packet + header_len, payload, p->payload_len));
    keys_free(&k);
}

TEST(quic_crypto_initial_secrets)
{
    uint8_t salt[20], cid[8], initial[QUIC_SECRET_LEN];
    hex(salt, "38762cf7f55934b34d179ae6a4c80cadccbb7f0a");
    hex(cid, "8394c8f03e515708");
    quic_hkdf_extract(initial, salt, sizeof(salt), cid, sizeof(cid));
    check_hex(initial, sizeof(initial),
              "7db5df06e7a69e432496adedb00851923595221596ae2ae9fb8115c1e9ed0a44");
    check_label(initial, "client in", packets[0].secret);
    check_label(initial, "server in", packets[1].secret);
}

TEST(quic_crypto_key_update)
{
    uint8_t secret[QUIC_SECRET_LEN];
    hex(secret, packets[2].secret);
    check_label(secret, "quic ku",
                "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9");
}

TEST(quic_crypto_seals_the_published_packets)
{
    for (size_t i = 0; i < countof(packets); i++)
        check_sealing(&packets[i]);
}

TEST(quic_crypto_opens_the_published_packets)
{
    for (size_t i = 0; i < countof(packets); i++)
        check_opening(&packets[i]);
}

/* RFC 9001 A.4: the tag over the packet with the original connection id in front of it. */
TEST(quic_crypto_retry_tag)
{
    static const uint8_t none[1];
    uint8_t key[16], nonce[QUIC_IV_LEN], aad[64], tag[QUIC_TAG_LEN];
    hex(key, "be0c690b9f66575a1d766b54e368c84e");
    hex(nonce, "461599d35d632bf2239825bb");
    size_t aad_len = hex(aad, "088394c8f03e515708ff000000010008f067a5502a4262b5746f6b656e");
    struct quic_aead *aead = quic_aead_new(QUIC_AES_128_GCM, key);
    quic_seal(aead, tag, &(struct quic_text){nonce, aad, aad_len, none, 0});
    check_hex(tag, sizeof(tag), "04a265ba2eff4d829058fb3f0f2496ba");
    quic_aead_free(aead);
}

/* One of each outside QUIC: the GCM specification's test case 4, and RFC 8439 §2.8.2. */
static const struct {
    enum quic_cipher cipher;
    const char *key, *nonce, *aad, *plain, *sealed;
} aeads[] = {
    {QUIC_AES_128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e"
     "2449a6b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a"
     "5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"},
    {QUIC_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a2049"
     "66204920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675"
     "747572652c2073756e73637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb"
     "69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad6"
     "75945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd06006"
     "91"},
};

TEST(quic_crypto_aead_vectors)
{
    for (size_t i = 0; i < countof(aeads); i++) {
        uint8_t key[QUIC_KEY_MAX], nonce[QUIC_IV_LEN], aad[32], text[160], out[160];
        hex(key, aeads[i].key);
        hex(nonce, aeads[i].nonce);
        size_t aad_len = hex(aad, aeads[i].aad), len = hex(text, aeads[i].plain);
        struct quic_aead *aead = quic_aead_new(aeads[i].cipher, key);
        quic_seal(aead, out, &(struct quic_text){nonce, aad, aad_len, text, len});
        check_hex(out, len + QUIC_TAG_LEN, aeads[i].sealed);
        struct quic_text sealed = {nonce, aad, aad_len, out, len + QUIC_TAG_LEN};
        CHECK_INT(quic_open(aead, text, &sealed), 0);
        check_hex(text, len, aeads[i].plain);
        quic_aead_free(aead);
    }
}

TEST(quic_crypto_refuses_what_is_forged)
{
    static const uint8_t key[QUIC_KEY_MAX] = "key", nonce[QUIC_IV_LEN], aad[3] = "aad";
    for (enum quic_cipher c = QUIC_AES_128_GCM; c <= QUIC_CHACHA20_POLY1305; c++) {
        struct quic_aead *aead = quic_aead_new(c, key);
        uint8_t sealed[5 + QUIC_TAG_LEN], plain[5];
        struct quic_text t = {nonce, aad, sizeof(aad), (const uint8_t *)"hello", 5};
        quic_seal(aead, sealed, &t);
        t.in = sealed;
        for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
            t.len = sizeof(sealed);
            sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK_INT(quic_open(aead, plain, &t), -1);
            sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (t.len = 0; t.len < sizeof(sealed); t.len++)
            CHECK_INT(quic_open(aead, plain, &t), -1);
        CHECK_INT(quic_open(aead, plain, &t), 0);
        CHECK(!memcmp(plain, "hello", 5));
        t.aad_len--;
        CHECK_INT(quic_open(aead, plain, &t), -1);
        quic_aead_free(aead);
    }
}

/* RFC 8448 §3: both ends of its first handshake. */
TEST(quic_crypto_x25519)
{
    uint8_t secret[32], public[32], peer[32], shared[32];
    hex(secret, "49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005");
    quic_x25519_public(public, secret);
    check_hex(public, 32, "99381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c");
    hex(peer, "c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f");
    CHECK_INT(quic_x25519(shared, secret, peer), 0);
    check_hex(shared, 32, "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
    memset(peer, 0, sizeof(peer));
    CHECK_INT(quic_x25519(shared, secret, peer), -1);
}

TEST(quic_crypto_equal)
{
    CHECK(quic_equal("abc", "abc", 3));
    CHECK(!quic_equal("abc", "abd", 3));
    CHECK(quic_equal("abc", "abd", 2));
}
