/* yamux_frame.c: the 12 bytes before every yamux frame. */
#include "net/yamux_frame.h"

#include "core/bytes.h"

void yamux_header_write(uint8_t dst[static YAMUX_HEADER_LEN], const struct yamux_header *h)
{
    struct writer w = writer_to(dst, YAMUX_HEADER_LEN);
    write_u8(&w, h->version);
    write_u8(&w, h->type);
    write_u16(&w, h->flags);
    write_u32(&w, h->id);
    write_u32(&w, h->length);
}

struct yamux_header yamux_header_read(const uint8_t src[static YAMUX_HEADER_LEN])
{
    struct reader r = reader_of(src, YAMUX_HEADER_LEN);
    struct yamux_header h = {0};
    h.version = read_u8(&r);
    h.type = read_u8(&r);
    h.flags = read_u16(&r);
    h.id = read_u32(&r);
    h.length = read_u32(&r);
    return h;
}
