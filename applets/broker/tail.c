#include "applets/broker/tail.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define NEAR ((size_t)4096) /* bytes: how much may be left out for a good beginning */

void tail_fini(struct tail *t)
{
    free(t->data);
    *t = (struct tail){0};
}

void tail_put(struct tail *t, const void *data, size_t len)
{
    const uint8_t *from = data;
    if (!t->data)
        t->data = xmalloc(TAIL_MAX);
    t->cut |= len > TAIL_MAX - t->len;
    t->len = len < TAIL_MAX - t->len ? t->len + len : TAIL_MAX;
    if (len > TAIL_MAX) {
        from += len - TAIL_MAX;
        len = TAIL_MAX;
    }
    size_t before = len < TAIL_MAX - t->at ? len : TAIL_MAX - t->at;
    memcpy(t->data + t->at, from, before);
    memcpy(t->data, from + before, len - before);
    t->at = (t->at + len) % TAIL_MAX;
}

static bool is_inside_character(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* How many bytes to leave out. */
static size_t find_beginning(const uint8_t *text, size_t len)
{
    size_t near = len < NEAR ? len : NEAR, n = 0;
    const uint8_t *line = memchr(text, '\n', near), *escape = memchr(text, 0x1b, near);
    if (line)
        return (size_t)(line - text) + 1;
    if (escape)
        return (size_t)(escape - text);
    while (n < 3 && n < len && is_inside_character(text[n]))
        n++;
    return n;
}

void tail_read(const struct tail *t, struct buf *to)
{
    struct buf all = {0};
    if (!t->len)
        return;
    size_t first = (t->at + TAIL_MAX - t->len) % TAIL_MAX;
    size_t before = t->len < TAIL_MAX - first ? t->len : TAIL_MAX - first;
    buf_append(&all, t->data + first, before);
    buf_append(&all, t->data, t->len - before);
    if (t->cut)
        buf_consume(&all, find_beginning(buf_front(&all), all.len));
    buf_append(to, buf_front(&all), all.len);
    buf_fini(&all);
}
