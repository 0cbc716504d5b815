/* http_fields.h: what a head must be beyond its grammar, and its fields as they arrive. Only
 * net/http*.c. */
#ifndef NET_HTTP_FIELDS_H
#define NET_HTTP_FIELDS_H

#include "net/http.h"

void http_head_reset(struct http_head *h);
/* A text into the head: its offset. */
size_t http_head_add(struct http_head *h, const char *text, size_t len);
/* NULL, or why the head of a request is refused, with *status. The method is known already. May
 * move the target to its path. */
const char *http_request_fault(struct http_head *h, int *status);
/* NULL, or why no body can be told from these fields, whichever way the message goes. */
const char *http_framing_fault(const struct http_head *h);

#endif
