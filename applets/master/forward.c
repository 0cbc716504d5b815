#include "applets/master/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/master/master.h"
#include "core/log.h"
#include "core/mem.h"

static const char *const state_names[] = {
    [FORWARD_WAITING] = "waiting", [FORWARD_OK] = "ok",         [FORWARD_REFUSED] = "refused",
    [FORWARD_IN_USE] = "in use",   [FORWARD_FAILED] = "failed",
};
_Static_assert(countof(state_names) == FORWARD_STATES, "a name for each state");

const char *forward_state_name(const struct forward *f)
{
    return state_names[f->state];
}

struct forward *forward_by_id(struct master *m, int64_t id)
{
    struct forward *f = m->forwards.first;
    while (f && (f->gone || f->id != id))
        f = f->next;
    return f;
}

static struct forward *by_port(struct master *m, uint16_t port, enum target_kind kind)
{
    struct forward *remote = NULL;
    for (struct forward *f = m->forwards.first; f; f = f->next) {
        if (f->gone || f->spec.bind.kind != kind || f->spec.bind.port != port)
            continue;
        if (f->spec.kind != FORWARD_REMOTE)
            return f;
        remote = f;
    }
    return remote;
}

struct forward *forward_by_port(struct master *m, uint16_t port, bool udp)
{
    struct forward *tcp = udp ? NULL : by_port(m, port, TARGET_TCP);
    return tcp ? tcp : by_port(m, port, TARGET_UDP);
}

/* Closed ones stay while connections count on them; this lets the others go. */
static void sweep(struct master *m)
{
    for (struct forward **at = &m->forwards.first; *at;) {
        struct forward *f = *at;
        if (!f->gone || f->count.open) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        free(f->process);
        loop_reap(m->loop, f, free);
    }
}

static int listen_tcp(struct forward *f)
{
    f->listener = listener_new(f->master->loop, &f->spec.bind, forward_connected, f);
    if (!f->listener)
        return errno;
    if (f->spec.bind.kind == TARGET_TCP)
        f->spec.bind.port = listener_port(f->listener);
    return 0;
}

static void listen_here(struct forward *f)
{
    char bind[TARGET_TEXT_MAX];
    f->error = f->spec.bind.kind == TARGET_UDP ? forward_listen_udp(f) : listen_tcp(f);
    if (!f->error) {
        f->state = FORWARD_OK;
        return;
    }
    f->state = f->error == EADDRINUSE ? FORWARD_IN_USE : FORWARD_FAILED;
    target_format(&f->spec.bind, bind);
    if (!f->automatic)
        log_error("cannot listen on %s: %s", bind, strerror(f->error));
}

struct forward *forward_add(struct master *m, const struct forward_spec *spec, bool automatic)
{
    sweep(m);
    struct forward *f = xcalloc(1, sizeof *f), **at = &m->forwards.first;
    f->master = m;
    f->id = ++m->forwards.last_id;
    f->spec = f->asked = *spec;
    f->automatic = automatic;
    while (*at)
        at = &(*at)->next;
    *at = f;
    if (spec->kind != FORWARD_REMOTE)
        listen_here(f);
    else if (m->greeted)
        forward_listen_there(f);
    return f;
}

static void shut(struct forward *f)
{
    struct master *m = f->master;
    f->gone = true;
    listener_free(f->listener);
    f->listener = NULL;
    udp_listener_free(f->udp);
    f->udp = NULL;
    forward_drop_waiting(m, f);
    if (f->spec.kind == FORWARD_REMOTE && m->greeted)
        forward_unlisten_there(f);
}

void forward_close(struct forward *f)
{
    struct master *m = f->master;
    shut(f);
    sweep(m);
    forward_check_ready(m);
}

void forward_close_by_hand(struct forward *f)
{
    struct master *m = f->master;
    if (f->spec.bind.kind != TARGET_UDP)
        remember_closed(m, f->automatic ? f->spec.target.port : f->spec.bind.port);
    forward_close(f);
    remember_save(m);
}

void forward_close_automatic(struct master *m)
{
    for (struct forward *f = m->forwards.first; f; f = f->next)
        if (f->automatic && !f->gone)
            shut(f);
    sweep(m);
}

/* Rates are measured only while something is open: an idle master sleeps. */
static void on_meter(void *arg)
{
    struct master *m = arg;
    bool open = false;
    for (struct forward *f = m->forwards.first; f; f = f->next) {
        meter_update(&f->meter, &f->count, loop_now_ms(m->loop));
        open = open || f->count.open || f->meter.rate;
    }
    if (open)
        loop_timer_set(&m->forwards.meter, METER_MS);
}

void forward_init(struct master *m)
{
    loop_timer_init(m->loop, &m->forwards.meter, on_meter, m);
}

void forward_fini(struct master *m)
{
    loop_timer_del(&m->forwards.meter);
    socks_drop_all(m);
    openers_abort(&m->forwards.openers);
    for (struct forward *f = m->forwards.first; f; f = f->next)
        if (!f->gone)
            shut(f);
    sweep(m);
}
