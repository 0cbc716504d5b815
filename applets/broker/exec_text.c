#include "applets/broker/exec_text.h"

#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"

static void send_piece(struct sse *sse, const char *type, const uint8_t *data, size_t len)
{
    struct json_out *out = json_out_new();
    size_t text_len;
    if (utf8_valid(data, len)) {
        json_put_text(out, json_out_root(out), "text", data, len);
    } else {
        cleanup_free char *base64 = xmalloc(BASE64_LEN(len) + 1);
        base64_encode(base64, data, len);
        json_put_str(out, json_out_root(out), "base64", base64);
    }
    cleanup_free char *text = json_out_text(out, false, &text_len);
    json_out_free(out);
    sse_send(sse, type, text, text_len);
}

/* How many bytes a character has that begins so; 1: none begins so. */
static size_t character_len(uint8_t first)
{
    if (first >= 0xf5)
        return 1;
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
}

/* How many bytes at the end of data[len] are the beginning of a character, if the rest is text. */
static size_t begun(const uint8_t *data, size_t len)
{
    size_t back = 1;
    while (back <= 3 && back <= len && (data[len - back] & 0xc0) == 0x80)
        back++;
    bool cut = back <= 3 && back <= len && character_len(data[len - back]) > back;
    return cut && utf8_valid(data, len - back) ? back : 0;
}

void exec_text_send(struct exec_text *t, struct sse *sse, const char *type, const uint8_t *data,
                    size_t len)
{
    struct buf whole = {0};
    if (t->len) {
        buf_append(&whole, t->tail, t->len);
        buf_append(&whole, data, len);
        data = buf_front(&whole);
        len = whole.len;
    }
    t->len = begun(data, len);
    memcpy(t->tail, data + len - t->len, t->len);
    if (len > t->len)
        send_piece(sse, type, data, len - t->len);
    buf_fini(&whole);
}

void exec_text_end(struct exec_text *t, struct sse *sse, const char *type)
{
    if (t->len)
        send_piece(sse, type, t->tail, t->len);
    t->len = 0;
}
