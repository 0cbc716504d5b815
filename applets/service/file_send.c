#include "applets/service/file_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/service/file_path.h"
#include "core/base64.h"
#include "core/mem.h"

#define CHUNK         ((size_t)48 << 10) /* a multiple of three, for base64 */
#define CHUNKS_A_TURN 8                  /* so that one fast reader does not starve the others */
#define SMALL         (64 << 10)         /* bytes: a size that may mean nothing */

struct sending {
    struct request *request;
    const struct file_format *format;
    char *path;
    int fd;
    struct stat st;
    struct file_slice want;
    struct buf ahead; /* what was read of it beforehand */
    int64_t at, end;  /* what is left to be sent, by its place in the file */
    struct loop_task more;
};

static void sending_free(void *arg)
{
    struct sending *f = arg;
    buf_fini(&f->ahead);
    free(f->path);
    free(f);
}

static void discard(struct request *r)
{
    struct sending *f = r->state;
    loop_task_del(&f->more);
    if (f->fd >= 0)
        close(f->fd);
    loop_reap(r->service->loop, f, sending_free);
}

/* Sending. */

/* False when there was nothing where something has been. */
static bool read_chunk(struct sending *f, uint8_t *data, size_t len)
{
    if (f->ahead.len) {
        memcpy(data, buf_front(&f->ahead), len);
        buf_consume(&f->ahead, len);
        return true;
    }
    for (size_t got = 0; got < len;) {
        ssize_t n = pread(f->fd, data + got, len - got, f->at + (off_t)got);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        got += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool send_chunk(struct sending *f)
{
    uint8_t data[CHUNK];
    char text[BASE64_LEN(CHUNK) + 1];
    struct stream *s = f->request->stream;
    size_t len = f->end - f->at < (int64_t)CHUNK ? (size_t)(f->end - f->at) : CHUNK;
    if (!read_chunk(f, data, len))
        return false;
    f->at += (int64_t)len;
    if (f->format->base64) {
        base64_encode(text, data, len);
        stream_write(s, text, BASE64_LEN(len));
    } else {
        stream_write(s, data, len);
    }
    return true;
}

static void finish(struct sending *f)
{
    const char *end = f->format->end;
    if (end)
        stream_write(f->request->stream, end, strlen(end));
    request_end(f->request);
}

static void send_more(void *arg)
{
    struct sending *f = arg;
    struct request *r = f->request;
    for (int i = 0; i < CHUNKS_A_TURN && f->at < f->end; i++) {
        if (stream_room(r->stream) == 0)
            return;
        if (!send_chunk(f)) {
            request_reset(r);
            return;
        }
    }
    if (f->at < f->end)
        loop_task_post(&f->more);
    else
        finish(f);
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

static void begin(struct sending *f)
{
    struct request *r = f->request;
    int64_t size = f->st.st_size;
    f->at = f->want.offset < size ? f->want.offset : size;
    f->end = f->want.length < size - f->at ? f->at + f->want.length : size;
    if (!f->format->begin(r, &f->st, f->end - f->at))
        return;
    loop_task_init(r->service->loop, &f->more, send_more, f);
    stream_own(r->stream, on_event, r);
    send_more(f);
}

/* Reading ahead. */

/* Of data[len], which follows on what was read before, that from where the slice begins. */
static void keep_wanted(struct sending *f, const uint8_t *data, int64_t len)
{
    int64_t lead = f->want.offset - f->st.st_size;
    if (lead < 0)
        lead = 0;
    if (lead < len)
        buf_append(&f->ahead, data + lead, (size_t)(len - lead));
}

/* What has nothing to say right now (EAGAIN) has said it all. */
static void read_ahead(void *arg)
{
    struct sending *f = arg;
    uint8_t data[CHUNK];
    for (int i = 0; i < CHUNKS_A_TURN; i++) {
        ssize_t n = read(f->fd, data, sizeof data);
        if (n == 0 || (n < 0 && errno == EAGAIN)) {
            begin(f);
            return;
        }
        int error = n < 0 ? errno : 0;
        if (n > FILE_SIZE_LIMIT - f->st.st_size)
            error = FILE_ENDLESS;
        if (error && error != EINTR) {
            file_fail(f->request, f->path, error);
            return;
        }
        if (n > 0) {
            keep_wanted(f, data, n);
            f->st.st_size += n;
        }
    }
    loop_task_post(&f->more);
}

/* The request. */

static void start(struct sending *f)
{
    if (f->st.st_size > SMALL) {
        begin(f);
        return;
    }
    f->st.st_size = 0;
    read_ahead(f);
}

static struct sending *sending_new(struct request *r, const char *path,
                                   const struct file_format *format)
{
    struct sending *f = xcalloc(1, sizeof *f);
    *f = (struct sending){.request = r, .format = format, .path = xstrdup(path), .fd = -1};
    f->want.length = INT64_MAX;
    loop_task_init(r->service->loop, &f->more, read_ahead, f);
    r->state = f;
    r->abort = discard;
    return f;
}

void file_send(struct request *r, const char *path, struct file_slice want,
               const struct file_format *format)
{
    struct sending *f = sending_new(r, path, format);
    f->want = want;
    int error = file_open(policy_root(r->service->policy), path, &f->fd, &f->st);
    if (error)
        file_fail(r, path, error);
    else
        start(f);
}

void file_send_fd(struct request *r, const char *path, int fd, const struct file_format *format)
{
    struct sending *f = sending_new(r, path, format);
    f->fd = fd;
    if (fstat(fd, &f->st) != 0)
        file_fail(r, path, errno);
    else
        start(f);
}

/* `n` stays when there is none; false when it is negative or no number. */
static bool read_extent(const struct json_value *body, const char *key, int64_t *n)
{
    return json_get_int(body, key, n) >= 0 && *n >= 0;
}

int file_slice_asked(const struct json_value *body, const char *length_key, struct file_slice *s)
{
    *s = (struct file_slice){0, INT64_MAX};
    return read_extent(body, "offset", &s->offset) && read_extent(body, length_key, &s->length)
               ? 0
               : -1;
}
