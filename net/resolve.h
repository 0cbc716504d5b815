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
    int error; /* when n is 0: ENOENT no such name, EHOSTUNREACH no name server answered, … */
};

/* Addresses, and "localhost" (127.0.0.1, then ::1), need no resolver: true and *out filled. */
bool resolve_now(const char *host, uint16_t port, struct resolved *out);
/* A unix socket's path as the one address; -1 with errno ENAMETOOLONG. */
int resolve_path(const char *path, struct resolved *out);

/* Anything else is looked up by getaddrinfo() in a child process. The answer is in the order
 * to be tried: getaddrinfo's, with v6 and v4 taking turns (RFC 8305 §4). Never calls back
 * before it returned. */
struct resolve;
typedef void resolve_fn(void *arg, const struct resolved *addresses); /* n 0: see `error` */
struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port, resolve_fn *fn,
                              void *arg);
void resolve_cancel(struct resolve *r); /* before the callback only; NULL is fine */

#endif
