/* sync.c: Sync: every file system's data is on its disk. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "applets/service/offload.h"
#include "applets/service/service.h"

static int sync_all(void *arg)
{
    (void)arg;
    sync();
    return 0;
}

static void synced(void *arg, int error)
{
    struct request *r = arg;
    r->state = NULL;
    if (error) {
        request_fail(r, error_code_of_errno(error), "sync: %s", strerror(error));
        return;
    }
    message_send(r->stream, MSG_OK);
    request_end(r);
}

static void forget(struct request *r)
{
    if (r->state)
        offload_forget(r->state);
}

void serve_sync(struct request *r)
{
    r->abort = forget;
    r->state = offload_start(r->service->loop, (int[OFFLOAD_KEEP]){-1, -1}, sync_all, synced, r);
    if (!r->state)
        request_fail(r, ERR_INTERNAL, "sync: %s", strerror(errno));
}
