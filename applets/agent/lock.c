#include "applets/agent/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

static int open_own(const char *path)
{
    cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        /* A symlink, a directory, another user's file in a sticky directory. */
        if (errno == ELOOP || errno == EISDIR || errno == EACCES || errno == ENXIO)
            errno = EPERM;
        return -1;
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        errno = EPERM;
        return -1;
    }
    return steal_fd(&fd);
}

/* The file may have been removed between opening it and locking it. */
static bool is_still(int fd, const char *path)
{
    struct stat held, named;
    return fstat(fd, &held) == 0 && lstat(path, &named) == 0 && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

int lock_take(const char *socket_path, enum lock_part part, bool wait)
{
    cleanup_free char *path = xasprintf("%s.lock", socket_path);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = part, .l_len = 1};
    for (;;) {
        cleanup_fd int fd = open_own(path);
        if (fd < 0 || fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) < 0)
            return -1;
        if (is_still(fd, path))
            return steal_fd(&fd);
    }
}

void lock_remove(const char *socket_path)
{
    cleanup_free char *path = xasprintf("%s.lock", socket_path);
    unlink(path);
}
