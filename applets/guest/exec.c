/* exec.c: a command in the guest, as if it ran here. */
#include "applets/guest/guest_visit.h"
#include "applets/guest/run_words.h"
#include "applets/service/run_command.h"
#include "core/log.h"

int verb_exec(struct visit *v, char **argv)
{
    struct run_words w;
    if (!run_words(v, &w, argv, true))
        return w.status;
    if (!w.command) {
        log_error("exec: which command? (berth guest shell is the one with a terminal)");
        draft_free(&w.request);
        return 2;
    }
    draft_bool(&w.request, "stdin", w.input);
    struct run_spec spec = {.request = w.request, .input = w.input};
    return run_command(v, &spec);
}
