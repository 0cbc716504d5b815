/* base64.h: bytes as text (RFC 4648 §4: the standard alphabet, padded).
 *
 * libsodium's codec under our names: it is at hand, and its 150 to 200 MB/s are more than what
 * carries such text takes. That makes core/base64.c the second owner of <sodium.h>: an encoding
 * is no key, and nobody would look for it in key.h. */
#ifndef CORE_BASE64_H
#define CORE_BASE64_H

#include <stddef.h>

/* How many characters `len` bytes become. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Pieces of a multiple of three bytes, encoded one after the other, are the text of the whole.
 * text[BASE64_LEN(len) + 1], which ends with a NUL. */
void base64_encode(char *text, const void *src, size_t len);

/* How many bytes text[len] is, if it is base64 at all. */
size_t base64_size(const char *text, size_t len);
/* dst[base64_size(text, len)]. 0, or -1: another alphabet, white space, padding that is missing
 * or too much, bits behind the last byte that are not zero. */
int base64_decode(void *dst, const char *text, size_t len);

/* The same in the alphabet for URLs, without padding (section 5). */
#define BASE64URL_LEN(len) (((len)*4 + 2) / 3)
void base64url_encode(char *text, const void *src, size_t len); /* text[BASE64URL_LEN(len) + 1] */
size_t base64url_size(size_t len);
int base64url_decode(void *dst, const char *text, size_t len);

#endif
