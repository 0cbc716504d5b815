#include "applets/service/udp_dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct far_end {
    struct request *request;
    struct udp_dialling d;
    struct target target;
    struct udp_flow *flow;
    struct udp_name_wait wait;
    struct resolved to;
    size_t at; /* the address in use */
    struct dgram *socket;
    bool answered; /* something came back once */
    bool refused;  /* and nothing since the target refused */
};

static void forget(struct request *r)
{
    struct far_end *e = r->state;
    udp_names_cancel(&e->wait);
    udp_flow_end(e->flow);
    dgram_close(e->socket);
    if (e->d.count)
        e->d.count->open--;
    loop_reap(r->service->loop, e, free);
}

static void tell(struct far_end *e, int error)
{
    if (e->d.heard)
        e->d.heard(e->d.arg, error);
}

/* --- the socket ---------------------------------------------------------------------------- */

static void on_received(void *arg, const struct dgram_path *from, const uint8_t *data, size_t len)
{
    struct far_end *e = arg;
    (void)from;
    e->answered = true;
    e->refused = false;
    if (e->d.count)
        e->d.count->down_bytes += len;
    udp_flow_send(e->flow, data, len);
    tell(e, 0);
}

/* Once until an answer comes. */
static void on_failed(void *arg, int error)
{
    struct far_end *e = arg;
    if (error != ECONNREFUSED || e->refused)
        return;
    e->refused = true;
    udp_flow_tell_refused(e->flow);
    tell(e, error);
}

static const struct dgram_events socket_events = {.received = on_received, .failed = on_failed};

/* From the address after the one in use on; NULL with errno. */
static struct dgram *connect_from(struct far_end *e, size_t first)
{
    struct dgram *made = NULL;
    for (size_t i = 0; i < e->to.n && !made; i++) {
        struct quic_addr to = {0};
        e->at = (first + i) % e->to.n;
        to.len = e->to.len[e->at];
        memcpy(&to.in6, &e->to.addr[e->at], to.len);
        made = dgram_connect(e->request->service->loop, &to, &socket_events, e);
    }
    return made;
}

static void try_next(struct far_end *e)
{
    struct dgram *next = connect_from(e, e->at + 1);
    e->refused = false;
    if (!next)
        return;
    dgram_close(e->socket);
    e->socket = next;
}

/* --- the flow -------------------------------------------------------------------------------- */

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    struct far_end *e = arg;
    if (e->refused && !e->answered && e->to.n > 1)
        try_next(e);
    if (e->d.count)
        e->d.count->up_bytes += len;
    dgram_send(e->socket, NULL, data, len);
}

static void on_over(void *arg, int error)
{
    struct far_end *e = arg;
    (void)error;
    e->flow = NULL;
    request_end(e->request);
}

static const struct udp_flow_events flow_events = {.datagram = on_datagram, .over = on_over};

/* --- how it begins ----------------------------------------------------------------------------- */

static void refuse(struct far_end *e, int error)
{
    char where[TARGET_TEXT_MAX];
    target_format(&e->target, where);
    cleanup_free char *text =
        xasprintf("%s: %s", where, error == ENOENT ? "no such host" : strerror(error));
    udp_flow_refuse(e->flow, error_code_of_errno(error), text);
    tell(e, error);
}

static void on_resolved(void *arg, const struct resolved *addresses)
{
    struct far_end *e = arg;
    e->to = *addresses;
    e->socket = e->to.n ? connect_from(e, 0) : NULL;
    if (e->socket)
        udp_flow_agree(e->flow);
    else
        refuse(e, e->to.n ? errno : e->to.error);
}

static void begin(struct request *r, const struct udp_dialling *d, uint32_t number)
{
    struct far_end *e = xcalloc(1, sizeof *e);
    struct resolved now;
    e->flow = udp_flow_accept(d->flows, number, r->stream, &flow_events, e);
    if (!e->flow) {
        free(e);
        request_fail(r, ERR_INVALID_REQUEST, "flow: not a number of yours");
        return;
    }
    e->request = r;
    e->d = *d;
    e->target = *d->target;
    e->d.target = &e->target;
    if (d->count)
        d->count->open++;
    r->state = e;
    r->abort = forget;
    request_detach(r);
    e->wait = (struct udp_name_wait){.fn = on_resolved, .arg = e};
    if (udp_names_find(&d->flows->names, r->service->loop, &e->target, &e->wait, &now))
        on_resolved(e, &now);
}

static void go_on(struct request *r, const struct udp_dialling *d, struct udp_flow *flow)
{
    const struct far_end *e = udp_flow_owner(flow);
    if (e->d.count != d->count || !target_equal(&e->target, d->target)) {
        request_fail(r, ERR_INVALID_REQUEST, "flow: it is open, and leads elsewhere");
        return;
    }
    udp_flow_move(flow, request_detach(r));
    request_end(r);
}

void service_dial_udp(struct request *r, const struct udp_dialling *d)
{
    int64_t number = 0;
    if (json_get_int(r->message.body, "flow", &number) != 1 || number < 0 || number > UINT32_MAX) {
        request_fail(r, ERR_INVALID_REQUEST, "flow: a number of 32 bits is missing");
        return;
    }
    struct udp_flow *flow = udp_flow_find(d->flows, (uint32_t)number);
    if (flow && udp_flow_is_peers(flow))
        go_on(r, d, flow);
    else if (d->flows->n >= UDP_FLOWS_MAX)
        request_fail(r, ERR_QUOTA_EXCEEDED, "too many flows in this session");
    else
        begin(r, d, (uint32_t)number);
}
