/* http.h: HTTP/1.1's messages (RFC 9110, 9112), on llhttp in its strict mode. No I/O: bytes in,
 * events out. http_server.h and http_client.h are on a stream.
 *
 * Refused, each with the status in http_status_of(): a line, header or field count over its limit;
 * repeated or conflicting Content-Length, Content-Length beside Transfer-Encoding, any transfer
 * coding but one `chunked`, bad chunks; folded lines, bare LF or CR, NUL, white space before a
 * colon; Host missing, repeated or malformed; another version; a method that is not in the list
 * GET HEAD POST PUT PATCH DELETE OPTIONS; a target in another form than a path or an absolute
 * http(s) URL of the very Host. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

#define HTTP_LINE_MAX   8192u  /* bytes of a request's method, target and version */
#define HTTP_HEAD_MAX   32768u /* bytes of a whole head; and of framing between a body's bytes */
#define HTTP_FIELDS_MAX 100u   /* fields of a head, or of a trailer, which is read and dropped */

#define HTTP_CHUNKED   (-1) /* lengths that are not known beforehand: */
#define HTTP_UNTIL_END (-2) /* a response that the connection's end ends */

/* The head of a message. All its texts end when the parser goes on to the next one. */
struct http_head {
    const char *method;   /* "GET", …; of a request only */
    int status;           /* of a response only */
    unsigned minor;       /* HTTP/1.minor */
    int64_t length;       /* bytes of the body, or HTTP_CHUNKED, HTTP_UNTIL_END */
    bool keep_alive;      /* the connection may serve another message */
    bool upgrade;         /* a request without body offers one, or a response is 101 */
    bool expect_continue; /* the body comes when 100 Continue was said */
    /* Inside: */
    struct buf text; /* target, then names and values, each with its NUL */
    size_t target;   /* offsets into `text` */
    size_t fields;
    struct {
        uint32_t name, value;
    } field[HTTP_FIELDS_MAX];
};

/* A request's target: a path with its query, as it was sent (percent-encoded); '/' comes first, but
 * "*" for OPTIONS. */
const char *http_target(const struct http_head *h);
size_t http_field_count(const struct http_head *h, const char *name);
/* The value of a field that must not be ambiguous; NULL when it is not there, or more than once. */
const char *http_field(const struct http_head *h, const char *name);
/* Of the last of several; NULL: none. */
const char *http_field_last(const struct http_head *h, const char *name);
/* Whether a list field (RFC 9110 §5.6.1), however often it comes, has this token. */
bool http_field_lists(const struct http_head *h, const char *name, const char *token);

enum http_kind { HTTP_REQUESTS, HTTP_RESPONSES };

enum http_event {
    HTTP_GOT_NOTHING, /* all was taken, and more is needed */
    HTTP_GOT_HEAD,    /* http_parser_head() is complete */
    HTTP_GOT_BODY,    /* http_parser_body(), inside the bytes that were given */
    HTTP_GOT_END,     /* of a message; the next call begins another one */
    HTTP_BROKEN       /* http_status_of(), http_reason_of(); for good */
};

struct http_parser;
struct http_parser *http_parser_new(enum http_kind kind);
void http_parser_free(struct http_parser *p);
/* Goes to the next event. *used of in[len] belong to it; the rest is to be given again. */
enum http_event http_parse(struct http_parser *p, const uint8_t *in, size_t len, size_t *used);
/* The connection's end: HTTP_GOT_END where it ends a body, HTTP_GOT_NOTHING between messages, else BROKEN. */
enum http_event http_parse_end(struct http_parser *p);
/* Of the message being read. */
const struct http_head *http_parser_head(const struct http_parser *p);
const uint8_t *http_parser_body(const struct http_parser *p, size_t *len);
/* Before the head of an answer to HEAD, which has no body whatever it says. */
void http_parser_no_body(struct http_parser *p, bool none);
/* Whether the first byte of a message has come and its end has not. */
bool http_parser_inside(const struct http_parser *p);
int http_status_of(const struct http_parser *p); /* 400, 414, 417, 431, 501 or 505 */
const char *http_reason_of(const struct http_parser *p);

#endif
