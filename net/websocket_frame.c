/* RFC 6455's frames. */
#include "net/websocket_frame.h"

#include <string.h>

#include "core/bytes.h"
#include "core/utf8.h"

enum { FIN = 0x80, RSV = 0x70, OPCODE = 0x0f, MASKED = 0x80, LEN16 = 126, LEN64 = 127 };

static enum ws_event broken(struct ws_reader *r, uint16_t code)
{
    r->broken = true;
    r->code = code;
    r->out_len = 0;
    return WS_BROKEN;
}

void ws_reader_init(struct ws_reader *r, enum ws_role role, size_t message_max)
{
    *r = (struct ws_reader){.role = role, .message_max = message_max};
}

void ws_mask(uint8_t *data, size_t len, const uint8_t mask[static 4], uint64_t at)
{
    uint8_t turned[8];
    uint64_t pattern, word;
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(at + i) & 3];
    memcpy(&pattern, turned, sizeof pattern);
    for (; len >= sizeof word; data += sizeof word, len -= sizeof word) {
        memcpy(&word, data, sizeof word);
        word ^= pattern;
        memcpy(data, &word, sizeof word);
    }
    for (size_t i = 0; i < len; i++)
        data[i] ^= turned[i];
}

size_t ws_header(uint8_t header[static WS_HEADER_MAX], uint8_t opcode_and_fin, uint64_t len,
                 const uint8_t mask[4])
{
    struct writer w = writer_to(header, WS_HEADER_MAX);
    uint8_t masked = mask ? MASKED : 0;
    write_u8(&w, opcode_and_fin);
    write_u8(&w, masked | (uint8_t)(len < LEN16 ? len : len <= UINT16_MAX ? LEN16 : LEN64));
    if (len > UINT16_MAX)
        write_u64(&w, len);
    else if (len >= LEN16)
        write_u16(&w, (uint16_t)len);
    if (mask)
        write_bytes(&w, mask, 4);
    return w.len;
}

/* A frame's header. */

static bool is_control(uint8_t opcode)
{
    return opcode & 8;
}

static const uint8_t *mask_of(const struct ws_reader *r)
{
    return r->header + r->header_len - 4;
}

/* How long the header is that begins like this; asks for two bytes first. */
static size_t header_size(const struct ws_reader *r)
{
    if (r->header_len < 2)
        return 2;
    uint8_t len = r->header[1] & 0x7f;
    size_t extended = len == LEN16 ? 2 : len == LEN64 ? 8 : 0;
    return 2 + extended + (r->header[1] & MASKED ? 4 : 0);
}

/* The first two bytes say enough to refuse most of what is wrong: at once, before the rest. */
static bool start_ok(const struct ws_reader *r)
{
    uint8_t opcode = r->header[0] & OPCODE, len = r->header[1] & 0x7f;
    bool fin = r->header[0] & FIN, masked = r->header[1] & MASKED;
    if (r->header[0] & RSV || masked != (r->role == WS_SERVER))
        return false;
    switch (opcode) {
    case WS_MORE: return r->in_message;
    case WS_TEXT:
    case WS_BINARY: return !r->in_message;
    case WS_CLOSE: return fin && len <= WS_CONTROL_MAX && len != 1;
    case WS_PING:
    case WS_PONG: return fin && len <= WS_CONTROL_MAX;
    default: return false;
    }
}

/* The shortest form is demanded, and 63 bits. */
static bool read_length(struct ws_reader *r)
{
    struct reader in = reader_of(r->header, r->header_len);
    (void)read_u8(&in);
    uint8_t len = read_u8(&in) & 0x7f;
    r->left = len == LEN16 ? read_u16(&in) : len == LEN64 ? read_u64(&in) : len;
    if (len == LEN16)
        return r->left >= LEN16;
    return len != LEN64 || (r->left > UINT16_MAX && r->left <= INT64_MAX);
}

/* 0, or the code to close with. */
static uint16_t begin_frame(struct ws_reader *r)
{
    if (!read_length(r))
        return WS_PROTOCOL_ERROR;
    r->opcode = r->header[0] & OPCODE;
    r->at = 0;
    r->control_len = 0;
    r->in_frame = true;
    if (is_control(r->opcode))
        return 0;
    r->fin = r->header[0] & FIN;
    if (r->opcode != WS_MORE) {
        r->text = r->opcode == WS_TEXT;
        r->message = 0;
        r->tail_len = 0;
    }
    r->in_message = true;
    if (r->message_max && r->left > r->message_max - r->message)
        return WS_TOO_BIG;
    r->message = r->message_max ? r->message + r->left : 0;
    return 0;
}

/* Text. */

