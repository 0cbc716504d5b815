/* exec.c: `berth exec`: a command on a user's own machine, by their broker, as if it ran here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/applets.h"
#include "applets/control/login_file.h"
#include "applets/service/command_words.h"
#include "applets/service/run_terminal.h"
#include "applets/service/standard.h"
#include "applets/service/terminal.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"

#define FAILURE     255 /* as ssh has it: no status of the command's */
#define PATIENCE_MS 30000
#define SILENCE_MS  15000 /* of websocket_watch() */

enum {
    OPT_ON = 1,
    OPT_BROKER,
    OPT_TERMINAL,
    OPT_NO_INPUT,
    OPT_CWD,
    OPT_ENV,
    OPT_TIMEOUT,
    OPT_HELP
};

static const struct opt options[] = {
    {0, "on", OPT_VALUE, OPT_ON},
    {0, "broker", OPT_VALUE, OPT_BROKER},
    {'t', NULL, OPT_FLAG, OPT_TERMINAL},
    {'n', NULL, OPT_FLAG, OPT_NO_INPUT},
    {0, "cwd", OPT_VALUE, OPT_CWD},
    {0, "env", OPT_VALUE, OPT_ENV},
    {0, "timeout", OPT_VALUE, OPT_TIMEOUT},
    {'h', "help", OPT_FLAG, OPT_HELP},
    {0},
};

struct exec_words {
    struct command_words command;
    const char *agent, *broker; /* NULL: not said */
    bool terminal, no_input;
    int status; /* for the caller to return */
};

/* ---- the way there ---- */

struct broker_visit {
    struct visit base;
    struct broker_place place;
    const char *token, *agent;
};

struct dialling {
    struct broker_visit *visit;
    struct web_dial *dial;          /* until it is connected */
    struct websocket_dial *upgrade; /* then, until it is upgraded */
    visit_dialled_fn *fn;
    void *arg;
};

static void refused(struct dialling *d, struct websocket_dial *upgrade, int status)
{
    size_t len;
    struct visit *v = &d->visit->base;
    const char *body = websocket_refusal(upgrade, &len);
    cleanup_free char *why = broker_refusal(status, body ? body : "", len);
    if (status == 401)
        visit_fail(v, "%s: it does not accept your token: berth login %s", v->where, v->where);
    else
        visit_fail(v, "%s: %s", v->where, why);
}

static void upgraded(void *arg, struct stream *carrier, int error, int status)
{
    struct dialling *d = arg;
    struct websocket_dial *upgrade = d->upgrade;
    d->upgrade = NULL;
    if (carrier) {
        struct stream *s = websocket_stream_new(carrier, WS_CLIENT);
        websocket_stream_watch(s, SILENCE_MS);
        d->fn(d->arg, s);
        loop_reap(d->visit->base.loop, d, free);
    } else if (status && status != 101) {
        refused(d, upgrade, status);
    } else {
        visit_lost(&d->visit->base, error);
    }
}

static void connected(void *arg, struct stream *s, const char *why)
{
    struct dialling *d = arg;
    struct broker_visit *v = d->visit;
    const struct url *url = &v->place.server.url;
    d->dial = NULL;
    if (!s) {
        visit_fail(&v->base, "%s: %s", v->base.where, why);
        return;
    }
    cleanup_free char *bearer = web_bearer(v->token);
    cleanup_free char *target = xasprintf("%s/api/exec%s%s", url->path, v->agent ? "?agent=" : "",
                                          v->agent ? v->agent : "");
    const struct websocket_request request = {
        .host = url->host, .target = target, .fields = bearer, .patience_ms = PATIENCE_MS};
    d->upgrade = websocket_dial(s, &request, upgraded, d);
    if (!d->upgrade)
        visit_fail(&v->base, "%s: %s", v->base.where, strerror(errno));
}

static void *dial(struct visit *v, visit_dialled_fn *fn, void *arg)
{
    struct dialling *d = xcalloc(1, sizeof *d);
    *d = (struct dialling){
        .visit = container_of(v, struct broker_visit, base), .fn = fn, .arg = arg};
    d->dial = web_dial(v->loop, &d->visit->place.server, connected, d);
    return d;
}

