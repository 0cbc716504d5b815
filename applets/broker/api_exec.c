/* A command on the user's own machine: its output in one answer, or in events as it comes.
 *
 * The one is the agent's Exec, which bounds what it keeps of the output where it is made; the other
 * ExecStream, which waits for who reads. A client that goes away in the middle ends the command where that
 * shows: at the latest when the next event is due, or where its connection is reset. */
#include <stdlib.h>

#include "applets/broker/agent_error.h"
#include "applets/broker/deed.h"
#include "applets/broker/exec_text.h"
#include "core/log.h"
#include "core/mem.h"

#define TIMEOUT_MS     120000
#define TIMEOUT_MS_MAX 86400000
#define PIECE_MAX      (256u << 10) /* bytes of a frame of output: what was read at once */
#define PIECE_SURE     (64u << 10)  /* most are no longer, and nobody asks for their room */
#define TOLD_MAX       (16u << 10)  /* bytes of it in one event */

static const char *const types[] = {"stdout", "stderr"};

struct run {
    struct deed deed;
    struct place place;    /* its names alone are good for long */
    struct stream *stream; /* to the agent; NULL: not yet, or it is over */
    struct draft draft;    /* to be sent; out NULL: it was */
    size_t asked;          /* bytes that are held for that */
    struct loop_timer watchdog;
    bool held_up; /* by the client, since the watchdog has looked */
    struct frame_reader frames;
    struct room_wait wait; /* for what the next frame needs */
    bool waited;
    struct frame rest; /* of a frame of output: not told yet */
    size_t channel;    /* whose: one of types[] */
    uint32_t timeout_ms;
    uint64_t sent_ms;
    bool events;
    struct sse *sse; /* NULL: not begun */
    struct exec_text text[countof(types)];
    /* How it ended: to be told when that is kept. */
    struct json_out *last;
    enum api_error failed; /* where there is a `why`, heap */
    char *why;
    struct store_call *awaiting;
};

/* ---- its end ---- */

static void release(void *p)
{
    struct run *r = p;
    frame_reader_fini(&r->frames);
    free(r->why);
    free(r);
}

/* An agent that does not know yet hangs up on what still runs. */
static void end(struct call *c, enum activity_outcome outcome, int exit_code)
{
    struct run *r = c->state;
    loop_timer_del(&r->watchdog);
    deed_end(&r->deed, outcome, exit_code);
    if (r->stream)
        stream_reset(r->stream);
    r->stream = NULL;
    room_forget(&c->front->room, &r->wait);
}

static void forget(struct call *c)
{
    struct run *r = c->state;
    end(c, ACTIVITY_INTERRUPTED, ACTIVITY_NO_CODE);
    if (r->draft.out)
        draft_free(&r->draft);
    if (r->last)
        json_out_free(r->last);
    store_cancel(r->awaiting);
    sse_end(r->sse);
    loop_reap(c->front->loop, r, release);
}

static void send_event(struct run *r, const char *type, struct json_out *out)
{
    size_t len;
    cleanup_free char *text = json_out_text(out, false, &len);
    json_out_free(out);
    sse_send(r->sse, type, text, len);
}

static void tell_failure(struct call *c)
{
    struct run *r = c->state;
    if (!r->sse) {
        call_error(c, r->failed, "%s", r->why);
        return;
    }
    struct json_out *out = json_out_new();
    json_put_str(out, json_out_root(out), "error", api_error_name(r->failed));
    json_put_str(out, json_out_root(out), "message", r->why);
    send_event(r, "error", out);
    call_end(c);
}

static void tell_result(struct call *c)
{
    struct run *r = c->state;
    struct json_out *out = r->last;
    r->last = NULL;
    if (!r->sse) {
        call_json(c, "", out);
        return;
    }
    send_event(r, "exit", out);
    call_end(c);
}

static void on_kept(void *arg, const struct store_answer *answer)
{
    struct call *c = arg;
    struct run *r = c->state;
    (void)answer;
    r->awaiting = NULL;
    if (r->why)
        tell_failure(c);
    else
        tell_result(c);
}

