/* control.h: a user's own local socket: the agent's, and each master's.
 *
 * Frames, one request a connection. Both ends prove that the other is the same user before a
 * byte is sent: the server by SO_PEERCRED, the client by the socket's owner too. */
#ifndef SERVICE_CONTROL_H
#define SERVICE_CONTROL_H

#include "core/message.h"
#include "core/stream.h"

struct control; /* a server on one socket path */

/* A request has arrived. The callee owns the stream: it answers and closes it. */
typedef void control_fn(void *arg, struct stream *s, const struct message *request);

/* NULL with errno: EADDRINUSE where somebody lives, EPERM where the path is not ours. */
struct control *control_new(struct loop *loop, const char *path, control_fn *fn, void *arg);
/* Removes the socket. Connections that wait for an answer stay with their owners. */
void control_free(struct control *c);

/* For the callee: one answer, then the end. */
void control_ok(struct stream *s);
/* Ok, but the connection lasts as long as this process: its end of file tells of the end. */
void control_ok_until_exit(struct stream *s);
void control_fail(struct stream *s, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void control_answer(struct stream *s, struct draft *d);

/* The client, blocking: sends the request (freeing it) and waits for the answer, at most
 * 10 s. 0 and *answer, to be released by message_fini(); or -1 with errno: ENOENT and
 * ECONNREFUSED where nobody lives, EPERM where the path is another user's, ETIMEDOUT, EPROTO. */
int control_ask(const char *path, struct draft *request, struct message *answer);
/* The same on a connection that is kept open: `fd` is a connected socket. */
int control_ask_on(int fd, struct draft *request, struct message *answer);

#endif
