/* child.c: a command's life, from its pipes to its last byte.
 *
 * The pipes are read here and not through a stream because of how a command ends: when its
 * process has exited, what the pipes hold is its output, and what comes later is not. So
 * they are then read until they are empty, and never waited for. A background process that
 * keeps writing cannot prolong that: no more than DRAIN_MAX is read. */
#include "applets/service/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include "applets/service/hangup.h"
#include "core/fdstream.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/proc.h"

#define READ_MAX  ((size_t)64 << 10)
#define DRAIN_MAX ((size_t)1 << 20) /* the most that a pipe holds (pipe-max-size) */

struct channel {
    struct child *child;
    struct loop_fd watch;
    int fd;       /* -1: ended */
    size_t drain; /* bytes that may still be read after the exit */
    uint8_t id;
};

struct child {
    struct loop *loop;
    const struct child_events *events;
    void *arg;
    pid_t pid;
    struct loop_child watch;
    struct loop_timer limit;
    struct channel out, err;
    int terminal;         /* for its size and its settings; -1: none */
    struct stream *input; /* NULL: none, or nothing reads it */
    bool input_ended;
    int status;
    bool exited, paused, overdue, freed;
};

/* The command's ends of what joins it to us. */
struct ends {
    int in, out, err;
};

/* Output. */

static void channel_close(struct channel *ch)
{
    loop_fd_del(&ch->watch);
    if (ch->fd >= 0)
        close(ch->fd);
    ch->fd = -1;
}

/* Passes one piece on. 0 when there is none now, or will never be. */
static size_t channel_read(struct channel *ch, size_t max)
{
    struct child *c = ch->child;
    uint8_t data[READ_MAX];
    ssize_t n = read(ch->fd, data, max < READ_MAX ? max : READ_MAX);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) { /* a pty says EIO when nobody holds its other end */
        channel_close(ch);
        n = 0;
    }
    c->events->output(c->arg, ch->id, data, (size_t)n);
    return (size_t)n;
}

static void channel_ready(void *arg, uint32_t events)
{
    struct channel *ch = arg;
    (void)events;
    channel_read(ch, READ_MAX);
}

/* A watch that wants nothing would still wake the loop for a pipe's hang-up, for ever: so
 * one that is paused is taken off. */
static int channel_watch(struct channel *ch)
{
    if (ch->fd < 0 || ch->watch.loop)
        return 0;
    if (loop_fd_add(ch->child->loop, &ch->watch, ch->fd, channel_ready, ch) != 0)
        return -1;
    loop_fd_want(&ch->watch, EPOLLIN);
    return 0;
}

/* True when all that the command wrote has been passed on. */
static bool channel_drain(struct channel *ch)
{
    struct child *c = ch->child;
    while (ch->fd >= 0 && ch->drain > 0) {
        if (c->paused || c->freed)
            return false;
        size_t n = channel_read(ch, ch->drain);
        if (n == 0)
            break;
        ch->drain -= n;
    }
    if (c->freed)
        return false;
    channel_close(ch);
    return true;
}

static void drain(struct child *c)
{
    if (channel_drain(&c->out) && channel_drain(&c->err))
        c->events->exited(c->arg, c->status);
}

void child_pause(struct child *c)
{
    c->paused = true;
    loop_fd_del(&c->out.watch);
    loop_fd_del(&c->err.watch);
}

void child_resume(struct child *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    if (c->exited) {
        drain(c);
    } else if (channel_watch(&c->out) != 0 || channel_watch(&c->err) != 0) {
        log_error("pid %d: its output is lost: %s", (int)c->pid, strerror(errno));
        channel_close(&c->out);
        channel_close(&c->err);
    }
}

/* Input. */

static void input_event(void *arg, struct stream *s, enum stream_event event)
{
    struct child *c = arg;
    if (event == STREAM_ERROR) {
        stream_close(s);
        c->input = NULL;
    }
    if ((event == STREAM_ERROR || event == STREAM_DRAINED) && c->events->drained)
        c->events->drained(c->arg);
}

static void input_close(struct child *c)
{
    if (c->input)
        stream_reset(c->input);
    c->input = NULL;
}

size_t child_room(const struct child *c)
{
    return c->input && !c->input_ended ? stream_room(c->input) : SIZE_MAX;
}

void child_write(struct child *c, const void *data, size_t len)
{
    if (c->input)
        stream_write(c->input, data, len);
}

void child_end_input(struct child *c)
{
    struct termios mode;
    if (c->terminal < 0)
        c->input_ended = true;
    if (c->input && c->terminal < 0)
        stream_shutdown(c->input);
    else if (c->input && tcgetattr(c->terminal, &mode) == 0)
        stream_write(c->input, &mode.c_cc[VEOF], 1);
}

void child_resize(struct child *c, uint16_t rows, uint16_t cols)
{
    if (c->terminal >= 0)
        proc_pty_resize(c->terminal, rows, cols);
}

/* The end. */

static void release(struct child *c)
{
    loop_timer_del(&c->limit);
    loop_child_del(&c->watch);
    channel_close(&c->out);
    channel_close(&c->err);
    input_close(c);
    if (c->terminal >= 0)
        close(c->terminal);
    c->terminal = -1;
}

