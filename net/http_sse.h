/* http_sse.h: server-sent events (WHATWG HTML, "Server-sent events") as an exchange's response.
 *
 * While nothing is said, a comment goes out now and then: it keeps what lies between awake, and finds
 * out that the client is gone. */
#ifndef NET_HTTP_SSE_H
#define NET_HTTP_SSE_H

#include "core/stream.h"

#define SSE_ALIVE_MS 15000

struct sse;

/* From the loop. Each may call sse_end(). */
struct sse_events {
    void (*drained)(void *arg); /* sse_room() has become positive again; may be NULL */
    void (*gone)(void *arg);    /* the client is; then sse_end() */
};

/* Answers 200 and takes the exchange; what may still come of the request's body is not looked at.
 * `fields` as for http_respond(). `alive_ms` is SSE_ALIVE_MS but in tests. */
struct sse *sse_begin(struct stream *exchange, const char *fields, uint32_t alive_ms,
                      const struct sse_events *events, void *arg);
/* One event. `type` NULL: "message"; a type has no line's end in it. Each line of data[len], which is
 * UTF-8 without NUL, however it ends (CR, LF, CRLF), is a line of the event. */
void sse_send(struct sse *e, const char *type, const void *data, size_t len);
/* Before sse_send(): that event's id, which a client that comes again gives as Last-Event-ID. */
void sse_id(struct sse *e, uint64_t id);
/* How much should be sent now; 0: wait for drained(). */
size_t sse_room(const struct sse *e);
/* The response's end. NULL is fine. */
void sse_end(struct sse *e);

#endif
