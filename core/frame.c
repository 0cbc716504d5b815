/* frame.c: frames cut out of a byte stream, and put into one. */
#include "core/frame.h"

#include "core/bytes.h"

#define HEADER_LEN 4

void frame_reader_fini(struct frame_reader *r)
{
    buf_fini(&r->part);
}

uint32_t frame_due(const struct frame_reader *r)
{
    struct reader header = reader_of(buf_front(&r->part), HEADER_LEN);
    return read_u32(&header);
}

/* Where the frame in `part` stands; *lacks: how many bytes it needs to get further. */
static enum frame_status judge(const struct frame_reader *fr, size_t *lacks)
{
    const struct buf *part = &fr->part;
    size_t limit = fr->limit ? fr->limit : FRAME_LIMIT;
    *lacks = HEADER_LEN - part->len;
    if (part->len < HEADER_LEN)
        return FRAME_MORE;
    size_t len = frame_due(fr);
    if (len == 0 || len > limit)
        return FRAME_BAD;
    *lacks = HEADER_LEN + len - part->len;
    return *lacks ? FRAME_MORE : FRAME_READY;
}

enum frame_status frame_feed(struct frame_reader *r, const uint8_t *in, size_t *len,
                             struct frame *out)
{
    struct buf *part = &r->part;
    enum frame_status status;
    size_t given = *len, lacks;
    if (judge(r, &lacks) == FRAME_READY)
        buf_consume(part, part->len); /* the one handed out by the call before */
    *len = 0;
    while ((status = judge(r, &lacks)) == FRAME_MORE && *len < given) {
        size_t n = lacks < given - *len ? lacks : given - *len;
        buf_append(part, in + *len, n);
        *len += n;
    }
    if (status == FRAME_READY)
        *out = (struct frame){buf_front(part) + HEADER_LEN, part->len - HEADER_LEN};
    return status;
}

enum frame_status frame_read(struct frame_reader *r, struct stream *s, struct frame *out)
{
    size_t len;
    const uint8_t *in = stream_peek(s, &len);
    enum frame_status status = frame_feed(r, in, &len, out);
    stream_consume(s, len);
    return status;
}

void frame_begin(struct stream *s, size_t len)
{
    uint8_t header[HEADER_LEN];
    struct writer w = writer_to(header, sizeof header);
    write_u32(&w, (uint32_t)len);
    stream_write(s, header, sizeof header);
}

/* One frame whose payload is `head` and then `body`, which may be empty. */
static void write_parts(struct stream *s, const struct iovec *head, const struct iovec *body)
{
    uint8_t header[HEADER_LEN];
    struct writer w = writer_to(header, sizeof header);
    write_u32(&w, (uint32_t)(head->iov_len + body->iov_len));
    struct iovec parts[] = {{header, sizeof header}, *head, *body};
    stream_writev(s, parts, body->iov_len ? 3 : 2);
}

static struct iovec part_of(const void *data, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)data, len};
}

void frame_write(struct stream *s, const void *payload, size_t len)
{
    struct iovec all = part_of(payload, len), none = {0};
    write_parts(s, &all, &none);
}

void frame_write_data(struct stream *s, uint8_t channel, const void *data, size_t len)
{
    struct iovec head = part_of(&channel, 1), body = part_of(data, len);
    write_parts(s, &head, &body);
}
