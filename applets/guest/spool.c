#include "applets/guest/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "applets/service/standard.h"
#include "core/mem.h"

struct spool {
    struct loop *loop;
    spool_fn *fn;
    void *arg;
    struct stream *input;
    int fd;
    off_t size;
    struct loop_task failed; /* there is no file */
    int error;
};

const char *spool_dir(void)
{
    const char *set = getenv("TMPDIR");
    return set && *set ? set : "/tmp";
}

/* -1 with errno. */
static int open_nameless(void)
{
    const char *dir = spool_dir();
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    cleanup_free char *name = xasprintf("%s/berth-XXXXXX", dir); /* not every file system can */
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    return fd;
}

static void end(struct spool *sp, int error)
{
    spool_fn *fn = sp->fn;
    void *arg = sp->arg;
    int fd = error ? -1 : steal_fd(&sp->fd);
    off_t size = sp->size;
    spool_cancel(sp);
    fn(arg, fd, size, error);
}

static void failed(void *arg)
{
    struct spool *sp = arg;
    end(sp, sp->error);
}

static int write_all(struct spool *sp, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(sp->fd, data, len, sp->size);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            sp->size += n;
        }
    }
    return 0;
}

static void take(struct spool *sp)
{
    const uint8_t *data;
    size_t len;
    int error;
    while ((data = stream_peek(sp->input, &len)) != NULL) {
        if ((error = write_all(sp, data, len)) != 0) {
            end(sp, error);
            return;
        }
        stream_consume(sp->input, len);
    }
}

static void on_input(void *arg, struct stream *s, enum stream_event event)
{
    struct spool *sp = arg;
    switch (event) {
    case STREAM_DATA: take(sp); break;
    case STREAM_EOF: end(sp, 0); break;
    case STREAM_ERROR: end(sp, stream_error(s)); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

struct spool *spool_start(struct loop *loop, spool_fn *fn, void *arg)
{
    struct spool *sp = xcalloc(1, sizeof *sp);
    *sp = (struct spool){.loop = loop, .fn = fn, .arg = arg, .fd = open_nameless()};
    loop_task_init(loop, &sp->failed, failed, sp);
    if (sp->fd < 0) {
        sp->error = errno;
        loop_task_post(&sp->failed);
        return sp;
    }
    sp->input = standard_open(loop, STDIN_FILENO);
    stream_own(sp->input, on_input, sp);
    return sp;
}

void spool_cancel(struct spool *sp)
{
    if (!sp)
        return;
    loop_task_del(&sp->failed);
    stream_close(sp->input);
    if (sp->fd >= 0)
        close(sp->fd);
    loop_reap(sp->loop, sp, free);
}
