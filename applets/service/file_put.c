/* file_put.c: FilePut {path, mode, size} and that many bytes: a file replaced as a whole.
 *
 * The bytes go to a temporary file in the same directory, which takes the name only when it
 * is complete and on disk: whoever opens the path meanwhile, and a machine that crashes,
 * finds the old file or the new one. A symlink is followed first, so that it stays and what
 * it points at is replaced; its owner and, unless the request says otherwise, its mode are
 * kept. What a disk may take its time for is done by a child. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/service/file_path.h"
#include "applets/service/offload.h"
#include "applets/service/service.h"
#include "core/mem.h"

struct put {
    struct loop *loop;
    struct request *request; /* NULL: aborted while the commit was under way */
    char *path, *dir, *temporary;
    int fd;
    mode_t mode;
    bool owned; /* by these, which a new file would not be */
    uid_t uid;
    gid_t gid;
    int64_t size, left;
    bool committing;
};

static void put_free(void *arg)
{
    struct put *p = arg;
    free(p->path);
    free(p->dir);
    free(p->temporary);
    free(p);
}

static void put_end(struct put *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    if (p->temporary)
        unlink(p->temporary); /* after the rename there is none */
    loop_reap(p->loop, p, put_free);
}

static void discard(struct request *r)
{
    struct put *p = r->state;
    p->request = NULL;
    if (!p->committing)
        put_end(p);
}

/* The commit. */

static int sync_dir(const char *dir)
{
    cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    return fsync(fd) == 0 || errno == EINVAL ? 0 : -1; /* not every file system can */
}

static int commit(void *arg)
{
    const struct put *p = arg;
    if (p->owned && fchown(p->fd, p->uid, p->gid) != 0)
        return errno;
    if (fchmod(p->fd, p->mode) != 0 || fsync(p->fd) != 0)
        return errno;
    if (rename(p->temporary, p->path) != 0 || sync_dir(p->dir) != 0)
        return errno;
    return 0;
}

static void committed(void *arg, int error)
{
    struct put *p = arg;
    struct request *r = p->request;
    p->committing = false;
    if (!r) {
        put_end(p);
    } else if (error) {
        file_fail(r, p->path, error);
    } else {
        message_send(r->stream, MSG_OK);
        request_end(r);
    }
}

static void start_commit(struct put *p)
{
    p->committing = true;
    if (offload_start(p->loop, p->fd, commit, committed, p))
        return;
    p->committing = false;
    file_fail(p->request, p->path, errno);
}

/* The bytes. */

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static void take_bytes(struct put *p)
{
    struct stream *s = p->request->stream;
    const uint8_t *data;
    size_t len;
    while (p->left > 0 && (data = stream_peek(s, &len)) != NULL) {
        if ((int64_t)len > p->left)
            len = (size_t)p->left;
        if (write_all(p->fd, data, len) != 0) {
            file_fail(p->request, p->path, errno);
            return;
        }
        p->left -= (int64_t)len;
        stream_consume(s, len);
    }
    if (p->left == 0)
        start_commit(p);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    struct request *r = arg;
    struct put *p = r->state;
    (void)s;
    if (event == STREAM_ERROR)
        request_reset(r);
    else if (event == STREAM_DATA && p->committing)
        request_drop_input(r);
    else if (event == STREAM_DATA)
        take_bytes(p);
    else if (event == STREAM_EOF && !p->committing)
        request_fail(r, ERR_INVALID_REQUEST, "%s: %lld of %lld bytes came", p->path,
                     (long long)(p->size - p->left), (long long)p->size);
}

/* The request. */

static mode_t mode_of_new(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return 0644 & ~mask;
}

/* Takes over what is there already. 0, an errno or FILE_IRREGULAR. */
static int replace(struct put *p)
{
    struct stat st;
    if (stat(p->path, &st) != 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return FILE_IRREGULAR;
    if (access(p->path, W_OK) != 0) /* which only the file itself says, not its directory */
        return errno;
    p->mode = st.st_mode & 0777;
    p->uid = st.st_uid;
    p->gid = st.st_gid;
    p->owned = st.st_uid != geteuid() || st.st_gid != getegid();
    return 0;
}

/* The same. */
static int resolve(struct put *p)
{
    struct stat st;
    char *real = realpath(p->path, NULL);
    if (!real && errno == ENOENT && lstat(p->path, &st) != 0)
        return 0; /* a new file; a symlink that leads nowhere is no name for one */
    if (!real)
        return errno;
    free(p->path);
    p->path = real;
    return replace(p);
}

/* 0, an errno or FILE_IRREGULAR. */
static int open_temporary(struct put *p)
{
    const char *slash = strrchr(p->path, '/');
    if (!slash[1])
        return FILE_IRREGULAR;
    p->dir = xstrndup(p->path, slash == p->path ? 1 : (size_t)(slash - p->path));
    cleanup_free char *name = xasprintf("%s/.%.200s.berth-XXXXXX", p->dir, slash + 1);
    p->fd = mkostemp(name, O_CLOEXEC);
    if (p->fd < 0)
        return errno;
    p->temporary = steal_str(&name);
    return 0;
}

/* 0, or -1 when they are not what they have to be. */
static int read_fields(const struct json_value *body, const char **path, int64_t *mode,
                       int64_t *size)
{
    *path = json_get_str(body, "path");
    *mode = -1;
    int has_mode = json_get_int(body, "mode", mode);
    if (!*path || !**path || json_get_int(body, "size", size) != 1 || *size < 0)
        return -1;
    return has_mode == 0 || (has_mode == 1 && *mode >= 0 && *mode <= 07777) ? 0 : -1;
}

void serve_file_put(struct request *r)
{
    const char *path;
    int64_t mode, size;
    if (read_fields(r->message.body, &path, &mode, &size) != 0) {
        request_fail(r, ERR_INVALID_REQUEST, "FilePut: not {path, mode, size}");
        return;
    }
    struct put *p = xcalloc(1, sizeof *p);
    *p = (struct put){.loop = r->service->loop, .request = r, .fd = -1, .left = size};
    p->size = size;
    p->mode = mode_of_new();
    p->path = file_path(path);
    r->state = p;
    r->abort = discard;
    int error = resolve(p);
    if (!error)
        error = open_temporary(p);
    if (error) {
        file_fail(r, p->path, error);
        return;
    }
    if (mode >= 0)
        p->mode = (mode_t)mode;
    stream_own(r->stream, on_event, r);
    take_bytes(p);
}
