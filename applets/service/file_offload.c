#include "applets/service/file_offload.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "applets/service/file_path.h"

static void free_all(void *arg)
{
    struct file_offload *f = arg;
    free(f->path);
    free(f);
}

static void discard(struct request *r)
{
    struct file_offload *f = r->state;
    if (f->child)
        offload_forget(f->child);
    if (f->fd >= 0)
        close(f->fd);
    loop_reap(r->service->loop, f, free_all);
}

static void worked(void *arg, int error)
{
    struct file_offload *f = arg;
    f->child = NULL;
    f->done(f, error);
}

void file_offload_start(struct file_offload *f, struct request *r, offload_work *work)
{
    f->request = r;
    r->state = f;
    r->abort = discard;
    f->child = offload_start(r->service->loop, (int[OFFLOAD_KEEP]){f->fd, -1}, work, worked, f);
    if (!f->child)
        file_fail(r, f->path, errno);
}

const char *file_offload_root(const struct file_offload *f)
{
    return policy_root(f->request->service->policy);
}

void file_offload_answer(struct file_offload *f, int error)
{
    struct request *r = f->request;
    if (error) {
        file_fail(r, f->path, error);
        return;
    }
    message_send(r->stream, MSG_OK);
    request_end(r);
}
