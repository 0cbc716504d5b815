/* A peer's HTTP, whole and in pieces as the first byte says: how it is cut must not matter. */
#include <stdlib.h>
#include <string.h>

#include "net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_head(const struct http_head *h, enum http_kind kind)
{
    require(h->fields <= HTTP_FIELDS_MAX && h->text.len <= 2 * HTTP_HEAD_MAX);
    require(http_field_count(h, "Content-Length") <= 1);
    require(h->length != HTTP_CHUNKED || !http_field(h, "Content-Length"));
    if (kind == HTTP_RESPONSES)
        return;
    require(h->length != HTTP_UNTIL_END && h->method && *http_target(h));
    require(http_field_count(h, "Host") == 1 || h->minor == 0);
    require(!strpbrk(http_target(h), " \t\r\n#"));
}

/* What was said, as bytes that can be compared. */
static void tell(struct http_parser *p, enum http_event event, enum http_kind kind,
                 struct buf *story)
{
    const struct http_head *h = http_parser_head(p);
    size_t len;
    const uint8_t *body = http_parser_body(p, &len);
    if (event == HTTP_GOT_HEAD) {
        check_head(h, kind);
        buf_printf(story, "H%d %d ", h->status, (int)h->length);
        buf_append(story, buf_front(&h->text), h->text.len);
    } else if (event == HTTP_GOT_BODY) {
        require(len > 0);
        buf_append(story, body, len);
    } else if (event == HTTP_GOT_END) {
        buf_append(story, "E", 1);
    }
}

static bool feed(struct http_parser *p, const uint8_t *in, size_t len, struct buf *story,
                 enum http_kind kind)
{
    enum http_event event;
    size_t at = 0, used;
    do {
        event = http_parse(p, in + at, len - at, &used);
        require(used <= len - at);
        require(event != HTTP_GOT_NOTHING || used == len - at);
        at += used;
        tell(p, event, kind, story);
    } while (event != HTTP_GOT_NOTHING && event != HTTP_BROKEN);
    return event != HTTP_BROKEN;
}

static bool read_all(const uint8_t *in, size_t len, size_t piece, struct buf *story,
                     enum http_kind kind)
{
    struct http_parser *p = http_parser_new(kind);
    bool good = true;
    for (size_t at = 0; at < len && good; at += piece)
        good = feed(p, in + at, len - at < piece ? len - at : piece, story, kind);
    if (good)
        tell(p, http_parse_end(p), kind, story);
    else
        require(http_status_of(p) >= 400 && http_reason_of(p));
    http_parser_free(p);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum http_kind kind = data[0] & 1 ? HTTP_RESPONSES : HTTP_REQUESTS;
    struct buf whole = {0}, parts = {0};
    bool good = read_all(data + 1, size - 1, size, &whole, kind);
    require(read_all(data + 1, size - 1, (size_t)(data[0] >> 1) + 1, &parts, kind) == good);
    require(whole.len == parts.len);
    require(!whole.len || !memcmp(buf_front(&whole), buf_front(&parts), whole.len));
    buf_fini(&whole);
    buf_fini(&parts);
    return 0;
}
