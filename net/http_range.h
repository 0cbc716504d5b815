/* http_range.h: which bytes a request's Range asks for (RFC 9110 section 14). */
#ifndef NET_HTTP_RANGE_H
#define NET_HTTP_RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct http_range {
    int64_t first, last; /* counted from 0, both included; INT64_MAX: to the end */
    int64_t suffix;      /* > 0: that many from the end, in place of the two */
};

/* A field's value; NULL is fine. False: nothing is asked, or what need not be answered: another unit,
 * several ranges, none at all; then all of it is. */
bool http_range_parse(struct http_range *r, const char *text);

#endif
