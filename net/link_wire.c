/* link_wire.c: the link's three frames as bytes. */
#include "net/link_wire.h"

#include <string.h>

#include "core/bytes.h"

#define VERSION 1

void link_put_hello(uint8_t out[static LINK_HELLO_LEN], const struct link_hello *hello)
{
    struct writer w = writer_to(out, LINK_HELLO_LEN);
    write_u8(&w, 'H');
    write_u8(&w, VERSION);
    write_bytes(&w, hello->session, SESSION_LEN);
    write_u64(&w, hello->received);
}

void link_put_data(uint8_t out[static LINK_DATA_LEN], uint32_t len)
{
    struct writer w = writer_to(out, LINK_DATA_LEN);
    write_u8(&w, 'D');
    write_u32(&w, len);
}

void link_put_ack(uint8_t out[static LINK_ACK_LEN], uint64_t received)
{
    struct writer w = writer_to(out, LINK_ACK_LEN);
    write_u8(&w, 'A');
    write_u64(&w, received);
}

/* 0: no such tag. */
static size_t head_size(uint8_t tag)
{
    switch (tag) {
    case 'H': return LINK_HELLO_LEN;
    case 'D': return LINK_DATA_LEN;
    case 'A': return LINK_ACK_LEN;
    default: return 0;
    }
}

static enum link_head_kind decode(struct link_head *h)
{
    struct reader r = reader_of(h->bytes, h->len);
    switch (read_u8(&r)) {
    case 'H':
        read_u8(&r); /* the version, which link_head_feed() has seen */
        read_copy(&r, h->hello.session, SESSION_LEN);
        h->hello.received = read_u64(&r);
        return reader_done(&r) ? LINK_HEAD_HELLO : LINK_HEAD_BAD;
    case 'D':
        h->data_len = read_u32(&r);
        return reader_done(&r) && h->data_len <= LINK_DATA_MAX ? LINK_HEAD_DATA : LINK_HEAD_BAD;
    default: h->acked = read_u64(&r); return reader_done(&r) ? LINK_HEAD_ACK : LINK_HEAD_BAD;
    }
}

enum link_head_kind link_head_feed(struct link_head *h, const uint8_t *in, size_t *len)
{
    size_t size = head_size(h->len ? h->bytes[0] : *in);
    if (!size)
        return LINK_HEAD_BAD;
    if (*len > size - h->len)
        *len = size - h->len;
    memcpy(h->bytes + h->len, in, *len);
    h->len += *len;
    if (h->bytes[0] == 'H' && h->len > 1 && h->bytes[1] != VERSION)
        return LINK_HEAD_BAD;
    if (h->len < size)
        return LINK_HEAD_MORE;
    enum link_head_kind kind = decode(h);
    h->len = 0;
    return kind;
}
