#include <stdlib.h>
#include <string.h>

#include "applets/agent/client.h"
#include "core/mem.h"

#define QUESTION_MS 8000 /* for the masters to answer */

/* What a control connection wants to know; one or more masters were asked. */
struct question {
    struct agent *agent;
    struct stream *stream; /* NULL: answered, or nobody waits any more */
    struct loop_timer patience;
    unsigned pending; /* masters that have not answered */
};

/* One master's part of it. */
struct asked {
    struct asked *next;
    struct question *question;
    int64_t id;
};

static void on_stream(void *arg, struct stream *s, enum stream_event event)
{
    struct question *q = arg;
    if (event != STREAM_EOF && event != STREAM_ERROR)
        return;
    stream_close(s);
    q->stream = NULL;
}

/* The answer is given once; the question stays until every master's part is over. */
static struct stream *take_stream(struct question *q)
{
    struct stream *s = q->stream;
    q->stream = NULL;
    loop_timer_del(&q->patience);
    return s;
}

static void on_patience(void *arg)
{
    struct stream *s = take_stream(arg);
    if (s)
        control_fail(s, ERR_TIMEOUT, "the master does not answer");
}

static struct question *question_new(struct agent *agent, struct stream *s)
{
    struct question *q = xcalloc(1, sizeof *q);
    q->agent = agent;
    q->stream = s;
    stream_own(s, on_stream, q);
    loop_timer_init(agent->loop, &q->patience, on_patience, q);
    loop_timer_set(&q->patience, QUESTION_MS);
    return q;
}

static bool can_ask(const struct client *c)
{
    return c->greeted && c->accepts_requests && session_is_up(c->session);
}

static void ask(struct question *q, struct client *c, struct draft *d)
{
    struct asked *a = xcalloc(1, sizeof *a);
    a->question = q;
    a->id = ++c->last_id;
    a->next = c->asked;
    c->asked = a;
    q->pending++;
    draft_int(d, "id", a->id);
    session_send(c->session, d);
}

/* One part is over; `m` NULL: the master is gone. */
static void settle(struct question *q, const struct message *m)
{
    const char *text = m ? json_get_str(m->body, "message") : "the master is gone";
    struct stream *s = NULL;
    q->pending--;
    if (m && m->type != MSG_ERROR && (s = take_stream(q))) {
        struct draft d = draft_of(MSG_OK);
        draft_str(&d, "local", json_get_str(m->body, "local"));
        control_answer(s, &d);
    } else if (!q->pending && (s = take_stream(q))) {
        const char *code = m ? json_get_str(m->body, "code") : NULL;
        control_fail(s, code ? error_code_of_errno(errno_of_error_code(code)) : ERR_NOT_CONNECTED,
                     "%s", text ? text : "the master refused");
    }
    if (!q->pending) {
        loop_timer_del(&q->patience);
        loop_reap(q->agent->loop, q, free);
    }
}

static void nobody(struct agent *agent, struct stream *s)
{
    control_fail(s, ERR_NOT_CONNECTED,
                 agent->clients ? "no master that takes requests is connected just now"
                                : "no master is attached: run `berth master` on your own machine");
}

void ask_forward(struct agent *agent, struct stream *s, const struct message *request)
{
    const char *target = json_get_str(request->body, "target");
    int64_t port = 0;
    struct client *c = agent->clients;
    if (!target || json_get_int(request->body, "local_port", &port) < 0) {
        control_fail(s, ERR_INVALID_REQUEST, "Forward needs target and local_port");
        return;
    }
    while (c && !can_ask(c))
        c = c->next;
    if (!c) {
        nobody(agent, s);
        return;
    }
    struct draft d = draft_of(MSG_FORWARD_REQUEST);
    draft_str(&d, "target", target);
    draft_int(&d, "local_port", port);
    draft_bool(&d, "auto", false);
    ask(question_new(agent, s), c, &d);
}

void ask_close(struct agent *agent, struct stream *s, const struct message *request)
{
    int64_t port = 0;
    bool udp = false;
    struct question *q = NULL;
    (void)json_get_bool(request->body, "udp", &udp);
    if (json_get_int(request->body, "port", &port) != 1) {
        control_fail(s, ERR_INVALID_REQUEST, "Close needs port");
        return;
    }
    for (struct client *c = agent->clients; c; c = c->next) {
        if (!can_ask(c))
            continue;
        struct draft d = draft_of(MSG_CLOSE_REQUEST);
        draft_int(&d, "port", port);
        draft_bool(&d, "udp", udp);
        if (!q)
            q = question_new(agent, s);
        ask(q, c, &d);
    }
    if (!q)
        nobody(agent, s);
}

void ask_answered(struct client *c, const struct message *m)
{
    int64_t id = 0;
    if (json_get_int(m->body, "id", &id) != 1)
        return;
    for (struct asked **at = &c->asked; *at; at = &(*at)->next) {
        struct asked *a = *at;
        if (a->id != id)
            continue;
        *at = a->next;
        settle(a->question, m);
        free(a);
        return;
    }
}

void ask_forget_all(struct client *c)
{
    while (c->asked) {
        struct asked *a = c->asked;
        c->asked = a->next;
        settle(a->question, NULL);
        free(a);
    }
}
