/* run_words.h: the words of exec and shell as an ExecStream request. */
#ifndef GUEST_RUN_WORDS_H
#define GUEST_RUN_WORDS_H

#include "applets/guest/guest_visit.h"
#include "core/message.h"

struct run_words {
    struct draft request; /* but for stdin and pty */
    bool input;           /* -i */
    bool command;         /* one was named */
    int status;           /* for the caller to return */
};

/* [-i] [-e NAME=VALUE] [-C DIR] [-t TIME] [--] [command [arg…]]; -i only where `may_input`.
 * False: help was printed or a line was logged, and there is no draft. */
bool run_words(const struct visit *v, struct run_words *w, char **argv, bool may_input);

#endif
