#include "applets/service/run_terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "applets/service/terminal.h"

struct shell {
    struct run *run;     /* once it runs */
    uint16_t rows, cols; /* what the terminal there was told */
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

int run_terminal(struct visit *v, struct draft *request)
{
    struct shell sh = {0};
    put_terminal(&sh, request);
    loop_signal(v->loop, SIGWINCH, resized, &sh);
    loop_signal(v->loop, SIGTSTP, stopped, &sh);
    loop_signal(v->loop, SIGCONT, continued, &sh);
    struct run_spec spec = {.request = *request, .input = true, .started = started, .arg = &sh};
    *request = (struct draft){0};
    int status = run_command(v, &spec);
    terminal_restore();
    return status;
}
