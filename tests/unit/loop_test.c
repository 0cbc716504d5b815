#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "core/mem.h"
#include "tests/unit/probe.h"

/* What happened, as letters in order. */
static char trace[32];

static void trace_clear(void)
{
    memset(trace, 0, sizeof(trace));
}

static void note(char c)
{
    size_t len = strlen(trace);
    if (len + 1 < sizeof(trace))
        trace[len] = c;
}

static void note_arg(void *arg)
{
    note(*(const char *)arg);
}

static char a[] = "a", b[] = "b", c[] = "c", z[] = "z";

TEST(loop_timers_fire_in_order)
{
    struct loop *loop = loop_new();
    struct loop_timer t[4];
    trace_clear();
    loop_timer_init(loop, &t[0], note_arg, c);
    loop_timer_init(loop, &t[1], note_arg, a);
    loop_timer_init(loop, &t[2], note_arg, b);
    loop_timer_init(loop, &t[3], note_arg, z);
    loop_timer_set(&t[3], 5);
    loop_timer_set(&t[0], 30);
    loop_timer_set(&t[1], 100000);
    loop_timer_set(&t[2], 20);
    loop_timer_set(&t[1], 10);
    CHECK(loop_timer_armed(&t[3]));
    loop_timer_del(&t[3]);
    loop_timer_del(&t[3]);
    CHECK(!loop_timer_armed(&t[3]));
    TURN_UNTIL(loop, strlen(trace) >= 3);
    CHECK_STR(trace, "abc");
    CHECK(!loop_timer_armed(&t[0]));
    loop_free(loop);
}

static struct loop_timer many[500];
static uint64_t last_due;
static unsigned fired;
static bool sorted;

static void many_fired(void *arg)
{
    struct loop_timer *t = arg;
    sorted = sorted && t->due_ms >= last_due;
    last_due = t->due_ms;
    fired++;
    if (fired == 100)
        for (size_t i = 0; i < countof(many); i += 3)
            loop_timer_del(&many[i]);
}

TEST(loop_timers_many)
{
    struct loop *loop = loop_new();
    unsigned seed = 7, armed = 0;
    last_due = fired = 0;
    sorted = true;
    for (size_t i = 0; i < countof(many); i++) {
        loop_timer_init(loop, &many[i], many_fired, &many[i]);
        loop_timer_set(&many[i], 1000);
    }
    for (size_t i = 0; i < countof(many); i++) {
        seed = seed * 1103515245u + 12345u;
        loop_timer_set(&many[i], seed >> 16 & 31);
        if (i % 7 == 0)
            loop_timer_del(&many[i]);
    }
    TURN_UNTIL(loop, fired >= 100);
    for (size_t i = 0; i < countof(many); i++)
        armed += loop_timer_armed(&many[i]);
    unsigned want = fired + armed;
    TURN_UNTIL(loop, fired >= want);
    loop_turn(loop, 50);
    CHECK_INT(fired, want);
    CHECK(sorted);
    loop_free(loop);
}

static void rearm(void *arg)
{
    struct loop_timer *t = arg;
    note('r');
    loop_timer_set(t, 0);
}

TEST(loop_timer_armed_anew_waits_for_the_next_turn)
{
    struct loop *loop = loop_new();
    struct loop_timer t;
    trace_clear();
    loop_timer_init(loop, &t, rearm, &t);
    loop_timer_set(&t, 0);
    loop_turn(loop, 1000);
    CHECK_STR(trace, "r");
    loop_turn(loop, 1000);
    CHECK_STR(trace, "rr");
    loop_timer_del(&t);
    loop_free(loop);
}

static struct loop_task first, second, third;

static void first_runs(void *arg)
{
    (void)arg;
    note('1');
    loop_task_post(&first);
    loop_task_post(&third);
    loop_task_del(&second);
}

static void reap_note(void *p)
{
    note('f');
    free(p);
}

static void third_runs(void *arg)
{
    loop_reap(arg, xmalloc(10), reap_note);
    note('3');
}

TEST(loop_tasks_posted_by_tasks_run_next_turn)
{
    struct loop *loop = loop_new();
    trace_clear();
    loop_task_init(loop, &first, first_runs, NULL);
    loop_task_init(loop, &second, note_arg, b);
    loop_task_init(loop, &third, third_runs, loop);
    loop_task_post(&first);
    loop_task_post(&second);
    loop_task_post(&first);
    loop_turn(loop, -1);
    CHECK_STR(trace, "1");
    loop_turn(loop, -1);
    CHECK_STR(trace, "113f");
    loop_task_del(&first);
    loop_task_del(&third);
    loop_task_del(&third);
    loop_turn(loop, 0);
    CHECK_STR(trace, "113f");
    struct loop_task zero = {0};
    loop_task_del(&zero);
    loop_reap(loop, xmalloc(10), reap_note);
    loop_free(loop);
    CHECK_STR(trace, "113ff");
}

