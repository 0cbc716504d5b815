#include "applets/agent/hint.h"

#include <stdlib.h>

#include "applets/agent/client.h"
#include "applets/service/firewall.h"
#include "core/mem.h"

struct hint {
    struct firewall *looking;
    uint16_t port;
};

static void forget(struct request *r)
{
    struct hint *h = r->state;
    firewall_cancel(h->looking);
    free(h);
}

static void looked(void *arg, const struct firewall_view *view)
{
    struct request *r = arg;
    struct hint *h = r->state;
    cleanup_free char *text = firewall_hint_text(view, h->port);
    struct draft d = draft_of(MSG_HINT);
    h->looking = NULL;
    draft_str(&d, "text", text);
    request_answer(r, &d);
    request_end(r);
}

void serve_firewall_hint(struct request *r)
{
    const struct client *c = r->service->owner;
    int64_t port;
    if (json_get_int(r->message.body, "port", &port) != 1 || port < 1 || port > UINT16_MAX) {
        request_fail(r, ERR_INVALID_REQUEST, "port: a number from 1 to 65535");
        return;
    }
    struct hint *h = xcalloc(1, sizeof *h);
    struct firewall_ask ask = firewall_ask_of((uint16_t)port, c ? c->from : NULL);
    h->port = (uint16_t)port;
    r->state = h;
    r->abort = forget;
    h->looking = firewall_look(r->service->loop, &ask, looked, r);
}
