/* A head's fields, and what must hold of them together. */
#include "net/http_fields.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *text_at(const struct http_head *h, size_t at)
{
    return (const char *)buf_front(&h->text) + at;
}

void http_head_reset(struct http_head *h)
{
    struct buf text = h->text;
    buf_consume(&text, text.len);
    *h = (struct http_head){.text = text};
}

size_t http_head_add(struct http_head *h, const char *text, size_t len)
{
    size_t at = h->text.len;
    buf_append(&h->text, text, len);
    buf_append(&h->text, "", 1);
    return at;
}

const char *http_target(const struct http_head *h)
{
    return text_at(h, h->target);
}

/* The i-th value of that name, or NULL. */
static const char *value_of(const struct http_head *h, const char *name, size_t i)
{
    for (size_t f = 0; f < h->fields; f++)
        if (!strcasecmp(text_at(h, h->field[f].name), name) && i-- == 0)
            return text_at(h, h->field[f].value);
    return NULL;
}

size_t http_field_count(const struct http_head *h, const char *name)
{
    size_t n = 0;
    while (value_of(h, name, n))
        n++;
    return n;
}

const char *http_field(const struct http_head *h, const char *name)
{
    return value_of(h, name, 1) ? NULL : value_of(h, name, 0);
}

const char *http_field_last(const struct http_head *h, const char *name)
{
    size_t n = http_field_count(h, name);
    return n ? value_of(h, name, n - 1) : NULL;
}

static bool list_has(const char *list, const char *token)
{
    size_t len = strlen(token);
    while (*list) {
        list += strspn(list, ", \t");
        size_t item = strcspn(list, ",");
        size_t end = item;
        while (end && (list[end - 1] == ' ' || list[end - 1] == '\t'))
            end--;
        if (end == len && !strncasecmp(list, token, len))
            return true;
        list += item;
    }
    return false;
}

bool http_field_lists(const struct http_head *h, const char *name, const char *token)
{
    const char *value;
    for (size_t i = 0; (value = value_of(h, name, i)); i++)
        if (list_has(value, token))
            return true;
    return false;
}

/* What must hold. */

/* Bytes that a host, a port and an address in brackets are made of (RFC 3986 §3.2.2), without the
 * percent sign and the marks of an authority with a user in it. */
static bool host_ok(const char *host)
{
    size_t len = strlen(host);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr("-._~:[]", host[i]))
            return false;
    return len <= 255;
}

/* "http://HOST/path" becomes "/path" (RFC 9112 §3.2.2), where HOST is what the field says too. */
static const char *absolute_fault(struct http_head *h, const char *host)
{
    const char *target = http_target(h);
    size_t scheme = !strncasecmp(target, "http://", 7)    ? 7
                    : !strncasecmp(target, "https://", 8) ? 8
                                                          : 0;
    if (!scheme || !host)
        return "the target is no path";
    size_t len = strcspn(target + scheme, "/?");
    if (len != strlen(host) || strncasecmp(target + scheme, host, len) != 0)
        return "the target is not of this host";
    if (target[scheme + len] != '/')
        return "the target has no path";
    h->target += scheme + len;
    return NULL;
}

static const char *target_fault(struct http_head *h, const char *host)
{
    const char *target = http_target(h);
    for (const char *p = target; *p; p++)
        if (*p < '!' || *p > '~' || *p == '#')
            return "the target has a byte that no target has";
    if (*target == '/' || (!strcmp(target, "*") && !strcmp(h->method, "OPTIONS")))
        return NULL;
    return absolute_fault(h, host);
}

const char *http_framing_fault(const struct http_head *h)
{
    size_t codings = http_field_count(h, "Transfer-Encoding");
    if (http_field_count(h, "Content-Length") > 1)
        return "Content-Length is there more than once";
    if (!codings)
        return NULL;
    const char *coding = http_field(h, "Transfer-Encoding");
    if (!coding || strcasecmp(coding, "chunked") != 0)
        return "another transfer coding than chunked";
    if (http_field_count(h, "Content-Length"))
        return "Content-Length beside Transfer-Encoding";
    return h->minor == 0 ? "Transfer-Encoding in HTTP/1.0" : NULL;
}

static const char *host_fault(const struct http_head *h)
{
    size_t hosts = http_field_count(h, "Host");
    if (hosts > 1)
        return "Host is there more than once";
    if (hosts == 0)
        return h->minor ? "Host is missing" : NULL;
    return host_ok(http_field(h, "Host")) ? NULL : "Host is no host";
}

const char *http_request_fault(struct http_head *h, int *status)
{
    const char *fault = host_fault(h);
    *status = 400;
    if (!fault)
        fault = http_framing_fault(h);
    if (!fault)
        fault = target_fault(h, http_field(h, "Host"));
    if (!fault && http_field_count(h, "Expect") && !h->expect_continue) {
        *status = 417;
        fault = "only 100-continue can be expected";
    }
    return fault;
}
