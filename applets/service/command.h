/* command.h: what an Exec or ExecStream message asks to run, checked. */
#ifndef SERVICE_COMMAND_H
#define SERVICE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "core/message.h"

#define COMMAND_TIMEOUT_SECS 120   /* of an Exec that names none */
#define COMMAND_TIMEOUT_MAX  86400 /* seconds */

/* Why a request cannot be done: what its Error will say. */
struct fault {
    enum error_code code;
    char text[512];
};
/* Returns -1. */
int fault_set(struct fault *f, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct command {
    char *file;            /* a path, or a name to be looked up in PATH */
    char **argv;           /* argv[0] is file, or "-name" of a login shell; NULL-terminated */
    char **env;            /* this process's own with the request's over it; NULL-terminated */
    char *dir;             /* an existing directory, absolute */
    uint32_t timeout_secs; /* 0: no limit */
    bool input;            /* standard input is fed; else it is /dev/null */
    bool pty;              /* on a terminal of rows x cols; implies input */
    uint16_t rows, cols;
};

/* Both fill a zeroed command: 0, or -1 with *why. command_fini() is due in either case.
 *
 * Exec: {command, args[], env{}, workdir, timeout_secs}. No args: /bin/sh -c command. The
 * working directory is $HOME where none is named, and relative ones are relative to it. */
int command_of_exec(struct command *c, const struct json_value *body, struct fault *why);
/* ExecStream: besides, {stdin, pty: {rows, cols, term}}. timeout_secs absent or 0 is no
 * limit: a session is not to end under its user's hands. With a pty and no command it is the
 * user's login shell. A pty is 24 x 80 and its TERM is inherited where that is not said. */
int command_of_stream(struct command *c, const struct json_value *body, struct fault *why);
void command_fini(struct command *c);

/* Adds name=value over what is there. Names are [A-Za-z_][A-Za-z0-9_]*; refused are those
 * that decide which program a command runs: PATH, IFS, ENV, BASH_ENV, LD_*. */
int command_setenv(struct command *c, const char *name, const char *value, struct fault *why);

/* {rows, cols}, each 1 to 65535; what is absent is left as it is. */
int command_size(const struct json_value *v, uint16_t *rows, uint16_t *cols, struct fault *why);

#endif
