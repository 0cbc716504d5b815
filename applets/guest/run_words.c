#include "applets/guest/run_words.h"

#include <string.h>

#include "applets/applets.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"

#define TIME_MAX_MS (86400 * UINT64_C(1000)) /* what an agent takes */

enum { OPT_INPUT = 1, OPT_ENV, OPT_DIR, OPT_TIME, OPT_HELP };

static const struct opt options[] = {
    {'i', "interactive", OPT_FLAG, OPT_INPUT}, {'e', "env", OPT_VALUE, OPT_ENV},
    {'C', "directory", OPT_VALUE, OPT_DIR},    {'t', "timeout", OPT_VALUE, OPT_TIME},
    {'h', "help", OPT_FLAG, OPT_HELP},         {0}};

/* What was said so far. */
struct said {
    const struct visit *visit;
    struct draft *draft;
    struct json_node *env; /* once there is one */
    const char *dir, *time;
    bool input, may_input;
};

/* All of these return false where a line was logged. */

static bool put_env(struct said *s, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        log_error("-e %s: not NAME=VALUE", text);
        return false;
    }
    if (!s->env)
        s->env = json_put_object(s->draft->out, s->draft->root, "env");
    cleanup_free char *name = xstrndup(text, (size_t)(equals - text));
    json_put_str(s->draft->out, s->env, name, equals + 1);
    return visit_sendable(s->visit, text);
}

static bool take_input(struct said *s)
{
    s->input = true;
    if (!s->may_input)
        log_error("-i is for exec: a shell always has its input");
    return s->may_input;
}

static bool take_option(struct said *s, int id, const char *value)
{
    switch (id) {
    case OPT_INPUT: return take_input(s);
    case OPT_ENV: return put_env(s, value);
    case OPT_DIR: s->dir = value; return true;
    case OPT_TIME: s->time = value; return true;
    default: return false;
    }
}

static bool put_time(struct draft *d, const char *text)
{
    uint64_t ms;
    if (opt_duration_ms(text, &ms) < 0 || ms == 0 || ms > TIME_MAX_MS) {
        log_error("-t %s: not a time such as 90, 5m or 2h, a day at most", text);
        return false;
    }
    draft_int(d, "timeout_secs", (int64_t)((ms + 999) / 1000));
    return true;
}

static bool put_command(struct said *s, char **argv)
{
    struct draft *d = s->draft;
    struct json_node *args = argv[0] && argv[1] ? json_put_array(d->out, d->root, "args") : NULL;
    draft_str(d, "command", argv[0]);
    for (size_t i = 0; argv[i]; i++) {
        if (!visit_sendable(s->visit, argv[i]))
            return false;
        if (i > 0)
            json_put_str(d->out, args, NULL, argv[i]);
    }
    return true;
}

static bool put(struct said *s, char **argv)
{
    draft_str(s->draft, "workdir", s->dir);
    return (!s->dir || visit_sendable(s->visit, s->dir)) &&
           (!s->time || put_time(s->draft, s->time)) && put_command(s, argv);
}

static bool parse(struct said *s, struct run_words *w, char **argv)
{
    struct opts o = opts_of(options, argv);
    int id;
    while ((id = opt_next(&o)) != OPT_END && id != OPT_OPERAND) {
        if (id == OPT_HELP)
            w->status = applet_help("guest");
        if (id == OPT_HELP || !take_option(s, id, o.value))
            return false;
    }
    argv = id == OPT_OPERAND ? o.argv - 1 : o.argv;
    w->input = s->input;
    w->command = argv[0] != NULL;
    return put(s, argv);
}

bool run_words(const struct visit *v, struct run_words *w, char **argv, bool may_input)
{
    *w = (struct run_words){.request = draft_of(MSG_EXEC_STREAM), .status = 2};
    struct said s = {.visit = v, .draft = &w->request, .may_input = may_input};
    if (parse(&s, w, argv))
        return true;
    draft_free(&w->request);
    return false;
}
