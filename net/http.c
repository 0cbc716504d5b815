/* HTTP/1.1's parser: llhttp, made to stop at each event, and our limits around it.
 *
 * llhttp calls back while it reads. Each callback that makes an event pauses it, so that it never
 * reads past what the caller has dealt with: what follows an upgrade or a refusal stays the
 * caller's. */
#include "net/http.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "net/http_fields.h"

struct http_parser {
    llhttp_t ll;
    struct http_head head;
    enum http_kind kind;
    enum http_event event;
    bool inside;
    bool head_done;
    bool no_body;
    size_t fields;   /* of the head, or of the trailer */
    size_t overhead; /* bytes since the message began, or since the last byte of its body */
    const uint8_t *body;
    size_t body_len;
    int status; /* of a refusal */
    const char *reason;
};

static struct http_parser *parser_of(llhttp_t *ll)
{
    return ll->data;
}

static int refuse(struct http_parser *p, int status, const char *reason)
{
    if (p->event != HTTP_BROKEN) {
        p->status = status;
        p->reason = reason;
    }
    p->event = HTTP_BROKEN;
    return HPE_USER;
}

static int pause_at(struct http_parser *p, enum http_event event)
{
    p->event = event;
    return HPE_PAUSED;
}

/* What llhttp calls. */

static int on_begin(llhttp_t *ll)
{
    struct http_parser *p = parser_of(ll);
    http_head_reset(&p->head);
    p->head_done = false;
    p->fields = 0;
    return 0;
}

static int on_url(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = parser_of(ll);
    size_t around = strlen("OPTIONS  HTTP/1.1\r\n");
    buf_append(&p->head.text, at, len);
    return p->head.text.len + around > HTTP_LINE_MAX ? refuse(p, 414, "the target is too long") : 0;
}

static int on_url_end(llhttp_t *ll)
{
    http_head_add(&parser_of(ll)->head, "", 0);
    return 0;
}

static int on_version_end(llhttp_t *ll)
{
    bool known = ll->http_major == 1 && ll->http_minor <= 1;
    return known ? 0 : refuse(parser_of(ll), 505, "HTTP/1.0 and 1.1 are spoken here");
}

/* A name may come in pieces; its row is made when its value begins or it turns out to have none. */
static int on_name(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = parser_of(ll);
    if (!p->head_done)
        buf_append(&p->head.text, at, len);
    return 0;
}

static int on_name_end(llhttp_t *ll)
{
    struct http_parser *p = parser_of(ll);
    if (p->fields++ == HTTP_FIELDS_MAX)
        return refuse(p, 431, "too many fields");
    if (!p->head_done)
        buf_append(&p->head.text, "", 1);
    return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t len)
{
    return on_name(ll, at, len);
}

static void trim_end(struct buf *text)
{
    while (text->len && strchr(" \t", buf_front(text)[text->len - 1]) &&
           buf_front(text)[text->len - 1])
        text->len--;
}

static size_t after_last_nul(const struct buf *text)
{
    size_t at = text->len;
    while (at && buf_front(text)[at - 1])
        at--;
    return at;
}

/* The last two texts are a name, with its NUL, and a value, whose NUL comes now. */
static int on_value_end(llhttp_t *ll)
{
    struct http_parser *p = parser_of(ll);
    struct http_head *h = &p->head;
    if (p->head_done)
        return 0;
    trim_end(&h->text);
    size_t value = after_last_nul(&h->text);
    struct buf before = h->text;
    before.len = value - 1;
    h->field[h->fields].name = (uint32_t)after_last_nul(&before);
    h->field[h->fields++].value = (uint32_t)value;
    buf_append(&h->text, "", 1);
    return 0;
}

static const char *known_method(uint8_t method)
{
    switch (method) {
    case HTTP_GET:
    case HTTP_HEAD:
    case HTTP_POST:
    case HTTP_PUT:
    case HTTP_PATCH:
    case HTTP_DELETE:
    case HTTP_OPTIONS: return llhttp_method_name(method);
    default: return NULL;
    }
}

static int on_method_end(llhttp_t *ll)
{
    struct http_parser *p = parser_of(ll);
    p->head.method = known_method(ll->method);
    return p->head.method ? 0 : refuse(p, 501, "no such method here");
}

/* Whatever the fields of such a response say (RFC 9112 section 6.3). */
static bool is_bodiless(int status)
{
    return status / 100 == 1 || status == 204 || status == 304;
}

static int64_t length_of(const struct http_parser *p)
{
    if (p->ll.flags & F_SKIPBODY)
        return 0;
    if (p->ll.flags & F_CHUNKED)
        return HTTP_CHUNKED;
    if (p->ll.flags & F_CONTENT_LENGTH)
        return p->ll.content_length > INT64_MAX ? INT64_MAX : (int64_t)p->ll.content_length;
    return llhttp_message_needs_eof(&p->ll) ? HTTP_UNTIL_END : 0;
}

