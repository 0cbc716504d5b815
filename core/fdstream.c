/* fdstream.c: a stream over descriptors: a socket, a pipe's two ends, a pty.
 *
 * What is read is lent upward from one buffer that all streams share, and nothing is read
 * while the owner still holds bytes. What is written goes to the kernel at once and is
 * queued only when the kernel is full.
 *
 * epoll reports EPOLLERR and EPOLLHUP whether asked or not. An error is wanted: a reader
 * that is held up must hear of a reset. A hang-up is a state that never ends, so from its
 * first report on a descriptor is watched only while it is read or written.
 *
 * An output that breaks (EPIPE) says nothing about the input: a child that closed its stdin
 * may have much to say still. Writes are then dropped, and ERROR follows after EOF. */
#include "core/fdstream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

#define READ_SIZE       ((size_t)256 * 1024)
#define READS_A_TURN    4     /* so that one busy stream does not starve the others */
#define IOV_LIMIT       1024  /* the kernel's IOV_MAX */
#define LINGER_MS       10000 /* how long a closed socket waits for its bytes to be taken */
#define LINGER_CHECK_MS 50

struct fdstream;

struct end {
    struct fdstream *f;
    int fd; /* -1: there is none, or it was closed */
    struct loop_fd watch;
    bool hung_up;
    bool half_hung;    /* the peer has ended its side, at least; was looked at once */
    bool always_ready; /* what epoll refuses: a regular file, /dev/null */
};

struct fdstream {
    struct stream s;
    struct end in, out; /* one descriptor for both: only `in` has a watch */
    bool same;
    bool socket, tcp; /* of `out` */
    bool connecting;
    bool full;      /* room was 0: DRAINED is due */
    bool out_ended; /* the peer was told that no more comes */
    bool lingering; /* closed; reading only to see the peer take the rest */
    bool finished;
    int broken; /* errno of the output, until EOF was told and ERROR can be */
    int kept;   /* closed with the others; -1: none */
    struct buf queue;
    struct loop_task again;
    struct loop_timer stall; /* armed while the kernel takes nothing of the queue */
    struct loop_timer linger_timer;
    uint64_t linger_until_ms;
    struct loop_task give_up; /* when the loop ends before what was closed */
};

static void update(struct fdstream *f);

static void drop_end(struct end *e)
{
    loop_fd_del(&e->watch);
    if (e->fd >= 0)
        close(e->fd);
    e->fd = -1;
}

static void finish(struct fdstream *f)
{
    if (f->finished)
        return;
    f->finished = true;
    if (f->same)
        f->out.fd = -1;
    drop_end(&f->in);
    drop_end(&f->out);
    if (f->kept >= 0)
        close(f->kept);
    loop_task_del(&f->again);
    loop_task_del(&f->give_up);
    loop_timer_del(&f->linger_timer);
    loop_timer_del(&f->stall);
    buf_fini(&f->queue);
    stream_fini(&f->s);
    loop_reap(f->s.loop, f, free);
}

static void give_up(void *arg)
{
    finish(arg);
}

/* Both directions are over. */
static void fail(struct fdstream *f, int error)
{
    if (f->s.closed) {
        finish(f);
        return;
    }
    buf_fini(&f->queue);
    stream_deliver_error(&f->s, error);
    update(f);
}

static void tell_broken(struct fdstream *f)
{
    if (f->broken && f->s.eof)
        fail(f, f->broken);
}

/* Nobody takes what we write any more. */
static void break_out(struct fdstream *f, int error)
{
    f->broken = error;
    if (f->s.closed) {
        finish(f);
        return;
    }
    buf_fini(&f->queue);
    if (!f->same)
        drop_end(&f->out);
    if (f->full)
        stream_deliver_drained(&f->s);
    f->full = false;
    tell_broken(f);
}

static int socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
        return EPIPE;
    return error;
}

/* Whether the peer's kernel has yet to acknowledge some of what was sent. */
static bool unacknowledged(const struct fdstream *f)
{
    int len = 0;
    return ioctl(f->out.fd, SIOCOUTQ, &len) == 0 && len > 0;
}

