#include "applets/guest-agent/init.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

static int report[2];    /* what the agents of a test say comes here */
static int first_end[2]; /* and the pid of PID 1 here */

/* Runs it as PID 1 of a namespace of its own, with an agent; its pid out here, or 0 where only
 * root may do that. _exit(), as no sanitizer finds its way in a foreign /proc. */
static pid_t start_init(const char *test, int (*agent)(char **argv))
{
    CHECK_INT(pipe(report), 0);
    CHECK_INT(pipe(first_end), 0);
    int home = fork();
    if (home != 0)
        return home;
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0) {
        fprintf(stderr, "%s: not tested: it needs a pid namespace, which only root may make\n",
                test);
        _exit(99);
    }
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(init_main(agent, NULL));
    }
    int status;
    if (write(first_end[1], &pid, sizeof pid) < 0 || waitpid(pid, &status, 0) < 0)
        _exit(98);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
}

/* The pid of PID 1 as it is called out here; 0: there is none. */
static pid_t first_pid(void)
{
    pid_t pid = 0;
    close(report[1]);
    close(first_end[1]);
    ssize_t n = read(first_end[0], &pid, sizeof pid);
    close(first_end[0]);
    return n == sizeof pid ? pid : 0;
}

/* The exit status of init_main(), or 99. */
static int end_of(pid_t home)
{
    int status = -1;
    close(report[0]);
    CHECK_INT(waitpid(home, &status, 0), home);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void say(char letter)
{
    if (write(report[1], &letter, 1) < 0)
        _exit(96);
}

static char heard(void)
{
    char letter;
    return read(report[0], &letter, 1) == 1 ? letter : 0;
}

TEST(init_is_for_pid_1)
{
    CHECK_INT(init_main(NULL, NULL), 1);
}

static int agent_that_exits(char **argv)
{
    (void)argv;
    _exit(getppid() == 1 ? 7 : 8);
}

TEST(init_passes_on_an_exit_status)
{
    pid_t home = start_init("init_passes_on_an_exit_status", agent_that_exits);
    pid_t first = first_pid();
    CHECK_INT(end_of(home), first ? 7 : 99);
}

_Noreturn static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static int agent_that_waits(char **argv)
{
    (void)argv;
    say('w');
    wait_for_ever();
}

TEST(init_ends_when_told)
{
    pid_t home = start_init("init_ends_when_told", agent_that_waits);
    pid_t first = first_pid();
    if (first) {
        CHECK_INT(heard(), 'w');
        CHECK_INT(kill(first, SIGHUP), 0);
        CHECK_INT(kill(first, SIGTERM), 0);
        CHECK_INT(heard(), 0);
    }
    CHECK_INT(end_of(home), first ? 0 : 99);
}

static int agent_that_is_killed(char **argv)
{
    (void)argv;
    say('k');
    kill(getpid(), SIGKILL);
    _exit(1);
}

TEST(init_starts_an_agent_again_and_again)
{
    pid_t home = start_init("init_starts_an_agent_again_and_again", agent_that_is_killed);
    pid_t first = first_pid();
    if (first) {
        for (int i = 0; i < 3; i++)
            CHECK_INT(heard(), 'k');
        kill(first, SIGUSR2);
        while (heard())
            ;
    }
    CHECK_INT(end_of(home), first ? 0 : 99);
}

static int agent_that_stops(char **argv)
{
    (void)argv;
    kill(getpid(), SIGSTOP);
    _exit(5);
}

TEST(init_has_a_stopped_agent_go_on)
{
    pid_t home = start_init("init_has_a_stopped_agent_go_on", agent_that_stops);
    pid_t first = first_pid();
    CHECK_INT(end_of(home), first ? 5 : 99);
}

/* The orphan is only gone for waitid() once PID 1, its new parent, has reaped it: then its
 * number is free. */
static int agent_with_orphan(char **argv)
{
    int ends[2];
    pid_t orphan = 0;
    (void)argv;
    if (pipe(ends) < 0)
        _exit(1);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t child = fork();
        if (child > 0 && write(ends[1], &child, sizeof child) < 0)
            _exit(1);
        _exit(0);
    }
    waitpid(parent, NULL, 0);
    if (read(ends[0], &orphan, sizeof orphan) != sizeof orphan)
        _exit(2);
    for (int tries = 0; tries < 100000 && kill(orphan, 0) == 0; tries++)
        sched_yield();
    _exit(kill(orphan, 0) == 0 ? 3 : 4);
}

TEST(init_reaps_orphans)
{
    pid_t home = start_init("init_reaps_orphans", agent_with_orphan);
    pid_t first = first_pid();
    CHECK_INT(end_of(home), first ? 4 : 99);
}

static int agent_that_asks_for_the_end(char **argv)
{
    (void)argv;
    if (init_may_power_off() != 0)
        _exit(1);
    if (init_power_off() != 0)
        _exit(2);
    wait_for_ever();
}

TEST(init_ends_when_its_agent_asks)
{
    pid_t home = start_init("init_ends_when_its_agent_asks", agent_that_asks_for_the_end);
    pid_t first = first_pid();
    CHECK_INT(end_of(home), first ? 0 : 99);
}

TEST(init_nobody_may_power_off)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && setuid(65534) < 0)
            _exit(9);
        errno = 0;
        _exit(init_may_power_off() == -1 && errno == EPERM ? 0 : 1);
    }
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}
