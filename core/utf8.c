/* utf8.c: well-formed byte sequences, as the Unicode standard tabulates them. */
#include "core/utf8.h"

#include <stdint.h>
#include <string.h>

#include "core/mem.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
#define REPLACEMENT_LEN (sizeof replacement - 1)

/* The second byte's range is what keeps overlong forms, surrogates and too large code points out. */
static const struct lead {
    uint8_t first, last; /* the first byte */
    uint8_t low, high;   /* the second byte; further ones are 80 to BF */
    uint8_t len;
} leads[] = {
    {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static const struct lead *lead_of(uint8_t byte)
{
    for (size_t i = 0; i < countof(leads); i++)
        if (byte >= leads[i].first && byte <= leads[i].last)
            return &leads[i];
    return NULL;
}

size_t utf8_step(const void *text, size_t len, bool *valid)
{
    const uint8_t *p = text;
    const struct lead *lead = lead_of(p[0]);
    size_t n = 1;
    if (lead) {
        uint8_t low = lead->low, high = lead->high;
        while (n < lead->len && n < len && p[n] >= low && p[n] <= high) {
            n++;
            low = 0x80;
            high = 0xbf;
        }
    }
    *valid = lead && n == lead->len;
    return n;
}

bool utf8_valid(const void *text, size_t len)
{
    const char *p = text;
    bool valid = true;
    for (size_t at = 0; at < len && valid;)
        at += utf8_step(p + at, len - at, &valid);
    return valid;
}

char *utf8_clean(const void *text, size_t len, size_t *clean_len)
{
    const char *p = text;
    char *clean = xmalloc(len * REPLACEMENT_LEN + 1);
    size_t n = 0;
    for (size_t at = 0, step; at < len; at += step) {
        bool valid;
        step = utf8_step(p + at, len - at, &valid);
        const char *from = valid ? p + at : replacement;
        size_t from_len = valid ? step : REPLACEMENT_LEN;
        memcpy(clean + n, from, from_len);
        n += from_len;
    }
    clean[n] = '\0';
    *clean_len = n;
    return clean;
}

/* Whether a terminal would obey this character instead of showing it. */
static bool is_control(const uint8_t *p, size_t len)
{
    if (len == 1)
        return (p[0] < 0x20 && p[0] != '\t') || p[0] == 0x7f;
    return len == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

size_t utf8_harmless(char *text, size_t len)
{
    size_t n = 0;
    for (size_t at = 0, step; at < len; at += step) {
        bool valid;
        step = utf8_step(text + at, len - at, &valid);
        if (valid && !is_control((const uint8_t *)text + at, step)) {
            memmove(text + n, text + at, step);
            n += step;
        } else {
            text[n++] = '?';
        }
    }
    return n;
}
