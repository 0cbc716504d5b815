#include "applets/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/applets.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"

static void on_signal(void *arg, int signo)
{
    struct master *m = arg;
    /* ^C on the terminal is the command's; the session ends when that does. */
    if (m->commanding && signo == SIGINT)
        return;
    connection_stop(m, m->state == MASTER_FIRST ? 128 + signo : 0);
}

/* -d: the child goes on, still at the terminal, where ssh may ask for a password. The parent
 * waits for the forwards and ends with what became of them. */
static int fork_background(int *ready_fd)
{
    int fds[2];
    char byte;
    pid_t pid;
    int status = 0;
    if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        log_error("cannot go to the background: %s", strerror(errno));
        return 1;
    }
    if (pid == 0) {
        close(fds[0]);
        *ready_fd = fds[1];
        return -1;
    }
    close(fds[1]);
    ssize_t n;
    while ((n = read(fds[0], &byte, 1)) < 0 && errno == EINTR)
        ;
    if (n == 1)
        return 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return proc_exit_code(status) ? proc_exit_code(status) : 1;
}

static int run(struct options *o, int ready_fd)
{
    struct master m = {.options = o, .ready_fd = ready_fd};
    signal(SIGPIPE, SIG_IGN);
    proc_raise_files();
    m.loop = loop_new();
    if (!m.loop) {
        log_error("cannot begin: %s", strerror(errno));
        return 1;
    }
    loop_signal(m.loop, SIGINT, on_signal, &m);
    loop_signal(m.loop, SIGTERM, on_signal, &m);
    loop_signal(m.loop, SIGHUP, on_signal, &m);
    service_init(&m.service, m.loop);
    m.service.rows = remote_rows;
    m.service.owner = &m;
    forward_init(&m);
    remember_restore(&m);
    for (size_t i = 0; i < o->n_specs; i++)
        forward_add(&m, &o->specs[i], false);
    local_start(&m);
    connection_start(&m);
    int status = loop_run(m.loop);
    command_abandon(&m);
    service_fini(&m.service);
    forward_fini(&m);
    connection_fini(&m);
    control_free(m.control);
    path_runtime_tidy();
    free(m.control_path);
    free(m.closed);
    loop_free(m.loop);
    return status;
}

int master_main(char **argv)
{
    struct options o;
    int ready_fd = -1, status = options_parse(&o, argv);
    if (status < 0 && o.verbose)
        log_init(LOG_TRACE);
    if (status < 0 && o.background)
        status = fork_background(&ready_fd);
    if (status < 0)
        status = run(&o, ready_fd);
    options_fini(&o);
    return status;
}