TEST(loop_runs_what_waits_for_its_end)
{
    struct loop *loop = loop_new();
    trace_clear();
    loop_task_init(loop, &first, note_arg, a);
    loop_task_init(loop, &second, note_arg, b);
    loop_task_init(loop, &third, third_runs, loop);
    loop_task_at_end(&first);
    loop_task_at_end(&second);
    loop_task_at_end(&third);
    loop_task_del(&first);
    loop_turn(loop, 0);
    CHECK_STR(trace, "");
    loop_free(loop);
    CHECK_STR(trace, "b3f");
}

static struct loop_fd watch[2];
static unsigned watch_calls;
static uint32_t watch_events;

static void deletes_both(void *arg, uint32_t events)
{
    (void)arg;
    (void)events;
    watch_calls++;
    loop_fd_del(&watch[0]);
    loop_fd_del(&watch[1]);
}

TEST(loop_removed_watch_is_not_called)
{
    struct loop *loop = loop_new();
    int fd[2];
    unix_pair(fd);
    watch_calls = 0;
    for (int i = 0; i < 2; i++) {
        CHECK(write(fd[i], "x", 1) == 1);
        CHECK_INT(loop_fd_add(loop, &watch[i], fd[i], deletes_both, NULL), 0);
        loop_fd_want(&watch[i], EPOLLIN);
    }
    loop_turn(loop, 1000);
    CHECK_INT(watch_calls, 1);
    loop_turn(loop, 0);
    CHECK_INT(watch_calls, 1);
    close(fd[0]);
    close(fd[1]);
    loop_free(loop);
}

static void sees(void *arg, uint32_t events)
{
    watch_calls++;
    watch_events = events;
    loop_fd_del(arg);
}

TEST(loop_hang_up_comes_unasked)
{
    struct loop *loop = loop_new();
    struct loop_fd zero = {0};
    int fd[2];
    unix_pair(fd);
    watch_calls = 0;
    loop_fd_del(&zero);
    CHECK_INT(loop_fd_add(loop, &watch[0], fd[0], sees, &watch[0]), 0);
    CHECK(write(fd[1], "x", 1) == 1);
    loop_turn(loop, 0);
    CHECK_INT(watch_calls, 0);
    close(fd[1]);
    loop_turn(loop, 1000);
    CHECK_INT(watch_calls, 1);
    CHECK(watch_events & EPOLLHUP);
    close(fd[0]);
    loop_free(loop);
}

TEST(loop_refuses_a_regular_file)
{
    struct loop *loop = loop_new();
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    errno = 0;
    CHECK_INT(loop_fd_add(loop, &watch[0], fd, sees, NULL), -1);
    CHECK_INT(errno, EPERM);
    close(fd);
    loop_free(loop);
}

static void on_signal(void *arg, int signo)
{
    CHECK(arg == a);
    note(signo == SIGUSR1 ? 'u' : signo == SIGUSR2 ? 'v' : '?');
}

TEST(loop_signals)
{
    struct loop *loop = loop_new();
    trace_clear();
    CHECK_INT(loop_signal(loop, SIGUSR1, on_signal, a), 0);
    CHECK_INT(loop_signal(loop, SIGUSR2, on_signal, a), 0);
    kill(getpid(), SIGUSR1);
    TURN_UNTIL(loop, strlen(trace) == 1);
    kill(getpid(), SIGUSR2);
    TURN_UNTIL(loop, strlen(trace) == 2);
    CHECK_STR(trace, "uv");
    loop_free(loop);
}

static int child_status;

static void on_child(void *arg, int status)
{
    child_status = status;
    loop_stop(arg, 5);
}

TEST(loop_children)
{
    unsigned before = open_descriptors();
    struct loop *loop = loop_new();
    struct loop_child child = {0};
    loop_child_del(&child);
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    child_status = -1;
    CHECK_INT(loop_child_add(loop, &child, pid, on_child, loop), 0);
    CHECK_INT(loop_run(loop), 5);
    CHECK(WIFEXITED(child_status));
    CHECK_INT(WEXITSTATUS(child_status), 7);
    CHECK_INT(waitpid(pid, NULL, WNOHANG), -1);
    loop_child_del(&child);

    pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK_INT(loop_child_add(loop, &child, pid, on_child, loop), 0);
    loop_child_del(&child);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    loop_free(loop);
    CHECK_INT(open_descriptors(), before);
}
