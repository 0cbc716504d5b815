/* sock.h: sockets: dialling and listening; TCP and unix here, AF_VSOCK in net/vsock.h. */
#ifndef NET_SOCK_H
#define NET_SOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/stream.h"
#include "net/target.h"

struct resolved;
struct sockaddr;

/* Dialling: names are resolved without holding the loop up, addresses tried in order, the
 * next one when one fails or after 250 ms. At most 30 s in all, then ETIMEDOUT. */
struct dial;
/* A connected stream (the callee's from then on) and 0; or NULL and why: ECONNREFUSED,
 * EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, ENOENT (no such name or path), EACCES, … */
typedef void dial_fn(void *arg, struct stream *s, int error);
/* Never calls back before it returned. */
struct dial *dial_start(struct loop *loop, const struct target *t, dial_fn *fn, void *arg);
/* The same for addresses that are known. Where none is, why is `to->error`. */
struct dial *dial_addresses(struct loop *loop, const struct resolved *to, dial_fn *fn, void *arg);
/* A limit of its own, counted from now, in place of the 30 s. */
void dial_limit(struct dial *d, uint64_t limit_ms);
/* Forgets it: no callback. Not to be called after the callback. */
void dial_cancel(struct dial *d);

/* Listening. A unix path is made under umask 0177, and removed when the listener is freed
 * if it is still the same socket. */
struct listener;
/* `peer`: "192.0.2.1:4711", "unix" or "vsock:3:1027". The stream is the callee's. */
typedef void listener_fn(void *arg, struct stream *s, const char *peer);
/* NULL with errno (EADDRINUSE, EACCES, EADDRNOTAVAIL, …). A host name is resolved at once:
 * binds are addresses, "localhost" (127.0.0.1) or "" (every address, v6 and v4). */
struct listener *listener_new(struct loop *loop, const struct target *bind, listener_fn *fn,
                              void *arg);
/* Takes `fd`, a bound stream socket, and listens on it. NULL with errno; it is closed then. */
struct listener *listener_over(struct loop *loop, int fd, listener_fn *fn, void *arg);
void listener_free(struct listener *l); /* NULL is fine */
/* How many connections the kernel keeps that were not accepted: 1024 where this is not said. */
int listener_backlog(struct listener *l, int n);
/* While it is held nothing is accepted; what comes waits in the backlog. */
void listener_hold(struct listener *l, bool hold);
uint16_t listener_port(const struct listener *l); /* 0 for a unix socket */
/* Why the last accept failed, 0 if it did not: EMFILE, ENFILE. It is logged and goes on by itself. */
int listener_error(const struct listener *l);

/* "192.0.2.1:4711", "[2001:db8::1]:4711", "vsock:3:1027", else "unix". */
void sock_address_text(const struct sockaddr *addr, char text[static TARGET_TEXT_MAX]);
/* The uid at the other end of a connected unix socket; -1 with errno. */
int sock_peer_uid(int fd, uid_t *uid);
/* Connects to a unix socket and proves that this user owns both the file and the process
 * behind it, before a byte is sent. A descriptor, blocking, or -1 with errno: ENOENT, EPERM
 * (another user's, or not a socket: a symlink is not followed), ECONNREFUSED (nobody). */
int sock_connect_own(const char *path);

#endif
