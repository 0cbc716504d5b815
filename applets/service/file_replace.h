/* file_replace.h: a file made anew and put into the old one's place as a whole.
 *
 * The bytes go into a file without a name in the same directory, which gets one only when it is
 * complete and on disk: whoever opens the path meanwhile, and a machine that crashes, finds the
 * old file or the new one, and what was given up leaves nothing behind. (A file system that has
 * no such files is given one with a temporary name.) A symlink is followed first, so that it
 * stays and what it points at is replaced; its owner is kept and, unless told otherwise, its
 * permissions (0777): new content is not trusted with set-uid and set-gid, which a write by
 * anybody but root would take from a file, too. Blocks of zeros become holes: a sparse file's copy takes no more room than it does. */
#ifndef SERVICE_FILE_REPLACE_H
#define SERVICE_FILE_REPLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct file_replace {
    char *path;       /* a symlink in its last place followed */
    const char *name; /* inside path: the last place */
    int dir;          /* which it is in, only to be named from (O_PATH); -1: not open */
    char *temporary;  /* a name in that, while the new file takes the old one's place */
    int fd;           /* the new file; -1: there is none */
    bool named;       /* it has the temporary name from the start */
    int64_t size;     /* of what was written */
    mode_t mode;
    bool owned; /* by these, which a new file would not be */
    uid_t uid;
    gid_t gid;
};

/* One that was not opened, for file_replace_fini(). */
#define FILE_REPLACE_NONE                                                                          \
    {                                                                                              \
        .dir = -1, .fd = -1                                                                        \
    }

/* These return 0, an errno or a file_problem. `root`: see file_root.h. */

/* `path` is absolute; it may name nothing yet. `mode`: 0 to 07777; -1: the old file's permissions,
 * or 0644 less the umask. To be followed by file_replace_fini() also when it fails. */
int file_replace_open(struct file_replace *f, const char *root, const char *path, int64_t mode);
int file_replace_write(struct file_replace *f, const void *data, size_t len);
/* May take as long as a disk does. */
int file_replace_commit(const struct file_replace *f);
/* Forgets the new file if it did not take the old one's place. */
void file_replace_fini(struct file_replace *f);

/* All four at once, with these pieces. */
int file_replace_with(const char *root, const char *path, int64_t mode, const struct iovec *pieces,
                      int n);

/* Makes the directories above `path` that are missing. */
int file_make_parents(const char *root, const char *path);

#endif
