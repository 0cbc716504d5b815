#include "applets/service/opener.h"

#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"

struct opener {
    struct opening o;
    struct loop *loop;
    struct openers *all;
    struct opener *next, *prev;
    struct frame_reader frames;
    struct relay *relay; /* once joined */
};

static void release(void *p)
{
    struct opener *op = p;
    frame_reader_fini(&op->frames);
    free(op);
}

static void leave(struct opener *op)
{
    if (op->next)
        op->next->prev = op->prev;
    *(op->prev ? &op->prev->next : &op->all->first) = op->next;
    loop_reap(op->loop, op, release);
}

/* Before it was joined. */
static void give_up(struct opener *op)
{
    op->o.count->open--;
    leave(op);
}

/* The peer will not, or cannot. */
static void refuse(struct opener *op, int error)
{
    stream_reset(op->o.remote);
    if (op->o.answered)
        op->o.answered(op->o.arg, op->o.local, error);
    else
        stream_reset(op->o.local);
    give_up(op);
}

static void on_relay_end(void *arg, int error)
{
    (void)error;
    leave(arg);
}

static void join(struct opener *op)
{
    if (op->o.answered)
        op->o.answered(op->o.arg, op->o.local, 0);
    op->relay = relay_new(op->o.local, op->o.remote, op->o.count);
    relay_on_end(op->relay, on_relay_end, op);
    op->o.count->open--; /* the relay counts by itself */
    frame_reader_fini(&op->frames);
}

static void read_answer(struct opener *op)
{
    struct frame frame;
    struct message m;
    const char *why;
    enum frame_status status = frame_read(&op->frames, op->o.remote, &frame);
    if (status == FRAME_MORE)
        return;
    if (status == FRAME_BAD || message_parse(&m, frame.payload, frame.len, &why) < 0) {
        refuse(op, EPROTO);
        return;
    }
    if (m.type == MSG_OK) {
        join(op);
    } else {
        const char *code = m.type == MSG_ERROR ? json_get_str(m.body, "code") : NULL;
        refuse(op, code ? errno_of_error_code(code) : EPROTO);
    }
    message_fini(&m);
}

/* The opener may send at once: a round trip is saved for whoever talks first. */
static void pass_early(struct opener *op)
{
    size_t len, room = stream_room(op->o.remote);
    const uint8_t *bytes = stream_peek(op->o.local, &len);
    if (!op->o.early)
        return;
    if (len > room)
        len = room;
    if (len) {
        stream_write(op->o.remote, bytes, len);
        op->o.count->up_bytes += len;
        stream_consume(op->o.local, len);
    }
    if (stream_ended(op->o.local))
        stream_shutdown(op->o.remote);
}

static void on_local(void *arg, struct stream *s, enum stream_event event)
{
    struct opener *op = arg;
    (void)s;
    switch (event) {
    case STREAM_DATA:
    case STREAM_EOF: pass_early(op); break;
    case STREAM_ERROR:
        stream_reset(op->o.remote);
        stream_close(op->o.local);
        give_up(op);
        break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void on_remote(void *arg, struct stream *s, enum stream_event event)
{
    struct opener *op = arg;
    switch (event) {
    case STREAM_DATA: read_answer(op); break;
    case STREAM_EOF: refuse(op, ECONNRESET); break;
    case STREAM_ERROR: refuse(op, stream_error(s)); break;
    case STREAM_DRAINED: pass_early(op); break;
    case STREAM_OPEN: break;
    }
}

void opener_start(struct openers *all, const struct opening *o)
{
    struct opener *op = xcalloc(1, sizeof *op);
    op->o = *o;
    op->loop = o->remote->loop;
    op->all = all;
    op->next = all->first;
    if (op->next)
        op->next->prev = op;
    all->first = op;
    o->count->open++;
    stream_own(o->remote, on_remote, op);
    draft_send(&op->o.request, o->remote);
    stream_own(o->local, on_local, op);
    pass_early(op);
}

void openers_abort(struct openers *all)
{
    while (all->first) {
        struct opener *op = all->first;
        if (op->relay) {
            relay_abort(op->relay);
            leave(op);
        } else {
            stream_reset(op->o.remote);
            stream_reset(op->o.local);
            give_up(op);
        }
    }
}
