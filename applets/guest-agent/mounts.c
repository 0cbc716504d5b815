#include "applets/guest-agent/mounts.h"

#include <errno.h>
#include <mntent.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"

/* More than a machine of ours ever has; what is beyond it is only synced. */
#define POINTS_MAX 1024

static const struct point {
    const char *path, *type;
    unsigned long flags;
    const char *data;
    bool
        machine; /* only where the whole machine is ours: elsewhere it would hide an image's files */
} points[] = {
    {"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"/dev", "devtmpfs", MS_NOSUID, "mode=0755", false},
    {"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666", false},
    {"/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false},
    {"/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", true},
    {"/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", true},
};

static bool mounted[countof(points)];

static const struct node {
    const char *path;
    mode_t mode;
    unsigned major, minor;
} nodes[] = {
    {"/dev/console", 0600, 5, 1}, {"/dev/null", 0666, 1, 3},   {"/dev/zero", 0666, 1, 5},
    {"/dev/full", 0666, 1, 7},    {"/dev/random", 0666, 1, 8}, {"/dev/urandom", 0666, 1, 9},
    {"/dev/tty", 0666, 5, 0},     {"/dev/ptmx", 0666, 5, 2},
};

/* Not a device's business, so devtmpfs has none of them. */
static const char *const links[][2] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

/* ---- mounting ---- */

/* `path` has one component more than its parent, "/" or "/dev". */
static bool is_mounted(const char *path)
{
    struct stat here, parent;
    const char *above = strncmp(path, "/dev/", 5) == 0 ? "/dev" : "/";
    return lstat(path, &here) == 0 && stat(above, &parent) == 0 && here.st_dev != parent.st_dev;
}

static int mount_point(const struct point *p)
{
    mkdir(p->path, 0755);
    if (mount(p->type, p->path, p->type, p->flags, p->data) == 0)
        return 0;
    /* A kernel without devtmpfs: nodes of our own will do. */
    if (strcmp(p->type, "devtmpfs") == 0 && errno == ENODEV)
        return mount("tmpfs", p->path, "tmpfs", p->flags, p->data);
    return -1;
}

static void make_nodes(void)
{
    mode_t mask = umask(0);
    for (size_t i = 0; i < countof(nodes); i++)
        mknod(nodes[i].path, S_IFCHR | nodes[i].mode, makedev(nodes[i].major, nodes[i].minor));
    umask(mask);
    for (size_t i = 0; i < countof(links); i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            log_trace("%s: %s", links[i][1], strerror(errno));
}

void mounts_make(bool machine)
{
    bool made_dev = false;
    for (size_t i = 0; i < countof(points); i++) {
        const struct point *p = &points[i];
        if ((p->machine && !machine) || is_mounted(p->path))
            continue;
        mounted[i] = mount_point(p) == 0;
        made_dev |= mounted[i] && strcmp(p->path, "/dev") == 0;
        if (!mounted[i] && errno != EPERM)
            log_error("cannot mount %s: %s", p->path, strerror(errno));
    }
    if (made_dev || machine)
        make_nodes();
}

/* ---- and back ---- */

/* In the order in which they were mounted. */
static size_t list_points(char *paths[static POINTS_MAX])
{
    struct mntent entry;
    char text[8192];
    size_t n = 0;
    FILE *file = setmntent("/proc/self/mounts", "re");
    while (file && n < POINTS_MAX && getmntent_r(file, &entry, text, sizeof text))
        paths[n++] = xstrdup(entry.mnt_dir);
    if (file)
        endmntent(file);
    return n;
}

static void let_go(const char *path)
{
    if (umount2(path, UMOUNT_NOFOLLOW) < 0)
        mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

void mounts_drop(bool machine)
{
    static char *paths[POINTS_MAX];
    size_t n = machine ? list_points(paths) : 0;
    while (n-- > 0) {
        let_go(paths[n]);
        free(paths[n]);
    }
    for (size_t i = countof(points); !machine && i-- > 0;)
        if (mounted[i])
            umount2(points[i].path, UMOUNT_NOFOLLOW);
}
