#include <stdlib.h>
#include <string.h>

#include "applets/applets.h"
#include "applets/control/reach.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"

enum { OPT_HELP = 1 };

static const struct opt options[] = {{'h', "help", OPT_FLAG, OPT_HELP}, {0}};

/* Masters first: on a machine that is both sides theirs are the forwards. */
static int close_port(uint16_t port, bool udp)
{
    struct reach r = reach_find();
    char *refusal = NULL;
    bool done = false;
    for (size_t i = 0; i < r.n && !done; i++) {
        struct draft d = draft_of(MSG_CLOSE);
        struct message answer;
        draft_int(&d, "port", port);
        draft_bool(&d, "udp", udp);
        if (reach_ask(&r.at[i], &d, &answer) < 0)
            continue;
        done = !reach_refusal(&answer);
        if (!done && !refusal)
            refusal = xstrdup(reach_refusal(&answer));
        message_fini(&answer);
    }
    reach_fini(&r);
    if (!done)
        log_error("%s", refusal ? refusal : "no session of yours is here");
    free(refusal);
    return done ? 0 : 1;
}

int close_main(char **argv)
{
    struct opts o = opts_of(options, argv);
    uint16_t port = 0;
    bool udp = false;
    for (int id; (id = opt_next(&o)) != OPT_END;) {
        if (id == OPT_HELP)
            return applet_help("close");
        if (id != OPT_OPERAND)
            return 2;
        udp = strncmp(o.value, "udp:", 4) == 0;
        if (port || opt_port(o.value + (udp ? 4 : 0), &port) < 0) {
            log_error("one port at a time, 1 to 65535: berth close [udp:]PORT");
            return 2;
        }
    }
    if (!port) {
        log_error("which port? berth close [udp:]PORT");
        return 2;
    }
    return close_port(port, udp);
}
