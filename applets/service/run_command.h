/* run_command.h: a command elsewhere, by ExecStream, joined with our standard descriptors. */
#ifndef SERVICE_RUN_COMMAND_H
#define SERVICE_RUN_COMMAND_H

#include "applets/service/talk.h"

struct run;

struct run_spec {
    struct draft request; /* ExecStream, whole; taken */
    bool input;           /* standard input is passed on */
    /* The command runs, and nothing of it was passed on yet. May be NULL. */
    void (*started)(struct run *r, void *arg);
    void *arg;
};

/* Runs the loop until it has ended; the exit status: the command's, 128 + the signal that killed
 * it, or one of berth's own (RUN_…, v->failure). */
int run_command(struct visit *v, struct run_spec *spec);

enum { RUN_TIMED_OUT = 124, RUN_FORBIDDEN = 126, RUN_NOT_FOUND = 127 };

/* To be called once it is started, and until run_command() returns. */
void run_resize(struct run *r, uint16_t rows, uint16_t cols);

#endif
