#include "applets/guest/run_words.h"

#include "applets/applets.h"
#include "applets/service/command_words.h"
#include "core/log.h"
#include "core/opt.h"

enum { OPT_INPUT = 1, OPT_ENV, OPT_DIR, OPT_TIME, OPT_HELP };

static const struct opt options[] = {
    {'i', "interactive", OPT_FLAG, OPT_INPUT}, {'e', "env", OPT_VALUE, OPT_ENV},
    {'C', "directory", OPT_VALUE, OPT_DIR},    {'t', "timeout", OPT_VALUE, OPT_TIME},
    {'h', "help", OPT_FLAG, OPT_HELP},         {0}};

/* What was said so far. */
struct said {
    struct command_words words;
    bool input, may_input;
};

/* All of these return false where a line was logged. */

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
    case OPT_ENV: return command_words_env(&s->words, "-e", value);
    case OPT_DIR: s->words.dir = value; return true;
    case OPT_TIME: return command_words_time(&s->words, "-t", value);
    default: return false;
    }
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
    return command_words_command(&s->words, argv);
}

bool run_words(const struct visit *v, struct run_words *w, char **argv, bool may_input)
{
    *w = (struct run_words){.request = draft_of(MSG_EXEC_STREAM), .status = 2};
    struct said s = {.words = {.verb = v->verb, .request = &w->request}, .may_input = may_input};
    if (parse(&s, w, argv))
        return true;
    draft_free(&w->request);
    return false;
}
