#include "applets/broker/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "applets/broker/agent_error.h"
#include "core/mem.h"
#include "core/utf8.h"

int transfer_begin(struct transfer *t, struct call *c, enum activity_kind kind, deed_fn *fn)
{
    cleanup_free char *agent = NULL;
    t->call = c;
    t->deed.fn = fn;
    if (call_param(c, "path", true, &t->path) < 0 || call_param(c, "agent", false, &agent) < 0)
        return -1;
    if (*t->path && utf8_valid(t->path, strlen(t->path)))
        return deed_begin(&t->deed, c, agent, kind, t->path);
    call_error(c, API_INVALID_REQUEST, "The parameter path is empty, or not UTF-8.");
    return -1;
}

void transfer_fini(struct transfer *t)
{
    deed_end(&t->deed, ACTIVITY_INTERRUPTED, ACTIVITY_NO_CODE);
    stream_reset(t->stream);
    t->stream = NULL;
    frame_reader_fini(&t->frames);
    free(t->path);
}

void transfer_open(struct transfer *t, struct stream *s, stream_fn *fn)
{
    stream_reset(t->stream);
    frame_reader_fini(&t->frames);
    t->stream = s;
    stream_own(s, fn, t);
}

/* ---- what the agent says ---- */

void transfer_nonsense(struct transfer *t)
{
    deed_end(&t->deed, ACTIVITY_FAILED, ACTIVITY_NO_CODE);
    call_error(t->call, API_AGENT_ERROR, "The agent's answer makes no sense.");
}

static void refused(struct transfer *t, const struct message *m)
{
    struct agent_error why = agent_error_of(m);
    deed_end(&t->deed, why.outcome, ACTIVITY_NO_CODE);
    call_error(t->call, why.api, "%s", why.text);
}

bool transfer_expect(struct transfer *t, enum message_type type, struct message *m)
{
    struct frame f;
    const char *why;
    enum frame_status status = frame_read(&t->frames, t->stream, &f);
    if (status == FRAME_MORE)
        return false;
    if (status == FRAME_BAD || message_parse(m, f.payload, f.len, &why) < 0) {
        transfer_nonsense(t);
        return false;
    }
    if (m->type == type)
        return true;
    if (m->type == MSG_ERROR)
        refused(t, m);
    else
        transfer_nonsense(t);
    message_fini(m);
    return false;
}

void transfer_lost(struct transfer *t, bool answered)
{
    struct call *c = t->call;
    deed_end(&t->deed, ACTIVITY_LOST, ACTIVITY_NO_CODE);
    if (!answered) {
        call_error(c, API_AGENT_DISCONNECTED, "The agent is gone.");
        return;
    }
    stream_reset(c->exchange);
    c->exchange = NULL;
    call_end(c);
}
