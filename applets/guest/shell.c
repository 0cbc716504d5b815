/* shell.c: a login shell, or a command, on a terminal in the guest that is joined with ours. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "applets/guest/run.h"
#include "applets/guest/run_words.h"
#include "applets/guest/terminal.h"
#include "core/log.h"

struct shell {
    struct run *run;     /* once it runs */
    uint16_t rows, cols; /* what the guest's terminal was told */
};

static void put_terminal(struct shell *sh, struct draft *d)
{
    struct json_node *pty = json_put_object(d->out, d->root, "pty");
    terminal_size(&sh->rows, &sh->cols);
    json_put_int(d->out, pty, "rows", sh->rows);
    json_put_int(d->out, pty, "cols", sh->cols);
    json_put_str(d->out, pty, "term", getenv("TERM"));
}

static void fit(struct shell *sh)
{
    uint16_t rows, cols;
    terminal_size(&rows, &cols);
    if (!sh->run || (rows == sh->rows && cols == sh->cols))
        return;
    sh->rows = rows;
    sh->cols = cols;
    run_resize(sh->run, rows, cols);
}

static void started(struct run *r, void *arg)
{
    struct shell *sh = arg;
    sh->run = r;
    terminal_raw();
    fit(sh);
}

static void resized(void *arg, int signo)
{
    (void)signo;
    fit(arg);
}

/* Who stops us finds the terminal as it was. */
static void stopped(void *arg, int signo)
{
    (void)arg, (void)signo;
    terminal_restore();
    kill(getpid(), SIGSTOP);
}

static void continued(void *arg, int signo)
{
    struct shell *sh = arg;
    (void)signo;
    if (sh->run)
        terminal_raw();
    fit(sh);
}

int verb_shell(struct visit *v, char **argv)
{
    struct run_words w;
    struct shell sh = {0};
    if (!run_words(v, &w, argv, false))
        return w.status;
    if (!terminal_is_there()) {
        log_error("shell: standard input is no terminal (berth guest exec -i needs none)");
        draft_free(&w.request);
        return v->failure;
    }
    put_terminal(&sh, &w.request);
    loop_signal(v->loop, SIGWINCH, resized, &sh);
    loop_signal(v->loop, SIGTSTP, stopped, &sh);
    loop_signal(v->loop, SIGCONT, continued, &sh);
    struct run_spec spec = {.request = w.request, .input = true, .started = started, .arg = &sh};
    return run(v, &spec);
}