static void end_output(struct fdstream *f)
{
    if (f->out_ended || f->out.fd < 0)
        return;
    f->out_ended = true;
    if (f->socket)
        shutdown(f->out.fd, SHUT_WR);
    if (!f->same)
        drop_end(&f->out);
}

/* Closed, and all was given to the kernel. Closing a TCP socket while the peer still sends
 * makes the kernel reset it and drop what it has not sent yet; so that is awaited first. */
static void settle(struct fdstream *f)
{
    if (!f->tcp || f->connecting || f->s.eof || f->s.error || !unacknowledged(f)) {
        finish(f);
        return;
    }
    end_output(f);
    f->lingering = true;
    f->linger_until_ms = loop_now_ms(f->s.loop) + LINGER_MS;
    loop_timer_set(&f->linger_timer, LINGER_CHECK_MS);
    update(f);
}

static void linger_check(void *arg)
{
    struct fdstream *f = arg;
    if (unacknowledged(f) && loop_now_ms(f->s.loop) < f->linger_until_ms)
        loop_timer_set(&f->linger_timer, LINGER_CHECK_MS);
    else
        finish(f);
}

/* Reading. */

static bool reads(const struct fdstream *f)
{
    if (f->in.fd < 0 || f->connecting || f->s.eof || f->s.error || f->finished)
        return false;
    return f->s.closed ? f->lingering : f->s.want && stream_held(&f->s) == 0;
}

static void input_ended(struct fdstream *f)
{
    if (f->s.closed) {
        finish(f);
        return;
    }
    if (!f->same)
        loop_fd_del(&f->in.watch);
    f->in.hung_up |= !f->same;
    stream_deliver_eof(&f->s);
    if (!f->finished)
        tell_broken(f);
}

static void read_failed(struct fdstream *f, int error)
{
    if (error == EAGAIN || error == EINTR)
        return;
    /* A pty whose other end was closed. */
    if (error == EIO)
        input_ended(f);
    else
        fail(f, error);
}

static void took(struct fdstream *f, const uint8_t *data, size_t len)
{
    if (!f->lingering)
        stream_deliver(&f->s, data, len);
    else if (!unacknowledged(f))
        finish(f);
}

static void read_some(struct fdstream *f)
{
    static uint8_t *scratch;
    if (!scratch)
        scratch = xmalloc(READ_SIZE);
    for (int i = 0; i < READS_A_TURN && reads(f); i++) {
        size_t most = f->s.closed || f->s.want > READ_SIZE ? READ_SIZE : f->s.want;
        ssize_t n = read(f->in.fd, scratch, most);
        if (n < 0)
            read_failed(f, errno);
        else if (n == 0)
            input_ended(f);
        else
            took(f, scratch, (size_t)n);
        if (n < (ssize_t)most)
            return;
    }
}

/* Writing. */

static void write_failed(struct fdstream *f, int error)
{
    if (f->same && f->socket && (error != EPIPE || f->s.needs_reader))
        fail(f, error);
    else
        break_out(f, error);
}

static void stalled(void *arg)
{
    struct fdstream *f = arg;
    fail(f, ETIMEDOUT);
}

static void watch_stall(struct fdstream *f)
{
    if (!f->queue.len || !f->s.stall_ms)
        loop_timer_del(&f->stall);
    else if (!loop_timer_armed(&f->stall))
        loop_timer_set(&f->stall, f->s.stall_ms);
}

static void flushed(struct fdstream *f)
{
    if (f->full && !f->queue.len) {
        f->full = false;
        stream_deliver_drained(&f->s);
    }
    if (f->queue.len)
        return;
    if (f->s.shut)
        end_output(f);
    if (f->s.closed && !f->lingering)
        settle(f);
}

static void flush(struct fdstream *f)
{
    while (f->queue.len) {
        ssize_t n = write(f->out.fd, buf_front(&f->queue), f->queue.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            write_failed(f, errno);
            return;
        }
        buf_consume(&f->queue, (size_t)n);
        loop_timer_del(&f->stall);
    }
    flushed(f);
}

/* What is ready. */

