#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/applets.h"
#include "applets/control/reach.h"
#include "core/log.h"
#include "core/opt.h"

enum { OPT_ALL = 1, OPT_HELP };

static const struct opt options[] = {
    {0, "all", OPT_FLAG, OPT_ALL}, {'h', "help", OPT_FLAG, OPT_HELP}, {0}};

/* 1: stopped; 0: nobody there, or not the one that is meant. */
static int stop_one(const struct place_here *p, const char *session)
{
    struct draft d = draft_of(MSG_STOP);
    struct message answer;
    int fd, stopped = 0;
    draft_str(&d, "session", session);
    if (reach_ask_kept(p, &d, &answer, &fd) < 0)
        return 0;
    stopped = answer.type == MSG_OK;
    message_fini(&answer);
    /* An agent that ends one session of several goes on living. */
    if (stopped && !(p->agent && session))
        reach_await_end(fd);
    close(fd);
    return stopped;
}

static size_t count_alive(const struct reach *r, bool agent)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        struct message answer;
        if (r->at[i].agent != agent)
            continue;
        struct draft d = draft_of(MSG_LIST);
        if (reach_ask(&r->at[i], &d, &answer) < 0)
            continue;
        message_fini(&answer);
        n++;
    }
    return n;
}

static int stop(const char *session, bool all)
{
    struct reach r = reach_find();
    int stopped = 0, status = 0;
    if (!session && !all && count_alive(&r, false) > 1) {
        log_error("several sessions are yours here: name one as berth list shows them, or --all");
        reach_fini(&r);
        return 1;
    }
    for (size_t i = 0; i < r.n; i++)
        stopped += stop_one(&r.at[i], session);
    if (!stopped && session) {
        log_error("no session %s is yours here (see berth list)", session);
        status = 1;
    } else if (!stopped) {
        log_note("nothing of yours runs here");
    }
    reach_fini(&r);
    return status;
}

int stop_main(char **argv)
{
    struct opts o = opts_of(options, argv);
    const char *session = NULL;
    bool all = false;
    for (int id; (id = opt_next(&o)) != OPT_END;) {
        switch (id) {
        case OPT_HELP: return applet_help("stop");
        case OPT_ALL: all = true; break;
        case OPT_OPERAND:
            if (session || !*o.value) {
                log_error("one session at a time, or --all");
                return 2;
            }
            session = o.value;
            break;
        default: return 2;
        }
    }
    if (session && all) {
        log_error("a session and --all exclude each other");
        return 2;
    }
    return stop(session, all);
}
