/* program.h: one run of a program for what it prints, bounded in time and length. */
#ifndef SERVICE_PROGRAM_H
#define SERVICE_PROGRAM_H

#include <stddef.h>

#include "core/loop.h"

#define PROGRAM_LIMIT_MS 2000
#define PROGRAM_TEXT_MAX (4u << 20) /* bytes of standard output */

/* Where it is: in PATH, else where only root's PATH leads (/usr/sbin, …). Heap text; NULL. */
char *program_find(const char *name);

struct program;
/* Its exit code, and what it wrote to standard output, up to a NUL; or -1 and "" when it
 * was too slow, wrote too much, or was killed. The text is the callee's during the call only. */
typedef void program_fn(void *arg, int code, const char *text);

/* argv[0] is looked for by program_find(). Nothing is read from standard input, standard error is
 * dropped, and messages come in the C locale. Never calls back before it returned. NULL with errno
 * when it cannot be run (ENOENT). */
struct program *program_start(struct loop *loop, const char *const *argv, program_fn *fn,
                              void *arg);
void program_cancel(struct program *p); /* before the callback only; NULL is fine */

#endif
