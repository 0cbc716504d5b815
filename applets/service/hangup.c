#include "applets/service/hangup.h"

#include <signal.h>
#include <stdlib.h>

#include "core/mem.h"

#define RETRY_MS 1000 /* until there is a descriptor for the watch */

struct hangup {
    struct loop *loop;
    pid_t leader;
    struct loop_timer timer;
    struct loop_child watch;
    struct loop_task at_end;
};

static void collected(void *arg, int status)
{
    struct hangup *h = arg;
    (void)status;
    loop_task_del(&h->at_end);
    loop_reap(h->loop, h, free);
}

/* Whoever ends this process collects what is left of the group. */
static void forget(void *arg)
{
    struct hangup *h = arg;
    loop_timer_del(&h->timer);
    loop_child_del(&h->watch);
    free(h);
}

static void kill_group(void *arg)
{
    struct hangup *h = arg;
    kill(-h->leader, SIGKILL);
    if (loop_child_add(h->loop, &h->watch, h->leader, collected, h) != 0)
        loop_timer_set(&h->timer, RETRY_MS);
}

void hangup_start(struct loop *loop, pid_t leader, uint64_t grace_ms)
{
    struct hangup *h = xcalloc(1, sizeof *h);
    h->loop = loop;
    h->leader = leader;
    loop_timer_init(loop, &h->timer, kill_group, h);
    loop_task_init(loop, &h->at_end, forget, h);
    loop_task_at_end(&h->at_end);
    if (grace_ms == 0) {
        kill_group(h);
        return;
    }
    kill(-leader, SIGHUP);
    kill(-leader, SIGCONT); /* what is stopped would not see it */
    loop_timer_set(&h->timer, grace_ms);
}
