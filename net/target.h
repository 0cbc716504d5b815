/* target.h: addresses as people write them: host:port, [v6]:port, udp:host:port, unix:/path.
 *
 * A host is 1 to 253 printable ASCII characters without '/', '[', ']' and '*'; one that
 * holds ':' is a v6 address, perhaps with a scope (fe80::1%eth0). A unix path is absolute
 * and has no control characters. */
#ifndef NET_TARGET_H
#define NET_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARGET_HOST_MAX 253 /* characters of a host name (RFC 1035) */
#define TARGET_PATH_MAX 107 /* bytes of a unix socket's path */
#define TARGET_TEXT_MAX (TARGET_HOST_MAX + 14)

enum target_kind { TARGET_TCP, TARGET_UDP, TARGET_UNIX };

struct target {
    enum target_kind kind;
    uint16_t port;                  /* TCP, UDP; 0 only where a bind address may leave it open */
    char host[TARGET_HOST_MAX + 1]; /* likewise: name or address, v6 without brackets; "" is any */
    char path[TARGET_PATH_MAX + 1]; /* UNIX: absolute */
};

/* All that parse or set: 0, or -1 with *why a static text. */

/* What to connect to: a host and a port of 1 to 65535, or a unix socket. UDP's is a kind of its
 * own: what does not expect it refuses it. */
int target_parse(struct target *t, const char *text, const char **why);
/* What to listen on: besides, the host may be "*" or empty (every address), the port 0. */
int target_parse_bind(struct target *t, const char *text, const char **why);

/* One part of a target by itself. The last makes it UNIX; the first leaves TCP or UDP as it is. */
int target_set_host(struct target *t, const char *host, size_t len, const char **why);
int target_set_port(struct target *t, const char *digits, uint16_t least, const char **why);
int target_set_path(struct target *t, const char *path, const char **why);

/* The same text again: host:port, [v6]:port, udp:host:port, unix:/path; any host is "*". */
void target_format(const struct target *t, char text[static TARGET_TEXT_MAX]);
/* 127.0.0.0/8, ::1, localhost, or a unix socket. */
bool target_is_loopback(const struct target *t);
bool target_equal(const struct target *a, const struct target *b);

#endif
