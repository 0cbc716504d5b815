/* http_server.h: HTTP/1.1's server on a stream (TCP, TLS, …): one connection, its requests one
 * after the other. What a pipelining client sends ahead waits in the carrier until its turn.
 *
 * A request is an exchange, and an exchange has a stream: what is read from it is the request's
 * body, what is written to it the response's. Back-pressure, half-close (the end of the response)
 * and errors are those of any stream (core/stream.h):
 *
 *  - EOF: the request's body is complete.
 *  - ERROR: ECONNRESET and the like: the client is gone; ETIMEDOUT: it sends or takes too slowly;
 *    EMSGSIZE: a body over its limit, which was answered with 413 if nothing was yet; EPROTO: a
 *    body that is none, answered with 400 if nothing was yet.
 *  - stream_close() ends the exchange, and with it the owner's hold: an answer that was not begun
 *    becomes 500, one that is shorter than it said becomes a reset. Then the next request is read;
 *    but where a part of the body was not, or either end said so, the connection is closed.
 *  - stream_reset() resets the connection.
 *
 * Time limits are in struct http_server_limits; what they cut off has 408 if nothing was answered. */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include "core/stream.h"
#include "net/http.h"

struct http_server_limits {
    uint32_t idle_ms;   /* between requests, and before the first */
    uint32_t head_ms;   /* for a whole head, from its first byte */
    uint32_t body_ms;   /* in each such time while the body is wanted … */
    uint32_t body_min;  /* … at least so many bytes of it come */
    uint32_t stall_ms;  /* how long nothing of a response may be taken (stream_limit_stall) */
    uint32_t linger_ms; /* how long the end of a client is awaited whose body is not wanted */
};
extern const struct http_server_limits http_server_limits; /* 60 s, 10 s, 10 s, 1 KiB, 60 s, 2 s */

struct http_conn;

/* From the loop. */
struct http_server_events {
    /* A request's head. The stream is the owner's from now on; nothing was read of the body. */
    void (*request)(void *arg, struct stream *exchange);
    /* From within whatever answers: a response's head is about to go out. `exchange` is to be looked at, and
     * NULL where what came was no request. May be NULL. */
    void (*answered)(void *arg, const struct stream *exchange, int status);
    /* The connection is over and its memory goes when the turn ends. Exchanges outlive it. */
    void (*ended)(void *arg, struct http_conn *c);
};

/* Takes the carrier. `limits` and `events` outlive the connection. */
struct http_conn *http_serve(struct stream *carrier, const struct http_server_limits *limits,
                             const struct http_server_events *events, void *arg);
/* After the exchange that is open, if any, no further request is read. */
void http_conn_finish(struct http_conn *c);
/* Resets the carrier; an open exchange has ERROR (ECONNRESET). ended() is not called. */
void http_conn_free(struct http_conn *c);

/* Of an exchange. */

const struct http_head *http_request_head(const struct stream *exchange);
/* The response's head was written. */
bool http_is_answered(const struct stream *exchange);
/* What http_serve() was told; NULL: its connection is over. */
void *http_request_arg(const struct stream *exchange);
/* Lets the body come, `limit` bytes of it at most, and says 100 Continue where that is awaited.
 * -1: EMSGSIZE: the client itself says that there is more; nothing is read, answer and close. */
int http_accept_body(struct stream *exchange, uint64_t limit);

/* The response's head. `length` bytes follow, or HTTP_CHUNKED: as many as come (to a client of
 * HTTP/1.0 until the connection's end). `fields` are whole lines, each with its CRLF, or "": not
 * Content-Length, Transfer-Encoding, Connection or Date. A HEAD request's answer has no body,
 * whatever is written; neither have 204 and 304. */
void http_respond(struct stream *exchange, int status, const char *fields, int64_t length);
/* A whole response and the end of the exchange: it closes the stream. */
void http_answer(struct stream *exchange, int status, const char *fields, const void *body,
                 size_t len);
/* Says 101 with `fields` and gives the carrier up, with whatever came behind the request; ends the
 * exchange and the connection. Only where the head has `upgrade`; NULL when the client is gone. */
struct stream *http_upgrade(struct stream *exchange, const char *fields);

const char *http_status_text(int status);

#endif
