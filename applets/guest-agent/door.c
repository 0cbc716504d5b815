#include "applets/guest-agent/door.h"

#include <stdlib.h>

#include "applets/guest-agent/guest.h"
#include "applets/version.h"
#include "core/fdstream.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/vsock.h"

struct waiting {
    struct door *door;
    struct stream *stream;
    struct waiting *next;
};

/* ---- those who wait ---- */

/* Takes it out of the queue. */
static struct stream *leave(struct waiting *w)
{
    struct door *d = w->door;
    struct stream *s = w->stream;
    struct waiting **at = &d->first;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    if (!w->next)
        d->last = at;
    d->waiting--;
    listener_hold(d->listener, false);
    loop_reap(d->guest->loop, w, free);
    return s;
}

static void on_waiting(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    if (event == STREAM_ERROR)
        stream_close(leave(arg));
}

static void wait_in_turn(struct door *d, struct stream *s)
{
    struct waiting *w = xcalloc(1, sizeof *w);
    *w = (struct waiting){.door = d, .stream = s};
    *d->last = w;
    d->last = &w->next;
    stream_own(s, on_waiting, w);
    stream_want(s, 0);
    listener_hold(d->listener, ++d->waiting == DOOR_WAITING);
}

static void serve(struct door *d, struct stream *s)
{
    d->serving++;
    service_serve(&d->service, s);
}

static void admit(void *arg)
{
    struct door *d = arg;
    while (d->first && d->serving < DOOR_SERVED)
        serve(d, leave(d->first));
}

static void over(void *arg)
{
    struct door *d = arg;
    d->serving--;
    loop_task_post(&d->admit);
}

/* ---- those who come ---- */

/* An unprivileged process of this machine would be whoever the agent runs as. */
static bool is_welcome(const struct door *d, const struct stream *s)
{
    uint32_t cid;
    return vsock_peer_cid(fdstream_fd(s), &cid) == 0 && (cid == VMADDR_CID_HOST || d->local);
}

static void on_vsock(void *arg, struct stream *s, const char *peer)
{
    struct door *d = arg;
    if (is_welcome(d, s)) {
        wait_in_turn(d, s);
        loop_task_post(&d->admit);
        return;
    }
    log_error("%s: not the host: refused", peer);
    stream_reset(s);
}

/* The socket's mode and where it was put decide who gets here. */
static void on_unix(void *arg, struct stream *s, const char *peer)
{
    struct door *d = arg;
    (void)peer;
    wait_in_turn(d, s);
    loop_task_post(&d->admit);
}

/* ---- the door ---- */

void door_init(struct door *d, struct guest *guest, const struct service_row *rows)
{
    *d = (struct door){.guest = guest, .last = &d->first};
    loop_task_init(guest->loop, &d->admit, admit, d);
    service_init(&d->service, guest->loop);
    d->service.rows = rows;
    d->service.owner = d;
    d->service.over = over;
    d->service.repeated = true;
    d->service.workload = &guest->workload;
    d->service.stall_ms = DOOR_STALL_MS;
    d->service.frame_limit = GUEST_FRAME_LIMIT;
    d->service.version = berth_version();
}

void door_fini(struct door *d)
{
    while (d->first)
        stream_reset(leave(d->first));
    service_fini(&d->service);
    loop_task_del(&d->admit);
    listener_free(d->listener);
}

static int opened(struct door *d)
{
    return d->listener ? listener_backlog(d->listener, DOOR_BACKLOG) : -1;
}

int door_open_unix(struct door *d, const struct target *path)
{
    d->listener = listener_new(d->guest->loop, path, on_unix, d);
    return opened(d);
}

int door_open_vsock(struct door *d, uint32_t port)
{
    const struct vsock_addr at = {VMADDR_CID_ANY, port};
    d->listener = vsock_listen(d->guest->loop, &at, on_vsock, d);
    return opened(d);
}