static int on_head_end(llhttp_t *ll)
{
    struct http_parser *p = parser_of(ll);
    struct http_head *h = &p->head;
    if (p->no_body || (p->kind == HTTP_RESPONSES && is_bodiless(ll->status_code)))
        ll->flags |= F_SKIPBODY;
    h->status = ll->status_code;
    h->minor = ll->http_minor;
    h->keep_alive = llhttp_should_keep_alive(ll);
    h->length = length_of(p);
    h->upgrade = ll->upgrade && h->length == 0;
    const char *expected = http_field(h, "Expect");
    h->expect_continue = expected && h->minor && !strcasecmp(expected, "100-continue");
    int status = 400;
    const char *fault =
        p->kind == HTTP_REQUESTS ? http_request_fault(h, &status) : http_framing_fault(h);
    p->head_done = true;
    p->fields = 0;
    return fault ? refuse(p, status, fault) : pause_at(p, HTTP_GOT_HEAD);
}

static int on_body(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = parser_of(ll);
    if (!len) /* of a body that goes on with the next bytes */
        return 0;
    p->body = (const uint8_t *)at;
    p->body_len = len;
    return pause_at(p, HTTP_GOT_BODY);
}

static int on_end(llhttp_t *ll)
{
    return pause_at(parser_of(ll), HTTP_GOT_END);
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_method_complete = on_method_end,
    .on_url = on_url,
    .on_url_complete = on_url_end,
    .on_version_complete = on_version_end,
    .on_header_field = on_name,
    .on_header_field_complete = on_name_end,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_head_end,
    .on_body = on_body,
    .on_message_complete = on_end,
};

/* The parser. */

struct http_parser *http_parser_new(enum http_kind kind)
{
    struct http_parser *p = xcalloc(1, sizeof(*p));
    p->kind = kind;
    llhttp_init(&p->ll, kind == HTTP_REQUESTS ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    p->ll.data = p;
    return p;
}

void http_parser_free(struct http_parser *p)
{
    if (!p)
        return;
    buf_fini(&p->head.text);
    free(p);
}

static enum http_event conclude(struct http_parser *p, llhttp_errno_t err, size_t used)
{
    if (err != HPE_OK && err != HPE_PAUSED)
        refuse(p, 400, llhttp_get_error_reason(&p->ll));
    p->overhead = p->event == HTTP_GOT_BODY ? 0 : p->overhead + used;
    if (p->event != HTTP_BROKEN && p->overhead > HTTP_HEAD_MAX)
        refuse(p, p->head_done ? 400 : 431, "too much but the message itself");
    if (p->event == HTTP_GOT_END)
        p->overhead = 0;
    if (p->event == HTTP_GOT_END)
        p->inside = false;
    else if (p->event == HTTP_GOT_NOTHING || p->event == HTTP_GOT_HEAD)
        p->inside |= used > 0;
    return p->event;
}

enum http_event http_parse(struct http_parser *p, const uint8_t *in, size_t len, size_t *used)
{
    const char *from = len ? (const char *)in : "";
    *used = 0;
    p->body_len = 0;
    if (p->event == HTTP_BROKEN)
        return HTTP_BROKEN;
    p->event = HTTP_GOT_NOTHING;
    llhttp_resume(&p->ll);
    llhttp_errno_t err = llhttp_execute(&p->ll, from, len);
    if (err == HPE_PAUSED_UPGRADE) { /* whoever wanted that has taken the bytes elsewhere */
        *used = (size_t)(llhttp_get_error_pos(&p->ll) - from);
        llhttp_resume_after_upgrade(&p->ll);
        err = llhttp_execute(&p->ll, from + *used, len - *used);
    }
    *used = err == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&p->ll) - from);
    return conclude(p, err, *used);
}

enum http_event http_parse_end(struct http_parser *p)
{
    if (p->event == HTTP_BROKEN)
        return HTTP_BROKEN;
    p->event = HTTP_GOT_NOTHING;
    llhttp_resume(&p->ll);
    return conclude(p, llhttp_finish(&p->ll), 0);
}

const struct http_head *http_parser_head(const struct http_parser *p)
{
    return &p->head;
}

const uint8_t *http_parser_body(const struct http_parser *p, size_t *len)
{
    *len = p->body_len;
    return p->body;
}

void http_parser_no_body(struct http_parser *p, bool none)
{
    p->no_body = none;
}

bool http_parser_inside(const struct http_parser *p)
{
    return p->inside;
}

int http_status_of(const struct http_parser *p)
{
    return p->status;
}

const char *http_reason_of(const struct http_parser *p)
{
    return p->reason;
}
