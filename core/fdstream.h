/* fdstream.h: a stream over descriptors: a socket, a pipe's two ends, a pty. */
#ifndef CORE_FDSTREAM_H
#define CORE_FDSTREAM_H

#include "core/stream.h"

/* The room in bytes while the kernel takes all that is written; once it does not, what is left
 * over is queued, and the room is 0 until that has gone out. */
#define FDSTREAM_LIMIT (256 * 1024)

/* Takes both descriptors (they may be the same one; `out` may be -1 for read only, `in` -1
 * for write only) and makes them non-blocking. A socket is half-closed by shutdown(2) and
 * reset by SO_LINGER 0; a pipe by closing it. A pty's EIO is its end of file. `connecting`:
 * the socket's connect(2) is under way; OPEN or ERROR tells how it went. */
struct stream *fdstream_new(struct loop *loop, int in, int out);
struct stream *fdstream_connecting(struct loop *loop, int fd);

/* The descriptor that is read; it stays the stream's. */
int fdstream_fd(const struct stream *s);
/* Gives a socket back and ends the owner's hold, without closing anything. Only once all that
 * was written has gone out (fdstream_unsent() is 0); bytes held unread are lost. */
int fdstream_release(struct stream *s);
/* Takes one more descriptor, to be closed together with the stream's own. */
void fdstream_keep(struct stream *s, int fd);

/* Bytes written that the kernel has not taken yet. */
size_t fdstream_unsent(const struct stream *s);

#endif
