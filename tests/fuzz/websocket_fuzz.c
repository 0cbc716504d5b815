/* A peer's frames, whole and in pieces as the first byte says: how they are cut must not matter. */
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/utf8.h"
#include "net/websocket_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX 100000

static void require(bool ok)
{
    if (!ok)
        abort();
}

struct listener {
    struct buf story;
    struct buf text; /* of the message that is coming */
    size_t message;
};

/* Pieces depend on the cut, so only their sum is told. */
static void on_data(struct listener *l, const struct ws_reader *r, const uint8_t *out)
{
    l->message += r->out_len;
    require(l->message <= MESSAGE_MAX && (r->out_len || r->last));
    buf_append(&l->story, out, r->out_len);
    if (r->text)
        buf_append(&l->text, out, r->out_len);
    if (!r->last)
        return;
    require(utf8_valid(l->text.len ? buf_front(&l->text) : out, l->text.len));
    buf_append(&l->story, r->text ? "T" : "B", 1);
    buf_fini(&l->text);
    l->message = 0;
}

static void on_control(struct listener *l, const struct ws_reader *r, enum ws_event event,
                       const uint8_t *out)
{
    require(r->out_len <= WS_CONTROL_MAX);
    buf_printf(&l->story, "%d %u ", event, event == WS_GOT_CLOSE ? r->code : 0);
    buf_append(&l->story, out, r->out_len);
    if (event == WS_GOT_CLOSE)
        require(utf8_valid(out, r->out_len));
}

static bool feed(struct ws_reader *r, const uint8_t *in, size_t len, struct listener *l)
{
    static uint8_t out[WS_PIECE];
    for (size_t at = 0, used;; at += used) {
        enum ws_event event = ws_read(r, in + at, len - at, &used, out);
        require(used <= len - at && r->out_len <= WS_PIECE);
        if (event == WS_BROKEN)
            return false;
        if (event == WS_GOT_DATA)
            on_data(l, r, out);
        else if (event == WS_GOT_NOTHING)
            return used == len - at || (abort(), false);
        else
            on_control(l, r, event, out);
    }
}

static bool read_all(const uint8_t *in, size_t len, size_t piece, struct buf *story,
                     enum ws_role role)
{
    struct ws_reader r;
    struct listener l = {.message = 0};
    bool good = true;
    ws_reader_init(&r, role, MESSAGE_MAX);
    for (size_t at = 0; at < len && good; at += piece)
        good = feed(&r, in + at, len - at < piece ? len - at : piece, &l);
    buf_fini(&l.text);
    *story = l.story;
    if (!good)
        require(r.code == WS_PROTOCOL_ERROR || r.code == WS_BAD_DATA || r.code == WS_TOO_BIG);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum ws_role role = data[0] & 1 ? WS_SERVER : WS_CLIENT;
    struct buf whole, parts;
    bool good = read_all(data + 1, size - 1, size, &whole, role);
    require(read_all(data + 1, size - 1, (size_t)(data[0] >> 1) + 1, &parts, role) == good);
    /* Text that turns bad is told up to the cut before it. */
    if (good)
        require(whole.len == parts.len &&
                (!whole.len || !memcmp(buf_front(&whole), buf_front(&parts), whole.len)));
    buf_fini(&whole);
    buf_fini(&parts);
    return 0;
}
