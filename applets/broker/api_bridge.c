/* Where agents come in. */
#include "applets/broker/call.h"
#include "core/mem.h"
#include "net/http_server.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"

void api_health(struct call *c)
{
    call_text(c, "ok\n");
}

/* Only an agent's connection, which proves whose it is by its key: a browser's has an origin. */
void api_bridge(struct call *c)
{
    cleanup_free char *user = NULL;
    struct front *f = c->front;
    if (http_field_count(http_request_head(c->exchange), "Origin") != 0) {
        call_error(c, API_FORBIDDEN, "Browsers have no business here.");
        return;
    }
    if (call_param(c, "userId", false, &user) < 0)
        return;
    struct tally_row *stranger = front_stranger(f, c->peer);
    if (!stranger) {
        call_error_with(c, API_RATE_LIMITED, "Retry-After: 10\r\n",
                        "Too many who have not joined yet are connected from there.");
        return;
    }
    struct stream *carrier = websocket_accept(call_take(c), NULL);
    call_end(c);
    if (carrier)
        bridge_accept(&f->bridges, websocket_stream_new(carrier, WS_SERVER), user, stranger);
    else
        tally_give(&f->strangers, stranger);
}
