#include "applets/broker/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "applets/broker/agent_error.h"
#include "core/mem.h"
#include "core/utf8.h"

/* ---- its end ---- */

static void hang_up(struct transfer *t)
{
    loop_timer_del(&t->look);
    stream_reset(t->stream);
    t->stream = NULL;
    t->since_ms = 0;
}

/* An answer that was begun is never short and looks whole. */
static void give_up(struct transfer *t, enum activity_outcome outcome, enum api_error code,
                    const char *why)
{
    struct call *c = t->call;
    deed_end(&t->deed, outcome, ACTIVITY_NO_CODE);
    if (!t->answered) {
        call_error(c, code, "%s", why);
        return;
    }
    stream_reset(c->exchange);
    c->exchange = NULL;
    call_end(c);
}

void transfer_lost(struct transfer *t)
{
    give_up(t, ACTIVITY_LOST, API_AGENT_DISCONNECTED, "The agent is gone.");
}

static void on_client(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    if (event == STREAM_ERROR)
        call_end(arg);
}

static void on_kept(void *arg, const struct store_answer *answer)
{
    struct transfer *t = arg;
    (void)answer;
    t->awaiting = NULL;
    call_empty(t->call, "");
}

void transfer_done(struct transfer *t)
{
    deed_end(&t->deed, ACTIVITY_OK, ACTIVITY_NO_CODE);
    hang_up(t);
    stream_own(t->call->exchange, on_client, t->call);
    t->awaiting = deed_await(&t->deed, on_kept, t);
}

/* ---- its time ---- */

static uint64_t now_ms(const struct transfer *t)
{
    return loop_now_ms(t->call->front->loop);
}

/* Often enough that who is silent is found out soon after their time. */
static void look_again(struct transfer *t)
{
    loop_timer_set(&t->look, t->call->front->patience->silence_ms / 4);
}

static void await_more(struct transfer *t)
{
    t->since_ms = now_ms(t);
    t->room = stream_room(t->stream);
}

/* That what is queued for the agent becomes less is told by no event. */
static void on_look(void *arg)
{
    struct transfer *t = arg;
    uint64_t limit_ms = t->call->front->patience->silence_ms + t->more_ms;
    if (t->since_ms && stream_room(t->stream) > t->room)
        await_more(t);
    if (t->since_ms && now_ms(t) - t->since_ms >= limit_ms)
        give_up(t, ACTIVITY_TIMEOUT, API_TIMEOUT,
                "The agent is connected, but has not gone on with this file within its time.");
    else
        look_again(t);
}

void transfer_await(struct transfer *t, bool agent, bool moved)
{
    if (!agent)
        t->since_ms = 0;
    else if (moved || !t->since_ms)
        await_more(t);
}

/* A slow disk writes a MiB in a second. */
void transfer_await_disk(struct transfer *t, uint64_t bytes)
{
    t->more_ms = bytes >> 10;
    await_more(t);
}

/* ---- its beginning ---- */

int transfer_begin(struct transfer *t, struct call *c, enum activity_kind kind, deed_fn *fn)
{
    cleanup_free char *agent = NULL;
    t->call = c;
    loop_timer_init(c->front->loop, &t->look, on_look, t);
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
    hang_up(t);
    store_cancel(t->awaiting);
    frame_reader_fini(&t->frames);
    free(t->path);
}

void transfer_open(struct transfer *t, struct stream *s, stream_fn *fn)
{
    hang_up(t);
    frame_reader_fini(&t->frames);
    t->stream = s;
    stream_own(s, fn, t);
    look_again(t);
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
