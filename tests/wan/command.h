/* command.h: what may be said to a running emulator, a line each; command_help has them all.
 *
 *   [up|down|both] VERB [WORDS]        both ways unless one is named
 *
 * Times are numbers with ns, us, ms or s, shares with %, rates with kbit, mbit or gbit, sizes with nothing, k
 * or m (of 1024); 0 needs no unit. A refused line changes nothing. */
#ifndef TESTS_WAN_COMMAND_H
#define TESTS_WAN_COMMAND_H

#include "tests/wan/direction.h"

#define ANSWER_MAX 2048

extern const char command_help[];

/* Does what the line says, which it cuts into words, to ways[0] (up) and ways[1] (down). Answers without
 * a newline: "ok", "error: why", or for `stats` a JSON object {"up": {…}, "down": {…}}. */
void command_run(struct direction *ways, char *line, int64_t now, char answer[static ANSWER_MAX]);

#endif
