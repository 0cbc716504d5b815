#include "applets/service/logfile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"

#define LOG_LIMIT_BYTES (1 << 20)

void logfile_take(const char *name)
{
    cleanup_free char *dir = path_cache(""), *path = path_cache(name);
    cleanup_fd int fd = -1;
    struct stat st;
    if (path_private_dir(dir) == 0)
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > LOG_LIMIT_BYTES)
        (void)!ftruncate(fd, 0);
    dup2(fd, STDERR_FILENO);
    log_timestamps();
}

void logfile_let_go(void)
{
    cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
}
