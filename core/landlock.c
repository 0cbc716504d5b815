#include "core/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the headers that we are built with may be too old for. */
#define FS_TRUNCATE    (1ULL << 14)
#define FS_IOCTL_DEV   (1ULL << 15)
#define NET_BIND_TCP   (1ULL << 0)
#define NET_CONNECT    (1ULL << 1)
#define SCOPE_ABSTRACT (1ULL << 0)
#define SCOPE_SIGNAL   (1ULL << 1)

/* struct landlock_ruleset_attr, as kernels of version 6 know it. */
struct ruleset {
    uint64_t fs, net, scoped;
};

static const uint64_t file_bits = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                  LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;

static uint64_t bits_of(int access)
{
    uint64_t bits = 0;
    if (access & LANDLOCK_READ)
        bits |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    if (access & LANDLOCK_WRITE)
        bits |= LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |
                LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE;
    if (access & LANDLOCK_EXECUTE)
        bits |=
            LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    return bits;
}

/* All that a kernel of this version can restrict, but for what is left open. */
static struct ruleset handled(long version, const struct landlock_spec *spec)
{
    struct ruleset all = {.fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    if (version >= 2)
        all.fs |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        all.fs |= FS_TRUNCATE;
    if (version >= 4 && !spec->may_bind)
        all.net |= NET_BIND_TCP;
    if (version >= 4 && !spec->may_connect)
        all.net |= NET_CONNECT;
    if (version >= 5)
        all.fs |= FS_IOCTL_DEV;
    if (version >= 6)
        all.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
    return all;
}

static int allow(int ruleset, const struct landlock_path *path, uint64_t handled_fs)
{
    int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    struct stat st;
    struct landlock_path_beneath_attr rule = {.parent_fd = fd,
                                              .allowed_access = bits_of(path->access) & handled_fs};
    int got = fstat(fd, &st);
    if (!got && !S_ISDIR(st.st_mode))
        rule.allowed_access &= file_bits;
    if (!got && rule.allowed_access)
        got = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int error = errno;
    close(fd);
    errno = error;
    return got;
}

int landlock_restrict(const struct landlock_spec *spec)
{
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return -1;
    struct ruleset all = handled(version, spec);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all,
                               version < 4   ? sizeof all.fs
                               : version < 6 ? sizeof all.fs + sizeof all.net
                                             : sizeof all,
                               0);
    if (ruleset < 0)
        return -1;
    int got = 0;
    for (size_t i = 0; !got && i < spec->count; i++)
        got = allow(ruleset, &spec->paths[i], all.fs);
    if (!got)
        got = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!got)
        got = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    int error = errno;
    close(ruleset);
    errno = error;
    return got ? -1 : (int)version;
}