static uint32_t wants(const struct fdstream *f, const struct end *e)
{
    uint32_t events = 0;
    if (e == &f->in && reads(f))
        events |= EPOLLIN;
    if ((f->same || e == &f->out) && (f->queue.len || f->connecting) && !f->s.error)
        events |= EPOLLOUT;
    if (f->same && f->socket && f->s.needs_reader && !e->half_hung && !f->s.error)
        events |= EPOLLRDHUP;
    return events;
}

static void end_ready(void *arg, uint32_t events);

static void watch_end(struct end *e, uint32_t events)
{
    struct fdstream *f = e->f;
    if (e->fd < 0)
        return;
    if (!events && (e->hung_up || f->s.error)) {
        loop_fd_del(&e->watch);
        return;
    }
    if (!e->watch.loop && !e->always_ready &&
        loop_fd_add(f->s.loop, &e->watch, e->fd, end_ready, e)) {
        e->always_ready = true;
        if (errno != EPERM)
            fail(f, errno);
    }
    if (!e->always_ready)
        loop_fd_want(&e->watch, events);
    else if (events && !f->s.error && !f->finished)
        loop_task_post(&f->again);
}

/* The one place that decides what the descriptors wait for. */
static void update(struct fdstream *f)
{
    if (f->finished)
        return;
    watch_stall(f);
    watch_end(&f->in, wants(f, &f->in));
    if (!f->same)
        watch_end(&f->out, wants(f, &f->out));
}

static void again(void *arg)
{
    struct fdstream *f = arg;
    if (f->in.always_ready && reads(f))
        read_some(f);
    if ((f->same ? f->in : f->out).always_ready && !f->finished)
        flush(f);
    if (!f->finished)
        tell_broken(f);
    update(f);
}

static void connected(struct fdstream *f)
{
    int error = socket_error(f->out.fd);
    f->connecting = false;
    if (error) {
        fail(f, error);
        return;
    }
    stream_deliver_open(&f->s);
    flush(f);
}

static void input_ready(struct fdstream *f, uint32_t events)
{
    if (reads(f))
        read_some(f);
    /* A reader that keeps up finds the error behind the last byte. */
    if (f->finished || f->s.error || !(events & EPOLLERR) || reads(f))
        return;
    int error = socket_error(f->in.fd);
    fail(f, error ? error : ECONNRESET);
}

static void output_ready(struct fdstream *f, const struct end *e, uint32_t events)
{
    if (f->finished || f->s.error || f->broken || e->fd < 0)
        return;
    if (events & EPOLLERR) {
        int error = f->same ? 0 : socket_error(e->fd);
        if (!f->same)
            break_out(f, error ? error : EPIPE);
        return;
    }
    if (f->queue.len)
        flush(f);
    if ((events & EPOLLHUP) && f->queue.len)
        break_out(f, EPIPE);
}

/* AF_VSOCK says no more of a peer that was closed than of one that has ended its side, but to
 * one who writes. */
static bool is_unread(const struct fdstream *f, uint32_t events)
{
    return (events & EPOLLHUP) ||
           (send(f->out.fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE);
}

static void end_ready(void *arg, uint32_t events)
{
    struct end *e = arg;
    struct fdstream *f = e->f;
    e->hung_up |= (events & EPOLLHUP) != 0;
    bool ended = f->s.needs_reader && (events & (EPOLLHUP | EPOLLRDHUP));
    e->half_hung |= ended;
    if (f->connecting) {
        connected(f);
    } else if (ended && !f->s.error && is_unread(f, events)) {
        fail(f, EPIPE);
    } else {
        if (e == &f->in)
            input_ready(f, events);
        if (f->same || e == &f->out)
            output_ready(f, e, events);
    }
    update(f);
}

/* The stream's operations. */

static struct fdstream *fdstream_of(struct stream *s)
{
    return container_of(s, struct fdstream, s);
}

static size_t fd_room(const struct stream *s)
{
    return fdstream_unsent(s) ? 0 : FDSTREAM_LIMIT;
}

/* Writes what the kernel takes now; the number of bytes, or -1 when the output failed. */
static ssize_t write_now(struct fdstream *f, const struct iovec *iov, int n)
{
    ssize_t done;
    if (f->connecting || f->queue.len)
        return 0;
    do
        done = writev(f->out.fd, iov, n < IOV_LIMIT ? n : IOV_LIMIT);
    while (done < 0 && errno == EINTR);
    if (done < 0 && errno == EAGAIN)
        return 0;
    if (done < 0)
        write_failed(f, errno);
    return done;
}

static void fd_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct fdstream *f = fdstream_of(s);
    if (f->broken || f->out.fd < 0)
        return;
    ssize_t done = write_now(f, iov, n);
    if (done < 0)
        return;
    size_t skip = (size_t)done;
    for (int i = 0; i < n; i++) {
        size_t sent = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        if (sent < iov[i].iov_len)
            buf_append(&f->queue, (const uint8_t *)iov[i].iov_base + sent, iov[i].iov_len - sent);
        skip -= sent;
    }
    f->full |= f->queue.len > 0;
    if (f->queue.len)
        update(f);
}

