#include "applets/master/options.h"

#include <stdlib.h>
#include <string.h>

#include "applets/applets.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"

enum {
    OPT_LOCAL = 1,
    OPT_REMOTE,
    OPT_DYNAMIC,
    OPT_AUTO,
    OPT_TRANSPORT,
    OPT_UDP_PORTS,
    OPT_IDLE,
    OPT_NO_REQUESTS,
    OPT_NO_RESTORE,
    OPT_BACKGROUND,
    OPT_VERBOSE,
    OPT_HELP,
    OPT_SSH /* and every letter behind it: OPT_SSH + letter */
};

static const struct opt table[] = {
    {'L', NULL, OPT_VALUE, OPT_LOCAL},
    {'R', NULL, OPT_VALUE, OPT_REMOTE},
    {'D', NULL, OPT_VALUE, OPT_DYNAMIC},
    {0, "auto", OPT_OPTIONAL, OPT_AUTO},
    {0, "transport", OPT_VALUE, OPT_TRANSPORT},
    {0, "udp-ports", OPT_VALUE, OPT_UDP_PORTS},
    {0, "idle-timeout", OPT_VALUE, OPT_IDLE},
    {0, "no-remote-requests", OPT_FLAG, OPT_NO_REQUESTS},
    {0, "no-restore", OPT_FLAG, OPT_NO_RESTORE},
    {'d', NULL, OPT_FLAG, OPT_BACKGROUND},
    {'v', "verbose", OPT_FLAG, OPT_VERBOSE},
    {'h', "help", OPT_FLAG, OPT_HELP},
    {'p', NULL, OPT_VALUE, OPT_SSH + 'p'},
    {'i', NULL, OPT_VALUE, OPT_SSH + 'i'},
    {'J', NULL, OPT_VALUE, OPT_SSH + 'J'},
    {'F', NULL, OPT_VALUE, OPT_SSH + 'F'},
    {'o', NULL, OPT_VALUE, OPT_SSH + 'o'},
    {0},
};

bool options_clash(const struct forward_spec *a, const struct forward_spec *b)
{
    if ((a->kind == FORWARD_REMOTE) != (b->kind == FORWARD_REMOTE))
        return false;
    return target_equal(&a->bind, &b->bind) && (a->bind.kind == TARGET_UNIX || a->bind.port);
}

void options_add(struct options *o, const struct forward_spec *spec)
{
    o->specs = xrealloc(o->specs, (o->n_specs + 1) * sizeof *o->specs);
    o->specs[o->n_specs++] = *spec;
}

static int add_spec(struct options *o, enum forward_kind kind, const char *text)
{
    char bind[TARGET_TEXT_MAX];
    const char *why;
    struct forward_spec spec = {0};
    if (forward_spec_parse(&spec, kind, text, &why) < 0) {
        log_error("-%c %s: %s", forward_kind_letter(kind), text, why);
        return 2;
    }
    for (size_t i = 0; i < o->n_specs; i++) {
        if (!options_clash(&o->specs[i], &spec))
            continue;
        target_format(&spec.bind, bind);
        log_error("-%c %s: %s is taken by another option", forward_kind_letter(kind), text, bind);
        return 2;
    }
    options_add(o, &spec);
    return -1;
}

static int add_ssh_arg(struct options *o, char letter, const char *value)
{
    o->ssh_args = xrealloc(o->ssh_args, (o->n_ssh_args + 3) * sizeof *o->ssh_args);
    o->ssh_args[o->n_ssh_args++] = xasprintf("-%c", letter);
    o->ssh_args[o->n_ssh_args++] = xstrdup(value);
    o->ssh_args[o->n_ssh_args] = NULL;
    return -1;
}

static int set_auto(struct options *o, const char *ports)
{
    const char *why;
    o->automatic = true;
    if (ports && port_set_parse(&o->auto_ports, ports, &why) < 0) {
        log_error("--auto=%s: %s", ports, why);
        return 2;
    }
    return -1;
}

static int set_transport(struct options *o, const char *name)
{
    static const char *const names[] = {
        [TRANSPORT_AUTO] = "auto", [TRANSPORT_QUIC] = "quic", [TRANSPORT_SSH] = "ssh"};
    for (size_t i = 0; i < countof(names); i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        o->transport = (enum transport)i;
        return -1;
    }
    log_error("--transport %s: it is auto, quic or ssh", name);
    return 2;
}

static int set_udp_ports(struct options *o, const char *text)
{
    if (port_range_parse(&o->udp_ports, text) == 0)
        return -1;
    log_error("--udp-ports %s: give a range such as 40000-50000, from 1024 to 65535", text);
    return 2;
}

static int set_idle(struct options *o, const char *text)
{
    if (opt_duration_ms(text, &o->idle_ms) == 0 && o->idle_ms >= 1000)
        return -1;
    log_error("--idle-timeout %s: give a duration of at least 1s, such as 90s, 10m or 2h", text);
    return 2;
}

static int set_host(struct options *o, const char *word)
{
    if (o->host) {
        log_error("one host at a time: %s and %s were given (a command goes behind --)", o->host,
                  word);
        return 2;
    }
    o->host = xstrdup(word);
    return -1;
}

static int take(struct options *o, int id, const char *value)
{
    switch (id) {
    case OPT_LOCAL: return add_spec(o, FORWARD_LOCAL, value);
    case OPT_REMOTE: return add_spec(o, FORWARD_REMOTE, value);
    case OPT_DYNAMIC: return add_spec(o, FORWARD_DYNAMIC, value);
    case OPT_AUTO: return set_auto(o, value);
    case OPT_TRANSPORT: return set_transport(o, value);
    case OPT_UDP_PORTS: return set_udp_ports(o, value);
    case OPT_IDLE: return set_idle(o, value);
    case OPT_NO_REQUESTS: o->no_remote_requests = true; return -1;
    case OPT_NO_RESTORE: o->no_restore = true; return -1;
    case OPT_BACKGROUND: o->background = true; return -1;
    case OPT_VERBOSE: o->verbose = true; return -1;
    case OPT_HELP: return applet_help("master");
    case OPT_OPERAND: return set_host(o, value);
    case OPT_ERROR: return 2;
    default: return add_ssh_arg(o, (char)(id - OPT_SSH), value);
    }
}

/* What only the whole line can tell. */
static int check(struct options *o)
{
    if (!o->host) {
        log_error("which host? berth master [options] [user@]host (see berth master --help)");
        return 2;
    }
    if (o->host[0] == '-' || !o->host[0]) {
        log_error("\"%s\" is not a host", o->host);
        return 2;
    }
    if (o->background && o->command) {
        log_error("-d and a command exclude each other: the command needs the terminal");
        return 2;
    }
    return -1;
}

int options_parse(struct options *o, char **argv)
{
    struct opts words = opts_of(table, argv);
    int id, status = -1;
    *o = (struct options){.idle_ms = 10u * 60 * 1000,
                          .udp_ports = {.first = 40000, .last = 50000},
                          .ssh_args = xcalloc(1, sizeof(char *))};
    while (status < 0 && (id = opt_next(&words)) != OPT_END)
        status = take(o, id, words.value);
    if (status >= 0)
        return status;
    if (words.ended && !words.argv[0]) {
        log_error("a command must follow --");
        return 2;
    }
    o->command = words.ended ? words.argv : NULL;
    return check(o);
}

void options_fini(struct options *o)
{
    for (size_t i = 0; i < o->n_ssh_args; i++)
        free(o->ssh_args[i]);
    free(o->ssh_args);
    free(o->specs);
    free(o->host);
}
