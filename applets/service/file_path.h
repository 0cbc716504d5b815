/* file_path.h: which file a request means, and why it cannot be had. */
#ifndef SERVICE_FILE_PATH_H
#define SERVICE_FILE_PATH_H

#include "applets/service/service.h"

/* Absolute heap text: absolute paths as they are, "~", "~/x" and relative ones in $HOME. */
char *file_path(const char *text);

/* In place of an errno: it is a directory, a device, a fifo or a socket. */
#define FILE_IRREGULAR (-1)
/* Answers with an Error. `error`: an errno, or the above. */
void file_fail(struct request *r, const char *path, int error);

#endif