void child_kill(struct child *c)
{
    c->overdue = true;
    child_free(c);
}

void child_free(struct child *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    release(c);
    if (c->pid > 0 && !c->exited)
        hangup_start(c->loop, c->pid, c->overdue ? 0 : CHILD_GRACE_MS);
    loop_reap(c->loop, c, free);
}

static void exited(void *arg, int status)
{
    struct child *c = arg;
    c->exited = true;
    c->status = status;
    loop_timer_del(&c->limit);
    input_close(c);
    loop_fd_del(&c->out.watch);
    loop_fd_del(&c->err.watch);
    drain(c);
}

static void out_of_time(void *arg)
{
    struct child *c = arg;
    c->overdue = true;
    c->events->timed_out(c->arg);
}

/* The beginning. */

static void ends_close(struct ends *e)
{
    int fds[] = {e->in, e->out, e->err};
    for (size_t i = 0; i < countof(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *e = (struct ends){PROC_NULL, -1, -1};
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int open_terminal(struct child *c, const struct command *command, struct ends *theirs)
{
    if (proc_pty(command->rows, command->cols, &c->terminal, &theirs->in) != 0)
        return -1;
    cleanup_fd int writing = fcntl(c->terminal, F_DUPFD_CLOEXEC, 3);
    c->out.fd = fcntl(c->terminal, F_DUPFD_CLOEXEC, 3);
    theirs->out = fcntl(theirs->in, F_DUPFD_CLOEXEC, 3);
    theirs->err = fcntl(theirs->in, F_DUPFD_CLOEXEC, 3);
    if (writing < 0 || c->out.fd < 0 || theirs->out < 0 || theirs->err < 0)
        return -1;
    c->input = fdstream_new(c->loop, -1, steal_fd(&writing));
    return set_nonblocking(c->out.fd);
}

static int open_input(struct child *c, struct ends *theirs)
{
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0)
        return -1;
    theirs->in = pipe_ends[0];
    c->input = fdstream_new(c->loop, -1, pipe_ends[1]);
    return 0;
}

static int open_output(struct channel *ch, int *theirs)
{
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0)
        return -1;
    ch->fd = pipe_ends[0];
    *theirs = pipe_ends[1];
    return set_nonblocking(ch->fd);
}

static int open_ends(struct child *c, const struct command *command, struct ends *theirs)
{
    if (command->pty)
        return open_terminal(c, command, theirs);
    if (command->input && open_input(c, theirs) != 0)
        return -1;
    return open_output(&c->out, &theirs->out) == 0 ? open_output(&c->err, &theirs->err) : -1;
}

/* 0 or errno. */
static int spawn(struct child *c, const struct command *command)
{
    struct ends theirs = {PROC_NULL, -1, -1};
    int error = open_ends(c, command, &theirs) == 0 ? 0 : errno;
    const struct proc_spec spec = {
        .file = command->file,
        .argv = command->argv,
        .env = command->env.pairs,
        .dir = command->dir,
        .in = theirs.in,
        .out = theirs.out,
        .err = theirs.err,
        .session = true,
        .controlling = command->pty,
    };
    if (!error)
        c->pid = proc_spawn(&spec);
    if (c->pid < 0)
        error = errno;
    ends_close(&theirs);
    return error;
}

/* 0 or errno. */
static int watch(struct child *c, const struct command *command)
{
    if (channel_watch(&c->out) != 0 || channel_watch(&c->err) != 0 ||
        loop_child_add(c->loop, &c->watch, c->pid, exited, c) != 0)
        return errno;
    if (c->input)
        stream_own(c->input, input_event, c);
    loop_timer_init(c->loop, &c->limit, out_of_time, c);
    if (command->timeout_secs)
        loop_timer_set(&c->limit, (uint64_t)command->timeout_secs * 1000);
    return 0;
}

static enum error_code code_of_spawn(int error)
{
    switch (error) {
    case E2BIG:
    case ENOEXEC: return ERR_INVALID_REQUEST;
    case EAGAIN:
    case EMFILE:
    case ENFILE: return ERR_INTERNAL;
    default: return fault_code(error);
    }
}

struct child *child_start(struct loop *loop, const struct command *command,
                          const struct child_events *events, void *arg, struct fault *why)
{
    struct child *c = xcalloc(1, sizeof *c);
    *c = (struct child){.loop = loop, .events = events, .arg = arg, .terminal = -1};
    c->out = (struct channel){.child = c, .fd = -1, .drain = DRAIN_MAX, .id = CHANNEL_STDOUT};
    c->err = (struct channel){.child = c, .fd = -1, .drain = DRAIN_MAX, .id = CHANNEL_STDERR};
    int error = spawn(c, command);
    if (!error)
        error = watch(c, command);
    if (!error)
        return c;
    fault_set(why, code_of_spawn(error), "%s: %s", command->file,
              error == ENOENT ? "command not found" : strerror(error));
    child_free(c);
    return NULL;
}

pid_t child_pid(const struct child *c)
{
    return c->pid;
}

int child_signal(const struct child *c, int signo)
{
    if (!c->exited)
        return kill(-c->pid, signo);
    errno = ESRCH;
    return -1;
}
