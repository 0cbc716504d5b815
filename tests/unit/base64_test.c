#include "core/base64.h"

#include "core/mem.h"
#include "tests/unit/test.h"

/* RFC 4648 §10, and the two ends of the alphabet. */
static const struct {
    const char *bytes, *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xef\xbe\xff", "++++/w=="},
};

TEST(base64_vectors)
{
    char text[16], bytes[16];
    for (size_t i = 0; i < countof(vectors); i++) {
        size_t len = strlen(vectors[i].bytes), text_len = strlen(vectors[i].text);
        CHECK_INT(BASE64_LEN(len), text_len);
        base64_encode(text, vectors[i].bytes, len);
        CHECK_STR(text, vectors[i].text);
        CHECK_INT(base64_size(text, text_len), len);
        CHECK_INT(base64_decode(bytes, text, text_len), 0);
        CHECK(memcmp(bytes, vectors[i].bytes, len) == 0);
    }
}

TEST(base64_strict)
{
    static const char *const bad[] = {
        "Z",    "Zg",   "Zg=",      "Zm8",  "Zg===",  "Zm9v=", "Zm9v==",     "=",
        "==",   "====", "Zh==",     "Zm9=", "Zm9v\n", " Zm9v", "Zm 9v",      "Zm9v Zg==",
        "-_-_", "Zm9*", "Zg==Zg==", "Z===", "Zm9vZ",  "Zg==x", "\xc3\xa9==", "Z=g=",
    };
    char bytes[16];
    for (size_t i = 0; i < countof(bad); i++)
        if (base64_decode(bytes, bad[i], strlen(bad[i])) == 0)
            test_fail(__FILE__, __LINE__, "\"%s\" was taken for base64", bad[i]);
    CHECK_INT(base64_decode(bytes, "Zm9v\0", 5), -1);
}

/* In memory of exactly the right size, which the sanitizers watch. */
TEST(base64_lengths)
{
    for (size_t len = 0; len < 200; len++) {
        cleanup_free unsigned char *bytes = xmalloc(len + 1), *again = xmalloc(len ? len : 1);
        cleanup_free char *text = xmalloc(BASE64_LEN(len) + 1);
        cleanup_free char *pieces = xmalloc(BASE64_LEN(len) + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char)(i * 37 + len);
        base64_encode(text, bytes, len);
        CHECK_INT(strlen(text), BASE64_LEN(len));
        CHECK_INT(base64_size(text, BASE64_LEN(len)), len);
        CHECK_INT(base64_decode(again, text, BASE64_LEN(len)), 0);
        CHECK(memcmp(again, bytes, len) == 0);
        for (size_t at = 0, out = 0; at < len; at += 9, out += 12)
            base64_encode(pieces + out, bytes + at, len - at < 9 ? len - at : 9);
        CHECK(len == 0 || strcmp(pieces, text) == 0);
    }
}

TEST(base64url_encodes_what_it_decodes)
{
    static const unsigned char bytes[] = {0xfb, 0xff, 0xbe, 0x01};
    unsigned char again[4];
    char text[BASE64URL_LEN(4) + 1];
    base64url_encode(text, bytes, 4);
    CHECK_STR(text, "-_--AQ");
    CHECK_INT(base64url_decode(again, text, strlen(text)), 0);
    CHECK(memcmp(again, bytes, 4) == 0);
    base64url_encode(text, bytes, 3);
    CHECK_STR(text, "-_--");
    base64url_encode(text, bytes, 0);
    CHECK_STR(text, "");
}
