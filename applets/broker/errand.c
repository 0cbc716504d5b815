#include "applets/broker/errand.h"

#include <stdlib.h>

void errand_begin(struct errand *e, struct store *s, loop_fn *failed)
{
    e->store = s;
    loop_task_init(s->loop, &e->failed, failed, e);
}

void errand_fail(struct errand *e, int error)
{
    e->error = error;
    loop_task_post(&e->failed);
}

void errand_end(struct errand *e)
{
    loop_task_del(&e->failed);
    loop_reap(e->store->loop, e, free);
}

void errand_cancel(struct errand *e)
{
    if (e->asked)
        store_cancel(e->asked);
    errand_end(e);
}
