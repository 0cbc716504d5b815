#include "net/guest_dial.h"

#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/hybrid_vsock.h"
#include "net/resolve.h"
#include "net/vsock.h"

struct guest_dial {
    struct loop *loop;
    dial_fn *fn;
    void *arg;
    enum guest_kind kind;
    uint32_t port;
    struct dial *dial;     /* until it is connected */
    struct stream *stream; /* from then on, while the hybrid's answer is awaited */
    struct hybrid_answer answer;
    struct loop_timer limit;
};

char *guest_place_text(const struct guest_place *place)
{
    switch (place->kind) {
    case GUEST_VSOCK: return xasprintf("vsock:%u:%u", place->cid, place->port);
    case GUEST_HYBRID: return xasprintf("unix:%s:%u", place->path, place->port);
    case GUEST_UNIX: break;
    }
    return xasprintf("unix:%s", place->path);
}

void guest_dial_cancel(struct guest_dial *d)
{
    if (d->dial)
        dial_cancel(d->dial);
    stream_reset(d->stream);
    loop_timer_del(&d->limit);
    loop_reap(d->loop, d, free);
}

static void end(struct guest_dial *d, int error)
{
    dial_fn *fn = d->fn;
    void *arg = d->arg;
    struct stream *s = error ? NULL : d->stream;
    if (!error)
        d->stream = NULL;
    guest_dial_cancel(d);
    fn(arg, s, error);
}

static void out_of_time(void *arg)
{
    end(arg, ETIMEDOUT);
}

/* An end in place of an answer is how the monitor says that the VM refused. */
static int broken_off(const struct guest_dial *d, int error)
{
    if (d->answer.len > 0)
        return EPROTO;
    return !error || error == ECONNRESET || error == EPIPE ? ECONNREFUSED : error;
}

static void read_answer(struct guest_dial *d)
{
    switch (hybrid_read(&d->answer, d->stream)) {
    case HYBRID_MORE: break;
    case HYBRID_OK: end(d, 0); break;
    case HYBRID_BAD: end(d, EPROTO); break;
    }
}

static void greeting(void *arg, struct stream *s, enum stream_event event)
{
    struct guest_dial *d = arg;
    switch (event) {
    case STREAM_DATA: read_answer(d); break;
    case STREAM_EOF: end(d, broken_off(d, 0)); break;
    case STREAM_ERROR: end(d, broken_off(d, stream_error(s))); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void dialled(void *arg, struct stream *s, int error)
{
    struct guest_dial *d = arg;
    d->dial = NULL;
    d->stream = s;
    if (error || d->kind != GUEST_HYBRID) {
        end(d, error);
        return;
    }
    stream_own(s, greeting, d);
    hybrid_ask(s, d->port);
}

static struct dial *dial_unix(struct guest_dial *d, const char *path)
{
    struct resolved to = {0};
    if (resolve_path(path, &to) != 0)
        to.error = errno;
    return dial_addresses(d->loop, &to, dialled, d);
}

struct guest_dial *guest_dial(struct loop *loop, const struct guest_place *place, uint64_t limit_ms,
                              dial_fn *fn, void *arg)
{
    struct guest_dial *d = xcalloc(1, sizeof *d);
    const struct vsock_addr to = {place->cid, place->port};
    *d = (struct guest_dial){.loop = loop, .fn = fn, .arg = arg, .kind = place->kind};
    d->port = place->port;
    if (place->kind == GUEST_VSOCK)
        d->dial = vsock_dial(loop, &to, dialled, d);
    else
        d->dial = dial_unix(d, place->path);
    dial_limit(d->dial, limit_ms);
    loop_timer_init(loop, &d->limit, out_of_time, d);
    loop_timer_set(&d->limit, limit_ms);
    return d;
}
