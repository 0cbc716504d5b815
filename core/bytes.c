/* bytes.c: the one bounds-checked reader and writer of binary data. Big-endian. */
#include "core/bytes.h"

#include <string.h>

struct reader reader_of(const void *data, size_t len)
{
    return (struct reader){.p = data, .left = len};
}

const uint8_t *read_bytes(struct reader *r, size_t len)
{
    if (r->bad || len > r->left) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->p;
    if (len)
        r->p += len;
    r->left -= len;
    return at;
}

static uint64_t read_big_endian(struct reader *r, size_t len)
{
    const uint8_t *p = read_bytes(r, len);
    uint64_t v = 0;
    for (size_t i = 0; p && i < len; i++)
        v = v << 8 | p[i];
    return v;
}

uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_big_endian(r, 1);
}

uint16_t read_u16(struct reader *r)
{
    return (uint16_t)read_big_endian(r, 2);
}

uint32_t read_u32(struct reader *r)
{
    return (uint32_t)read_big_endian(r, 4);
}

uint64_t read_u64(struct reader *r)
{
    return read_big_endian(r, 8);
}

void read_copy(struct reader *r, void *dst, size_t len)
{
    const uint8_t *p = read_bytes(r, len);
    if (!len)
        return;
    if (p)
        memcpy(dst, p, len);
    else
        memset(dst, 0, len);
}

bool reader_done(const struct reader *r)
{
    return !r->bad && !r->left;
}

struct writer writer_to(void *dst, size_t cap)
{
    return (struct writer){.p = dst, .cap = cap};
}

void write_bytes(struct writer *w, const void *src, size_t len)
{
    if (w->bad || len > w->cap - w->len) {
        w->bad = true;
        return;
    }
    if (len)
        memcpy(w->p + w->len, src, len);
    w->len += len;
}

static void write_big_endian(struct writer *w, uint64_t v, size_t len)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < len; i++)
        bytes[len - 1 - i] = (uint8_t)(v >> (8 * i));
    write_bytes(w, bytes, len);
}

void write_u8(struct writer *w, uint8_t v)
{
    write_big_endian(w, v, 1);
}

void write_u16(struct writer *w, uint16_t v)
{
    write_big_endian(w, v, 2);
}

void write_u32(struct writer *w, uint32_t v)
{
    write_big_endian(w, v, 4);
}

void write_u64(struct writer *w, uint64_t v)
{
    write_big_endian(w, v, 8);
}

void hex_encode(char *hex, const void *src, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = src;
    for (size_t i = 0; i < len; i++) {
        *hex++ = digits[p[i] >> 4];
        *hex++ = digits[p[i] & 15];
    }
    *hex = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(void *dst, size_t len, const char *hex)
{
    uint8_t *p = dst;
    if (strlen(hex) != 2 * len)
        return -1;
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        p[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}
