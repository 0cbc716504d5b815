#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "applets/master/master.h"
#include "applets/service/logfile.h"
#include "core/log.h"

static void on_exit(void *arg, int status)
{
    struct master *m = arg;
    m->commanding = false;
    connection_stop(m, proc_exit_code(status));
}

static void run(struct master *m)
{
    struct proc_spec spec = {
        .argv = m->options->command, .in = PROC_INHERIT, .out = PROC_INHERIT, .err = PROC_INHERIT};
    pid_t pid = proc_spawn(&spec);
    if (pid < 0 || loop_child_add(m->loop, &m->command, pid, on_exit, m) < 0) {
        log_error("%s: %s", m->options->command[0], strerror(errno));
        connection_stop(m, errno == ENOENT ? 127 : 126);
        return;
    }
    m->commanding = true;
}

/* The process that the user typed ends now, with success; this one has left the terminal. */
static void go_to_background(struct master *m)
{
    logfile_take("master.log");
    setsid();
    (void)!chdir("/");
    logfile_let_go();
    (void)!write(m->ready_fd, "", 1);
    close(m->ready_fd);
    m->ready_fd = -1;
}

static void tell_forwards(const struct master *m)
{
    char text[FORWARD_SPEC_TEXT_MAX];
    for (const struct forward *f = m->forwards.first; f; f = f->next) {
        if (f->gone || f->state != FORWARD_OK)
            continue;
        forward_spec_format(&f->spec, text);
        log_note("%s: %s", m->options->host, text);
    }
}

void command_ready(struct master *m)
{
    tell_forwards(m);
    if (m->options->command)
        run(m);
    else if (m->options->background)
        go_to_background(m);
}

void command_abandon(struct master *m)
{
    if (!m->commanding)
        return;
    kill(m->command.pid, SIGTERM);
    loop_child_del(&m->command);
}
