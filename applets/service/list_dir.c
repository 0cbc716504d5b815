/* list_dir.c: ListDir {path}: what is in a directory, by name.
 *
 * A child reads, sorts and writes the answer down, into memory that this process sends it from as
 * the stream has room: a directory of very many names, or one on a server that is gone, holds up
 * nobody else. A name that is not UTF-8 is shown with U+FFFD where it is not. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/service/file_offload.h"
#include "applets/service/file_path.h"
#include "applets/service/file_root.h"
#include "applets/service/file_send.h"
#include "core/mem.h"

#define ENTRY_LEN 56 /* bytes that an entry takes in the answer at least, besides its name */

struct listing {
    struct file_offload base;
    size_t limit; /* bytes of the answer */
};

/* The rest is the child's. */

struct entry {
    char *name;
    struct stat st;
    bool known; /* st is more than the type */
};

struct entries {
    struct entry *all;
    size_t n, cap;
    size_t len; /* bytes of the answer that they will take at least */
};

/* NULL with *error. */
static DIR *open_dir(const char *root, const char *path, int *error)
{
    struct stat st;
    cleanup_fd int fd = -1;
    *error = file_root_open(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, &fd);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir)
        steal_fd(&fd);
    else if (!*error)
        *error = errno;
    else if (*error == ENOTDIR && stat(path, &st) == 0)
        *error = FILE_NO_DIRECTORY;
    return dir;
}

static void add(struct entries *list, const struct dirent *found, const struct stat *st)
{
    if (list->n == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 256;
        list->all = xrealloc(list->all, list->cap * sizeof *list->all);
    }
    struct entry *e = &list->all[list->n++];
    *e = (struct entry){.name = xstrdup(found->d_name), .known = st != NULL};
    if (st)
        e->st = *st;
    else
        e->st.st_mode = (mode_t)found->d_type << 12; /* DTTOIF(), with a sign that all agree on */
    list->len += ENTRY_LEN + strlen(e->name);
}

static bool is_self_or_parent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* What has gone meanwhile is left out; what only does not let itself be looked at is not. */
static int read_entries(DIR *dir, struct entries *list, size_t limit)
{
    const struct dirent *found;
    struct stat st;
    for (errno = 0; (found = readdir(dir)) != NULL; errno = 0) {
        if (is_self_or_parent(found->d_name))
            continue;
        if (fstatat(dirfd(dir), found->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            add(list, found, &st);
        else if (errno != ENOENT)
            add(list, found, NULL);
        if (list->len > limit)
            return FILE_CROWDED;
    }
    return errno;
}

static int by_name(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    return strcmp(one->name, other->name);
}

static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode))
        return "dir";
    return S_ISLNK(mode) ? "symlink" : "file";
}

/* Nine characters, without what ls shows of setuid and the like in them. */
static void put_permissions(struct json_out *out, struct json_node *to, mode_t mode)
{
    char text[] = "rwxrwxrwx";
    for (int i = 0; i < 9; i++)
        if (!(mode & (0400u >> i)))
            text[i] = '-';
    json_put_str(out, to, "permissions", text);
}

static void put_entry(struct json_out *out, struct json_node *list, const struct entry *e)
{
    struct json_node *to = json_put_object(out, list, NULL);
    json_put_str(out, to, "name", e->name);
    json_put_str(out, to, "kind", kind_of(e->st.st_mode));
    json_put_int(out, to, "size", e->known ? e->st.st_size : 0);
    put_permissions(out, to, e->known ? e->st.st_mode : 0);
    if (e->known && e->st.st_mtime >= 0)
        json_put_int(out, to, "modified", e->st.st_mtime);
}

/* At its beginning, without moving the offset that both processes share. */
static int write_down(int fd, const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pwrite(fd, text + at, len - at, (off_t)at);
        if (n < 0 && errno != EINTR)
            return errno;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_answer(const struct listing *l, const struct entries *found)
{
    struct draft d = draft_of(MSG_DIR_LISTING);
    struct json_node *list = json_put_array(d.out, d.root, "entries");
    size_t len;
    for (size_t i = 0; i < found->n; i++)
        put_entry(d.out, list, &found->all[i]);
    cleanup_free char *text = json_out_text(d.out, false, &len);
    draft_free(&d);
    return len <= l->limit ? write_down(l->base.fd, text, len) : FILE_CROWDED;
}

static int list_dir(void *arg)
{
    const struct listing *l = arg;
    struct entries found = {0};
    int error;
    DIR *dir = open_dir(file_offload_root(&l->base), l->base.path, &error);
    if (dir)
        error = read_entries(dir, &found, l->limit);
    if (error)
        return error; /* and with it go the child's memory and descriptors */
    if (found.n)
        qsort(found.all, found.n, sizeof *found.all, by_name);
    return write_answer(l, &found);
}

/* The request. */

static bool begin(struct request *r, const struct stat *st, int64_t len)
{
    (void)st;
    frame_begin(r->stream, (size_t)len);
    return true;
}

static const struct file_format whole = {.begin = begin};

static void listed(struct file_offload *f, int error)
{
    struct request *r = f->request;
    if (error) {
        file_fail(r, f->path, error);
        return;
    }
    int fd = steal_fd(&f->fd);
    r->abort(r);
    file_send_fd(r, f->path, fd, &whole);
}

void serve_list_dir(struct request *r)
{
    cleanup_free char *path = file_path_asked(r, "path");
    if (!path)
        return;
    cleanup_fd int fd = memfd_create("listing", MFD_CLOEXEC);
    if (fd < 0) {
        file_fail(r, path, errno);
        return;
    }
    struct listing *l = xcalloc(1, sizeof *l);
    l->base = (struct file_offload){.path = steal_str(&path), .fd = steal_fd(&fd), .done = listed};
    l->limit = r->service->frame_limit;
    file_offload_start(&l->base, r, list_dir);
}
