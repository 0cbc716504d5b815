#include "applets/service/command_words.h"

#include <string.h>

#include "applets/service/visit.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"

#define TIME_MAX_MS (86400 * UINT64_C(1000)) /* what an agent takes */

bool command_words_env(struct command_words *w, const char *option, const char *text)
{
    struct draft *d = w->request;
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        log_error("%s %s: not NAME=VALUE", option, text);
        return false;
    }
    if (!w->env)
        w->env = json_put_object(d->out, d->root, "env");
    cleanup_free char *name = xstrndup(text, (size_t)(equals - text));
    json_put_str(d->out, w->env, name, equals + 1);
    return visit_sendable(w->verb, text);
}

bool command_words_time(struct command_words *w, const char *option, const char *text)
{
    uint64_t ms;
    if (opt_duration_ms(text, &ms) < 0 || ms == 0 || ms > TIME_MAX_MS) {
        log_error("%s %s: not a time such as 90, 5m or 2h, a day at most", option, text);
        return false;
    }
    w->timeout_secs = (ms + 999) / 1000;
    return true;
}

bool command_words_command(struct command_words *w, char **argv)
{
    struct draft *d = w->request;
    struct json_node *args = argv[0] && argv[1] ? json_put_array(d->out, d->root, "args") : NULL;
    if (w->dir && !visit_sendable(w->verb, w->dir))
        return false;
    draft_str(d, "workdir", w->dir);
    if (w->timeout_secs)
        draft_int(d, "timeout_secs", (int64_t)w->timeout_secs);
    draft_str(d, "command", argv[0]);
    for (size_t i = 0; argv[i]; i++) {
        if (!visit_sendable(w->verb, argv[i]))
            return false;
        if (i > 0)
            json_put_str(d->out, args, NULL, argv[i]);
    }
    return true;
}
