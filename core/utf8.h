/* utf8.h: which bytes are UTF-8 (Unicode 15, table 3-7: no overlong forms, no surrogates,
 * nothing past U+10FFFF), and what is shown in place of those that are not. */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* How many of text[len] (len > 0) belong together: one well-formed character, or, with *valid
 * false, the longest piece of one that got cut off. At least 1. */
size_t utf8_step(const void *text, size_t len, bool *valid);
bool utf8_valid(const void *text, size_t len);

/* A heap copy with U+FFFD for each ill-formed piece; *clean_len bytes and a NUL behind them. */
char *utf8_clean(const void *text, size_t len, size_t *clean_len);

/* In place, for a terminal: '?' for each ill-formed piece and each control character but the
 * tab. The new length, which is never more. */
size_t utf8_harmless(char *text, size_t len);

#endif
