/* http_client.h: HTTP/1.1's client on a stream (TCP, TLS, …): one connection, its requests one after
 * the other.
 *
 * A request is an exchange, and an exchange has a stream: what is written to it is the request's body,
 * what is read from it the response's. Back-pressure, half-close (the end of the request) and errors
 * are those of any stream (core/stream.h):
 *
 *  - OPEN: the response's head is there: http_response_head(). No status is acted on: a redirect is the
 *    owner's to judge. Interim responses (1xx) are passed over, but 101 where it was asked for.
 *  - EOF: the response is complete.
 *  - ERROR: ECONNRESET and the like: the connection broke, or ended before the response did; EPROTO:
 *    what came is no response; EMSGSIZE: a body over its limit; ETIMEDOUT: see the limits.
 *  - stream_close() ends the exchange. If both its halves were complete, and the server did not say
 *    otherwise, the connection serves the next request; else it is closed. */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include "core/stream.h"
#include "net/http.h"

struct http_client_limits {
    uint32_t head_ms;  /* from the request's end to the whole head of its response */
    uint32_t body_ms;  /* in each such time while the response's body is wanted … */
    uint32_t body_min; /* … at least so many bytes of it come */
    uint32_t stall_ms; /* how long nothing of a request may be taken (stream_limit_stall) */
};
extern const struct http_client_limits http_client_limits; /* 60 s, 60 s, 1 byte, 60 s */

struct http_request {
    const char *method; /* one of http.h's list */
    const char *target; /* a path with its query, percent-encoded; or "*" */
    const char *host; /* with ":port" unless it is the scheme's own; an IPv6 address in brackets */
    const char *fields;  /* whole lines, each with its CRLF, or NULL: not Host, Connection, Upgrade,
                           Content-Length, Transfer-Encoding, Expect */
    int64_t length;      /* bytes of the body, or HTTP_CHUNKED */
    const char *upgrade; /* the protocol that is asked for, or NULL */
    uint64_t body_max;   /* bytes of the response's body */
};

struct http_client;

/* Takes the carrier, which may not be connected yet. `limits` outlives the client. */
struct http_client *http_client_new(struct stream *carrier,
                                    const struct http_client_limits *limits);
/* Whether a request can be sent: none is open, and the connection is not over. */
bool http_client_ready(const struct http_client *c);
/* The exchange, which is the caller's. NULL: EBUSY: one is open; ENOTCONN: the connection is over;
 * EINVAL: a text that would not be what it is said to be on the wire (a line's end in it, …). */
struct stream *http_client_send(struct http_client *c, const struct http_request *r);
/* Closes the connection; an exchange that is open has ERROR (ECONNRESET). NULL is fine. */
void http_client_free(struct http_client *c);

/* Of an exchange, from OPEN to its close. */
const struct http_head *http_response_head(const struct stream *exchange);
/* After 101: gives the carrier up, with whatever came behind the head, and closes the exchange; the
 * client serves nothing more. NULL when the connection is over. */
struct stream *http_client_upgraded(struct stream *exchange);

#endif
