#include "applets/guest-agent/init.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "applets/guest-agent/mounts.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "net/netconf.h"

#define SEARCH_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define HOSTNAME    "berth"

/* Open files of all that runs here: the kernel's own 4096 is little for a thousand jobs. */
#define FILES_SOFT 1024
#define FILES_HARD 524288

#define OOM_SCORE "-900"

/* An agent that soon ends is started again ever more slowly. To exit is a verdict, and likely to
 * be the same again; to be killed is not. */
#define RESTART_MIN_MS    100
#define RESTART_KILLED_MS 250
#define RESTART_MAX_MS    10000

#define TERM_GRACE_MS 3000
#define KILL_GRACE_MS 2000
#define KILL_AGAIN_MS 100 /* for what was forked meanwhile */

/* What systemd takes for "power off": its SIGRTMIN is glibc's 34, whatever ours is. */
#define SYSTEMD_POWER_OFF (34 + 4)

static bool below_init; /* this process is the agent that our PID 1 has started */

struct init {
    int (*agent)(char **argv);
    char **argv;
    bool machine; /* ours to power off, not a container's PID 1 */
    pid_t pid;    /* the agent; 0: to be started */
    uint64_t started_ms, due_ms, pause_ms;
};

static uint64_t now_ms(void)
{
    return loop_clock_us() / 1000;
}

/* ---- what everybody inherits ---- */

/* Nobody may read what is written there; that must not stop a writer. */
static void use_console(void)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (out < 0)
        out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (in >= 0)
        dup2(in, STDIN_FILENO);
    if (out >= 0) {
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
    }
    if (in > STDERR_FILENO)
        close(in);
    if (out > STDERR_FILENO)
        close(out);
}

static void name_machine(void)
{
    struct utsname self;
    if (uname(&self) == 0 && (!*self.nodename || strcmp(self.nodename, "(none)") == 0))
        sethostname(HOSTNAME, strlen(HOSTNAME));
}

/* What programs and the requests for the network take for granted. */
static void furnish(void)
{
    mkdir("/etc", 0755);
    if (netconf_up("lo") != 0)
        log_error("lo: %s", strerror(errno));
}

static void set_environment(void)
{
    const char *home = getenv("HOME");
    struct stat st;
    setenv("PATH", SEARCH_PATH, 0);
    if (!home || strcmp(home, "/") == 0)
        setenv("HOME", stat("/root", &st) == 0 && S_ISDIR(st.st_mode) ? "/root" : "/", 1);
}

static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < FILES_HARD) {
        limit = (struct rlimit){FILES_SOFT, FILES_HARD};
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void set_up(struct init *in)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    /* Only a machine's first process, not a container's, is obeyed here. From now on
     * ctrl-alt-del is SIGINT, and not a reboot on the spot. */
    in->machine = reboot(RB_DISABLE_CAD) == 0;
    umask(022);
    if (chdir("/") < 0)
        log_error("/: %s", strerror(errno));
    mounts_make(in->machine);
    if (in->machine) {
        use_console();
        name_machine();
        furnish();
        raise_files();
    }
    set_environment();
}

/* ---- the agent ---- */

/* Who runs out of memory is what it runs; that has its own score again, by proc_spawn(). */
static void spare_from_oom(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, OOM_SCORE, strlen(OOM_SCORE)) < 0)
        log_trace("oom_score_adj: %s", strerror(errno));
    mem_cleanup_fd(&fd);
}

_Noreturn static void run_agent(const struct init *in)
{
    sigset_t none;
    below_init = true;
    sigemptyset(&none);
    setsid();
    prctl(PR_SET_NAME, "berth-agent");
    spare_from_oom();
    sigprocmask(SIG_SETMASK, &none, NULL);
    exit(in->agent(in->argv));
}

static void start_agent(struct init *in)
{
    pid_t pid = fork();
    if (pid == 0)
        run_agent(in);
    in->started_ms = now_ms();
    if (pid > 0) {
        in->pid = pid;
        return;
    }
    log_error("cannot start the agent: %s", strerror(errno));
    in->due_ms = in->started_ms + RESTART_MAX_MS;
}

