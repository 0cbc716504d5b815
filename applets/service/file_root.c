#include "applets/service/file_root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "applets/service/file_path.h"
#include "core/mem.h"

#define TRIES 16 /* while something above is being renamed, the kernel cannot tell */

const char *file_root_part(const char *root, const char *path)
{
    size_t len = root ? strlen(root) : 0;
    if ((root && strncmp(path, root, len) != 0) || (path[len] && path[len] != '/'))
        return NULL;
    path += len;
    return path + strspn(path, "/");
}

static int open_below(int root, const char *part, int flags)
{
    const struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;
    for (int i = 0; i < TRIES; i++) {
        fd = syscall(SYS_openat2, root, *part ? part : ".", &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return (int)fd;
}

int file_root_open(const char *root, const char *path, int flags, int *fd)
{
    *fd = root ? -1 : open(path, flags | O_CLOEXEC);
    if (!root)
        return *fd < 0 ? errno : 0;
    const char *part = file_root_part(root, path);
    if (!part)
        return FILE_OUTSIDE;
    cleanup_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return errno;
    *fd = open_below(top, part, flags);
    return *fd >= 0 ? 0 : errno == EXDEV ? FILE_OUTSIDE : errno;
}
