#include <string.h>

#include "applets/applets.h"
#include "applets/control/reach.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"
#include "net/target.h"

enum { OPT_HELP = 1 };

static const struct opt options[] = {{'h', "help", OPT_FLAG, OPT_HELP}, {0}};

/* [REMOTE:]LOCAL: REMOTE is a port or host:port; alone, LOCAL is both. */
static int parse(const char *text, char target[static TARGET_TEXT_MAX], uint16_t *local)
{
    const char *colon = strrchr(text, ':'), *why = "a port must be 1 to 65535";
    cleanup_free char *remote = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    struct target t = {.kind = TARGET_TCP, .host = "localhost"};
    if (strncmp(text, "udp:", 4) == 0) {
        log_error("%s: UDP is forwarded with berth master -L udp:… alone", text);
        return -1;
    }
    if (opt_port(colon ? colon + 1 : text, local) < 0 ||
        (opt_port(remote, &t.port) < 0 && target_parse(&t, remote, &why) < 0)) {
        log_error("%s: %s (see berth forward --help)", text, why);
        return -1;
    }
    target_format(&t, target);
    return 0;
}

/* The first agent that answers has the masters. 1: done; 0: nobody; -1: it said no. */
static int ask(const struct place_here *p, const char *target, uint16_t local)
{
    struct draft d = draft_of(MSG_FORWARD);
    struct message answer;
    draft_str(&d, "target", target);
    draft_int(&d, "local_port", local);
    if (reach_ask(p, &d, &answer) < 0)
        return 0;
    const char *refusal = reach_refusal(&answer), *where = json_get_str(answer.body, "local");
    if (refusal)
        log_error("%s", refusal);
    else
        log_note("forwarded from %s on the master's side", where ? where : "a port");
    message_fini(&answer);
    return refusal ? -1 : 1;
}

static int forward(const char *text)
{
    char target[TARGET_TEXT_MAX];
    uint16_t local;
    int done = 0;
    if (parse(text, target, &local) < 0)
        return 2;
    struct reach r = reach_find();
    for (size_t i = 0; i < r.n && !done; i++)
        if (r.at[i].agent)
            done = ask(&r.at[i], target, local);
    reach_fini(&r);
    if (!done)
        log_error("no agent of yours runs here: this is for the remote side of a berth master");
    return done > 0 ? 0 : 1;
}

int forward_main(char **argv)
{
    struct opts o = opts_of(options, argv);
    const char *what = NULL;
    for (int id; (id = opt_next(&o)) != OPT_END;) {
        if (id == OPT_HELP)
            return applet_help("forward");
        if (id != OPT_OPERAND)
            return 2;
        if (what) {
            log_error("one forward at a time (see berth forward --help)");
            return 2;
        }
        what = o.value;
    }
    if (!what) {
        log_error("which port? berth forward [REMOTE:]LOCAL");
        return 2;
    }
    return forward(what);
}
