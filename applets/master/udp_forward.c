/* UDP forwards: -L, whose senders are here, and -R, whose targets are. */
#include <errno.h>

#include "applets/master/master.h"
#include "applets/service/udp_dial.h"

static bool on_ready(void *arg)
{
    const struct forward *f = arg;
    return f->master->state == MASTER_UP && !f->master->wants_quic;
}

static struct draft on_sender(void *arg, const char *peer)
{
    const struct forward *f = arg;
    struct loop_timer *meter = &f->master->forwards.meter;
    struct draft d = draft_of(MSG_DIAL_UDP);
    char target[TARGET_TEXT_MAX];
    (void)peer;
    if (!loop_timer_armed(meter))
        loop_timer_set(meter, METER_MS);
    target_format(&f->spec.target, target);
    draft_str(&d, "target", target);
    return d;
}

/* As for connections: it is the last thing known of the target. */
static void on_heard(void *arg, int error)
{
    struct forward *f = arg;
    if (f->state == FORWARD_OK || f->state == FORWARD_REFUSED)
        f->state = error == ECONNREFUSED ? FORWARD_REFUSED : FORWARD_OK;
}

int forward_listen_udp(struct forward *f)
{
    struct master *m = f->master;
    struct udp_listener_options o = {.bind = &f->spec.bind,
                                     .flows = &m->flows,
                                     .count = &f->count,
                                     .ready = on_ready,
                                     .request = on_sender,
                                     .heard = on_heard,
                                     .arg = f};
    f->udp = udp_listener_new(m->loop, &o);
    if (!f->udp)
        return errno;
    f->spec.bind.port = udp_listener_port(f->udp);
    return 0;
}

void forward_serve_udp(struct request *r)
{
    struct master *m = r->service->owner;
    int64_t id = 0;
    struct forward *f = json_get_int(r->message.body, "id", &id) == 1 ? forward_by_id(m, id) : NULL;
    if (!f || f->spec.kind != FORWARD_REMOTE || f->spec.target.kind != TARGET_UDP) {
        request_fail(r, ERR_NOT_FOUND, "no UDP forward %lld", (long long)id);
        return;
    }
    struct udp_dialling d = {.flows = &m->flows,
                             .target = &f->spec.target,
                             .count = &f->count,
                             .heard = on_heard,
                             .arg = f};
    service_dial_udp(r, &d);
}