/* Whether text[len] goes on well after what came before; a character that is cut is kept. */
static bool text_ok(struct ws_reader *r, const uint8_t *text, size_t len)
{
    bool valid = true;
    size_t at = 0;
    while (r->tail_len && at < len) {
        r->tail[r->tail_len++] = text[at++];
        size_t step = utf8_step(r->tail, r->tail_len, &valid);
        if (valid)
            r->tail_len = 0;
        else if (step < r->tail_len || r->tail_len == sizeof(r->tail))
            return false;
    }
    while (at < len) {
        size_t step = utf8_step(text + at, len - at, &valid);
        if (!valid) {
            /* Cut by the end, if its first byte can begin anything at all. */
            bool cut = at + step == len && text[at] >= 0xc2 && text[at] <= 0xf4 && step < 4;
            memcpy(r->tail, text + at, cut ? step : 0);
            r->tail_len = cut ? step : 0;
            return cut;
        }
        at += step;
    }
    return true;
}

/* Payload. */

static enum ws_event end_control(struct ws_reader *r, uint8_t *out)
{
    struct reader in = reader_of(r->control, r->control_len);
    r->in_frame = false;
    r->header_len = 0;
    r->code = WS_NO_CODE;
    if (r->opcode == WS_CLOSE && r->control_len) {
        r->code = read_u16(&in);
        bool known = (r->code >= 1000 && r->code <= 1003) || (r->code >= 1007 && r->code <= 1014) ||
                     (r->code >= 3000 && r->code <= 4999);
        if (!known)
            return broken(r, WS_PROTOCOL_ERROR);
        if (!utf8_valid(in.p, in.left))
            return broken(r, WS_BAD_DATA);
    }
    r->out_len = in.left;
    memcpy(out, in.p, in.left);
    return r->opcode == WS_CLOSE ? WS_GOT_CLOSE : r->opcode == WS_PING ? WS_GOT_PING : WS_GOT_PONG;
}

static size_t take_payload(struct ws_reader *r, const uint8_t *in, size_t len, uint8_t *out)
{
    size_t n = len < WS_PIECE ? len : WS_PIECE;
    n = n < r->left ? n : (size_t)r->left;
    if (n)
        memcpy(out, in, n);
    if (r->role == WS_SERVER)
        ws_mask(out, n, mask_of(r), r->at);
    r->at += n;
    r->left -= n;
    return n;
}

static enum ws_event read_control(struct ws_reader *r, size_t n, uint8_t *out)
{
    if (n)
        memcpy(r->control + r->control_len, out, n);
    r->control_len += n;
    return r->left ? WS_GOT_NOTHING : end_control(r, out);
}

static enum ws_event read_data(struct ws_reader *r, size_t n, const uint8_t *out)
{
    bool ended = !r->left;
    r->last = ended && r->fin;
    if (r->text && (!text_ok(r, out, n) || (r->last && r->tail_len)))
        return broken(r, WS_BAD_DATA);
    r->out_len = n;
    if (ended) {
        r->in_frame = false;
        r->header_len = 0;
        r->in_message = !r->fin;
    }
    return n || r->last ? WS_GOT_DATA : WS_GOT_NOTHING;
}

static enum ws_event read_payload(struct ws_reader *r, const uint8_t *in, size_t len, size_t *used,
                                  uint8_t *out)
{
    size_t n = take_payload(r, in, len, out);
    *used += n;
    return is_control(r->opcode) ? read_control(r, n, out) : read_data(r, n, out);
}

/* False once it is refused. */
static bool read_header(struct ws_reader *r, const uint8_t *in, size_t len, size_t *used)
{
    while (*used < len && r->header_len < header_size(r)) {
        r->header[r->header_len++] = in[(*used)++];
        if (r->header_len == 2 && !start_ok(r)) {
            broken(r, WS_PROTOCOL_ERROR);
            return false;
        }
    }
    if (r->header_len < header_size(r))
        return true;
    uint16_t code = begin_frame(r);
    if (code)
        broken(r, code);
    return !code;
}

enum ws_event ws_read(struct ws_reader *r, const uint8_t *in, size_t len, size_t *used,
                      uint8_t out[static WS_PIECE])
{
    enum ws_event event = WS_GOT_NOTHING;
    *used = 0;
    r->out_len = 0;
    if (r->broken)
        return WS_BROKEN;
    while (event == WS_GOT_NOTHING) {
        if (!r->in_frame && !read_header(r, in, len, used))
            return WS_BROKEN;
        if (!r->in_frame || (r->left && *used == len))
            break;
        event = read_payload(r, in + *used, len - *used, used, out);
    }
    return event;
}
