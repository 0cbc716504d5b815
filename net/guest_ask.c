#include "net/guest_ask.h"

#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"

struct guest_ask {
    struct loop *loop;
    struct guest_question question;
    struct guest_dial *dial; /* until it is connected */
    struct stream *stream;   /* from then on */
    struct frame_reader frames;
    struct loop_timer limit;
    uint64_t sent_us;
};

static void release(void *p)
{
    struct guest_ask *a = p;
    frame_reader_fini(&a->frames);
    free(a);
}

/* The stream is the caller's to end. */
static void leave(struct guest_ask *a)
{
    loop_timer_del(&a->limit);
    draft_free(&a->question.request);
    loop_reap(a->loop, a, release);
}

void guest_ask_cancel(struct guest_ask *a)
{
    if (a->dial)
        guest_dial_cancel(a->dial);
    stream_reset(a->stream);
    leave(a);
}

static void fail(struct guest_ask *a, int error)
{
    const struct guest_answer none = {.error = error, .connected = a->stream != NULL};
    const struct guest_question q = a->question;
    guest_ask_cancel(a);
    q.fn(q.arg, &none);
}

static void out_of_time(void *arg)
{
    fail(arg, ETIMEDOUT);
}

static void take(struct guest_ask *a, const struct frame *f)
{
    const struct guest_question q = a->question;
    struct message m;
    const char *why;
    struct guest_answer answer = {.connected = true, .rtt_us = loop_clock_us() - a->sent_us};
    if (message_parse(&m, f->payload, f->len, &why) != 0) {
        fail(a, EPROTO);
        return;
    }
    answer.message = &m;
    stream_close(a->stream);
    leave(a);
    q.fn(q.arg, &answer);
    message_fini(&m);
}

static void read_answer(struct guest_ask *a)
{
    struct frame f;
    switch (frame_read(&a->frames, a->stream, &f)) {
    case FRAME_MORE: break;
    case FRAME_READY: take(a, &f); break;
    case FRAME_BAD: fail(a, EPROTO); break;
    }
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    struct guest_ask *a = arg;
    switch (event) {
    case STREAM_DATA: read_answer(a); break;
    case STREAM_EOF: fail(a, ECONNRESET); break;
    case STREAM_ERROR: fail(a, stream_error(s)); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void dialled(void *arg, struct stream *s, int error)
{
    struct guest_ask *a = arg;
    a->dial = NULL;
    if (error) {
        fail(a, error);
        return;
    }
    a->stream = s;
    stream_own(s, on_event, a);
    draft_send_within(&a->question.request, s, GUEST_FRAME_LIMIT);
    a->sent_us = loop_clock_us();
}

struct guest_ask *guest_ask(struct loop *loop, const struct guest_place *place,
                            const struct guest_question *question)
{
    struct guest_ask *a = xcalloc(1, sizeof *a);
    uint64_t limit_ms = question->limit_ms;
    *a = (struct guest_ask){.loop = loop, .question = *question};
    a->frames.limit = GUEST_FRAME_LIMIT;
    loop_timer_init(loop, &a->limit, out_of_time, a);
    if (limit_ms)
        loop_timer_set(&a->limit, limit_ms);
    a->dial = guest_dial(loop, place, limit_ms ? limit_ms : GUEST_DIAL_MS, dialled, a);
    return a;
}
