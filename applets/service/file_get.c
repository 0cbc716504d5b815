/* file_get.c: FileGet {path, offset, length}: FileInfo, then that slice of a regular file.
 *
 * FileInfo's size is the file's, so the opener knows how long the slice is: what of
 * [offset, offset + length) lies within it. A file that gets shorter meanwhile cannot be
 * told apart from an end once bare bytes are on their way: so that is a reset. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/service/file_path.h"
#include "applets/service/service.h"
#include "core/mem.h"

#define CHUNK         ((size_t)64 << 10)
#define CHUNKS_A_TURN 16 /* so that one fast reader does not starve the others */

struct get {
    struct request *request;
    int fd;
    off_t at, end;
    struct loop_task more;
};

static void discard(struct request *r)
{
    struct get *g = r->state;
    loop_task_del(&g->more);
    if (g->fd >= 0)
        close(g->fd);
    loop_reap(r->service->loop, g, free);
}

/* False when there was nothing where something has been. */
static bool send_chunk(struct get *g)
{
    uint8_t data[CHUNK];
    off_t left = g->end - g->at;
    ssize_t n = pread(g->fd, data, left < (off_t)CHUNK ? (size_t)left : CHUNK, g->at);
    if (n <= 0)
        return false;
    stream_write(g->request->stream, data, (size_t)n);
    g->at += n;
    return true;
}

static void send_more(void *arg)
{
    struct get *g = arg;
    struct request *r = g->request;
    for (int i = 0; i < CHUNKS_A_TURN && g->at < g->end; i++) {
        if (stream_room(r->stream) == 0)
            return;
        if (!send_chunk(g)) {
            request_reset(r);
            return;
        }
    }
    if (g->at < g->end)
        loop_task_post(&g->more);
    else
        request_end(r);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    struct request *r = arg;
    (void)s;
    switch (event) {
    case STREAM_OPEN:
    case STREAM_EOF: break;
    case STREAM_DATA: request_drop_input(r); break;
    case STREAM_DRAINED: send_more(r->state); break;
    case STREAM_ERROR: request_reset(r); break;
    }
}

static void send_info(struct request *r, const struct stat *st)
{
    struct draft d = draft_of(MSG_FILE_INFO);
    draft_int(&d, "size", st->st_size);
    draft_int(&d, "mode", st->st_mode & 07777);
    draft_int(&d, "mtime", st->st_mtime);
    draft_send(&d, r->stream);
}

/* 0, an errno or FILE_IRREGULAR. */
static int open_file(struct get *g, const char *path, struct stat *st)
{
    g->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (g->fd < 0)
        return errno == ENXIO ? FILE_IRREGULAR : errno; /* a socket */
    if (fstat(g->fd, st) != 0)
        return errno;
    return S_ISREG(st->st_mode) ? 0 : FILE_IRREGULAR;
}

/* `n` stays when there is none; false when it is negative or no number. */
static bool read_extent(const struct json_value *body, const char *key, int64_t *n)
{
    return json_get_int(body, key, n) >= 0 && *n >= 0;
}

static void send_slice(struct get *g, const char *path, int64_t offset, int64_t length)
{
    struct request *r = g->request;
    struct stat st = {0};
    int error = open_file(g, path, &st);
    if (error) {
        file_fail(r, path, error);
        return;
    }
    g->at = offset < st.st_size ? offset : st.st_size;
    g->end = length < st.st_size - g->at ? g->at + length : st.st_size;
    stream_own(r->stream, on_event, r);
    send_info(r, &st);
    send_more(g);
}

void serve_file_get(struct request *r)
{
    const struct json_value *body = r->message.body;
    const char *text = json_get_str(body, "path");
    int64_t offset = 0, length = INT64_MAX;
    if (!text || !*text || !read_extent(body, "offset", &offset) ||
        !read_extent(body, "length", &length)) {
        request_fail(r, ERR_INVALID_REQUEST, "FileGet: not {path, offset, length}");
        return;
    }
    struct get *g = xcalloc(1, sizeof *g);
    *g = (struct get){.request = r, .fd = -1};
    loop_task_init(r->service->loop, &g->more, send_more, g);
    r->state = g;
    r->abort = discard;
    cleanup_free char *path = file_path(text);
    send_slice(g, path, offset, length);
}
