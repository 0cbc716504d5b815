#include "core/utf8.h"

#include "core/mem.h"
#include "tests/unit/test.h"

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static const struct {
    const char *text, *clean;
} samples[] = {
    {"", ""},
    {"plain\ttext\n", "plain\ttext\n"},
    {"\x7f", "\x7f"},
    /* the first and last of each length, and the neighbours of the surrogates */
    {"\xc2\x80\xdf\xbf", "\xc2\x80\xdf\xbf"},
    {"\xe0\xa0\x80\xef\xbf\xbf", "\xe0\xa0\x80\xef\xbf\xbf"},
    {"\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"},
    {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
    /* bytes that never begin anything */
    {"\x80", BAD},
    {"a\xbf"
     "b",
     "a" BAD "b"},
    {"\xf5\xfe\xff", BAD BAD BAD},
    /* overlong */
    {"\xc0\xaf", BAD BAD},
    {"\xc1\xbf", BAD BAD},
    {"\xe0\x9f\xbf", BAD BAD BAD},
    {"\xf0\x8f\xbf\xbf", BAD BAD BAD BAD},
    /* surrogates */
    {"\xed\xa0\x80", BAD BAD BAD},
    {"\xed\xbf\xbf", BAD BAD BAD},
    /* past U+10FFFF */
    {"\xf4\x90\x80\x80", BAD BAD BAD BAD},
    /* cut off, in the middle and at the end: one mark for each piece */
    {"\xc3", BAD},
    {"\xe2\x82", BAD},
    {"\xf0\x9f\x98", BAD},
    {"\xe2\x82"
     "a",
     BAD "a"},
    {"\xf0\x9f\xe2\x82\xac", BAD "\xe2\x82\xac"},
    {"\xf0\x9f\x98\xf0\x9f\x98\x80", BAD "\xf0\x9f\x98\x80"},
};

TEST(utf8_samples)
{
    for (size_t i = 0; i < countof(samples); i++) {
        size_t len = strlen(samples[i].text), clean_len;
        cleanup_free char *clean = utf8_clean(samples[i].text, len, &clean_len);
        CHECK_STR(clean, samples[i].clean);
        CHECK_INT(clean_len, strlen(samples[i].clean));
        CHECK_INT(utf8_valid(samples[i].text, len), strcmp(clean, samples[i].text) == 0);
        CHECK(utf8_valid(clean, clean_len));
    }
}

/* Every code point, encoded by hand. */
TEST(utf8_all_code_points)
{
    unsigned wrong = 0;
    for (uint32_t c = 0x800; c < 0x120000; c++) {
        uint8_t text[4] = {(uint8_t)(0xf0 | c >> 18), (uint8_t)(0x80 | (c >> 12 & 0x3f)),
                           (uint8_t)(0x80 | (c >> 6 & 0x3f)), (uint8_t)(0x80 | (c & 0x3f))};
        size_t from = c < 0x10000 ? 1 : 0;
        if (from)
            text[1] = (uint8_t)(0xe0 | c >> 12);
        bool want = (c < 0xd800 || c > 0xdfff) && c < 0x110000;
        wrong += utf8_valid(text + from, sizeof text - from) != want;
    }
    CHECK_INT(wrong, 0);
}

TEST(utf8_ends_where_it_is_told)
{
    CHECK(utf8_valid("\xc3\xa9", 2));
    CHECK(!utf8_valid("\xc3\xa9", 1));
    CHECK(!utf8_valid("a\xf0\x9f\x98\x80", 4));
}

TEST(utf8_nul_is_a_character)
{
    size_t len;
    cleanup_free char *clean = utf8_clean("a\0\xff", 3, &len);
    CHECK_INT(len, 5);
    CHECK(memcmp(clean, "a\0" BAD, 6) == 0);
}
