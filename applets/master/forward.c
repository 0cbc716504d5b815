#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/master/master.h"
#include "applets/service/opener.h"
#include "core/log.h"
#include "core/mem.h"

#define WAIT_MS 10000 /* a connection waits so long for the session */

static const char *const state_names[] = {
    [FORWARD_WAITING] = "waiting", [FORWARD_OK] = "ok",         [FORWARD_REFUSED] = "refused",
    [FORWARD_IN_USE] = "in use",   [FORWARD_FAILED] = "failed",
};
_Static_assert(countof(state_names) == FORWARD_STATES, "a name for each state");

const char *forward_state_name(const struct forward *f)
{
    return state_names[f->state];
}

/* --- connections -------------------------------------------------------------------------------- */

/* A connection that came while there was no session. */
struct waiting {
    struct waiting *next, *prev;
    struct forward *forward;
    struct stream *local;
    struct target target;
    struct loop_timer patience;
};

void forward_opened(void *forward, struct stream *local, int error)
{
    struct forward *f = forward;
    if (f->state == FORWARD_OK || f->state == FORWARD_REFUSED)
        f->state = error == ECONNREFUSED ? FORWARD_REFUSED : FORWARD_OK;
    if (error && f->spec.kind == FORWARD_DYNAMIC)
        socks_answer(local, error);
    else if (error)
        stream_reset(local);
    else if (f->spec.kind == FORWARD_DYNAMIC)
        socks_answer(local, 0);
}

static void open_now(struct forward *f, struct stream *local, const struct target *target)
{
    char text[TARGET_TEXT_MAX];
    struct stream *remote = session_open(f->master->session);
    if (!remote) {
        stream_reset(local);
        return;
    }
    struct opening o = {.local = local,
                        .remote = remote,
                        .request = draft_of(MSG_DIAL),
                        .count = &f->count,
                        .answered = forward_opened,
                        .arg = f,
                        .early = f->spec.kind != FORWARD_DYNAMIC};
    target_format(target, text);
    draft_str(&o.request, "target", text);
    opener_start(&o);
}

static struct stream *end_wait(struct waiting *w)
{
    struct master *m = w->forward->master;
    struct stream *s = w->local;
    loop_timer_del(&w->patience);
    if (w->next)
        w->next->prev = w->prev;
    *(w->prev ? &w->prev->next : &m->waiting) = w->next;
    w->forward->count.open--;
    loop_reap(m->loop, w, free);
    return s;
}

static void on_waiting(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    if (event == STREAM_ERROR)
        stream_close(end_wait(arg));
}

static void on_patience(void *arg)
{
    stream_reset(end_wait(arg));
}

static void wait(struct forward *f, struct stream *local, const struct target *target)
{
    struct master *m = f->master;
    struct waiting *w = xcalloc(1, sizeof *w);
    w->forward = f;
    w->local = local;
    w->target = *target;
    w->next = m->waiting;
    if (w->next)
        w->next->prev = w;
    m->waiting = w;
    f->count.open++;
    loop_timer_init(m->loop, &w->patience, on_patience, w);
    loop_timer_set(&w->patience, WAIT_MS);
    stream_own(local, on_waiting, w);
}

void forward_open(struct forward *f, struct stream *local, const struct target *target)
{
    if (f->master->state == MASTER_UP)
        open_now(f, local, target);
    else
        wait(f, local, target);
}

void forward_flush(struct master *m)
{
    while (m->waiting) {
        struct waiting *w = m->waiting;
        open_now(w->forward, end_wait(w), &w->target);
    }
}

/* Rates are measured only while something is open: an idle master sleeps. */
static void on_meter(void *arg)
{
    struct master *m = arg;
    bool open = false;
    for (struct forward *f = m->forwards; f; f = f->next) {
        meter_update(&f->meter, &f->count, loop_now_ms(m->loop));
        open = open || f->count.open || f->meter.rate;
    }
    if (open)
        loop_timer_set(&m->meter, METER_MS);
}

void forward_metered(struct master *m)
{
    if (!loop_timer_armed(&m->meter))
        loop_timer_set(&m->meter, METER_MS);
}

static void on_connection(void *arg, struct stream *local, const char *peer)
{
    struct forward *f = arg;
    (void)peer;
    forward_metered(f->master);
    if (f->spec.kind == FORWARD_DYNAMIC)
        socks_accept(f, local);
    else
        forward_open(f, local, &f->spec.target);
}

/* --- the table -------------------------------------------------------------------------------------- */

struct forward *forward_by_id(struct master *m, int64_t id)
{
    struct forward *f = m->forwards;
    while (f && (f->gone || f->id != id))
        f = f->next;
    return f;
}

struct forward *forward_by_port(struct master *m, uint16_t port)
{
    struct forward *remote = NULL;
    for (struct forward *f = m->forwards; f; f = f->next) {
        if (f->gone || f->spec.bind.kind != TARGET_TCP || f->spec.bind.port != port)
            continue;
        if (f->spec.kind != FORWARD_REMOTE)
            return f;
        remote = f;
    }
    return remote;
}