static void cancel(void *dialling)
{
    struct dialling *d = dialling;
    if (d->dial)
        web_dial_cancel(d->dial);
    websocket_dial_cancel(d->upgrade);
    loop_reap(d->visit->base.loop, d, free);
}

static const struct visit_way broker_way = {dial, cancel};

/* ---- words ---- */

/* 0: go on. */
static int take_option(struct exec_words *w, int id, const char *value)
{
    switch (id) {
    case OPT_ON: w->agent = value; return 0;
    case OPT_BROKER: w->broker = value; return 0;
    case OPT_TERMINAL: w->terminal = true; return 0;
    case OPT_NO_INPUT: w->no_input = true; return 0;
    case OPT_CWD: w->command.dir = value; return 0;
    case OPT_ENV: return command_words_env(&w->command, "--env", value) ? 0 : 2;
    case OPT_TIMEOUT: return command_words_time(&w->command, "--timeout", value) ? 0 : 2;
    default: return 2;
    }
}

/* Also what keeps it from being sent inside a URL. */
static bool is_agent_name(const char *name)
{
    static const char may[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return *name && strspn(name, may) == strlen(name);
}

static int check(const struct exec_words *w, bool command)
{
    const char *why = NULL;
    if (w->agent && !is_agent_name(w->agent))
        why = "--on: no agent is called that";
    else if (!command && !w->terminal)
        why = "which command? (-t alone is a login shell)";
    else if (w->terminal && w->no_input)
        why = "-t and -n exclude each other";
    else if (w->terminal && !terminal_is_there())
        why = "-t: standard input is no terminal";
    if (why)
        log_error("exec: %s", why);
    return why ? 2 : 0;
}

static int read_words(struct exec_words *w, char **argv)
{
    struct opts o = opts_of(options, argv);
    int id, status = 0;
    while (!status && (id = opt_next(&o)) != OPT_END && id != OPT_OPERAND) {
        if (id == OPT_HELP) {
            applet_help("exec");
            return -1;
        }
        status = take_option(w, id, o.value);
    }
    if (status)
        return status;
    argv = id == OPT_OPERAND ? o.argv - 1 : o.argv;
    status = check(w, argv[0] != NULL);
    return !status && !command_words_command(&w->command, argv) ? 2 : status;
}

/* ---- */

static int run(const struct exec_words *w, struct broker_visit *v)
{
    struct draft *request = w->command.request;
    if (w->terminal)
        return run_terminal(&v->base, request);
    draft_bool(request, "stdin", !w->no_input);
    struct run_spec spec = {.request = *request, .input = !w->no_input};
    *request = (struct draft){0};
    return run_command(&v->base, &spec);
}

static int visit(const struct exec_words *w, const struct login *login)
{
    struct broker_visit v = {.base = {.way = &broker_way,
                                      .peer = "a broker",
                                      .verb = "exec",
                                      .frame_limit = FRAME_LIMIT,
                                      .failure = FAILURE},
                             .token = login->token,
                             .agent = w->agent};
    int status = broker_place_find(&v.place, &login->broker) ? FAILURE : 0;
    if (!status) {
        v.base.loop = loop_new();
        v.base.where = v.place.server.url.text;
        visit_heed_signals(&v.base);
        status = run(w, &v);
        loop_free(v.base.loop);
        standard_restore();
    }
    broker_place_fini(&v.place);
    return status;
}

int exec_main(char **argv)
{
    struct draft request = draft_of(MSG_EXEC_STREAM);
    struct exec_words w = {.command = {.verb = "exec", .request = &request}};
    struct login login = {0};
    int status = read_words(&w, argv);
    if (status == 0)
        status = login_find(&login, w.broker) ? FAILURE : visit(&w, &login);
    draft_free(&request);
    login_fini(&login);
    return status < 0 ? 0 : status;
}
