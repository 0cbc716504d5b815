/* A master knows more than its agent: the -L forwards, and what they are called. So each one
 * that is up is asked on a stream of its own; the others are told of as this side sees them. */
#include <stdlib.h>
#include <string.h>

#include "applets/agent/client.h"
#include "core/bytes.h"
#include "core/mem.h"

#define REPORT_MS 2000 /* for the masters to answer */

struct report {
    struct agent *agent;
    struct report *next, *prev;
    struct stream *stream; /* who asked; NULL: gone */
    struct draft draft;
    struct json_node *sessions;
    struct loop_timer patience;
    struct view *views;
};

/* One master's own view, being asked for. */
struct view {
    struct report *report;
    struct view *next, *prev;
    struct stream *stream;
    struct frame_reader frames;
    uint8_t id[SESSION_LEN];
};

static void describe(struct report *r, const struct client *c, const char *state)
{
    uint64_t now_ms = loop_now_ms(r->agent->loop);
    struct listed_session session = {.host = c->host,
                                     .from = c->from,
                                     .to = c->to,
                                     .state = state,
                                     .transport = session_way_name(c->session),
                                     .id = session_id(c->session),
                                     .up_ms = now_ms - session_up_since_ms(c->session),
                                     .rtt_us = session_rtt_us(c->session)};
    struct json_node *forwards = listing_session(&r->draft, r->sessions, &session);
    for (struct remote_listen *l = c->listens; l; l = l->next) {
        struct listed_forward forward = {
            .spec = &l->spec, .state = "ok", .count = &l->count, .meter = &l->meter};
        if (!remote_listen_is_open(l))
            continue;
        meter_update(&l->meter, &l->count, now_ms);
        listing_forward(&r->draft, forwards, &forward);
    }
}

static void release_view(void *p)
{
    struct view *v = p;
    frame_reader_fini(&v->frames);
    free(v);
}

static void finish(struct report *r)
{
    loop_timer_del(&r->patience);
    if (r->next)
        r->next->prev = r->prev;
    *(r->prev ? &r->prev->next : &r->agent->reports) = r->next;
    if (r->stream)
        control_answer(r->stream, &r->draft);
    else
        draft_free(&r->draft);
    loop_reap(r->agent->loop, r, free);
}

/* Without an answer, what this side knows has to do. */
static void end_view(struct view *v, bool answered)
{
    struct report *r = v->report;
    struct client *c = answered ? NULL : client_find(r->agent, v->id);
    if (c)
        describe(r, c, session_is_up(c->session) ? "no answer" : "waiting");
    stream_close(v->stream);
    if (v->next)
        v->next->prev = v->prev;
    *(v->prev ? &v->prev->next : &r->views) = v->next;
    loop_reap(r->agent->loop, v, release_view);
    if (!r->views)
        finish(r);
}

/* Of all that a master lists only its session with this agent is of interest here. */
static bool take_own(const struct view *v, const struct message *m)
{
    char own[2 * SESSION_LEN + 1];
    hex_encode(own, v->id, SESSION_LEN);
    for (struct json_iter it = json_iter(json_get(m->body, "sessions")); json_next(&it);) {
        const char *id = json_get_str(it.value, "id");
        if (!id || strcmp(id, own) != 0)
            continue;
        json_put_copy(v->report->draft.out, v->report->sessions, NULL, it.value);
        return true;
    }
    return false;
}

static void read_view(struct view *v)
{
    struct frame frame;
    struct message m;
    const char *why;
    bool good = false;
    enum frame_status status = frame_read(&v->frames, v->stream, &frame);
    if (status == FRAME_MORE)
        return;
    if (status == FRAME_READY && message_parse(&m, frame.payload, frame.len, &why) == 0) {
        good = m.type == MSG_LISTING && take_own(v, &m);
        message_fini(&m);
    }
    end_view(v, good);
}

static void on_view(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    switch (event) {
    case STREAM_DATA: read_view(arg); break;
    case STREAM_EOF:
    case STREAM_ERROR: end_view(arg, false); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void on_patience(void *arg)
{
    struct report *r = arg;
    while (r->views->next)
        end_view(r->views, false);
    end_view(r->views, false); /* which finishes the report */
}

void report_end_all(struct agent *agent)
{
    while (agent->reports)
        on_patience(agent->reports);
}

static void on_asker(void *arg, struct stream *s, enum stream_event event)
{
    struct report *r = arg;
    if (event != STREAM_EOF && event != STREAM_ERROR)
        return;
    stream_close(s);
    r->stream = NULL;
}

static void view_new(struct report *r, struct client *c, struct stream *s)
{
    struct view *v = xcalloc(1, sizeof *v);
    v->report = r;
    v->stream = s;
    memcpy(v->id, session_id(c->session), SESSION_LEN);
    v->next = r->views;
    if (v->next)
        v->next->prev = v;
    r->views = v;
    stream_own(s, on_view, v);
    message_send(s, MSG_LIST);
}

void report(struct agent *agent, struct stream *s)
{
    struct report *r = xcalloc(1, sizeof *r);
    r->agent = agent;
    r->next = agent->reports;
    if (r->next)
        r->next->prev = r;
    agent->reports = r;
    r->stream = s;
    stream_own(s, on_asker, r);
    r->draft = listing_draft("agent", &r->sessions);
    loop_timer_init(agent->loop, &r->patience, on_patience, r);
    loop_timer_set(&r->patience, REPORT_MS);
    for (struct client *c = agent->clients; c; c = c->next) {
        struct stream *view =
            c->greeted && session_is_up(c->session) ? session_open(c->session) : NULL;
        if (view)
            view_new(r, c, view);
        else
            describe(r, c, "waiting");
    }
    if (!r->views)
        finish(r);
}
