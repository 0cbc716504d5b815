#include "applets/broker/assets.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "net/http_server.h"
#include "page_assets.h"

/* The bytes come through the assembler, which copies a file where a compiler would parse an array. */
#define INCLUDE(n, path, type, sum, file, size, gzip)                                              \
    __asm__(".pushsection .rodata\n"                                                               \
            ".globl embedded_" #n "\n"                                                             \
            ".hidden embedded_" #n "\n"                                                            \
            "embedded_" #n ": .incbin \"" file "\"\n"                                              \
            ".popsection\n");                                                                      \
    extern const uint8_t embedded_##n[size] __attribute__((visibility("hidden")));
EMBEDDED(INCLUDE)

#define ROW(n, path, type, sum, file, size, gzip)                                                  \
    {path, type, "\"" sum "\"", embedded_##n, size, gzip},
static const struct asset assets[] = {EMBEDDED(ROW)};

/* Styles are set by scripts through the object model alone, which 'self' allows. */
const char security_fields[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Permissions-Policy: camera=(), microphone=(), geolocation=(), payment=(), usb=()\r\n";

const struct asset *asset_find(const char *path)
{
    for (size_t i = 0; i < countof(assets); i++)
        if (strcmp(assets[i].path, path) == 0)
            return &assets[i];
    return NULL;
}

static void answer_text(struct stream *exchange, int status, const char *fields, const char *text)
{
    cleanup_free char *all =
        xasprintf("Content-Type: text/plain; charset=utf-8\r\n%s%s", security_fields, fields);
    http_answer(exchange, status, all, text, strlen(text));
}

/* Whether one of the codings in the list at *at, which goes on to the next, is gzip, or any; with its
 * weight (RFC 9110 §12.5.3). */
static bool next_coding(const char **at, bool *is_gzip, bool *refused)
{
    const char *name = *at + strspn(*at, " \t,");
    size_t len = strcspn(name, " \t,;"), all = strcspn(name, ",");
    const char *weight = memmem(name, all, "q=", 2);
    *at = name + all;
    *is_gzip = (len == 4 && strncasecmp(name, "gzip", 4) == 0) || (len == 1 && *name == '*');
    *refused = weight && strtod(weight + 2, NULL) <= 0;
    return len > 0;
}

/* Who does not say takes what there is. */
static bool takes_gzip(const struct http_head *h)
{
    bool is_gzip, refused;
    const char *at = http_field(h, "accept-encoding");
    if (!at)
        return http_field_count(h, "accept-encoding") == 0 ||
               http_field_lists(h, "accept-encoding", "gzip");
    while (next_coding(&at, &is_gzip, &refused))
        if (is_gzip)
            return !refused;
    return false;
}

/* Weak comparison: the tags of ours have quotes, so that none is a part of another. */
static bool has_it(const struct http_head *h, const struct asset *a)
{
    const char *tags = http_field(h, "if-none-match");
    return tags && (strstr(tags, a->etag) || strcmp(tags, "*") == 0);
}

static void answer(struct stream *exchange, const struct asset *a)
{
    bool fresh = has_it(http_request_head(exchange), a);
    cleanup_free char *fields =
        xasprintf("Content-Type: %s\r\nETag: %s\r\nCache-Control: no-cache\r\n%s%s", a->type,
                  a->etag, a->gzip ? "Content-Encoding: gzip\r\n" : "", security_fields);
    http_answer(exchange, fresh ? 304 : 200, fields, a->data, fresh ? 0 : a->len);
}

void assets_answer(struct stream *exchange, const char *path)
{
    const struct http_head *h = http_request_head(exchange);
    const struct asset *a = path[0] == '/' ? asset_find(path) : NULL;
    if (!a)
        answer_text(exchange, 404, "", "There is nothing here.\n");
    else if (strcmp(h->method, "GET") != 0 && strcmp(h->method, "HEAD") != 0)
        answer_text(exchange, 405, "Allow: GET, HEAD\r\n", "This can only be read.\n");
    else if (a->gzip && !takes_gzip(h))
        answer_text(exchange, 406, "",
                    "This is only to be had with Accept-Encoding: gzip (curl --compressed).\n");
    else
        answer(exchange, a);
}