/* Closed ones stay while connections count on them; this lets the others go. */
static void sweep(struct master *m, bool all)
{
    for (struct forward **at = &m->forwards; *at;) {
        struct forward *f = *at;
        if (!all && (!f->gone || f->count.open)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        listener_free(f->listener);
        free(f->process);
        loop_reap(m->loop, f, free);
    }
}

static void listen_there(struct forward *f)
{
    char bind[TARGET_TEXT_MAX];
    struct draft d = draft_of(MSG_LISTEN);
    target_format(&f->spec.bind, bind);
    draft_int(&d, "id", f->id);
    draft_str(&d, "bind", bind);
    f->state = FORWARD_WAITING;
    f->master->unanswered++;
    session_send(f->master->session, &d);
}

static void listen_here(struct forward *f)
{
    char bind[TARGET_TEXT_MAX];
    f->listener = listener_new(f->master->loop, &f->spec.bind, on_connection, f);
    f->error = f->listener ? 0 : errno;
    if (f->listener) {
        f->state = FORWARD_OK;
        if (f->spec.bind.kind == TARGET_TCP)
            f->spec.bind.port = listener_port(f->listener);
        return;
    }
    f->state = f->error == EADDRINUSE ? FORWARD_IN_USE : FORWARD_FAILED;
    target_format(&f->spec.bind, bind);
    if (!f->automatic)
        log_error("cannot listen on %s: %s", bind, strerror(f->error));
}

struct forward *forward_add(struct master *m, const struct forward_spec *spec, bool automatic)
{
    sweep(m, false);
    struct forward *f = xcalloc(1, sizeof *f), **at = &m->forwards;
    f->master = m;
    f->id = ++m->last_id;
    f->spec = f->asked = *spec;
    f->automatic = automatic;
    while (*at)
        at = &(*at)->next;
    *at = f;
    if (spec->kind != FORWARD_REMOTE)
        listen_here(f);
    else if (m->greeted)
        listen_there(f);
    return f;
}

void forward_close(struct forward *f)
{
    struct master *m = f->master;
    struct waiting *next;
    f->gone = true;
    listener_free(f->listener);
    f->listener = NULL;
    for (struct waiting *w = m->waiting; w; w = next) {
        next = w->next;
        if (w->forward == f)
            stream_reset(end_wait(w));
    }
    if (f->spec.kind == FORWARD_REMOTE && m->greeted) {
        struct draft d = draft_of(MSG_UNLISTEN);
        draft_int(&d, "id", f->id);
        session_send(m->session, &d);
    }
    sweep(m, false);
}

/* --- what the agent says of -R --------------------------------------------------------------------------- */

static void count_answer(struct master *m)
{
    if (m->unanswered && --m->unanswered)
        return;
    if (!m->ready)
        command_ready(m);
    m->ready = true;
}

void forward_listen_all(struct master *m)
{
    m->unanswered = 1; /* this call itself */
    for (struct forward *f = m->forwards; f; f = f->next)
        if (f->spec.kind == FORWARD_REMOTE && !f->gone)
            listen_there(f);
    count_answer(m);
}

static void bound(struct forward *f, const struct message *ack)
{
    const char *text = json_get_str(ack->body, "bind"), *why;
    struct target bind;
    if (text && target_parse_bind(&bind, text, &why) == 0)
        f->spec.bind = bind;
    f->state = FORWARD_OK;
}

static void not_bound(struct forward *f, const struct message *error)
{
    const char *code = json_get_str(error->body, "code"),
               *text = json_get_str(error->body, "message");
    bool in_use = code && errno_of_error_code(code) == EADDRINUSE;
    f->state = in_use ? FORWARD_IN_USE : FORWARD_FAILED;
    log_plain("Error: %s", text ? text : "the agent cannot listen");
}

void forward_answered(struct master *m, const struct message *answer)
{
    int64_t id = 0;
    struct forward *f = json_get_int(answer->body, "id", &id) == 1 ? forward_by_id(m, id) : NULL;
    bool awaited = f && f->state == FORWARD_WAITING;
    if (f && answer->type == MSG_LISTEN_ACK)
        bound(f, answer);
    else if (f && answer->type == MSG_ERROR)
        not_bound(f, answer);
    else if (answer->type == MSG_ERROR && !id)
        log_error("%s: %s", m->options->host, json_get_str(answer->body, "message"));
    if (awaited && f->state != FORWARD_WAITING)
        count_answer(m);
}

void forward_init(struct master *m)
{
    loop_timer_init(m->loop, &m->meter, on_meter, m);
}

void forward_fini(struct master *m)
{
    loop_timer_del(&m->meter);
    while (m->waiting)
        stream_reset(end_wait(m->waiting));
    sweep(m, true);
}
