/* ssh.c: the ssh process and what goes over its standard input and output until they belong
 * to the agent.
 *
 * Up to the marker that hands the connection over the socket is read with MSG_PEEK and taken
 * only as far as the marker reaches: what follows stays in the kernel for the carrier. */
#include "net/ssh.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/fdstream.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/proc.h"
#include "net/ssh_binary.h"
#include "net/ssh_process.h"
#include "net/ssh_reason.h"
#include "net/ssh_script.h"

#define CHUNK           (16u * 1024)
#define CHUNKS_AT_ONCE  4            /* so many between two reports of progress */
#define SILENCE_MS      45000        /* without a person: from nothing heard to giving up */
#define UPLOAD_STALL_MS (300 * 1000) /* likewise, while the binary may still be on its way */
#define HOLD_MS         300          /* a line that nothing follows was not the last */
#define LINGER_MS       2000         /* for what an ended ssh has left in its pipes */

enum state { SEEKING, SENDING, CARRYING, ENDED, STATES };
static const char *const state_names[] = {"seeking the agent", "sending the binary", "carrying",
                                          "ended"};
static_assert(countof(state_names) == STATES, "a name for each state");

/* Freed ones whose process has not ended yet. The loop may be freed before it does. */
static struct ssh *leaving;

struct ssh {
    struct ssh *next; /* while leaving */
    struct loop *loop;
    ssh_fn *fn;
    void *arg;
    enum state state;
    bool batch;
    bool released; /* by ssh_free(): only the process's end is awaited */
    char *host;

    struct loop_child child;
    bool exited;
    int status; /* waitpid's */

    int io; /* ssh's standard input and output, -1 once it is the carrier's or has ended */
    struct loop_fd io_watch;
    struct stream *carrier; /* until it is taken */
    int err;                /* ssh's standard error */
    struct loop_fd err_watch;
    struct loop_timer patience;
    struct buf held; /* the last line of standard error, not shown yet */
    struct loop_timer hold;

    struct ssh_scan scan;
    struct ssh_reason reason;
    struct ssh_binary binaries[SSH_ARCHES];
    const struct ssh_binary *sending;
    uint64_t sent; /* bytes of it */

    char *error;
    bool hopeless;
};

static void enter(struct ssh *c, enum state state)
{
    log_trace("%s: ssh: %s", c->host, state_names[state]);
    c->state = state;
}

