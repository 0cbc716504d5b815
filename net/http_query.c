#include "net/http_query.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/mem.h"

size_t http_path_len(const char *target)
{
    return strcspn(target, "?#");
}

static char *decode(const char *src, size_t len, bool plus)
{
    cleanup_free char *text = xmalloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)src[i];
        if (byte == '%') {
            char hex[3] = {0};
            if (len - i > 2)
                memcpy(hex, src + i + 1, 2);
            if (hex_decode(&byte, 1, hex) < 0 || byte == 0) {
                errno = EINVAL;
                return NULL;
            }
            i += 2;
        } else if (plus && byte == '+') {
            byte = ' ';
        }
        text[n++] = (char)byte;
    }
    text[n] = '\0';
    return steal_str(&text);
}

char *http_decode(const char *src, size_t len)
{
    return decode(src, len, false);
}

/* NAME=VALUE or NAME: whether it is this one, and where its value is. */
static bool is_named(const char *part, size_t len, const char *name, size_t *at)
{
    size_t key_len = strcspn(part, "=&");
    cleanup_free char *key = decode(part, key_len < len ? key_len : len, true);
    *at = key_len < len ? key_len + 1 : len;
    return key && strcmp(key, name) == 0;
}

char *http_query(const char *target, const char *name)
{
    cleanup_free char *value = NULL;
    const char *part = target + http_path_len(target), *end = part + strcspn(part, "#");
    while (part < end) {
        part++;
        size_t len = strcspn(part, "&#"), at;
        if (is_named(part, len, name, &at)) {
            if (value) {
                errno = EINVAL;
                return NULL;
            }
            value = decode(part + at, len - at, true);
            if (!value)
                return NULL;
        }
        part += len;
    }
    if (!value)
        errno = ENOENT;
    return steal_str(&value);
}
