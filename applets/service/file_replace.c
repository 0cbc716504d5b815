#include "applets/service/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/service/file_path.h"
#include "applets/service/file_root.h"
#include "core/bytes.h"
#include "core/key.h"
#include "core/mem.h"

#define BLOCK     ((size_t)4096) /* bytes: what a hole consists of */
#define LINKS_MAX 40             /* as the kernel has it */

/* Opening. */

static mode_t mode_of_new(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return 0644 & ~mask;
}

/* Takes over what is there already. */
static int take_over(struct file_replace *f, const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return FILE_IRREGULAR;
    if (faccessat(f->dir, f->name, W_OK, 0) != 0) /* which only the file itself says */
        return errno;
    f->mode = st->st_mode & 0777;
    f->uid = st->st_uid;
    f->gid = st->st_gid;
    f->owned = st->st_uid != geteuid() || st->st_gid != getegid();
    return 0;
}

/* Sets `dir` and `name`. */
static int find_dir(struct file_replace *f, const char *root)
{
    const char *slash = strrchr(f->path, '/');
    size_t len = (size_t)(slash - f->path);
    cleanup_free char *dir = xstrndup(f->path, len ? len : 1);
    f->name = slash + 1;
    if (!file_root_part(root, f->path))
        return FILE_OUTSIDE;
    if (!*f->name || strcmp(f->name, ".") == 0 || strcmp(f->name, "..") == 0)
        return FILE_IRREGULAR;
    if (f->dir >= 0)
        close(f->dir);
    return file_root_open(root, dir, O_PATH | O_DIRECTORY, &f->dir);
}

static int follow(struct file_replace *f)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(f->dir, f->name, target, sizeof target - 1);
    if (len < 0)
        return errno;
    target[len] = '\0';
    char *path = target[0] == '/' ? xstrdup(target)
                                  : xasprintf("%.*s%s", (int)(f->name - f->path), f->path, target);
    free(f->path);
    f->path = path;
    return 0;
}

