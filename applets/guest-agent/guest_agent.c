/* guest_agent.c: the agent inside a VM or container: listens on vsock, or on a unix socket, and
 * on nothing else. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "applets/applets.h"
#include "applets/guest-agent/guest.h"
#include "applets/guest-agent/init.h"
#include "applets/guest-agent/modules.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"
#include "core/proc.h"
#include "net/vsock.h"

#define TRIES    20 /* until vsock is there once its modules were loaded */
#define RETRY_MS 50

enum { OPT_LISTEN = 1, OPT_RELAY, OPT_PORT, OPT_RELAY_PORT, OPT_MODULES, OPT_LOCAL, OPT_HELP };

static const struct opt options[] = {
    {0, "listen", OPT_VALUE, OPT_LISTEN},   {0, "relay", OPT_VALUE, OPT_RELAY},
    {0, "port", OPT_VALUE, OPT_PORT},       {0, "relay-port", OPT_VALUE, OPT_RELAY_PORT},
    {0, "modules", OPT_VALUE, OPT_MODULES}, {0, "allow-local", OPT_FLAG, OPT_LOCAL},
    {'h', "help", OPT_FLAG, OPT_HELP},      {0},
};

struct settings {
    bool unix_socket; /* else vsock */
    bool has_relay;   /* on the unix socket below; over vsock there is always one */
    struct target listen, relay;
    uint64_t port, relay_port;
    const char *modules;
    unsigned sets; /* of modules, to be loaded where vsock is not there */
    bool local;
};

/* All of PROTOCOLS, sections 2 and 5. */
static const struct service_row main_rows[] = {
    SERVICE_ROWS,
    {MSG_CONFIGURE_NETWORK, serve_configure_network},
    {MSG_SET_HOSTNAME, serve_set_hostname},
    {MSG_CONFIGURE_WORKSPACE, serve_configure_workspace},
    {MSG_POLL_DAEMON_RESULTS, serve_poll_daemon_results},
    {MSG_SHUTDOWN, serve_shutdown},
    {MSG_COUNT, NULL},
};

static const struct service_row relay_rows[] = {
    {MSG_PING, serve_ping},
    {MSG_TEAM_MESSAGE, serve_team_message},
    {MSG_COUNT, NULL},
};

struct guest *guest_of(const struct request *r)
{
    const struct door *d = r->service->owner;
    return d->guest;
}

/* ---- options: 0, or 2 after one line ---- */

static int parse_path(struct target *t, const char *option, const char *text)
{
    const char *why;
    if (target_parse_bind(t, text, &why) == 0 && t->kind == TARGET_UNIX)
        return 0;
    log_error("%s %s: not unix:/path; this agent listens on vsock or a unix socket alone", option,
              text);
    return 2;
}

static int parse_port(uint64_t *port, const char *option, const char *text)
{
    if (opt_unsigned(text, UINT32_MAX - 1, port) == 0 && *port > 0)
        return 0;
    log_error("%s %s: not a vsock port: 1 to %u", option, text, UINT32_MAX - 1);
    return 2;
}

static int take_option(struct settings *s, int id, const char *value)
{
    switch (id) {
    case OPT_LISTEN: s->unix_socket = true; return parse_path(&s->listen, "--listen", value);
    case OPT_RELAY: s->has_relay = true; return parse_path(&s->relay, "--relay", value);
    case OPT_PORT: return parse_port(&s->port, "--port", value);
    case OPT_RELAY_PORT: return parse_port(&s->relay_port, "--relay-port", value);
    case OPT_MODULES: s->modules = value; return 0;
    case OPT_LOCAL:
        s->local = true;
        s->sets |= MODULES_LOCAL;
        return 0;
    case OPT_OPERAND: log_error("guest-agent takes no %s; see berth guest-agent --help", value);
    }
    return 2;
}

static int check(const struct settings *s)
{
    if (s->has_relay && !s->unix_socket) {
        log_error("--relay goes with --listen; over vsock the relay has a port: --relay-port");
        return 2;
    }
    if (!s->unix_socket && s->port == s->relay_port) {
        log_error("--port and --relay-port are the same");
        return 2;
    }
    return 0;
}

/* ---- being reachable ---- */

struct start {
    struct guest *guest;
    const struct settings *settings;
    struct modules modules;
    struct loop_timer retry;
    unsigned tries;
};

static bool open_path(struct door *d, const struct target *path)
{
    if (door_open_unix(d, path) == 0)
        return true;
    log_error("cannot listen on %s: %s", path->path, strerror(errno));
    return false;
}

