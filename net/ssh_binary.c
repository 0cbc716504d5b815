#include "net/ssh_binary.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"

#if defined(__x86_64__)
#define OWN_ARCH SSH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH SSH_AARCH64
#else
#error "berth is built for x86_64 and aarch64"
#endif

static int open_file(const char *path, struct ssh_binary *b)
{
    struct stat st;
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return -1;
    if (key_sha256_fd(fd, b->offer.hash) < 0)
        return -1;
    b->offer.size = (uint64_t)st.st_size;
    b->fd = steal_fd(&fd);
    return 0;
}

/* `below`: from the running program's directory, with a slash behind. */
static int open_near(const char *below, const char *dir, const char *arch, struct ssh_binary *b)
{
    cleanup_free char *path = xasprintf("%s/%sberth-%s", dir, below, arch);
    return open_file(path, b);
}

static void open_other(struct ssh_binary *b, const char *arch)
{
    cleanup_free char *self = path_self();
    char *slash = self ? strrchr(self, '/') : NULL;
    if (slash) {
        *slash = '\0';
        if (open_near("", self, arch, b) == 0 || open_near("../lib/berth/", self, arch, b) == 0)
            return;
    }
    cleanup_free char *name = xasprintf("berth-%s", arch);
    cleanup_free char *cached = path_cache(name);
    open_file(cached, b);
}

void ssh_binary_open(struct ssh_binary *b, enum ssh_arch arch)
{
    *b = (struct ssh_binary){.fd = -1};
    if (arch == OWN_ARCH)
        open_file("/proc/self/exe", b);
    else
        open_other(b, ssh_arch_name(arch));
}

void ssh_binary_close(struct ssh_binary *b)
{
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
}
