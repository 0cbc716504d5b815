/* spool.h: standard input read to its end, into a file without a name. */
#ifndef GUEST_SPOOL_H
#define GUEST_SPOOL_H

#include <sys/types.h>

#include "core/loop.h"

/* Where that file is: $TMPDIR, or /tmp where it is not set. */
const char *spool_dir(void);

/* The file, the callee's from then on, and its size; or -1 and why. Never called before
 * spool_start() has returned. */
typedef void spool_fn(void *arg, int fd, off_t size, int error);
struct spool;
struct spool *spool_start(struct loop *loop, spool_fn *fn, void *arg);
/* Before the callback only; NULL is fine. */
void spool_cancel(struct spool *sp);

#endif