static void fd_consumed(struct stream *s, size_t len)
{
    if (!stream_held(s) || len == 0)
        update(fdstream_of(s));
}

static void fd_shutdown(struct stream *s)
{
    struct fdstream *f = fdstream_of(s);
    if (!f->queue.len && !f->connecting)
        end_output(f);
}

static void fd_close(struct stream *s)
{
    struct fdstream *f = fdstream_of(s);
    if (f->queue.len)
        update(f);
    else
        settle(f);
    if (!f->finished)
        loop_task_at_end(&f->give_up);
}

static void fd_reset(struct stream *s)
{
    struct fdstream *f = fdstream_of(s);
    struct linger abort_it = {.l_onoff = 1, .l_linger = 0};
    if (f->tcp)
        setsockopt(f->out.fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
    finish(f);
}

static const struct stream_ops fd_ops = {
    .room = fd_room,
    .writev = fd_writev,
    .consumed = fd_consumed,
    .shutdown = fd_shutdown,
    .close = fd_close,
    .reset = fd_reset,
};

static void learn_kind(struct fdstream *f)
{
    struct stat st;
    int on = 1;
    f->socket = f->out.fd >= 0 && !fstat(f->out.fd, &st) && S_ISSOCK(st.st_mode);
    f->tcp = f->socket && !setsockopt(f->out.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void make_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static struct stream *make(struct loop *loop, int in, int out, bool connecting)
{
    struct fdstream *f = xcalloc(1, sizeof(*f));
    stream_init(&f->s, &fd_ops, loop);
    loop_task_init(loop, &f->again, again, f);
    loop_timer_init(loop, &f->linger_timer, linger_check, f);
    loop_timer_init(loop, &f->stall, stalled, f);
    loop_task_init(loop, &f->give_up, give_up, f);
    f->kept = -1;
    f->in = (struct end){.f = f, .fd = in};
    f->out = (struct end){.f = f, .fd = out};
    f->same = in == out;
    f->connecting = connecting;
    f->s.eof = f->s.eof_told = in < 0;
    learn_kind(f);
    make_nonblocking(in);
    if (!f->same)
        make_nonblocking(out);
    update(f);
    return &f->s;
}

struct stream *fdstream_new(struct loop *loop, int in, int out)
{
    return make(loop, in, out, false);
}

struct stream *fdstream_connecting(struct loop *loop, int fd)
{
    return make(loop, fd, fd, true);
}

int fdstream_fd(const struct stream *s)
{
    return ((const struct fdstream *)(const void *)s)->in.fd;
}

int fdstream_release(struct stream *s)
{
    struct fdstream *f = fdstream_of(s);
    int fd = f->in.fd;
    loop_fd_del(&f->in.watch);
    f->in.fd = f->out.fd = -1;
    finish(f);
    return fd;
}

void fdstream_keep(struct stream *s, int fd)
{
    fdstream_of(s)->kept = fd;
}

size_t fdstream_unsent(const struct stream *s)
{
    return ((const struct fdstream *)(const void *)s)->queue.len;
}
