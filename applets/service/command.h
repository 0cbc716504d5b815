/* command.h: what a request asks to run, checked. */
#ifndef SERVICE_COMMAND_H
#define SERVICE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/service/environment.h"
#include "applets/service/fault.h"
#include "core/json.h"

#define COMMAND_TIMEOUT_SECS 120 /* of an Exec that names none */
#define COMMAND_TASK_SECS    300 /* of a task */

struct command {
    char *file;             /* a path, or a name to be looked up in PATH */
    char **argv;            /* argv[0] is file, or "-name" of a login shell; NULL-terminated */
    struct environment env; /* the request's own until command_prepare(), then all of it */
    char *dir;              /* absolute; NULL: not said */
    const char *root;       /* dir lies below it, see file_root.h; NULL: anywhere */
    uint32_t timeout_secs;  /* 0: no limit */
    bool input;             /* standard input is fed; else it is /dev/null */
    bool pty;               /* on a terminal of rows x cols; implies input */
    uint16_t rows, cols;
};

/* All fill a command that is zeroed but for its root: 0, or -1 with *why. command_fini() is due in
 * either case. What is absent may also be null. A timeout_secs past 2^32 - 1 is that. A relative
 * workdir is relative to the root, or to $HOME where there is none.
 *
 * Exec: {command, args[], env{}, workdir, timeout_secs}. No args: /bin/sh -c command. */
int command_of_exec(struct command *c, const struct json_value *body, struct fault *why);
/* ExecStream: besides, {stdin, pty: {rows, cols, term}}. timeout_secs absent or 0 is no
 * limit: a session is not to end under its user's hands. With a pty and no command it is the
 * user's login shell. A pty is 24 x 80 and its TERM is inherited where that is not said. */
int command_of_stream(struct command *c, const struct json_value *body, struct fault *why);
/* ExecBackground: {command, workdir, env{}}, by /bin/sh -c, without a limit of time. */
int command_of_background(struct command *c, const struct json_value *body, struct fault *why);
/* A task's assignment: besides, {timeout_secs}. */
int command_of_task(struct command *c, const struct json_value *body, struct fault *why);
void command_fini(struct command *c);

/* Makes it ready to run: where no directory was said it is the root or $HOME, and it has to be one; the
 * environment is this process's, under the agent's (NULL is fine), under its own. */
int command_prepare(struct command *c, const struct environment *agent, struct fault *why);

/* {rows, cols}, each 1 to 65535; what is absent is left as it is. */
int command_size(const struct json_value *v, uint16_t *rows, uint16_t *cols, struct fault *why);

#endif
