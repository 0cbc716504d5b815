/* The descriptors themselves go to the agent (SCM_RIGHTS), so that no third process copies
 * what the tunnel carries. This process stays only because the ssh server ends the connection
 * with it. */
#include "applets/agent/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/agent/lock.h"
#include "applets/service/control.h"
#include "applets/version.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/proc.h"
#include "net/sock.h"

#define ATTACH_LIMIT_SECS 30 /* for everything up to the agent's Ok */

enum found {
    FOUND_AGENT,   /* it took us: *fd is the connection */
    FOUND_NOBODY,  /* no agent at this path */
    FOUND_FOREIGN, /* another user holds the path */
    FOUND_OTHER,   /* an agent of another version, with live sessions */
    FOUND_FAILURE  /* an agent that cannot: a line was logged */
};

static struct draft attach_request(void)
{
    struct draft d = draft_of(MSG_ATTACH);
    draft_str(&d, "version", berth_version());
    draft_str(&d, "build", berth_build());
    draft_str(&d, "connection", getenv("SSH_CONNECTION"));
    return d;
}

/* Stops an idle agent of another version and waits for its end. */
static enum found replace(const char *path)
{
    struct draft d = draft_of(MSG_STOP);
    struct message answer;
    char last;
    draft_bool(&d, "idle", true);
    cleanup_fd int fd = sock_connect_own(path);
    if (fd < 0) {
        draft_free(&d);
        return FOUND_NOBODY;
    }
    if (control_ask_on(fd, &d, &answer) < 0)
        return FOUND_OTHER;
    bool stops = answer.type == MSG_OK;
    message_fini(&answer);
    if (!stops)
        return FOUND_OTHER;
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    while (poll(&ended, 1, -1) < 0 && errno == EINTR)
        ;
    (void)!read(fd, &last, 1); /* its end of file: the process is gone */
    return FOUND_NOBODY;
}

static enum found judge(const char *path, const struct message *answer, int *fd)
{
    int64_t live = 0;
    if (answer->type == MSG_OK)
        return FOUND_AGENT;
    close(*fd);
    *fd = -1;
    if (json_get_int(answer->body, "live", &live) == 1)
        return live ? FOUND_OTHER : replace(path);
    const char *text = json_get_str(answer->body, "message");
    log_error("the agent at %s refused: %s", path, text ? text : message_name(answer->type));
    return FOUND_FAILURE;
}

static enum found knock(const char *path, int *fd)
{
    struct message answer;
    *fd = sock_connect_own(path);
    if (*fd < 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return FOUND_NOBODY;
        if (errno == EPERM)
            return FOUND_FOREIGN;
        log_error("cannot reach the agent at %s: %s", path, strerror(errno));
        return FOUND_FAILURE;
    }
    struct draft request = attach_request();
    if (control_ask_on(*fd, &request, &answer) < 0) {
        bool gone = errno == ECONNRESET || errno == EPROTO || errno == EPIPE;
        if (!gone)
            log_error("the agent at %s does not answer: %s", path, strerror(errno));
        close(*fd);
        return gone ? FOUND_NOBODY : FOUND_FAILURE;
    }
    enum found found = judge(path, &answer, fd);
    message_fini(&answer);
    return found;
}

/* The daemon says "ready", or why not, on its standard output. 0 or -1. */
static int start_daemon(unsigned which)
{
    static char program[] = "berth", applet[] = "agent", option[] = "--daemon";
    cleanup_free char *self = path_self(), *number = xasprintf("%u", which);
    char *argv[] = {program, applet, option, number, NULL};
    int pipe_fds[2];
    char said[256];
    size_t len = 0;
    ssize_t n;
    if (!self || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        log_error("cannot start an agent: %s", strerror(errno));
        return -1;
    }
    struct proc_spec spec = {.file = self,
                             .argv = argv,
                             .dir = "/",
                             .in = PROC_NULL,
                             .out = pipe_fds[1],
                             .err = PROC_NULL,
                             .session = true};
    pid_t pid = proc_spawn(&spec);
    int error = errno;
    close(pipe_fds[1]);
    while (pid > 0 && len < sizeof said - 1 &&
           (n = read(pipe_fds[0], said + len, sizeof said - 1 - len)) > 0)
        len += (size_t)n;
    close(pipe_fds[0]);
    said[len] = '\0';
    said[strcspn(said, "\n")] = '\0';
    if (strcmp(said, "ready") == 0)
        return 0;
    log_error("cannot start an agent: %s", pid < 0 ? strerror(error) : len ? said : "it ended");
    return -1;
}

/* Nobody was found there: under the lock, look again and start one. */
static enum found start(unsigned which, const char *path, int *fd)
{
    cleanup_fd int lock = lock_take(path, LOCK_STARTING, true);
    if (lock < 0) {
        if (errno != EPERM)
            log_error("cannot lock %s.lock: %s", path, strerror(errno));
        return errno == EPERM ? FOUND_FOREIGN : FOUND_FAILURE;
    }
    enum found found = knock(path, fd);
    if (found != FOUND_NOBODY)
        return found;
    if (start_daemon(which) < 0)
        return FOUND_FAILURE;
    found = knock(path, fd);
    if (found == FOUND_NOBODY)
        log_error("the agent at %s ended as soon as it had started", path);
    return found == FOUND_NOBODY ? FOUND_FAILURE : found;
}

/* The first path where this build's agent is, or may be. */
static int find_agent(void)
{
    bool other = false;
    for (unsigned which = 0; which < PATH_AGENT_SOCKETS; which++) {
        cleanup_free char *path = path_agent_socket(which);
        int fd;
        enum found found = path ? knock(path, &fd) : FOUND_FOREIGN;
        if (found == FOUND_NOBODY)
            found = start(which, path, &fd);
        switch (found) {
        case FOUND_AGENT: return fd;
        case FOUND_FAILURE: return -1;
        case FOUND_OTHER: other = true; break;
        case FOUND_FOREIGN:
        case FOUND_NOBODY:
            log_error("%s is not yours: passed over", path ? path : "the agent's socket");
        }
    }
    log_error(other
                  ? "agents of other versions have live sessions here: berth stop --all, then again"
                  : "no socket path of the agent's can be used: remove what holds ~/.berth.sock");
    return -1;
}

static int hand_over(int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    char byte = 'F';
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof control.space};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&msg);
    int fds[2] = {STDIN_FILENO, STDOUT_FILENO};
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(rights), fds, sizeof fds);
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    ssize_t n;
    while ((n = sendmsg(fd, &msg, MSG_NOSIGNAL)) < 0 && (errno == EAGAIN || errno == EINTR))
        (void)poll(&writable, 1, -1);
    return n == 1 ? 0 : -1;
}

static void too_late(int signo)
{
    static const char text[] = "berth: no agent could be reached within 30 s\n";
    (void)signo;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

int attach(void)
{
    char last;
    if (isatty(STDIN_FILENO)) {
        log_error("agent --attach is what `berth master` runs over ssh: there is nothing to type");
        return 2;
    }
    signal(SIGALRM, too_late);
    alarm(ATTACH_LIMIT_SECS);
    cleanup_fd int fd = find_agent();
    if (fd < 0)
        return 1;
    if (hand_over(fd) < 0) {
        log_error("cannot hand the connection to the agent: %s", strerror(errno));
        return 1;
    }
    alarm(0);
    /* From now on the agent alone holds them: their end is its decision. */
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    while (poll(&ended, 1, -1) < 0 && errno == EINTR)
        ;
    (void)!read(fd, &last, 1);
    return 0;
}
