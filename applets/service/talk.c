#include "applets/service/talk.h"

#include <errno.h>

static void dialled(void *arg, struct stream *s)
{
    struct talk *t = arg;
    t->dial = NULL;
    t->stream = s;
    stream_own(s, t->fn, t->arg);
    draft_send_within(&t->request, s, t->visit->frame_limit);
    t->fn(t->arg, s, STREAM_OPEN);
}

void talk_start(struct talk *t, struct draft *request, stream_fn *fn, void *arg)
{
    struct visit *v = t->visit;
    t->request = *request;
    *request = (struct draft){0};
    t->fn = fn;
    t->arg = arg;
    t->frames.limit = v->frame_limit;
    t->dial = v->way->dial(v, dialled, t);
}

void talk_fini(struct talk *t)
{
    draft_free(&t->request);
    if (t->dial)
        t->visit->way->cancel(t->dial);
    t->dial = NULL;
    stream_reset(t->stream);
    t->stream = NULL;
    frame_reader_fini(&t->frames);
}

bool talk_frame(struct talk *t, struct frame *f)
{
    if (t->visit->ended)
        return false;
    enum frame_status status = frame_read(&t->frames, t->stream, f);
    if (status == FRAME_BAD)
        visit_lost(t->visit, EPROTO);
    return status == FRAME_READY;
}

bool talk_message(struct talk *t, const struct frame *f, struct message *m)
{
    const char *why;
    if (message_parse(m, f->payload, f->len, &why) == 0)
        return true;
    visit_lost(t->visit, EPROTO);
    return false;
}

void talk_refused(struct talk *t, const struct message *m)
{
    const char *text = m->type == MSG_ERROR ? json_get_str(m->body, "message") : NULL;
    if (text)
        visit_fail(t->visit, "%s: %s", t->visit->where, text);
    else
        visit_lost(t->visit, EPROTO);
}

bool talk_expect(struct talk *t, enum message_type type, struct message *m)
{
    struct frame f;
    if (!talk_frame(t, &f) || !talk_message(t, &f, m))
        return false;
    if (m->type == type)
        return true;
    talk_refused(t, m);
    message_fini(m);
    return false;
}

uint64_t talk_pass(struct stream *from, struct stream *to, uint64_t max)
{
    const uint8_t *data;
    size_t len, room;
    uint64_t passed = 0;
    while (passed < max && (room = stream_room(to)) > 0 && (data = stream_peek(from, &len))) {
        len = len < room ? len : room;
        len = len < max - passed ? len : (size_t)(max - passed);
        stream_write(to, data, len);
        stream_consume(from, len);
        passed += len;
    }
    return passed;
}
