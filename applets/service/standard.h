/* standard.h: the standard descriptors as streams.
 *
 * Streams want O_NONBLOCK, which belongs to what a descriptor stands for: a shell or the rest
 * of a pipeline that shares a terminal or a pipe would get it too. So a pipe or terminal is
 * opened anew where the kernel lets us, and else set back in the end. */
#ifndef SERVICE_STANDARD_H
#define SERVICE_STANDARD_H

#include "core/stream.h"

/* Descriptor 0 for reading, 1 or 2 for writing; once each. A pipe at 0 or 1 is given up there,
 * so that its other end sees when the stream ends. */
struct stream *standard_open(struct loop *loop, int fd);
/* Sets back what had to be changed. */
void standard_restore(void);

#endif
