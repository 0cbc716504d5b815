/* file_write.c: FileWrite {path, content, mode} and FileUpload {guest_path, data, mode}: a file
 * that comes as base64 inside of a message. The directories above it are made. */
#include <string.h>

#include "applets/service/file_offload.h"
#include "applets/service/file_path.h"
#include "applets/service/file_replace.h"
#include "core/base64.h"
#include "core/mem.h"

struct writing {
    struct file_offload base;
    const char *text; /* inside the request's message */
    size_t len;
    int64_t mode;
};

static int write_file(void *arg)
{
    const struct writing *w = arg;
    size_t size = base64_size(w->text, w->len);
    cleanup_free uint8_t *bytes = xmalloc(size + 1);
    if (base64_decode(bytes, w->text, w->len) != 0)
        return FILE_BAD_BASE64;
    const struct iovec piece = {bytes, size};
    const char *root = file_offload_root(&w->base), *path = w->base.path;
    int error = file_make_parents(root, path);
    return error ? error : file_replace_with(root, path, w->mode, &piece, 1);
}

static void start(struct request *r, const char *path, const char *text, int64_t mode)
{
    size_t len = strlen(text), size = base64_size(text, len);
    if (size > FILE_SIZE_LIMIT) {
        file_fail_large(r, (int64_t)size, "FilePut");
        return;
    }
    struct writing *w = xcalloc(1, sizeof *w);
    w->base = (struct file_offload){.path = xstrdup(path), .fd = -1, .done = file_offload_answer};
    w->text = text;
    w->len = len;
    w->mode = mode;
    file_offload_start(&w->base, r, write_file);
}

static void serve(struct request *r, const char *path_key, const char *text_key)
{
    const char *text;
    int64_t mode;
    cleanup_free char *path = file_path_asked(r, path_key);
    if (path && (text = file_text_asked(r, text_key)) != NULL && file_mode_asked(r, &mode) == 0)
        start(r, path, text, mode);
}

void serve_file_write(struct request *r)
{
    serve(r, "path", "content");
}

void serve_file_upload(struct request *r)
{
    serve(r, "guest_path", "data");
}
