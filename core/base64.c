#include "core/base64.h"

#include <sodium.h>

void base64_encode(char *text, const void *src, size_t len)
{
    sodium_bin2base64(text, BASE64_LEN(len) + 1, src, len, sodium_base64_VARIANT_ORIGINAL);
}

size_t base64_size(const char *text, size_t len)
{
    size_t size = len / 4 * 3;
    for (int i = 1; i <= 2 && size > 0 && text[len - (size_t)i] == '='; i++)
        size--;
    return size;
}

int base64_decode(void *dst, const char *text, size_t len)
{
    return sodium_base642bin(dst, base64_size(text, len), text, len, NULL, NULL, NULL,
                             sodium_base64_VARIANT_ORIGINAL);
}

void base64url_encode(char *text, const void *src, size_t len)
{
    sodium_bin2base64(text, BASE64URL_LEN(len) + 1, src, len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

size_t base64url_size(size_t len)
{
    return len / 4 * 3 + len % 4 * 3 / 4;
}

int base64url_decode(void *dst, const char *text, size_t len)
{
    return sodium_base642bin(dst, base64url_size(len), text, len, NULL, NULL, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}
