/* resolve.h: names to addresses without holding the loop up. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/loop.h"

#define RESOLVE_MAX 8 /* addresses kept of one answer */

struct resolved {
    struct sockaddr_storage addr[RESOLVE_MAX];
    socklen_t len[RESOLVE_MAX];
    size_t n;
};

/* Addresses, and "localhost" (127.0.0.1, then ::1), need no resolver: true and *out filled. */
bool resolve_now(const char *host, uint16_t port, struct resolved *out);

/* Anything else is looked up by getaddrinfo() in a child process. */
struct resolve;
typedef void resolve_fn(void *arg, const struct resolved *addresses); /* n 0: no such name */
struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port, resolve_fn *fn,
                              void *arg);
void resolve_cancel(struct resolve *r); /* before the callback only */

#endif
