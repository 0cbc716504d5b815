/* pattern.h: bytes whose place in a transfer can be told, so that what comes is known to be right. */
#ifndef TESTS_INTEROP_PATTERN_H
#define TESTS_INTEROP_PATTERN_H

#include "core/stream.h"

static inline uint8_t pattern(size_t at)
{
    return (uint8_t)(at % 251);
}

/* As many of the `total` as there is room for; how many have been sent then, `sent` being those before. */
static inline size_t pattern_send(struct stream *s, size_t sent, size_t total)
{
    uint8_t bytes[20000];
    size_t room;
    while (sent < total && (room = stream_room(s))) {
        size_t len = total - sent;
        len = len < room ? len : room;
        len = len < sizeof bytes ? len : sizeof bytes;
        for (size_t i = 0; i < len; i++)
            bytes[i] = pattern(sent + i);
        stream_write(s, bytes, len);
        sent += len;
    }
    return sent;
}

/* How many of data[len], which stand at `at`, are right. */
static inline size_t pattern_right(const uint8_t *data, size_t len, size_t at)
{
    size_t right = 0;
    for (size_t i = 0; i < len; i++)
        right += data[i] == pattern(at + i);
    return right;
}

#endif