static int resolve(struct file_replace *f, const char *root)
{
    struct stat st;
    for (int links = 0; links <= LINKS_MAX; links++) {
        int error = find_dir(f, root);
        if (error)
            return error;
        if (fstatat(f->dir, f->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return errno == ENOENT && links == 0 ? 0 : errno; /* what leads nowhere is no name */
        if (!S_ISLNK(st.st_mode))
            return take_over(f, &st);
        error = follow(f);
        if (error)
            return error;
    }
    return ELOOP;
}

static void name_temporary(struct file_replace *f)
{
    uint8_t salt[8];
    char hex[2 * sizeof salt + 1];
    key_random(salt, sizeof salt);
    hex_encode(hex, salt, sizeof salt);
    f->temporary = xasprintf(".%.64s.berth-%s", f->name, hex);
}

/* Why there can be no new file, by the errno of trying. The kernel's own file systems have no
 * word for that: they say that nothing is there, or that even root may not. */
static int obstacle(const struct file_replace *f, int error)
{
    bool allowed = error == ENOENT || faccessat(f->dir, ".", W_OK, 0) == 0;
    bool refused = error == ENOENT || error == EACCES || error == EPERM;
    return faccessat(f->dir, f->name, F_OK, 0) == 0 && allowed && refused ? FILE_PINNED : error;
}

static int open_new(struct file_replace *f)
{
    f->fd = openat(f->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (f->fd >= 0)
        return 0;
    f->fd = openat(f->dir, f->temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    f->named = f->fd >= 0;
    return f->named ? 0 : obstacle(f, errno);
}

int file_replace_open(struct file_replace *f, const char *root, const char *path, int64_t mode)
{
    *f = (struct file_replace)FILE_REPLACE_NONE;
    f->path = xstrdup(path);
    f->mode = mode_of_new();
    int error = resolve(f, root);
    if (mode >= 0)
        f->mode = (mode_t)mode;
    if (error)
        return error;
    name_temporary(f);
    return open_new(f);
}

/* Writing. */

static bool is_hole(const uint8_t *data, size_t len)
{
    return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

/* How many of `len` bytes at `at` lie within one block. */
static size_t within_block(int64_t at, size_t len)
{
    size_t left = BLOCK - (size_t)at % BLOCK;
    return len < left ? len : left;
}

/* How many bytes from the first on belong into holes, or none of whose blocks does. */
static size_t find_run(const struct file_replace *f, const uint8_t *data, size_t len, bool *hole)
{
    size_t run = within_block(f->size, len);
    *hole = is_hole(data, run);
    while (run < len) {
        size_t n = within_block(f->size + (int64_t)run, len - run);
        if (is_hole(data + run, n) != *hole)
            break;
        run += n;
    }
    return run;
}

static int write_at(int fd, const uint8_t *data, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, at);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0) {
            data += n;
            at += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

int file_replace_write(struct file_replace *f, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        bool hole;
        size_t run = find_run(f, p, len, &hole);
        int error = hole ? 0 : write_at(f->fd, p, run, f->size);
        if (error)
            return error;
        f->size += (int64_t)run;
        p += run;
        len -= run;
    }
    return 0;
}

/* Taking the place. */

static int sync_dir(int dir)
{
    cleanup_fd int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    return fsync(fd) == 0 || errno == EINVAL ? 0 : -1; /* not every file system can */
}

static int give_name(const struct file_replace *f)
{
    char self[32];
    if (f->named || linkat(f->fd, "", f->dir, f->temporary, AT_EMPTY_PATH) == 0)
        return 0;
    snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd); /* for whom that is not allowed */
    return linkat(AT_FDCWD, self, f->dir, f->temporary, AT_SYMLINK_FOLLOW);
}

int file_replace_commit(const struct file_replace *f)
{
    if (f->owned && fchown(f->fd, f->uid, f->gid) != 0)
        return errno;
    if (ftruncate(f->fd, f->size) != 0 || fchmod(f->fd, f->mode) != 0 || fsync(f->fd) != 0)
        return errno;
    if (give_name(f) != 0 || renameat(f->dir, f->temporary, f->dir, f->name) != 0 ||
        sync_dir(f->dir) != 0)
        return errno;
    return 0;
}

void file_replace_fini(struct file_replace *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->temporary)
        unlinkat(f->dir, f->temporary, 0); /* where it is called that still */
    if (f->dir >= 0)
        close(f->dir);
    free(f->path);
    free(f->temporary);
    *f = (struct file_replace)FILE_REPLACE_NONE;
}

int file_replace_with(const char *root, const char *path, int64_t mode, const struct iovec *pieces,
                      int n)
{
    struct file_replace f;
    int error = file_replace_open(&f, root, path, mode);
    for (int i = 0; i < n && !error; i++)
        error = file_replace_write(&f, pieces[i].iov_base, pieces[i].iov_len);
    if (!error)
        error = file_replace_commit(&f);
    file_replace_fini(&f);
    return error;
}

/* Makes the directory `name` in the one above it, unless something of that name is there. */
static int make_dir(const char *root, const char *above, const char *name)
{
    cleanup_fd int fd = -1;
    int error = *name ? file_root_open(root, *above ? above : "/", O_PATH | O_DIRECTORY, &fd) : 0;
    if (error || !*name)
        return error;
    return mkdirat(fd, name, 0777) == 0 || errno == EEXIST ? 0 : errno;
}

int file_make_parents(const char *root, const char *path)
{
    cleanup_free char *whole = xstrdup(path);
    const char *part = file_root_part(root, path);
    if (!part || path[strlen(path) - 1] == '/')
        return part ? FILE_IRREGULAR
                    : FILE_OUTSIDE; /* and nothing is made for what cannot be had */
    char *name = whole + (part - path), *slash;
    while ((slash = strchr(name, '/')) != NULL) {
        name[-1] = *slash = '\0';
        int error = make_dir(root, whole, name);
        if (error)
            return error;
        name[-1] = *slash = '/';
        name = slash + 1;
    }
    return 0;
}