static void close_watched(struct loop_fd *watch, int *fd)
{
    loop_fd_del(watch);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Takes `error`. What is left is to be told, and ssh to be ended by ssh_free(). */
static void give_up(struct ssh *c, bool hopeless, char *error)
{
    c->error = error;
    c->hopeless = hopeless;
    close_watched(&c->io_watch, &c->io);
    close_watched(&c->err_watch, &c->err);
    loop_timer_del(&c->patience);
    loop_timer_del(&c->hold);
    enter(c, ENDED);
    c->fn(c->arg, c, SSH_DOWN);
}

static void be_patient(struct ssh *c)
{
    if (c->exited || c->io < 0)
        return;
    if (c->state == SENDING)
        loop_timer_set(&c->patience, UPLOAD_STALL_MS);
    else if (c->state == SEEKING && c->batch)
        loop_timer_set(&c->patience, SILENCE_MS);
}

/* ---- why it ended ---- */

/* The login shell ended without a marker; what it said last may tell why. */
static char *blame_shell(struct ssh *c, char *said)
{
    cleanup_free char *line = said;
    if (!line && c->scan.heard[0])
        line = xstrdup(c->scan.heard);
    if (line)
        return xasprintf("its login shell did not start berth: %s", line);
    if (!c->exited)
        return xstrdup("its login shell did not start berth");
    return xasprintf("its login shell ended with status %d and did not start berth",
                     proc_exit_code(c->status));
}

static char *explain(struct ssh *c, bool *hopeless)
{
    char *said = ssh_reason_text(&c->reason, c->host, c->batch, hopeless);
    bool by_host = !c->exited || (WIFEXITED(c->status) && WEXITSTATUS(c->status) != 255);
    if (c->state != CARRYING && by_host)
        return blame_shell(c, said);
    return said ? said : xstrdup("ssh ended without saying why");
}

static void end_of_ssh(struct ssh *c)
{
    bool hopeless;
    char *why = explain(c, &hopeless);
    give_up(c, hopeless, why);
}

/* Both the process's end and the end of what it wrote are awaited, in whatever order. */
static void check_end(struct ssh *c)
{
    if (c->exited && (c->io < 0 || c->state == CARRYING))
        end_of_ssh(c);
    else
        loop_timer_set(&c->patience, LINGER_MS);
}

static void out_of_patience(void *arg)
{
    struct ssh *c = arg;
    if (c->exited || c->io < 0)
        end_of_ssh(c);
    else if (c->state == SENDING)
        give_up(c, false, xstrdup("the host stopped taking the binary"));
    else
        give_up(c, false, xstrdup("no answer"));
}

/* ---- standard error ---- */

static void show(struct ssh *c, size_t len)
{
    const uint8_t *text = buf_front(&c->held);
    size_t done = 0;
    for (ssize_t n; done < len; done += (size_t)n) {
        n = write(STDERR_FILENO, text + done, len - done);
        if (n <= 0)
            break;
    }
    buf_consume(&c->held, len);
}

static void show_held(void *arg)
{
    struct ssh *c = arg;
    show(c, c->held.len);
}

/* What ssh says to a person passes at once, but for a line that may be its last: that one is
 * what ssh_error() will tell. It is shown when ssh goes on. */
static void pass_on(struct ssh *c, const char *text, size_t len)
{
    if (c->batch || c->state == CARRYING)
        return;
    show(c, c->held.len);
    buf_append(&c->held, text, len);
    size_t last = len;
    while (last && text[last - 1] != '\n')
        last--;
    if (last == len && len)
        for (last--; last && text[last - 1] != '\n';)
            last--;
    else
        last = len; /* no line's end: a prompt */
    show(c, last);
    loop_timer_set(&c->hold, HOLD_MS);
}

static void read_stderr(struct ssh *c)
{
    char text[4096];
    ssize_t n;
    while ((n = read(c->err, text, sizeof text)) > 0) {
        pass_on(c, text, (size_t)n);
        ssh_reason_feed(&c->reason, text, (size_t)n);
        be_patient(c);
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_watched(&c->err_watch, &c->err);
}

static void on_stderr(void *arg, uint32_t events)
{
    (void)events;
    read_stderr(arg);
}

static void free_all(void *p)
{
    struct ssh *c = p;
    buf_fini(&c->held);
    free(c->error);
    free(c->host);
    free(c);
}

static void leave(struct ssh *c)
{
    struct ssh **at = &leaving;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    loop_reap(c->loop, c, free_all);
}

static void on_process_end(void *arg, int status)
{
    struct ssh *c = arg;
    c->exited = true;
    c->status = status;
    if (c->released) {
        leave(c);
        return;
    }
    if (c->state == ENDED)
        return;
    if (c->err >= 0)
        read_stderr(c);
    check_end(c);
}

/* ---- standard input and output, until they are handed over ---- */

static void end_of_io(struct ssh *c)
{
    close_watched(&c->io_watch, &c->io);
    check_end(c);
}

static void begin_upload(struct ssh *c)
{
    for (int arch = 0; arch < SSH_ARCHES; arch++)
        if (strcmp(c->scan.detail, ssh_arch_name((enum ssh_arch)arch)) == 0)
            c->sending = &c->binaries[arch];
    if (c->state != SEEKING || !c->sending || c->sending->fd < 0) {
        give_up(c, false, xstrdup("the host's answer made no sense"));
        return;
    }
    enter(c, SENDING);
    be_patient(c);
    loop_fd_want(&c->io_watch, EPOLLIN | EPOLLOUT);
}

static void hand_over(struct ssh *c)
{
    loop_timer_del(&c->hold);
    show(c, c->held.len);
    loop_fd_del(&c->io_watch);
    loop_timer_del(&c->patience);
    c->carrier = fdstream_new(c->loop, c->io, c->io);
    c->io = -1;
    /* From here on only what ends the connection is of interest. */
    c->reason = (struct ssh_reason){0};
    enter(c, CARRYING);
    c->fn(c->arg, c, SSH_UP);
}

static char *lack(const struct ssh *c)
{
    cleanup_free char *self = path_self();
    return xasprintf("no berth-%s beside %s to send", c->scan.detail, self ? self : "berth");
}

/* "1.1 MiB" */
static char *size_text(uint64_t bytes)
{
    uint64_t tenths = (bytes * 10 + (512 * 1024)) / (1024 * 1024);
    return xasprintf("%u.%u MiB", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
}

static char *unsupported(const struct ssh *c)
{
    const char *system = c->scan.detail[0] ? c->scan.detail : "an unknown system";
    return xasprintf("it runs %s; berth is built for Linux on %s and %s", system,
                     ssh_arch_name(SSH_X86_64), ssh_arch_name(SSH_AARCH64));
}

/* The ways to fail, as ssh_script.h lists them. */
static char *failure(const struct ssh *c)
{
    const char *detail = c->scan.detail;
    const char *rest = detail + strcspn(detail, " ");
    cleanup_free char *size = size_text(c->sending ? c->sending->offer.size : 0);
    rest += *rest == ' ';
    if (strncmp(detail, "place ", 6) == 0)
        return xasprintf("nowhere to put the binary: %s", rest);
    if (strncmp(detail, "space ", 6) == 0)
        return xasprintf("no room for the %s binary in %s", size, rest);
    if (strncmp(detail, "check ", 6) == 0)
        return xasprintf("the binary arrived damaged, or cannot run, in %s", rest);
    return xasprintf("the host could not start berth: %s", detail);
}

static void on_marker(struct ssh *c, enum ssh_marker marker)
{
    switch (marker) {
    case SSH_MARK_NONE: break;
    case SSH_MARK_NEED: begin_upload(c); break;
    case SSH_MARK_RUN: hand_over(c); break;
    case SSH_MARK_ARCH: give_up(c, true, unsupported(c)); break;
    case SSH_MARK_LACK: give_up(c, true, lack(c)); break;
    case SSH_MARK_FAIL: give_up(c, true, failure(c)); break;
    case SSH_MARK_NOISE:
        give_up(c, true,
                xstrdup("its login shell prints too much: over 1 MiB before berth could start; "
                        "look into its start-up files"));
        break;
    }
}

static void read_io(struct ssh *c)
{
    uint8_t data[4096];
    size_t taken;
    ssize_t n = recv(c->io, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end_of_io(c);
        return;
    }
    enum ssh_marker marker = ssh_scan_feed(&c->scan, data, (size_t)n, &taken);
    if (recv(c->io, data, taken, MSG_DONTWAIT) != (ssize_t)taken) {
        end_of_io(c);
        return;
    }
    be_patient(c);
    on_marker(c, marker);
}

/* False: no more can be sent now. */
static bool send_chunk(struct ssh *c)
{
    uint8_t data[CHUNK];
    ssize_t n = pread(c->sending->fd, data, sizeof data, (off_t)c->sent);
    if (n > 0)
        n = send(c->io, data, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
        c->sent += (uint64_t)n;
        return c->sent < c->sending->offer.size;
    }
    /* When the other end stopped reading, the reason is on its way. */
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        loop_fd_want(&c->io_watch, EPOLLIN);
    return false;
}

static void send_binary(struct ssh *c)
{
    uint64_t before = c->sent;
    for (int i = 0; i < CHUNKS_AT_ONCE && send_chunk(c);)
        i++;
    if (c->sent == before)
        return;
    if (c->sent >= c->sending->offer.size)
        loop_fd_want(&c->io_watch, EPOLLIN);
    be_patient(c);
    c->fn(c->arg, c, SSH_UPLOAD);
}

static void on_io(void *arg, uint32_t events)
{
    struct ssh *c = arg;
    if (events & ~(uint32_t)EPOLLOUT)
        read_io(c);
    if (c->state == SENDING && !c->released && c->io >= 0 && (events & EPOLLOUT))
        send_binary(c);
}

/* ---- starting ---- */

static int start_process(struct ssh *c, const struct ssh_options *o, const char *command)
{
    pid_t pid = ssh_spawn(o, command, &c->io, &c->err);
    if (pid < 0)
        return -1;
    if (loop_child_add(c->loop, &c->child, pid, on_process_end, c) == 0)
        return 0;
    kill(pid, SIGTERM);
    return -1;
}

static char *prepare_command(struct ssh *c, const struct ssh_options *o)
{
    uint8_t random[SSH_NONCE_LEN / 2];
    char nonce[SSH_NONCE_LEN + 1];
    struct ssh_offer offers[SSH_ARCHES];
    key_random(random, sizeof random);
    hex_encode(nonce, random, sizeof random);
    ssh_scan_init(&c->scan, nonce);
    for (int arch = 0; arch < SSH_ARCHES; arch++) {
        ssh_binary_open(&c->binaries[arch], (enum ssh_arch)arch);
        offers[arch] = c->binaries[arch].offer;
    }
    return ssh_script_command(nonce, offers, o->agent_args);
}

/* The kernel refuses only what cannot be waited for, or more watches than a user may have. */
static void watch(struct ssh *c, struct loop_fd *w, int fd, loop_fd_fn *ready)
{
    if (loop_fd_add(c->loop, w, fd, ready, c) < 0)
        abort();
    loop_fd_want(w, EPOLLIN);
}

static void release(struct ssh *c)
{
    c->released = true;
    close_watched(&c->io_watch, &c->io);
    close_watched(&c->err_watch, &c->err);
    loop_timer_del(&c->hold);
    loop_timer_del(&c->patience);
    for (int arch = 0; arch < SSH_ARCHES; arch++)
        ssh_binary_close(&c->binaries[arch]);
    free(c->host);
    c->host = NULL;
}

struct ssh *ssh_start(struct loop *loop, const struct ssh_options *o, ssh_fn *fn, void *arg)
{
    struct ssh *c = xcalloc(1, sizeof *c);
    *c = (struct ssh){.loop = loop, .fn = fn, .arg = arg, .batch = o->batch, .io = -1, .err = -1};
    c->host = xstrdup(o->host);
    loop_timer_init(loop, &c->patience, out_of_patience, c);
    loop_timer_init(loop, &c->hold, show_held, c);
    cleanup_free char *command = prepare_command(c, o);
    if (!command || start_process(c, o, command) < 0) {
        int error = errno;
        release(c);
        free(c);
        errno = error;
        return NULL;
    }
    watch(c, &c->io_watch, c->io, on_io);
    watch(c, &c->err_watch, c->err, on_stderr);
    be_patient(c);
    return c;
}

/* SIGTERM lets ssh give the terminal its echo back. */
void ssh_free(struct ssh *c)
{
    if (!c)
        return;
    release(c);
    stream_close(c->carrier);
    if (c->exited) {
        loop_reap(c->loop, c, free_all);
        return;
    }
    kill(c->child.pid, SIGTERM);
    c->next = leaving;
    leaving = c;
}

struct stream *ssh_stream(struct ssh *c)
{
    struct stream *s = c->carrier;
    c->carrier = NULL;
    return s;
}

const char *ssh_error(const struct ssh *c)
{
    return c->error;
}

bool ssh_is_hopeless(const struct ssh *c)
{
    return c->hopeless;
}

void ssh_upload(const struct ssh *c, uint64_t *sent, uint64_t *total)
{
    *sent = c->sent;
    *total = c->sending ? c->sending->offer.size : 0;
}

pid_t ssh_pid(const struct ssh *c)
{
    return c->child.pid;
}
