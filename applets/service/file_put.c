/* file_put.c: FilePut {path, mode, size} and that many bytes: a file replaced as a whole. What a
 * disk may take its time for is done by a child.
 *
 * Without a size, which an opener may not know, the bytes come as data frames on channel 0, and an
 * empty one says that these were all: the end of the stream could as well be the opener's own. */
#include <errno.h>
#include <stdlib.h>

#include "applets/service/file_path.h"
#include "applets/service/file_replace.h"
#include "applets/service/offload.h"
#include "core/mem.h"

#define SIZE_FRAMED (-1)

struct put {
    struct loop *loop;
    struct request *request; /* NULL: aborted while the commit was under way */
    struct file_replace file;
    int64_t size; /* SIZE_FRAMED: not known beforehand */
    bool committing;
};

static void put_end(struct put *p)
{
    file_replace_fini(&p->file);
    loop_reap(p->loop, p, free);
}

static void discard(struct request *r)
{
    struct put *p = r->state;
    p->request = NULL;
    if (!p->committing)
        put_end(p);
}

/* The commit. */

static int commit(void *arg)
{
    const struct put *p = arg;
    return file_replace_commit(&p->file);
}

static void committed(void *arg, int error)
{
    struct put *p = arg;
    struct request *r = p->request;
    p->committing = false;
    if (!r) {
        put_end(p);
    } else if (error) {
        file_fail(r, p->file.path, error);
    } else {
        message_send(r->stream, MSG_OK);
        request_end(r);
    }
}

static void start_commit(struct put *p)
{
    p->committing = true;
    if (offload_start(p->loop, (int[OFFLOAD_KEEP]){p->file.fd, p->file.dir}, commit, committed, p))
        return;
    p->committing = false;
    file_fail(p->request, p->file.path, errno);
}

/* The bytes. */

static bool write_bytes(struct put *p, const uint8_t *data, size_t len)
{
    int error = file_replace_write(&p->file, data, len);
    if (error)
        file_fail(p->request, p->file.path, error);
    return !error;
}

static void take_sized(struct put *p)
{
    struct stream *s = p->request->stream;
    const uint8_t *data;
    size_t len;
    while (p->file.size < p->size && (data = stream_peek(s, &len)) != NULL) {
        if ((int64_t)len > p->size - p->file.size)
            len = (size_t)(p->size - p->file.size);
        if (!write_bytes(p, data, len))
            return;
        stream_consume(s, len);
    }
    if (p->file.size == p->size)
        start_commit(p);
}

/* False when nothing more is to be read. */
static bool take_frame(struct put *p, const struct frame *f)
{
    if (f->payload[0] != CHANNEL_STDIN) {
        request_fail(p->request, ERR_INVALID_REQUEST, "%s: what follows is on no channel of it",
                     p->file.path);
        return false;
    }
    if (f->len > 1)
        return write_bytes(p, f->payload + 1, f->len - 1);
    start_commit(p);
    return false;
}

static void take_framed(struct put *p)
{
    struct request *r = p->request;
    struct frame f;
    bool on = true;
    while (on) {
        switch (frame_read(&r->frames, r->stream, &f)) {
        case FRAME_MORE: return;
        case FRAME_READY: on = take_frame(p, &f); break;
        case FRAME_BAD:
            request_fail(r, ERR_INVALID_REQUEST, "%s: a frame is empty or over the limit",
                         p->file.path);
            return;
        }
    }
}

static void take_bytes(struct put *p)
{
    if (p->size == SIZE_FRAMED)
        take_framed(p);
    else
        take_sized(p);
}

static void ended_early(struct put *p)
{
    if (p->size == SIZE_FRAMED)
        request_fail(p->request, ERR_INVALID_REQUEST, "%s: the end was not said after %lld bytes",
                     p->file.path, (long long)p->file.size);
    else
        request_fail(p->request, ERR_INVALID_REQUEST, "%s: %lld of %lld bytes came", p->file.path,
                     (long long)p->file.size, (long long)p->size);
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
        ended_early(p);
}

/* The request. */

static void start(struct request *r, const char *path, int64_t size, int64_t mode)
{
    struct put *p = xcalloc(1, sizeof *p);
    *p = (struct put){.loop = r->service->loop, .request = r, .size = size};
    r->state = p;
    r->abort = discard;
    int error = file_replace_open(&p->file, policy_root(r->service->policy), path, mode);
    if (error) {
        file_fail(r, path, error);
        return;
    }
    stream_own(r->stream, on_event, r);
    take_bytes(p);
}

void serve_file_put(struct request *r)
{
    int64_t mode, size = SIZE_FRAMED;
    cleanup_free char *path = file_path_asked(r, "path");
    if (!path)
        return;
    int said = json_get_int(r->message.body, "size", &size);
    if (said < 0 || (said && size < 0))
        request_fail(r, ERR_INVALID_REQUEST, "FilePut: size is no number of bytes");
    else if (file_mode_asked(r, &mode) == 0)
        start(r, path, size, mode);
}
