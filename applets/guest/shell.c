/* shell.c: a login shell, or a command, on a terminal in the guest that is joined with ours. */
#include "applets/guest/guest_visit.h"
#include "applets/guest/run_words.h"
#include "applets/service/run_terminal.h"
#include "applets/service/terminal.h"
#include "core/log.h"

int verb_shell(struct visit *v, char **argv)
{
    struct run_words w;
    if (!run_words(v, &w, argv, false))
        return w.status;
    if (!terminal_is_there()) {
        log_error("shell: standard input is no terminal (berth guest exec -i needs none)");
        draft_free(&w.request);
        return v->failure;
    }
    return run_terminal(v, &w.request);
}
