#include "applets/guest/visit.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "applets/applets.h"
#include "applets/guest/terminal.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"
#include "core/utf8.h"

void visit_end(struct visit *v, int status)
{
    if (v->ended)
        return;
    v->ended = true;
    loop_stop(v->loop, status);
}

int visit_run(struct visit *v)
{
    return loop_run(v->loop);
}

void visit_fail(struct visit *v, const char *fmt, ...)
{
    va_list ap;
    if (v->ended)
        return;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    terminal_restore();
    log_error("%s", text);
    visit_end(v, v->failure);
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
               remedy(v->place.kind, error));
}

void visit_lost(struct visit *v, int error)
{
    if (error == EPROTO)
        visit_fail(v, "%s: what came is not a guest agent's answer", v->where);
    else
        visit_fail(v, "%s: the connection broke before %s was done: %s", v->where, v->verb,
                   strerror(error));
}

void visit_output_failed(struct visit *v, const char *name, int error)
{
    if (error == EPIPE)
        visit_end(v, 128 + SIGPIPE);
    else
        visit_fail(v, "%s: %s", name, strerror(error));
}

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

bool visit_sendable(const struct visit *v, const char *word)
{
    if (utf8_valid(word, strlen(word)))
        return true;
    log_error("%s: %s is not UTF-8, as what is sent to a guest must be", v->verb, word);
    return false;
}
