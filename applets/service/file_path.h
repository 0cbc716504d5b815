/* file_path.h: which file a request means, and why it cannot be had. */
#ifndef SERVICE_FILE_PATH_H
#define SERVICE_FILE_PATH_H

#include <sys/stat.h>

#include "applets/service/service.h"

/* Absolute heap text: absolute paths as they are, "~" and "~/x" in $HOME, relative ones below the root, or in
 * $HOME where there is none (NULL, see file_root.h). */
char *file_path(const char *root, const char *text);
/* The same from a field of the request. NULL: there is no path in it, and the request was refused
 * for that. */
char *file_path_asked(struct request *r, const char *key);
/* Any text that the request must have, inside its message. NULL: likewise. */
const char *file_text_asked(struct request *r, const char *key);
/* A file's mode from the request: 0 to 07777, or -1 where it has none. Returns -1 when it was
 * refused. */
int file_mode_asked(struct request *r, int64_t *mode);

/* The most that is carried inside of a message, or read from a file that gives no size, bytes. */
#define FILE_SIZE_LIMIT ((int64_t)32 << 20)

/* What is wrong with a file, in place of an errno: larger than any, and fit for an exit status. */
enum file_problem {
    FILE_IRREGULAR = 200, /* a directory, a device, a fifo or a socket */
    FILE_ENDLESS,         /* gives no size, and holds more than FILE_SIZE_LIMIT */
    FILE_BAD_BASE64,      /* what is to be written */
    FILE_NO_MATCH,        /* what is to be replaced is not in it */
    FILE_BINARY,          /* no text */
    FILE_OUTGROWN,        /* it would hold more than FILE_SIZE_LIMIT */
    FILE_NO_DIRECTORY,    /* but something else */
    FILE_PINNED,          /* where no new file can be made, as in /proc and /sys */
    FILE_CROWDED,         /* a directory whose listing is longer than a message */
    FILE_OUTSIDE,         /* of the root */
    FILE_PROBLEMS_END
};

/* Opens a regular file for reading, and waits for nobody on the way. 0, an errno or a file_problem,
 * then *fd is -1. */
int file_open(const char *root, const char *path, int *fd, struct stat *st);

/* Answers with an Error. `error`: an errno or a file_problem. */
void file_fail(struct request *r, const char *path, int error);
/* Likewise of `size` bytes that are more than FILE_SIZE_LIMIT. `instead`: the request that takes
 * as many; NULL: there is none. */
void file_fail_large(struct request *r, int64_t size, const char *instead);

#endif
