#include "applets/service/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/service/file_path.h"
#include "core/bytes.h"
#include "core/key.h"
#include "core/mem.h"

#define BLOCK ((size_t)4096) /* bytes: what a hole consists of */

/* Opening. */

static mode_t mode_of_new(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return 0644 & ~mask;
}

/* Takes over what is there already. */
static int take_over(struct file_replace *f)
{
    struct stat st;
    if (stat(f->path, &st) != 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return FILE_IRREGULAR;
    if (access(f->path, W_OK) != 0) /* which only the file itself says, not its directory */
        return errno;
    f->mode = st.st_mode & 0777;
    f->uid = st.st_uid;
    f->gid = st.st_gid;
    f->owned = st.st_uid != geteuid() || st.st_gid != getegid();
    return 0;
}

static int resolve(struct file_replace *f)
{
    struct stat st;
    char *real = realpath(f->path, NULL);
    if (!real && errno == ENOENT && lstat(f->path, &st) != 0)
        return 0; /* a new file; a symlink that leads nowhere is no name for one */
    if (!real)
        return errno;
    free(f->path);
    f->path = real;
    return take_over(f);
}

/* Sets `dir` and `temporary`. */
static int name_temporary(struct file_replace *f)
{
    uint8_t salt[8];
    char hex[2 * sizeof salt + 1];
    const char *slash = strrchr(f->path, '/');
    if (!slash[1])
        return FILE_IRREGULAR;
    key_random(salt, sizeof salt);
    hex_encode(hex, salt, sizeof salt);
    f->dir = xstrndup(f->path, slash == f->path ? 1 : (size_t)(slash - f->path));
    f->temporary = xasprintf("%s/.%.64s.berth-%s", f->dir, slash + 1, hex);
    return 0;
}

/* Why there can be no new file, by the errno of trying. The kernel's own file systems have no
 * word for that: they say that nothing is there, or that even root may not. */
static int obstacle(const struct file_replace *f, int error)
{
    bool allowed = error == ENOENT || access(f->dir, W_OK) == 0;
    bool refused = error == ENOENT || error == EACCES || error == EPERM;
    return access(f->path, F_OK) == 0 && allowed && refused ? FILE_PINNED : error;
}

static int open_new(struct file_replace *f)
{
    f->fd = open(f->dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (f->fd >= 0)
        return 0;
    f->fd = open(f->temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    f->named = f->fd >= 0;
    return f->named ? 0 : obstacle(f, errno);
}

int file_replace_open(struct file_replace *f, const char *path, int64_t mode)
{
    *f = (struct file_replace){.path = xstrdup(path), .fd = -1, .mode = mode_of_new()};
    int error = resolve(f);
    if (mode >= 0)
        f->mode = (mode_t)mode;
    if (!error)
        error = name_temporary(f);
    return error ? error : open_new(f);
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

static int sync_dir(const char *dir)
{
    cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    return fsync(fd) == 0 || errno == EINVAL ? 0 : -1; /* not every file system can */
}

static int give_name(const struct file_replace *f)
{
    char self[32];
    if (f->named || linkat(f->fd, "", AT_FDCWD, f->temporary, AT_EMPTY_PATH) == 0)
        return 0;
    snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd); /* for whom that is not allowed */
    return linkat(AT_FDCWD, self, AT_FDCWD, f->temporary, AT_SYMLINK_FOLLOW);
}

int file_replace_commit(const struct file_replace *f)
{
    if (f->owned && fchown(f->fd, f->uid, f->gid) != 0)
        return errno;
    if (ftruncate(f->fd, f->size) != 0 || fchmod(f->fd, f->mode) != 0 || fsync(f->fd) != 0)
        return errno;
    if (give_name(f) != 0 || rename(f->temporary, f->path) != 0 || sync_dir(f->dir) != 0)
        return errno;
    return 0;
}

void file_replace_fini(struct file_replace *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->temporary)
        unlink(f->temporary); /* where it is called that still */
    free(f->path);
    free(f->dir);
    free(f->temporary);
    *f = (struct file_replace){.fd = -1};
}

int file_replace_with(const char *path, int64_t mode, const struct iovec *pieces, int n)
{
    struct file_replace f;
    int error = file_replace_open(&f, path, mode);
    for (int i = 0; i < n && !error; i++)
        error = file_replace_write(&f, pieces[i].iov_base, pieces[i].iov_len);
    if (!error)
        error = file_replace_commit(&f);
    file_replace_fini(&f);
    return error;
}

int file_make_parents(const char *path)
{
    cleanup_free char *part = xstrdup(path);
    char *slash = part;
    if (path[strlen(path) - 1] == '/')
        return FILE_IRREGULAR; /* and nothing is made for what cannot be had */
    while ((slash = strchr(slash + 1, '/')) != NULL) {
        *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return errno;
        *slash = '/';
    }
    return 0;
}
