/* websocket_handshake.h: how an HTTP connection becomes a WebSocket (RFC 6455 section 4), both sides. */
#ifndef NET_WEBSOCKET_HANDSHAKE_H
#define NET_WEBSOCKET_HANDSHAKE_H

#include "core/stream.h"

/* The server's side. The carrier for websocket_new() or websocket_stream_new(); NULL: what the exchange's
 * request offers is no WebSocket of version 13, or its client is gone, and the exchange was answered
 * (400, 405 or 426) and closed. Who may come is for the caller to judge first: from where, a browser
 * says in Origin: http_field(http_request_head(exchange), "Origin"). `protocol`: one of those that
 * the request names in Sec-WebSocket-Protocol, or NULL. */
struct stream *websocket_accept(struct stream *exchange, const char *protocol);

/* The client's. */

struct websocket_request {
    const char *host;     /* as in struct http_request */
    const char *target;   /* likewise */
    const char *fields;   /* likewise, or NULL; not Sec-WebSocket-Key, -Version */
    const char *protocol; /* the one that is offered, or NULL */
    uint32_t patience_ms; /* from the start to the whole head of the answer */
};

struct websocket_dial;

/* Once, from the loop: the carrier, which is the caller's; or NULL with the errno that ended it:
 * ECONNREFUSED where the server answered with another status than 101, which is then in `status`;
 * EPROTO where its answer is no handshake; ETIMEDOUT; else the carrier's. */
typedef void websocket_dialled_fn(void *arg, struct stream *carrier, int error, int status);

/* Takes the carrier, which may not be connected yet. NULL with EINVAL as http_client_send(), the
 * carrier then closed. */
struct websocket_dial *websocket_dial(struct stream *carrier,
                                      const struct websocket_request *request,
                                      websocket_dialled_fn *fn, void *arg);
/* While that is told: the body of an answer with another status, [*len]. NULL: none. */
const char *websocket_refusal(const struct websocket_dial *d, size_t *len);
/* Before it was told: resets the carrier, and nothing is told. */
void websocket_dial_cancel(struct websocket_dial *d);

#endif
