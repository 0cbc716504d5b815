/* The connections that come to -L and -D: through the session, or waiting for it. */
#include <errno.h>
#include <stdlib.h>

#include "applets/master/master.h"
#include "core/mem.h"

#define WAIT_MS 10000 /* a connection waits so long for the session */

struct waiting {
    struct waiting *next, *prev;
    struct forward *forward;
    struct stream *local;
    struct target target;
    struct loop_timer patience;
};

/* --- through the session ------------------------------------------------------------------------ */

static void on_answer(void *forward, struct stream *local, int error)
{
    struct forward *f = forward;
    if (f->state == FORWARD_OK || f->state == FORWARD_REFUSED)
        f->state = error == ECONNREFUSED ? FORWARD_REFUSED : FORWARD_OK;
    if (f->spec.kind == FORWARD_DYNAMIC)
        socks_answer(local, error);
    else if (error)
        stream_reset(local);
}

static void open_now(struct forward *f, struct stream *local, const struct target *target)
{
    char text[TARGET_TEXT_MAX];
    struct stream *remote = session_open(f->master->session);
    if (!remote) {
        on_answer(f, local, errno);
        return;
    }
    struct opening o = {.local = local,
                        .remote = remote,
                        .request = draft_of(MSG_DIAL),
                        .count = &f->count,
                        .answered = on_answer,
                        .arg = f,
                        .early = f->spec.kind != FORWARD_DYNAMIC};
    target_format(target, text);
    draft_str(&o.request, "target", text);
    opener_start(&f->master->forwards.openers, &o);
}

/* --- waiting for it ------------------------------------------------------------------------------- */

static struct stream *end_wait(struct waiting *w)
{
    struct master *m = w->forward->master;
    struct stream *s = w->local;
    loop_timer_del(&w->patience);
    if (w->next)
        w->next->prev = w->prev;
    *(w->prev ? &w->prev->next : &m->forwards.waiting) = w->next;
    w->forward->count.open--;
    loop_reap(m->loop, w, free);
    return s;
}

/* Bytes and an end of file stay in the stream for whoever takes it. */
static void on_local(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    if (event == STREAM_ERROR)
        stream_close(end_wait(arg));
}

static void on_patience(void *arg)
{
    stream_reset(end_wait(arg));
}

static void wait_for_session(struct forward *f, struct stream *local, const struct target *target)
{
    struct master *m = f->master;
    struct waiting *w = xcalloc(1, sizeof *w), **first = &m->forwards.waiting;
    w->forward = f;
    w->local = local;
    w->target = *target;
    w->next = *first;
    if (w->next)
        w->next->prev = w;
    *first = w;
    f->count.open++;
    loop_timer_init(m->loop, &w->patience, on_patience, w);
    loop_timer_set(&w->patience, WAIT_MS);
    stream_own(local, on_local, w);
}

void forward_open(struct forward *f, struct stream *local, const struct target *target)
{
    if (f->master->state == MASTER_UP && !f->master->wants_quic)
        open_now(f, local, target);
    else
        wait_for_session(f, local, target);
}

void forward_flush(struct master *m)
{
    while (m->forwards.waiting) {
        struct waiting *w = m->forwards.waiting;
        struct stream *local = end_wait(w);
        open_now(w->forward, local, &w->target);
    }
}

void forward_drop_waiting(struct master *m, const struct forward *f)
{
    struct waiting *next;
    for (struct waiting *w = m->forwards.waiting; w; w = next) {
        next = w->next;
        if (!f || w->forward == f)
            stream_reset(end_wait(w));
    }
}

void forward_connected(void *arg, struct stream *local, const char *peer)
{
    struct forward *f = arg;
    struct loop_timer *meter = &f->master->forwards.meter;
    (void)peer;
    if (!loop_timer_armed(meter))
        loop_timer_set(meter, METER_MS);
    if (f->spec.kind == FORWARD_DYNAMIC)
        socks_accept(f, local);
    else
        forward_open(f, local, &f->spec.target);
}
