#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/agent/client.h"
#include "applets/agent/lock.h"
#include "applets/agent/udp.h"
#include "applets/service/logfile.h"
#include "applets/version.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/proc.h"

#define STOP_LIMIT_MS 2000 /* for the masters to hear of it */

static bool has_master(const struct agent *agent)
{
    for (const struct client *c = agent->clients; c; c = c->next)
        if (session_is_up(c->session))
            return true;
    return false;
}

/* No session is cut short by another's wish. */
static uint64_t longest_idle_ms(const struct agent *agent)
{
    uint64_t ms = agent->idle_ms;
    for (const struct client *c = agent->clients; c; c = c->next)
        if (c->idle_ms > ms)
            ms = c->idle_ms;
    return ms;
}

void agent_count_masters(struct agent *agent)
{
    if (agent->stopping && !agent->clients)
        loop_stop(agent->loop, 0);
    else if (agent->stopping)
        return;
    else if (has_master(agent))
        loop_timer_del(&agent->idle);
    else if (!loop_timer_armed(&agent->idle))
        loop_timer_set(&agent->idle, longest_idle_ms(agent));
}

static void on_idle(void *arg)
{
    struct agent *agent = arg;
    if (!agent->stopping)
        log_note("no master came back in time: the agent ends");
    loop_stop(agent->loop, 0);
}

/* --- the control socket ------------------------------------------------------------------ */

/* Another build is told whether it would disturb anybody. */
static void answer_attach(struct agent *agent, struct stream *s, const struct message *m)
{
    const char *build = json_get_str(m->body, "build");
    if (agent->stopping) {
        stream_close(s); /* as if it had gone already */
        return;
    }
    if (build && strcmp(build, berth_build()) == 0) {
        carrier_await(agent, s, m);
        return;
    }
    struct draft d = draft_of(MSG_ERROR);
    draft_str(&d, "code", error_code_name(ERR_INVALID_REQUEST));
    draft_str(&d, "message", "this agent is of another version");
    draft_str(&d, "build", berth_build());
    int64_t live = 0;
    for (const struct client *c = agent->clients; c; c = c->next)
        live++;
    draft_int(&d, "live", live);
    control_answer(s, &d);
}

static struct client *named(struct agent *agent, const char *name)
{
    for (struct client *c = agent->clients; c; c = c->next) {
        char id[2 * SESSION_LEN + 1];
        hex_encode(id, session_id(c->session), SESSION_LEN);
        if (*name && strncmp(id, name, strlen(name)) == 0)
            return c;
    }
    return NULL;
}

static void stop(struct agent *agent)
{
    struct client *next;
    agent->stopping = true;
    loop_timer_set(&agent->idle, STOP_LIMIT_MS);
    for (struct client *c = agent->clients; c; c = next) {
        next = c->next;
        client_end(c, "the agent was stopped");
    }
    agent_count_masters(agent);
}

static void answer_stop(struct agent *agent, struct stream *s, const struct message *m)
{
    const char *name = json_get_str(m->body, "session");
    struct client *c = name ? named(agent, name) : NULL;
    bool idle_only = false;
    (void)json_get_bool(m->body, "idle", &idle_only);
    if (name && !c) {
        control_fail(s, ERR_NOT_FOUND, "no session %s here", name);
    } else if (idle_only && agent->clients) {
        control_fail(s, ERR_INVALID_REQUEST, "this agent has sessions");
    } else if (c) {
        client_end(c, "stopped on the remote side");
        control_ok(s);
    } else {
        control_ok_until_exit(s);
        stop(agent);
    }
}

static void on_request(void *arg, struct stream *s, const struct message *m)
{
    struct agent *agent = arg;
    switch (m->type) {
    case MSG_ATTACH: answer_attach(agent, s, m); break;
    case MSG_LIST: report(agent, s); break;
    case MSG_STOP: answer_stop(agent, s, m); break;
    case MSG_FORWARD: ask_forward(agent, s, m); break;
    case MSG_CLOSE: ask_close(agent, s, m); break;
    default: control_fail(s, ERR_INVALID_REQUEST, "not a request for an agent");
    }
}

/* --- its life ------------------------------------------------------------------------------- */

/* Standard output is a pipe to whoever started this. */
static void tell_starter(const char *text)
{
    (void)!write(STDOUT_FILENO, text, strlen(text));
    logfile_let_go();
}

static void on_signal(void *arg, int signo)
{
    struct agent *agent = arg;
    log_note("%s: the agent ends", strsignal(signo));
    loop_stop(agent->loop, 0);
}

static void forget_ssh(void)
{
    static const char *const names[] = {"SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK"};
    for (size_t i = 0; i < countof(names); i++)
        unsetenv(names[i]);
}

static void serve(struct agent *agent)
{
    workload_init(&agent->workload, agent->loop);
    loop_timer_init(agent->loop, &agent->idle, on_idle, agent);
    loop_signal(agent->loop, SIGTERM, on_signal, agent);
    loop_signal(agent->loop, SIGINT, on_signal, agent);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    agent_count_masters(agent);
    tell_starter("ready\n");
    loop_run(agent->loop);
    while (agent->clients)
        client_free(agent->clients);
    workload_fini(&agent->workload);
    report_end_all(agent);
    carrier_free_all(agent);
    udp_close(agent);
    loop_timer_del(&agent->idle);
    control_free(agent->control);
}

int daemon_run(unsigned which)
{
    cleanup_free char *path = path_agent_socket(which);
    cleanup_free char *why = NULL;
    struct agent agent = {.loop = loop_new(), .idle_ms = AGENT_IDLE_MS};
    int status = 1;
    umask(077);
    cleanup_fd int lock = path ? lock_take(path, LOCK_ALIVE, true) : -1;
    if (lock >= 0)
        agent.control = control_new(agent.loop, path, on_request, &agent);
    if (agent.control) {
        proc_raise_files();
        logfile_take("agent.log");
        forget_ssh();
        serve(&agent);
        lock_remove(path);
        status = 0;
    } else {
        why = xasprintf("%s: %s\n", path ? path : "no home directory", strerror(errno));
        tell_starter(why);
    }
    loop_free(agent.loop);
    return status;
}
