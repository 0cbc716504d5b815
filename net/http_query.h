/* http_query.h: the parts of a request's target: its path, and the parameters of its query (RFC 3986;
 * '+' in a query is a space, as forms send it). */
#ifndef NET_HTTP_QUERY_H
#define NET_HTTP_QUERY_H

#include <stddef.h>

/* How many bytes of the target are its path. */
size_t http_path_len(const char *target);
/* A part of a path with its %XX decoded: heap; NULL with EINVAL: broken, or it has a NUL. */
char *http_decode(const char *src, size_t len);
/* A parameter's value: heap. NULL: ENOENT: not there; EINVAL: as above, or there more than once. */
char *http_query(const char *target, const char *name);

#endif
