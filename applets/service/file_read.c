/* file_read.c: FileRead {path, offset, limit} and FileDownload {guest_path}: a file's bytes as
 * base64 inside of one message.
 *
 * The message is never there as a whole: what its frame will measure is known when the slice's
 * length is, so the text is written piece by piece. */
#include <stdio.h>
#include <string.h>

#include "applets/service/file_path.h"
#include "applets/service/file_send.h"
#include "core/base64.h"
#include "core/mem.h"

#define HEAD_LEN ((size_t)128) /* room for the message without its base64 */

static const char tail[] = "\"}";

static bool begin(struct request *r, const char *head, const struct stat *st, int64_t len)
{
    size_t limit = r->service->frame_limit;
    size_t size = strlen(head) + BASE64_LEN((size_t)len) + strlen(tail);
    if (st->st_size > FILE_SIZE_LIMIT) {
        file_fail_large(r, st->st_size, "FileGet");
    } else if (size > limit) {
        request_fail(r, ERR_INVALID_REQUEST,
                     "%lld bytes do not fit into a message: use FileRead with offset and limit, "
                     "%zu bytes at a time, or FileGet",
                     (long long)len, (limit - HEAD_LEN) / 4 * 3);
    } else {
        frame_begin(r->stream, size);
        stream_write(r->stream, head, strlen(head));
        return true;
    }
    return false;
}

static bool begin_content(struct request *r, const struct stat *st, int64_t len)
{
    char head[HEAD_LEN];
    snprintf(head, sizeof head, "{\"type\":\"FileContent\",\"size\":%lld,\"content\":\"",
             (long long)len);
    return begin(r, head, st, len);
}

static bool begin_data(struct request *r, const struct stat *st, int64_t len)
{
    char head[HEAD_LEN];
    snprintf(head, sizeof head, "{\"type\":\"FileData\",\"size\":%lld,\"data\":\"", (long long)len);
    return begin(r, head, st, len);
}

static const struct file_format content = {begin_content, true, tail};
static const struct file_format data = {begin_data, true, tail};

void serve_file_read(struct request *r)
{
    struct file_slice want;
    cleanup_free char *path = file_path_asked(r, "path");
    if (!path)
        return;
    if (file_slice_asked(r->message.body, "limit", &want) != 0)
        request_fail(r, ERR_INVALID_REQUEST, "FileRead: offset or limit is no number of bytes");
    else
        file_send(r, path, want, &content);
}

void serve_file_download(struct request *r)
{
    const struct file_slice all = {0, INT64_MAX};
    cleanup_free char *path = file_path_asked(r, "guest_path");
    if (path)
        file_send(r, path, all, &data);
}
