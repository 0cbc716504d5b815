/* stream.h: an ordered byte pipe with back-pressure and half-close.
 *
 * TCP, unix, pipe, pty, a resumable link and a yamux stream are all streams. A stream has
 * one owner, who holds its callback. Rules that every kind keeps:
 *
 *  - Events come from the loop, never from inside a call that the owner makes.
 *  - DATA: bytes can be had from stream_peek(). What the owner does not consume is kept and
 *    holds the sender up; DATA comes again only when more bytes arrive, so an owner that
 *    left bytes behind peeks again when it is able to go on.
 *  - EOF comes once, after the last byte was consumed. The other direction stays usable.
 *  - ERROR comes once and ends both directions; stream_error() tells why. Unread bytes are
 *    lost, as with a TCP reset. The owner then closes the stream.
 *  - OPEN comes once where a stream is made before it is connected. Writes may precede it.
 *  - DRAINED comes when stream_room() has become positive again.
 *  - stream_close() and stream_reset() end the owner's hold: no event comes after them. The
 *    memory stays valid until the loop's turn ends. */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/buf.h"
#include "core/loop.h"

enum stream_event { STREAM_OPEN, STREAM_DATA, STREAM_DRAINED, STREAM_EOF, STREAM_ERROR };

struct stream;
typedef void stream_fn(void *arg, struct stream *s, enum stream_event event);

/* For the owner. */

/* Takes the callback over. What the stream holds or has pending is told to the new owner
 * from the loop: DATA for unread bytes, ERROR even when the last owner knew of it. */
void stream_own(struct stream *s, stream_fn *fn, void *arg);
/* The bytes that wait: contiguous, valid until the next call on this stream. */
const uint8_t *stream_peek(const struct stream *s, size_t *len);
void stream_consume(struct stream *s, size_t len);
/* How much the owner can take now: a kind that reads ahead reads no more than that, and nothing
 * at 0. SIZE_MAX for each new owner. */
void stream_want(struct stream *s, size_t len);
/* While it is needed that the peer reads, ERROR (EPIPE) comes as soon as the kind knows that it
 * does not any more, whatever lies unread; otherwise that is told behind the unread bytes, or by
 * a write that fails. */
void stream_need_reader(struct stream *s, bool need);
/* How long what was written may wait with nothing of it being taken: then ERROR (ETIMEDOUT), or
 * the end of a stream that was closed. 0, as at first: for ever. Only streams over descriptors
 * have such a limit. What is taken is what the kernel takes: it may hold some 200 KiB itself. */
void stream_limit_stall(struct stream *s, uint32_t ms);
/* All bytes were consumed and no more will come. */
bool stream_ended(const struct stream *s);
/* How much should be written now; 0: wait for DRAINED. */
size_t stream_room(const struct stream *s);
/* Takes all of it, whatever the room: who looks at the room before writing bounds the queue
 * to the stream's limit and one write more. After shutdown or an error it is dropped. */
void stream_write(struct stream *s, const void *data, size_t len);
void stream_writev(struct stream *s, const struct iovec *iov, int n);
/* Half-close: the peer sees the end after what was written. */
void stream_shutdown(struct stream *s);
/* Ends the hold: what was written is still sent, then the stream is closed. NULL is fine. */
void stream_close(struct stream *s);
/* Aborts: unsent bytes are dropped and the peer sees a reset where the kind has one. */
void stream_reset(struct stream *s);
/* The errno of ERROR (ECONNRESET, ECONNREFUSED, ETIMEDOUT, EPIPE, …), else 0. */
int stream_error(const struct stream *s);

/* For the kinds: embed `struct stream` first, fill in the operations. */

struct stream_ops {
    size_t (*room)(const struct stream *s);
    void (*writev)(struct stream *s, const struct iovec *iov, int n);
    void (*consumed)(struct stream *s, size_t len); /* the owner took bytes, or wants more */
    void (*shutdown)(struct stream *s);
    void (*close)(struct stream *s); /* must end in stream_fini() and loop_reap() */
    void (*reset)(struct stream *s); /* likewise */
};

struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    stream_fn *fn;
    void *arg;
    struct buf in;       /* arrived, not consumed */
    const uint8_t *lent; /* arrived, inside the kind's memory, during DATA only */
    size_t lent_len;
    size_t want; /* what stream_want() said */
    int error;
    bool eof; /* the peer ended; told to the owner once `in` is empty */
    bool eof_told;
    bool error_told;
    bool opened, drained, data_due; /* events that wait for the task below */
    bool shut;                      /* stream_shutdown() was called */
    bool needs_reader;              /* what stream_need_reader() said */
    uint32_t stall_ms;              /* what stream_limit_stall() said */
    bool closed;                    /* the owner let go */
    struct loop_task notify;
};

void stream_init(struct stream *s, const struct stream_ops *ops, struct loop *loop);
void stream_fini(struct stream *s);
/* Hands `len` bytes up without copying what the owner consumes at once; keeps the rest. To
 * be called from loop callbacks only. */
void stream_deliver(struct stream *s, const uint8_t *data, size_t len);
void stream_deliver_eof(struct stream *s);
/* These three post: the owner hears of it from the loop. */
void stream_deliver_open(struct stream *s);
void stream_deliver_drained(struct stream *s);
void stream_deliver_error(struct stream *s, int error);
/* Bytes that were delivered and not consumed yet. */
static inline size_t stream_held(const struct stream *s)
{
    return s->in.len + s->lent_len;
}

#endif
