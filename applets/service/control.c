#include "applets/service/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fdstream.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/sock.h"

#define ASK_TIMEOUT_MS 10000 /* for one answer */
#define REQUEST_MS     10000 /* for a client to say what it wants */

struct control {
    struct loop *loop;
    struct listener *listener;
    control_fn *fn;
    void *arg;
    struct visitor *visitors; /* connections whose request has not come yet */
};

struct visitor {
    struct control *control;
    struct visitor *next, *prev;
    struct stream *stream;
    struct frame_reader frames;
    struct loop_timer patience;
};

static void release_visitor(void *p)
{
    struct visitor *v = p;
    frame_reader_fini(&v->frames);
    free(v);
}

static struct stream *detach(struct visitor *v)
{
    struct stream *s = v->stream;
    stream_own(s, NULL, NULL); /* what comes meanwhile is told to the next owner */
    loop_timer_del(&v->patience);
    if (v->next)
        v->next->prev = v->prev;
    *(v->prev ? &v->prev->next : &v->control->visitors) = v->next;
    v->stream = NULL;
    loop_reap(v->control->loop, v, release_visitor);
    return s;
}

static void read_request(struct visitor *v)
{
    struct frame frame;
    struct message m;
    const char *why;
    enum frame_status status = frame_read(&v->frames, v->stream, &frame);
    if (status == FRAME_MORE)
        return;
    struct control *c = v->control;
    struct stream *s = detach(v);
    if (status == FRAME_BAD) {
        control_fail(s, ERR_INVALID_REQUEST, "bad frame");
    } else if (message_parse(&m, frame.payload, frame.len, &why) < 0) {
        control_fail(s, ERR_INVALID_REQUEST, "%s", why);
    } else {
        c->fn(c->arg, s, &m);
        message_fini(&m);
    }
}

static void on_visitor(void *arg, struct stream *s, enum stream_event event)
{
    struct visitor *v = arg;
    (void)s;
    switch (event) {
    case STREAM_DATA: read_request(v); break;
    case STREAM_EOF:
    case STREAM_ERROR: stream_close(detach(v)); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void on_patience(void *arg)
{
    control_fail(detach(arg), ERR_TIMEOUT, "no request within %d s", REQUEST_MS / 1000);
}

static void on_connection(void *arg, struct stream *s, const char *peer)
{
    struct control *c = arg;
    (void)peer;
    uid_t uid;
    if (sock_peer_uid(fdstream_fd(s), &uid) < 0 || uid != geteuid()) {
        log_error("a connection from another user was refused");
        stream_reset(s);
        return;
    }
    struct visitor *v = xcalloc(1, sizeof *v);
    v->control = c;
    v->stream = s;
    v->next = c->visitors;
    if (v->next)
        v->next->prev = v;
    c->visitors = v;
    loop_timer_init(c->loop, &v->patience, on_patience, v);
    loop_timer_set(&v->patience, REQUEST_MS);
    stream_own(s, on_visitor, v);
}

struct control *control_new(struct loop *loop, const char *path, control_fn *fn, void *arg)
{
    struct target bind = {.kind = TARGET_UNIX};
    if (strlen(path) > TARGET_PATH_MAX) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    memcpy(bind.path, path, strlen(path) + 1);
    struct control *c = xcalloc(1, sizeof *c);
    c->loop = loop;
    c->fn = fn;
    c->arg = arg;
    c->listener = listener_new(loop, &bind, on_connection, c);
    if (!c->listener) {
        free(c);
        return NULL;
    }
    return c;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    while (c->visitors)
        stream_close(detach(c->visitors));
    listener_free(c->listener);
    loop_reap(c->loop, c, free);
}

void control_ok(struct stream *s)
{
    message_send(s, MSG_OK);
    stream_close(s);
}

void control_ok_until_exit(struct stream *s)
{
    message_send(s, MSG_OK);
    (void)fdstream_release(s); /* nobody's now, so the kernel closes it */
}

void control_fail(struct stream *s, enum error_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    message_send_error(s, code, "%s", text);
    free(text);
    stream_close(s);
}

void control_answer(struct stream *s, struct draft *d)
{
    draft_send(d, s);
    stream_close(s);
}

/* --- the client -------------------------------------------------------------------------- */

struct asking {
    struct loop *loop;
    struct frame_reader frames;
    struct message *answer;
    int error; /* 0: *answer is there */
    bool done;
};

static void settle(struct asking *a, int error)
{
    a->error = error;
    a->done = true;
    loop_stop(a->loop, 0);
}

static void on_answer(void *arg, struct stream *s, enum stream_event event)
{
    struct asking *a = arg;
    struct frame frame;
    const char *why;
    if (a->done || event == STREAM_OPEN || event == STREAM_DRAINED)
        return;
    if (event != STREAM_DATA) {
        settle(a, event == STREAM_ERROR ? stream_error(s) : EPROTO);
        return;
    }
    switch (frame_read(&a->frames, s, &frame)) {
    case FRAME_MORE: break;
    case FRAME_BAD: settle(a, EPROTO); break;
    case FRAME_READY:
        settle(a, message_parse(a->answer, frame.payload, frame.len, &why) < 0 ? EPROTO : 0);
    }
}

static void on_ask_timeout(void *arg)
{
    settle(arg, ETIMEDOUT);
}

int control_ask_on(int fd, struct draft *request, struct message *answer)
{
    struct asking a = {.loop = loop_new(), .answer = answer};
    struct loop_timer patience;
    struct stream *s = fdstream_new(a.loop, fd, fd);
    stream_own(s, on_answer, &a);
    loop_timer_init(a.loop, &patience, on_ask_timeout, &a);
    loop_timer_set(&patience, ASK_TIMEOUT_MS);
    draft_send(request, s);
    loop_run(a.loop);
    loop_timer_del(&patience);
    fdstream_release(s);
    frame_reader_fini(&a.frames);
    loop_free(a.loop);
    errno = a.error;
    return a.error ? -1 : 0;
}

int control_ask(const char *path, struct draft *request, struct message *answer)
{
    int fd = sock_connect_own(path);
    if (fd < 0) {
        draft_free(request);
        return -1;
    }
    int rc = control_ask_on(fd, request, answer), saved = errno;
    close(fd);
    errno = saved;
    return rc;
}