static void plan_restart(struct init *in, int status)
{
    uint64_t now = now_ms();
    uint64_t most = WIFSIGNALED(status) ? RESTART_KILLED_MS : RESTART_MAX_MS;
    if (now - in->started_ms >= RESTART_MAX_MS)
        in->pause_ms = 0;
    in->pause_ms = in->pause_ms ? in->pause_ms * 2 : RESTART_MIN_MS;
    if (in->pause_ms > most)
        in->pause_ms = most;
    in->pid = 0;
    in->due_ms = now + in->pause_ms;
    if (WIFSIGNALED(status))
        log_error("the agent was ended by signal %d; starting it again", WTERMSIG(status));
    else
        log_error("the agent ended with status %d; starting it again", WEXITSTATUS(status));
}

/* ---- the dead ---- */

/* Reaps all there are; true when the agent is among them, with its status. */
static bool reap(const struct init *in, int *agent_status)
{
    bool found = false;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid != in->pid)
            continue;
        if (WIFSTOPPED(status))
            kill(pid, SIGCONT); /* nobody else would */
        else
            found = true, *agent_status = status;
    }
    return found;
}

/* ---- the end ---- */

static bool is_alone(void)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        ;
    return pid < 0 && errno == ECHILD;
}

/* Waits for a signal, of whatever kind; -1 when the time has passed first. */
static int await_signal(uint64_t ms)
{
    struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    sigset_t all;
    sigfillset(&all);
    return sigtimedwait(&all, NULL, &time);
}

/* Whoever is left is our child, or a child of one. */
static bool await_solitude(uint64_t grace_ms)
{
    uint64_t end = now_ms() + grace_ms, now;
    while (!is_alone()) {
        if ((now = now_ms()) >= end)
            return false;
        await_signal(end - now);
    }
    return true;
}

static void end_everybody(void)
{
    kill(-1, SIGTERM);
    kill(-1, SIGCONT);
    if (await_solitude(TERM_GRACE_MS))
        return;
    uint64_t end = now_ms() + KILL_GRACE_MS;
    do
        kill(-1, SIGKILL);
    while (!await_solitude(KILL_AGAIN_MS) && now_ms() < end);
}

static void power_off(const struct init *in)
{
    end_everybody();
    sync();
    mounts_drop(in->machine);
    while (in->machine && reboot(RB_POWER_OFF) < 0)
        pause(); /* the kernel would panic without its first process */
}

/* ---- */

/* Until a signal comes or the agent is to be started; 0: it is. */
static int next_signal(const struct init *in)
{
    uint64_t now = now_ms();
    if (in->pid)
        return await_signal(INT_MAX);
    return in->due_ms <= now ? 0 : await_signal(in->due_ms - now);
}

/* The exit status. */
static int live(struct init *in)
{
    for (;;) {
        int status;
        if (!in->pid && in->due_ms <= now_ms())
            start_agent(in);
        switch (next_signal(in)) {
        case SIGTERM:
        case SIGINT:
        case SIGUSR2: power_off(in); return 0;
        }
        if (!reap(in, &status))
            continue;
        if (!in->machine && WIFEXITED(status))
            return WEXITSTATUS(status);
        plan_restart(in, status);
    }
}

int init_main(int (*agent)(char **argv), char **argv)
{
    if (getpid() != 1) {
        log_error("not started as PID 1");
        return 1;
    }
    struct init in = {.agent = agent, .argv = argv};
    set_up(&in);
    return live(&in);
}

/* ---- for the agent ---- */

static bool is_systemd(void)
{
    return access("/run/systemd/system", F_OK) == 0;
}

static bool may_reboot(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_SYS_BOOT)].effective & CAP_TO_MASK(CAP_SYS_BOOT));
}

int init_may_power_off(void)
{
    if (below_init || is_systemd())
        return kill(1, 0);
    if (may_reboot())
        return 0;
    errno = EPERM;
    return -1;
}

int init_power_off(void)
{
    if (below_init)
        return kill(1, SIGUSR2);
    if (is_systemd())
        return kill(1, SYSTEMD_POWER_OFF);
    sync();
    return reboot(RB_POWER_OFF);
}
