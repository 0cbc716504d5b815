/* guest.c: `berth guest`: a guest agent asked for one thing, from its host. */
#include <stdlib.h>
#include <string.h>

#include "applets/applets.h"
#include "applets/guest/guest_visit.h"
#include "applets/service/standard.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"

#define CID_MAX  0xfffffffe /* the one above means any */
#define PORT_MAX 0xfffffffe

static const struct {
    const char *name;
    verb_fn *run;
    int failure; /* the exit status where berth itself fails; 125 as docker exec has it */
} verbs[] = {
    {"ping", verb_ping, 1},       {"exec", verb_exec, 125}, {"shell", verb_shell, 125},
    {"get", verb_get, 1},         {"put", verb_put, 1},     {"sync", verb_sync, 1},
    {"connect", verb_connect, 1},
};

enum { OPT_CID = 1, OPT_UDS, OPT_UNIX, OPT_PORT, OPT_HELP };

static const struct opt options[] = {
    {0, "cid", OPT_VALUE, OPT_CID},    {0, "uds", OPT_VALUE, OPT_UDS},
    {0, "unix", OPT_VALUE, OPT_UNIX},  {0, "port", OPT_VALUE, OPT_PORT},
    {'h', "help", OPT_FLAG, OPT_HELP}, {0}};

/* What was said about the place. */
struct address {
    const char *cid, *uds, *path, *port, *verb;
};

/* All of these return the exit status where they log a line, else 0. */

static int parse_number(const char *option, const char *text, uint32_t max, uint32_t *n)
{
    uint64_t value;
    if (opt_unsigned(text, max, &value) < 0 || value == 0) {
        log_error("--%s %s: not a number from 1 to %u", option, text, max);
        return 2;
    }
    *n = (uint32_t)value;
    return 0;
}

static int find_place(const struct address *a, struct guest_place *place)
{
    *place = (struct guest_place){.kind = GUEST_VSOCK, .port = GUEST_PORT};
    if (!!a->cid + !!a->uds + !!a->path != 1) {
        log_error("which guest? One of --cid, --uds and --unix (see berth guest --help)");
        return 2;
    }
    if (a->path && a->port) {
        log_error("--unix and --port exclude each other: a guest agent's own socket has no ports");
        return 2;
    }
    place->path = a->uds ? a->uds : a->path;
    if (place->path)
        place->kind = a->uds ? GUEST_HYBRID : GUEST_UNIX;
    int status = a->cid ? parse_number("cid", a->cid, CID_MAX, &place->cid) : 0;
    if (status == 0 && a->port)
        status = parse_number("port", a->port, PORT_MAX, &place->port);
    return status;
}

static int visit(const struct guest_place *place, size_t verb, char **argv)
{
    cleanup_free char *where = guest_place_text(place);
    struct guest_visit v = {.base = {.loop = loop_new(),
                                     .way = &guest_way,
                                     .where = where,
                                     .peer = "a guest agent",
                                     .verb = verbs[verb].name,
                                     .frame_limit = GUEST_FRAME_LIMIT,
                                     .failure = verbs[verb].failure},
                            .place = *place};
    visit_heed_signals(&v.base);
    int status = verbs[verb].run(&v.base, argv);
    loop_free(v.base.loop);
    standard_restore();
    return status;
}

static int find_verb(const char *name, size_t *verb)
{
    for (*verb = 0; *verb < countof(verbs); ++*verb)
        if (strcmp(verbs[*verb].name, name) == 0)
            return 0;
    log_error("%s is nothing to ask of a guest (see berth guest --help)", name);
    return 2;
}

static bool is_help(const char *word)
{
    return word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
}

static void take_option(struct address *a, int id, const char *value)
{
    switch (id) {
    case OPT_CID: a->cid = value; break;
    case OPT_UDS: a->uds = value; break;
    case OPT_UNIX: a->path = value; break;
    case OPT_PORT: a->port = value; break;
    default: a->verb = value;
    }
}

int guest_main(char **argv)
{
    struct opts o = opts_of(options, argv);
    struct address a = {0};
    struct guest_place place;
    size_t verb;
    for (int id; !a.verb && (id = opt_next(&o)) != OPT_END;) {
        if (id == OPT_HELP)
            return applet_help("guest");
        if (id == OPT_ERROR)
            return 2;
        take_option(&a, id, o.value);
    }
    if (!a.verb) {
        log_error("what is to be done? ping, exec, shell, get, put, sync or connect");
        return 2;
    }
    int status = find_verb(a.verb, &verb);
    if (status == 0 && is_help(o.argv[0]))
        return applet_help("guest");
    if (status == 0)
        status = find_place(&a, &place);
    return status ? status : visit(&place, verb, o.argv);
}
