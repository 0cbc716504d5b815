#include "applets/service/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

struct run {
    struct loop *loop;
    int ends[2];
    int error; /* -1: not told yet */
};

static void told(void *arg, int error)
{
    struct run *run = arg;
    run->error = error;
}

static void run_it(struct run *run, int keep, offload_work *work)
{
    run->error = -1;
    CHECK(offload_start(run->loop, (int[OFFLOAD_KEEP]){keep, -1}, work, told, run) != NULL);
    for (int i = 0; i < 30 && run->error < 0; i++)
        loop_turn(run->loop, 1000);
}

static int fail(void *arg)
{
    (void)arg;
    return ENOSPC;
}

static int die(void *arg)
{
    (void)arg;
    return raise(SIGKILL);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int check_first_only(void *arg)
{
    const struct run *run = arg;
    return is_open(0) && is_open(run->ends[0]) && !is_open(run->ends[1]) ? 0 : EBADF;
}

static int check_last_only(void *arg)
{
    const struct run *run = arg;
    return is_open(0) && !is_open(run->ends[0]) && is_open(run->ends[1]) ? 0 : EBADF;
}

static int check_none(void *arg)
{
    const struct run *run = arg;
    return is_open(0) && !is_open(run->ends[0]) && !is_open(run->ends[1]) ? 0 : EBADF;
}

TEST(offload_results)
{
    struct run run = {.loop = loop_new()};
    run_it(&run, -1, fail);
    CHECK_INT(run.error, ENOSPC);
    run_it(&run, -1, die);
    CHECK_INT(run.error, EIO);
    loop_free(run.loop);
}

/* A connection that is closed here has to be closed. */
TEST(offload_descriptors)
{
    struct run run = {.loop = loop_new()};
    CHECK_INT(pipe2(run.ends, O_CLOEXEC), 0);
    run_it(&run, run.ends[0], check_first_only);
    CHECK_INT(run.error, 0);
    run_it(&run, run.ends[1], check_last_only);
    CHECK_INT(run.error, 0);
    run_it(&run, -1, check_none);
    CHECK_INT(run.error, 0);
    close(run.ends[0]);
    close(run.ends[1]);
    loop_free(run.loop);
}

static int wait_for_end(void *arg)
{
    const struct run *run = arg;
    char byte;
    return read(run->ends[0], &byte, 1) == 0 ? 0 : EIO;
}

static bool have_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Forgotten, it goes on to its end and is waited for, but nobody is told. */
TEST(offload_forget)
{
    struct run run = {.loop = loop_new(), .error = -1};
    CHECK_INT(pipe2(run.ends, O_CLOEXEC), 0);
    struct offload *o =
        offload_start(run.loop, (int[OFFLOAD_KEEP]){-1, run.ends[0]}, wait_for_end, told, &run);
    offload_forget(o);
    CHECK(have_children());
    close(run.ends[0]);
    close(run.ends[1]);
    for (int i = 0; i < 30 && have_children(); i++)
        loop_turn(run.loop, 1000);
    CHECK(!have_children());
    CHECK_INT(run.error, -1);
    loop_free(run.loop);
}
