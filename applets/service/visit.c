#include "applets/service/visit.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "applets/service/terminal.h"
#include "core/log.h"
#include "core/mem.h"
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

static void on_signal(void *arg, int signo)
{
    visit_end(arg, 128 + signo);
}

/* One that is ignored, as under nohup, stays so. */
static void heed(struct visit *v, int signo)
{
    struct sigaction now;
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
        loop_signal(v->loop, signo, on_signal, v);
}

void visit_heed_signals(struct visit *v)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < countof(signals); i++)
        heed(v, signals[i]);
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

void visit_lost(struct visit *v, int error)
{
    if (error == EPROTO)
        visit_fail(v, "%s: what came is not %s's answer", v->where, v->peer);
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

bool visit_sendable(const char *verb, const char *word)
{
    if (utf8_valid(word, strlen(word)))
        return true;
    log_error("%s: %s is not UTF-8, as what is sent must be", verb, word);
    return false;
}
