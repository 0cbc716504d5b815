#include "applets/guest/guest_visit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/applets.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"

const struct guest_place *guest_place_of(const struct visit *v)
{
    return &((const struct guest_visit *)(const void *)v)->place; /* base is its first member */
}

static const char *why_refused(enum guest_kind kind)
{
    if (kind == GUEST_HYBRID)
        return " (is the VM up, and berth guest-agent on that port inside it?)";
    return " (nobody listens there: is berth guest-agent up?)";
}

/* What a person can do about it. */
static const char *remedy(enum guest_kind kind, int error)
{
    switch (error) {
    case ECONNREFUSED: return why_refused(kind);
    case ENOENT: return " (is the guest up, and is that its path?)";
    case ENODEV: return " (no VM has that CID; or load vhost_vsock, which a host needs)";
    case EAFNOSUPPORT: return " (this kernel has no vsock: load vhost_vsock, or see --uds)";
    case ETIMEDOUT: return " (is the guest up, and not stopped?)";
    case EPROTO: return " (that is no hybrid vsock socket: see --unix)";
    case EACCES: return " (it is another user's)";
    default: return "";
    }
}

void visit_unreachable(struct visit *v, int error)
{
    visit_fail(v, "cannot reach the guest agent at %s: %s%s", v->where, strerror(error),
               remedy(guest_place_of(v)->kind, error));
}

/* ---- the way there ---- */

struct dialling {
    struct visit *visit;
    struct guest_dial *dial;
    visit_dialled_fn *fn;
    void *arg;
};

static void dialled(void *arg, struct stream *s, int error)
{
    struct dialling *d = arg;
    d->dial = NULL;
    if (error)
        visit_unreachable(d->visit, error);
    else
        d->fn(d->arg, s);
    if (!error)
        loop_reap(d->visit->loop, d, free);
}

static void *dial(struct visit *v, visit_dialled_fn *fn, void *arg)
{
    struct dialling *d = xcalloc(1, sizeof *d);
    *d = (struct dialling){.visit = v, .fn = fn, .arg = arg};
    d->dial = guest_dial(v->loop, guest_place_of(v), GUEST_DIAL_MS, dialled, d);
    return d;
}

static void cancel(void *dialling)
{
    struct dialling *d = dialling;
    if (d->dial)
        guest_dial_cancel(d->dial);
    loop_reap(d->visit->loop, d, free);
}

const struct visit_way guest_way = {dial, cancel};

/* ---- words ---- */

static bool add_word(struct words *w, char *word)
{
    if (w->n < w->most)
        w->at[w->n] = word;
    return w->n++ < w->most;
}

/* False: see w->status. */
static bool take_words(struct words *w, char **argv)
{
    static const struct opt options[] = {{'h', "help", OPT_FLAG, 1}, {0}};
    struct opts o = opts_of(options, argv);
    int id;
    while ((id = opt_next(&o)) == OPT_OPERAND)
        (void)add_word(w, (char *)(uintptr_t)o.value);
    for (; id == OPT_END && *o.argv; o.argv++)
        (void)add_word(w, *o.argv);
    w->status = id > 0 ? applet_help("guest") : 2;
    return id == OPT_END;
}

bool visit_words(const struct visit *v, char **argv, struct words *w)
{
    if (!take_words(w, argv))
        return false;
    if (w->n >= w->least && w->n <= w->most)
        return true;
    log_error("%s: too %s words (see berth guest --help)", v->verb,
              w->n < w->least ? "few" : "many");
    return false;
}