static void fail(struct call *c, const struct agent_error *e)
{
    struct run *r = c->state;
    end(c, e->outcome, ACTIVITY_NO_CODE);
    r->failed = e->api;
    r->why = xstrdup(e->text);
    r->awaiting = deed_await(&r->deed, on_kept, c);
}

static void lost(struct call *c)
{
    struct run *r = c->state;
    cleanup_free char *text =
        xasprintf("The agent %s was lost while the command ran.", r->place.name);
    fail(c, &(struct agent_error){API_AGENT_DISCONNECTED, ACTIVITY_LOST, text});
}

static bool is_held_up(const struct run *r)
{
    return r->sse && !sse_room(r->sse);
}

/* What the agent has said may lie behind what the client does not take: then it has its time from there. */
static void on_watchdog(void *arg)
{
    struct call *c = arg;
    struct run *r = c->state;
    if (r->held_up) {
        r->held_up = is_held_up(r);
        loop_timer_set(&r->watchdog, c->front->patience->late_ms);
    } else if (r->wait.at && !r->events) {
        fail(c, &(struct agent_error){API_TIMEOUT, ACTIVITY_LOST,
                                      "The command has run, but other answers that you have not "
                                      "read leave its own no room."});
    } else {
        fail(c, &(struct agent_error){API_TIMEOUT, ACTIVITY_TIMEOUT,
                                      "The agent has not ended the command within its time."});
    }
}

/* Nothing more is streamed, and what a revoked token has begun is hung up on. A command that was asked for in
 * time, and whose answer is one, has that still; so has one that has ended by now. */
static void unproven(struct call *c, enum lease_end end)
{
    struct run *r = c->state;
    cleanup_free char *text = xasprintf("The token %s.", lease_why(end));
    if (!r->awaiting && (r->events || end == LEASE_REVOKED))
        fail(c, &(struct agent_error){API_UNAUTHORIZED, ACTIVITY_INTERRUPTED, text});
}

static void wrong(struct call *c)
{
    fail(c, &(struct agent_error){API_AGENT_ERROR, ACTIVITY_FAILED,
                                  "The agent's answer cannot be understood."});
}

/* ---- the agent's answer ---- */

static void finish(struct call *c, struct json_out *out, int64_t code)
{
    struct run *r = c->state;
    struct json_node *root = json_out_root(out);
    json_put_int(out, root, "exitCode", code);
    json_put_int(out, root, "durationMs", (int64_t)(loop_now_ms(c->front->loop) - r->sent_ms));
    json_put_str(out, root, "agent", r->place.name);
    json_put_str(out, root, "hostname", r->place.hostname);
    frame_reader_fini(&r->frames);
    end(c, code ? ACTIVITY_FAILED : ACTIVITY_OK, (int)code);
    r->last = out;
    r->awaiting = deed_await(&r->deed, on_kept, c);
}

/* 0 and the code, or -1. */
static int exit_code(const struct message *m, int64_t *code)
{
    return json_get_int(m->body, "exit_code", code) == 1 && *code == (int)*code ? 0 : -1;
}

static void put_truncated(struct json_out *out, const struct message *m, const char *theirs,
                          const char *ours)
{
    bool truncated = false;
    (void)json_get_bool(m->body, theirs, &truncated);
    if (truncated)
        json_put_bool(out, json_out_root(out), ours, true);
}

static void on_result(struct call *c, const struct message *m)
{
    const struct json_value *texts[] = {json_get(m->body, "stdout"), json_get(m->body, "stderr")};
    int64_t code;
    if (exit_code(m, &code) < 0 || !json_is_string(texts[0]) || !json_is_string(texts[1])) {
        wrong(c);
        return;
    }
    struct json_out *out = json_out_new();
    json_put_copy(out, json_out_root(out), "stdout", texts[0]);
    json_put_copy(out, json_out_root(out), "stderr", texts[1]);
    put_truncated(out, m, "stdout_truncated", "stdoutTruncated");
    put_truncated(out, m, "stderr_truncated", "stderrTruncated");
    finish(c, out, code);
}

