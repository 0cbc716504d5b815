/* Prints "PID FAMILY" for each socket of each process, bound and connected or not: a copy of the
 * descriptor knows. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void tell(int pid, int pidfd, int number)
{
    int family;
    socklen_t len = sizeof family;
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0)
        printf("%d %d\n", pid, family);
    close(fd);
}

static void look_at(int pid)
{
    char path[64];
    const struct dirent *entry;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            tell(pid, pidfd, atoi(entry->d_name));
    if (dir)
        closedir(dir);
    close(pidfd);
}

int main(void)
{
    const struct dirent *entry;
    DIR *dir = opendir("/proc");
    while (dir && (entry = readdir(dir)))
        if (atoi(entry->d_name) > 0)
            look_at(atoi(entry->d_name));
    return dir ? 0 : 1;
}
