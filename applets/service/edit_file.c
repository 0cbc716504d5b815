/* edit_file.c: EditFile {path, old_string, new_string}: the first place in a file where the old
 * string stands gets the new one instead.
 *
 * Bytes are compared, and all others stay as they are: a text that is not UTF-8 can be edited
 * where it is, too. What has a NUL in it is no text but a program, an archive, a database, of
 * which nothing would be left when its parts moved: that is refused. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "applets/service/file_offload.h"
#include "applets/service/file_path.h"
#include "applets/service/file_replace.h"
#include "core/buf.h"
#include "core/mem.h"

#define READ_SIZE ((size_t)1 << 20)

struct edit {
    struct file_offload base;
    const char *old, *new; /* inside the request's message */
};

/* 0, an errno or FILE_ENDLESS. */
static int read_whole(int fd, struct buf *all)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(all, READ_SIZE), READ_SIZE);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return errno;
        buf_commit(all, n > 0 ? (size_t)n : 0);
        if (all->len > (size_t)FILE_SIZE_LIMIT)
            return FILE_ENDLESS;
    }
}

static int replace(const struct edit *e, struct buf *all)
{
    size_t old_len = strlen(e->old), new_len = strlen(e->new);
    uint8_t *text = buf_front(all);
    if (text && memchr(text, 0, all->len))
        return FILE_BINARY;
    uint8_t *at = text ? memmem(text, all->len, e->old, old_len) : NULL;
    if (!at)
        return FILE_NO_MATCH;
    if (all->len - old_len + new_len > (size_t)FILE_SIZE_LIMIT)
        return FILE_OUTGROWN;
    size_t before = (size_t)(at - text);
    const struct iovec pieces[] = {{text, before},
                                   {(void *)(uintptr_t)e->new, new_len},
                                   {at + old_len, all->len - before - old_len}};
    return file_replace_with(file_offload_root(&e->base), e->base.path, -1, pieces,
                             countof(pieces));
}

static int edit_file(void *arg)
{
    const struct edit *e = arg;
    struct buf all = {0};
    int error = read_whole(e->base.fd, &all);
    return error ? error : replace(e, &all); /* the child's memory ends with it */
}

static void edited(struct file_offload *f, int error)
{
    if (error == FILE_NO_MATCH)
        request_fail(f->request, ERR_INVALID_REQUEST, "old_string not found in %s", f->path);
    else
        file_offload_answer(f, error);
}

static void start(struct request *r, const char *path, const char *old, const char *new)
{
    int fd;
    struct stat st;
    int error = file_open(policy_root(r->service->policy), path, &fd, &st);
    if (error) {
        file_fail(r, path, error);
        return;
    }
    if (st.st_size > FILE_SIZE_LIMIT) {
        close(fd);
        file_fail_large(r, st.st_size, NULL);
        return;
    }
    struct edit *e = xcalloc(1, sizeof *e);
    e->base = (struct file_offload){.path = xstrdup(path), .fd = fd, .done = edited};
    e->old = old;
    e->new = new;
    file_offload_start(&e->base, r, edit_file);
}

void serve_edit_file(struct request *r)
{
    const char *old, *new;
    cleanup_free char *path = file_path_asked(r, "path");
    if (!path || !(old = file_text_asked(r, "old_string")) ||
        !(new = file_text_asked(r, "new_string")))
        return;
    if (!*old)
        request_fail(r, ERR_INVALID_REQUEST, "EditFile: old_string is empty");
    else if (strcmp(old, new) == 0)
        request_fail(r, ERR_INVALID_REQUEST, "EditFile: old_string and new_string are the same");
    else
        start(r, path, old, new);
}
