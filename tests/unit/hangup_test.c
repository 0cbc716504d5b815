#include "applets/service/hangup.h"

#include <signal.h>
#include <sys/wait.h>

#include "core/proc.h"
#include "tests/unit/test.h"

#define GRACE_MS 2000

struct rig {
    struct loop *loop;
    struct loop_timer sooner, later;
    struct loop_task at_end;
};

static void never(void *arg)
{
    (void)arg;
    CHECK(false);
}

static void end_both(void *arg)
{
    struct rig *r = arg;
    loop_timer_del(&r->sooner);
    loop_timer_del(&r->later);
}

static void arm(struct rig *r, struct loop_timer *t, uint64_t after_ms)
{
    loop_timer_init(r->loop, t, never, NULL);
    loop_timer_set(t, after_ms);
}

/* Between other timers of what ends with the loop, after it: nothing of it is left among them. */
TEST(hangup_that_the_loop_does_not_see_to_its_end)
{
    struct rig r = {.loop = loop_new()};
    char word[] = "sleep", long_enough[] = "1000";
    const struct proc_spec sleep = {.argv = (char *[]){word, long_enough, NULL},
                                    .in = PROC_NULL,
                                    .out = PROC_NULL,
                                    .err = PROC_NULL,
                                    .session = true};
    pid_t pid = proc_spawn(&sleep);
    int status;
    arm(&r, &r.sooner, GRACE_MS / 2);
    hangup_start(r.loop, pid, GRACE_MS);
    arm(&r, &r.later, 2 * GRACE_MS);
    loop_task_init(r.loop, &r.at_end, end_both, &r);
    loop_task_at_end(&r.at_end);
    loop_free(r.loop);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
}
