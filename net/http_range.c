#include "net/http_range.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char unit[] = "bytes=";

/* Digits, as a number that may be too large to matter. False: there are none. */
static bool read_number(const char **text, int64_t *n)
{
    const char *p = *text;
    for (*n = 0; isdigit((unsigned char)*p); p++)
        *n = *n > (INT64_MAX - 9) / 10 ? INT64_MAX : *n * 10 + (*p - '0');
    bool any = p > *text;
    *text = p;
    return any;
}

bool http_range_parse(struct http_range *r, const char *text)
{
    *r = (struct http_range){.last = INT64_MAX};
    if (!text || strncasecmp(text, unit, strlen(unit)) != 0)
        return false;
    text += strlen(unit);
    if (*text == '-') {
        text++;
        return read_number(&text, &r->suffix) && r->suffix > 0 && !*text;
    }
    if (!read_number(&text, &r->first) || *text++ != '-')
        return false;
    if (*text && !read_number(&text, &r->last))
        return false;
    return !*text && r->first <= r->last;
}