static void on_exited(struct call *c, const struct message *m)
{
    struct run *r = c->state;
    const char *signal = json_get_str(m->body, "signal");
    int64_t code;
    if (exit_code(m, &code) < 0) {
        wrong(c);
        return;
    }
    struct json_out *out = json_out_new();
    json_put_str(out, json_out_root(out), "signal", signal);
    for (size_t i = 0; i < countof(types); i++) /* a child in the background may hold it open */
        exec_text_end(&r->text[i], r->sse, types[i]);
    finish(c, out, code);
}

static void take_frames(struct call *c);

static void on_drained(void *arg)
{
    take_frames(arg);
}

static void on_gone(void *arg)
{
    call_end(arg);
}

/* Until then what goes wrong has a status of its own. */
static void on_started(struct call *c)
{
    static const struct sse_events events = {.drained = on_drained, .gone = on_gone};
    struct run *r = c->state;
    r->sse = sse_begin(call_take(c), "", SSE_ALIVE_MS, &events, c);
}

static void on_message(struct call *c, const struct message *m)
{
    struct run *r = c->state;
    if (m->type == MSG_ERROR) {
        struct agent_error e = agent_error_of(m);
        fail(c, &e);
    } else if (m->type == MSG_EXEC_RESULT && !r->events) {
        on_result(c, m);
    } else if (m->type == MSG_STARTED && r->events && !r->sse) {
        on_started(c);
    } else if (m->type == MSG_EXITED && r->sse) {
        on_exited(c, m);
    } else {
        wrong(c);
    }
}

static void on_output(struct call *c, const struct frame *f)
{
    struct run *r = c->state;
    size_t at = (size_t)f->payload[0] - CHANNEL_STDOUT;
    if (!r->sse || at >= countof(types)) {
        wrong(c);
    } else if (f->len > 1) {
        r->channel = at;
        r->rest = (struct frame){f->payload + 1, f->len - 1};
    } else {
        exec_text_end(&r->text[at], r->sse, types[at]);
    }
}

static void tell_rest(struct run *r)
{
    size_t len = r->rest.len < TOLD_MAX ? r->rest.len : TOLD_MAX;
    const uint8_t *data = r->rest.payload;
    r->rest = (struct frame){data + len, r->rest.len - len};
    exec_text_send(&r->text[r->channel], r->sse, types[r->channel], data, len);
}

static void on_frame(struct call *c, const struct frame *f)
{
    struct message m;
    const char *why;
    c->front->metrics.bytes[METRICS_OUTPUT] += f->len;
    if (f->payload[0] != '{') {
        on_output(c, f);
    } else if (message_parse(&m, f->payload, f->len, &why) < 0) {
        wrong(c);
    } else {
        on_message(c, &m);
        message_fini(&m);
    }
}

static bool is_ready(const struct run *r)
{
    return r->stream && !r->wait.at && !is_held_up(r);
}

/* A whole answer, or a longer piece of one, has room before it is read; until then it holds its agent up. An
 * answer is then all that is awaited: the command is over. */
static void make_room(struct call *c)
{
    struct run *r = c->state;
    struct room *room = &c->front->room;
    uint32_t due = frame_due(&r->frames), most = r->events ? PIECE_MAX : FRAME_LIMIT;
    if (due == 0 || due > most) {
        wrong(c);
        return;
    }
    bool waited = r->waited, held = call_hold(c, due);
    r->waited = !held;
    if (held)
        r->frames.limit = most;
    else
        room_await(room, &r->wait);
    if (!r->events && waited == held) /* its beginning, or its end */
        loop_timer_set(&r->watchdog, room->wait_ms);
}

