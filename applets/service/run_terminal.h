/* run_terminal.h: a command on a terminal elsewhere that is joined with ours. */
#ifndef SERVICE_RUN_TERMINAL_H
#define SERVICE_RUN_TERMINAL_H

#include "applets/service/run_command.h"

/* ExecStream but for its pty, which is added; taken. As run_command(). Ours, at standard input, is as it
 * was when it returns, and while we are stopped. */
int run_terminal(struct visit *v, struct draft *request);

#endif
