/* file_get.c: FileGet {path, offset, length}: FileInfo, then that slice of a regular file.
 *
 * FileInfo's size is the file's, so the opener knows how long the slice is: what of
 * [offset, offset + length) lies within it. */
#include "applets/service/file_path.h"
#include "applets/service/file_send.h"
#include "core/mem.h"

static bool send_info(struct request *r, const struct stat *st, int64_t len)
{
    struct draft d = draft_of(MSG_FILE_INFO);
    (void)len;
    draft_int(&d, "size", st->st_size);
    draft_int(&d, "mode", st->st_mode & 07777);
    draft_int(&d, "mtime", st->st_mtime);
    draft_send(&d, r->stream);
    return true;
}

static const struct file_format bare = {.begin = send_info};

void serve_file_get(struct request *r)
{
    struct file_slice want;
    cleanup_free char *path = file_path_asked(r, "path");
    if (!path)
        return;
    if (file_slice_asked(r->message.body, "length", &want) != 0)
        request_fail(r, ERR_INVALID_REQUEST, "FileGet: offset or length is no number of bytes");
    else
        file_send(r, path, want, &bare);
}
