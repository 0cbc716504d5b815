/* web_dial.h: a connection to an HTTP server that a person named by its URL. */
#ifndef NET_WEB_DIAL_H
#define NET_WEB_DIAL_H

#include "core/stream.h"
#include "net/tls.h"
#include "net/url.h"

struct web_server {
    struct url url;
    const struct tls_anchors *anchors; /* of https without a pin */
    const uint8_t *pin;                /* [SHA256_LEN], see tls.h; or NULL */
};

struct web_dial;
/* Once, from the loop: the stream, which is the callee's, its TLS handshake done; or NULL and why, a text for
 * a person that is valid until it returns. */
typedef void web_dial_fn(void *arg, struct stream *s, const char *why);
/* `server` outlives it. Never calls back before it returned. */
struct web_dial *web_dial(struct loop *loop, const struct web_server *server, web_dial_fn *fn,
                          void *arg);
/* Before the callback only. */
void web_dial_cancel(struct web_dial *d);

#endif
