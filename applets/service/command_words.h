/* command_words.h: the words of a person as the fields of an ExecStream request. */
#ifndef SERVICE_COMMAND_WORDS_H
#define SERVICE_COMMAND_WORDS_H

#include "core/message.h"

struct command_words {
    const char *verb; /* what lines that are logged begin with */
    struct draft *request;
    struct json_node *env; /* once there is one */
    /* Of several the last counts: */
    const char *dir;
    uint64_t timeout_secs; /* 0: not said */
};

/* All return false where a line was logged. `option`: how the person named it: "-e". */

bool command_words_env(struct command_words *w, const char *option, const char *text);
/* 90, 5m, 2h, at most a day. */
bool command_words_time(struct command_words *w, const char *option, const char *text);
/* Comes last, and puts what was said before too. A single word is a line for /bin/sh; there may be none. */
bool command_words_command(struct command_words *w, char **argv);

#endif
