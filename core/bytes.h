/* bytes.h: the one bounds-checked reader and writer of binary data. Big-endian.
 *
 * Errors are sticky: once a read went past the end, every later one returns zero and
 * reader_done() is false, so a decoder checks once, at its end. */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const uint8_t *p;
    size_t left;
    bool bad;
};

struct reader reader_of(const void *data, size_t len);
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
/* `len` bytes inside the reader's own memory, or NULL when fewer are left. */
const uint8_t *read_bytes(struct reader *r, size_t len);
/* Copies `len` bytes to dst; zeroes it when fewer are left. */
void read_copy(struct reader *r, void *dst, size_t len);
/* True when nothing failed and nothing is left over. */
bool reader_done(const struct reader *r);

struct writer {
    uint8_t *p;
    size_t cap, len;
    bool bad; /* did not fit; len stays where it was */
};

struct writer writer_to(void *dst, size_t cap);
void write_u8(struct writer *w, uint8_t v);
void write_u16(struct writer *w, uint16_t v);
void write_u32(struct writer *w, uint32_t v);
void write_u64(struct writer *w, uint64_t v);
void write_bytes(struct writer *w, const void *src, size_t len);

/* Lower-case hex. `hex` holds 2 * len + 1 characters. */
void hex_encode(char *hex, const void *src, size_t len);
/* 0, or -1 when `hex` is not exactly 2 * len hex digits. */
int hex_decode(void *dst, size_t len, const char *hex);

#endif
