#include "applets/broker/keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/fdstream.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/message.h"

/* ---- the keeper's side ---- */

struct duty {
    struct loop *loop;
    struct stream *front;
    struct frame_reader frames;
};

static void leave(struct duty *d)
{
    frame_reader_fini(&d->frames);
    stream_close(d->front);
    loop_stop(d->loop, 0);
    loop_reap(d->loop, d, free);
}

static void answer(struct duty *d, const struct message *m)
{
    if (m->type == MSG_PING)
        message_send(d->front, MSG_PONG);
    else
        message_send_error(d->front, ERR_INVALID_REQUEST, "%s is nothing to ask the keeper",
                           message_name(m->type));
}

/* False: nothing good can follow. */
static bool hear(struct duty *d, const struct frame *f)
{
    struct message m;
    const char *why;
    if (message_parse(&m, f->payload, f->len, &why) < 0)
        return false;
    answer(d, &m);
    message_fini(&m);
    return true;
}

static void on_front(void *arg, struct stream *s, enum stream_event event)
{
    struct duty *d = arg;
    struct frame f;
    enum frame_status status;
    if (event == STREAM_EOF || event == STREAM_ERROR) {
        leave(d);
        return;
    }
    if (event != STREAM_DATA)
        return;
    while ((status = frame_read(&d->frames, s, &f)) != FRAME_MORE) {
        if (status == FRAME_BAD || !hear(d, &f)) {
            log_error("the keeper was sent what is no message, and ends");
            leave(d);
            return;
        }
    }
}

void keeper_serve(struct loop *loop, struct stream *front)
{
    struct duty *d = xcalloc(1, sizeof *d);
    d->loop = loop;
    d->front = front;
    d->frames.limit = KEEPER_FRAME_MAX;
    stream_own(front, on_front, d);
}

/* Signals of the terminal are the front's to act on; its end is the keeper's. */
static void live(int fd)
{
    struct loop *loop = loop_new();
    if (!loop)
        _exit(1);
    prctl(PR_SET_NAME, "berth-keeper");
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    keeper_serve(loop, fdstream_new(loop, fd, fd));
    int status = loop_run(loop);
    loop_free(loop);
    _exit(status);
}

/* All but 0, 1, 2 and this one, which becomes 3. */
static void keep_only(int fd)
{
    if (fd != 3 && dup2(fd, 3) < 0)
        _exit(1);
    if (syscall(SYS_close_range, 4U, ~0U, 0U) < 0)
        for (int other = 4; other < 1024; other++)
            close(other);
}

int keeper_start(void)
{
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        keep_only(fd[1]);
        live(3);
    }
    int saved = errno;
    close(fd[1]);
    if (pid < 0) {
        close(fd[0]);
        errno = saved;
        return -1;
    }
    return fd[0];
}

/* ---- the front's ---- */

struct keeper {
    struct loop *loop;
    struct stream *stream;
    loop_fn *gone;
    void *arg;
};

static void on_keeper(void *arg, struct stream *s, enum stream_event event)
{
    struct keeper *k = arg;
    size_t len;
    if (event == STREAM_DATA) {
        (void)stream_peek(s, &len);
        stream_consume(s, len); /* nothing was asked */
    } else if (event == STREAM_EOF || event == STREAM_ERROR) {
        k->gone(k->arg);
    }
}

struct keeper *keeper_attach(struct loop *loop, int fd, loop_fn *gone, void *arg)
{
    struct keeper *k = xcalloc(1, sizeof *k);
    k->loop = loop;
    k->gone = gone;
    k->arg = arg;
    k->stream = fdstream_new(loop, fd, fd);
    stream_own(k->stream, on_keeper, k);
    return k;
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    stream_close(k->stream);
    loop_reap(k->loop, k, free);
}