static void take_frames(struct call *c)
{
    struct run *r = c->state;
    struct frame f;
    while (is_ready(r)) {
        enum frame_status status = FRAME_READY;
        if (r->rest.len)
            tell_rest(r);
        else if ((status = frame_read(&r->frames, r->stream, &f)) == FRAME_READY)
            on_frame(c, &f);
        else if (status == FRAME_BAD)
            make_room(c);
        if (status == FRAME_MORE)
            return;
    }
    r->held_up |= is_held_up(r);
}

/* The agent has the question, or nearly all of it: what is held for that must not be what answers wait for. */
static void was_asked(struct call *c)
{
    struct run *r = c->state;
    call_let_go(c, r->asked);
    r->asked = 0;
}

static void on_agent(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    switch (event) {
    case STREAM_DATA: take_frames(arg); break;
    case STREAM_DRAINED: was_asked(arg); break;
    case STREAM_EOF:
    case STREAM_ERROR: lost(arg); break;
    case STREAM_OPEN: break;
    }
}

/* ---- its beginning ---- */

static void start(struct call *c, const struct place *p, struct stream *stream)
{
    struct run *r = c->state;
    r->place = *p;
    r->stream = stream;
    stream_own(stream, on_agent, c);
    draft_send(&r->draft, stream);
    r->draft.out = NULL;
    if (stream_room(stream) > 0)
        was_asked(c);
    r->sent_ms = loop_now_ms(c->front->loop);
    loop_timer_set(&r->watchdog, r->timeout_ms + c->front->patience->late_ms);
}

/* A text, or none; -1: something else, and the call was answered. */
static int read_text(struct call *c, const struct json_value *body, const char *key,
                     const char **text)
{
    *text = json_get_str(body, key);
    if (!json_get(body, key) || (*text && **text))
        return 0;
    call_error(c, API_INVALID_REQUEST, "%s is a text.", key);
    return -1;
}

static int read_timeout(struct call *c, const struct json_value *body, uint32_t *ms)
{
    int64_t n = TIMEOUT_MS;
    if (json_get_int(body, "timeoutMs", &n) < 0 || n < 1 || n > TIMEOUT_MS_MAX) {
        call_error(c, API_INVALID_REQUEST, "timeoutMs is a number from 1 to %d.", TIMEOUT_MS_MAX);
        return -1;
    }
    *ms = (uint32_t)n;
    return 0;
}

static void draft(struct run *r, const struct json_value *body)
{
    struct draft d = draft_of(r->events ? MSG_EXEC_STREAM : MSG_EXEC);
    draft_str(&d, "command", json_get_str(body, "command"));
    draft_str(&d, "workdir", json_get_str(body, "cwd"));
    if (json_get(body, "env"))
        json_put_copy(d.out, d.root, "env", json_get(body, "env"));
    draft_int(&d, "timeout_secs", (r->timeout_ms + 999) / 1000);
    r->draft = d;
}

static void begin(struct call *c, const struct json_value *body)
{
    const char *command, *cwd, *agent;
    uint32_t timeout_ms;
    if (read_text(c, body, "command", &command) < 0 || read_text(c, body, "cwd", &cwd) < 0 ||
        read_text(c, body, "agent", &agent) < 0 || read_timeout(c, body, &timeout_ms) < 0)
        return;
    if (!command || (json_get(body, "env") && !json_is_object(json_get(body, "env")))) {
        call_error(c, API_INVALID_REQUEST, command ? "env is an object." : "command is missing.");
        return;
    }
    struct run *r = xcalloc(1, sizeof *r);
    r->deed.fn = start;
    r->timeout_ms = timeout_ms;
    r->asked = c->held;
    r->events = call_accepts_events(c);
    r->frames.limit = r->events ? PIECE_SURE : ROOM_SURE;
    r->wait = (struct room_wait){.call = c, .fn = take_frames};
    loop_timer_init(c->front->loop, &r->watchdog, on_watchdog, c);
    c->state = r;
    c->abort = forget;
    c->unproven = unproven;
    draft(r, body);
    (void)deed_begin(&r->deed, c, agent, ACTIVITY_EXEC, command);
}

void api_exec(struct call *c)
{
    call_read_json(c, begin);
}