static bool open_port(struct door *d, uint64_t port)
{
    if (door_open_vsock(d, (uint32_t)port) == 0)
        return true;
    log_error("cannot listen on vsock port %u: %s", (unsigned)port, strerror(errno));
    return false;
}

static void open_unix(struct guest *g, const struct settings *s)
{
    if (open_path(&g->main, &s->listen) && (!s->has_relay || open_path(&g->relay, &s->relay)))
        log_note("listening on %s", s->listen.path);
    else
        loop_stop(g->loop, 1);
}

static void open_vsock(struct guest *g, const struct settings *s, uint32_t cid)
{
    g->main.local = g->relay.local = s->local;
    if (open_port(&g->main, s->port) && open_port(&g->relay, s->relay_port))
        log_note("listening on vsock:%u:%u, relay on port %u", cid, (unsigned)s->port,
                 (unsigned)s->relay_port);
    else
        loop_stop(g->loop, 1);
}

/* The reason, and the remedy. */
static void give_up(const struct start *st, int error)
{
    cleanup_free char *modules = modules_diagnosis(&st->modules);
    const char *reason = error == EAFNOSUPPORT ? "the kernel has no vsock"
                         : error == ENODEV     ? "no device for it: does the machine have one?"
                                               : strerror(error);
    log_error("vsock cannot be had: %s%s%s", reason, modules ? "; " : "", modules ? modules : "");
    loop_stop(st->guest->loop, 1);
}

/* What else the agent is to have, loopback and the network, is loaded whatever vsock there is. */
static void open_with_rest(struct start *st, uint32_t cid)
{
    unsigned rest = st->settings->sets & ~(unsigned)(MODULES_VSOCK | MODULES_OTHER);
    if (st->tries == 0)
        modules_load(&st->modules, st->settings->modules, rest);
    open_vsock(st->guest, st->settings, cid);
}

static void try_vsock(void *arg)
{
    struct start *st = arg;
    uint32_t cid;
    if (vsock_transport(&cid) == 0) {
        open_with_rest(st, cid);
        return;
    }
    int error = errno;
    if (st->tries == 0)
        modules_load(&st->modules, st->settings->modules, st->settings->sets);
    if (++st->tries > TRIES)
        give_up(st, error);
    else
        loop_timer_set(&st->retry, RETRY_MS);
}

/* ---- its life ---- */

static void on_signal(void *arg, int signo)
{
    struct guest *g = arg;
    log_note("%s: the guest agent ends", strsignal(signo));
    loop_stop(g->loop, 0);
}

static int run(const struct settings *s)
{
    struct guest g = {.loop = loop_new()};
    struct start st = {.guest = &g, .settings = s};
    workload_init(&g.workload, g.loop);
    door_init(&g.main, &g, main_rows);
    door_init(&g.relay, &g, relay_rows);
    loop_timer_init(g.loop, &st.retry, try_vsock, &st);
    loop_signal(g.loop, SIGTERM, on_signal, &g);
    loop_signal(g.loop, SIGINT, on_signal, &g);
    signal(SIGHUP, SIG_IGN);
    proc_raise_files();
    if (s->unix_socket)
        open_unix(&g, s);
    else
        try_vsock(&st);
    int status = loop_run(g.loop);
    loop_timer_del(&st.retry);
    loop_timer_del(&g.power);
    door_fini(&g.main);
    door_fini(&g.relay);
    workload_fini(&g.workload);
    loop_free(g.loop);
    return status;
}

/* `sets`: the modules beside vsock's that are this agent's to load. */
static int start(char **argv, unsigned sets)
{
    struct settings s = {.port = GUEST_PORT,
                         .relay_port = GUEST_RELAY_PORT,
                         .modules = MODULES_DIR,
                         .sets = MODULES_VSOCK | MODULES_OTHER | sets};
    struct opts o = opts_of(options, argv);
    int id, status;
    while ((id = opt_next(&o)) != OPT_END) {
        if (id == OPT_HELP)
            return applet_help("guest-agent");
        if ((status = id == OPT_ERROR ? 2 : take_option(&s, id, o.value)) != 0)
            return status;
    }
    status = check(&s);
    return status ? status : run(&s);
}

/* Nobody else loads the network's modules where this is the system's first process. */
static int start_from_init(char **argv)
{
    return start(argv, MODULES_NET);
}

int guest_agent_main(char **argv)
{
    return getpid() == 1 ? init_main(start_from_init, argv) : start(argv, 0);
}
