/* http_write.h: a message's bytes on their way out: its body's framing. No I/O. */
#ifndef NET_HTTP_WRITE_H
#define NET_HTTP_WRITE_H

#include "core/stream.h"
#include "net/http.h"

enum http_framing {
    HTTP_FRAME_NONE,   /* no body, whatever is written */
    HTTP_FRAME_LENGTH, /* `left` bytes to come */
    HTTP_FRAME_CHUNKS,
    HTTP_FRAME_END /* the connection's end is the body's */
};

struct http_body_out {
    enum http_framing framing;
    uint64_t left;
    bool over; /* more was written than was said: dropped, and the message is not good */
};

/* Body bytes to the carrier in their framing. */
void http_put_body(struct http_body_out *o, struct stream *carrier, const struct iovec *iov, int n);
/* The end; -1 when bytes are missing, or were too many. */
int http_put_end(struct http_body_out *o, struct stream *carrier);

#endif
