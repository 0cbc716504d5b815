/* offload.h: a system call that may block for long, made by a child process meanwhile. */
#ifndef SERVICE_OFFLOAD_H
#define SERVICE_OFFLOAD_H

#include "core/loop.h"

struct offload;

#define OFFLOAD_KEEP 2

/* In the child, which has this process's memory as it was and no descriptor above 2 but those
 * in `keep` (-1: none). Returns 0 or an errno. */
typedef int offload_work(void *arg);
/* From the loop: the errno, or EIO when the child was killed. */
typedef void offload_fn(void *arg, int error);

/* NULL with errno. */
struct offload *offload_start(struct loop *loop, const int keep[static OFFLOAD_KEEP],
                              offload_work *work, offload_fn *fn, void *arg);
/* The work goes on, fn is not called. Not to be called after fn was. */
void offload_forget(struct offload *o);

#endif
