#include "applets/service/standard.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/fdstream.h"

static int flags_before[3] = {-1, -1, -1};

/* A named one that is opened without a writer never tells of its end. */
static bool is_unnamed_pipe(int fd)
{
    struct statfs of;
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && fstatfs(fd, &of) == 0 &&
           of.f_type == PIPEFS_MAGIC;
}

/* The main end of a pty cannot be opened twice: that makes another pty. */
static bool is_terminal(int fd)
{
    char name[64];
    return isatty(fd) && ptsname_r(fd, name, sizeof name) != 0;
}

static int open_anew(int fd)
{
    char path[sizeof "/proc/self/fd/0"];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, (fd == 0 ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void give_up(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup2(null, fd);
    close(null);
}

/* One that is ours alone; -1: there is none to be had. */
static int own(int fd)
{
    bool pipe = is_unnamed_pipe(fd);
    int copy = pipe || is_terminal(fd) ? open_anew(fd) : -1;
    if (copy >= 0 && pipe && fd != STDERR_FILENO)
        give_up(fd);
    return copy;
}

struct stream *standard_open(struct loop *loop, int fd)
{
    int copy = own(fd);
    if (copy < 0) {
        flags_before[fd] = fcntl(fd, F_GETFL);
        copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    }
    return fd == 0 ? fdstream_new(loop, copy, -1) : fdstream_new(loop, -1, copy);
}

void standard_restore(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (flags_before[fd] >= 0)
            fcntl(fd, F_SETFL, flags_before[fd]);
}
