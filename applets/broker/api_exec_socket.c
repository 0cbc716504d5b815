/* A command with its input, or a terminal, from the command line of its user (berth exec): a WebSocket whose
 * binary messages are the bytes of the agent's ExecStream, both ways.
 *
 * What the client asks for is read once, for the audit trail and because nothing but ExecStream may pass;
 * from then on its bytes go to the agent as they are, and the agent's come back, watched for how the
 * command ends; the last of them once that is kept, so that a crash undoes no end that was seen. Who takes
 * nothing holds the other up. The WebSocket's end is the loss of the client, and the agent's stream is reset:
 * that hangs up on the command. */
#include <stdio.h>
#include <stdlib.h>

#include "applets/broker/agent_error.h"
#include "applets/broker/deed.h"
#include "applets/broker/frame_watch.h"
#include "core/mem.h"
#include "net/http_server.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"

#define REQUEST_MAX (1u << 20)
#define PATIENCE_MS 10000 /* for the request to come */
#define SILENCE_MS  30000 /* of websocket_watch() */

struct session {
    struct deed deed;
    char agent[DEVICE_NAME_MAX + 1];
    struct stream *client;       /* bytes of the WebSocket's messages */
    struct stream *stream;       /* to the agent; NULL: not yet */
    struct frame_reader request; /* until there is one */
    struct frame asked;          /* what it has read; payload NULL: nothing yet */
    struct frame_watch answer;
    struct loop_timer patience; /* with the client, then with the agent */
    uint64_t limit_ms;          /* which the client has set the command; 0: none */
    bool held_up;               /* by the client, since that was looked at */
    bool inside;                /* the client has a part of a frame */
    bool over;                  /* the command is */
    /* What is told of its end, when that is kept. */
    struct buf last; /* the agent's own bytes; or */
    enum error_code failed;
    char *why; /* heap */
    struct store_call *awaiting;
};

/* ---- its end ---- */

static void release(void *p)
{
    struct session *s = p;
    frame_reader_fini(&s->request);
    frame_watch_fini(&s->answer);
    buf_fini(&s->last);
    free(s->why);
    free(s);
}

static void hang_up(struct session *s)
{
    loop_timer_del(&s->patience);
    stream_reset(s->stream);
    s->stream = NULL;
}

static void forget(struct call *c)
{
    struct session *s = c->state;
    deed_end(&s->deed, ACTIVITY_INTERRUPTED, ACTIVITY_NO_CODE);
    hang_up(s);
    store_cancel(s->awaiting);
    stream_close(s->client);
    loop_reap(c->front->loop, s, release);
}

static void tell(struct call *c)
{
    struct session *s = c->state;
    if (s->last.len) {
        stream_write(s->client, buf_front(&s->last), s->last.len);
    } else if (!s->inside) {
        message_send_error(s->client, s->failed, "%s", s->why);
    } else {
        stream_reset(s->client);
        s->client = NULL;
    }
    call_end(c);
}

static void on_kept(void *arg, const struct store_answer *answer)
{
    struct call *c = arg;
    struct session *s = c->state;
    (void)answer;
    s->awaiting = NULL;
    tell(c);
}

static void finish(struct call *c)
{
    struct session *s = c->state;
    hang_up(s);
    if (s->deed.call)
        s->awaiting = deed_await(&s->deed, on_kept, c);
    else
        tell(c);
}

/* In the place of the agent's answer, or of what is missing of it. */
static void fail(struct call *c, enum error_code code, const char *text)
{
    struct session *s = c->state;
    s->failed = code;
    s->why = xstrdup(text);
    finish(c);
}

static void lost(struct call *c)
{
    struct session *s = c->state;
    cleanup_free char *text = xasprintf("the agent %s was lost", s->agent);
    deed_end(&s->deed, ACTIVITY_LOST, ACTIVITY_NO_CODE);
    fail(c, ERR_NOT_CONNECTED, text);
}

static void unproven(struct call *c, enum lease_end end)
{
    struct session *s = c->state;
    cleanup_free char *text = xasprintf("the token %s", lease_why(end));
    if (s->awaiting)
        return;
    deed_end(&s->deed, ACTIVITY_INTERRUPTED, ACTIVITY_NO_CODE);
    fail(c, ERR_PERMISSION_DENIED, text);
}

/* What the agent has said may lie behind what the client does not take: then it has its time from there. */
static void on_silence(struct call *c)
{
    struct session *s = c->state;
    if (s->held_up) {
        s->held_up = stream_room(s->client) == 0;
        loop_timer_set(&s->patience, c->front->patience->late_ms);
        return;
    }
    deed_end(&s->deed, ACTIVITY_TIMEOUT, ACTIVITY_NO_CODE);
    fail(c, ERR_TIMEOUT,
         s->limit_ms ? "the agent has not ended the command within its time"
                     : "the agent has not begun the command");
}

static void on_patience(void *arg)
{
    struct session *s = ((struct call *)arg)->state;
    if (s->stream)
        on_silence(arg);
    else
        fail(arg, ERR_TIMEOUT, "no request came");
}

/* ---- both ways ---- */

/* Once the agent has nearly all of the request nothing is to be held for that. */
static void pass_input(struct call *c)
{
    struct session *s = c->state;
    const uint8_t *data;
    size_t len, room;
    if (stream_room(s->stream) > 0)
        call_let_go(c, c->held);
    while ((data = stream_peek(s->client, &len)) && (room = stream_room(s->stream))) {
        len = len < room ? len : room;
        stream_write(s->stream, data, len);
        stream_consume(s->client, len);
        c->front->metrics.bytes[METRICS_INPUT] += len;
    }
}

static void on_message(void *arg, const struct message *m)
{
    struct session *s = arg;
    int64_t code = ACTIVITY_NO_CODE;
    s->over |= m->type == MSG_EXITED || m->type == MSG_ERROR;
    if (m->type == MSG_STARTED && !s->limit_ms)
        loop_timer_del(&s->patience);
    if (m->type == MSG_ERROR) {
        deed_end(&s->deed, agent_error_of(m).outcome, ACTIVITY_NO_CODE);
    } else if (m->type == MSG_EXITED) {
        bool known = json_get_int(m->body, "exit_code", &code) == 1 && code == (int)code;
        deed_end(&s->deed, known && code == 0 ? ACTIVITY_OK : ACTIVITY_FAILED,
                 known ? (int)code : ACTIVITY_NO_CODE);
    }
}

static void pass_output(struct call *c)
{
    struct session *s = c->state;
    const uint8_t *data;
    size_t len, room;
    while ((data = stream_peek(s->stream, &len)) && (room = stream_room(s->client))) {
        len = len < room ? len : room;
        if (frame_watch(&s->answer, data, len, on_message, s) < 0) {
            deed_end(&s->deed, ACTIVITY_FAILED, ACTIVITY_NO_CODE);
            fail(c, ERR_INTERNAL, "the agent's answer cannot be understood");
            return;
        }
        c->front->metrics.bytes[METRICS_OUTPUT] += len;
        if (s->over) {
            buf_append(&s->last, data, len);
            finish(c);
            return;
        }
        stream_write(s->client, data, len);
        stream_consume(s->stream, len);
        s->inside = !frame_watch_is_between(&s->answer);
    }
    s->held_up |= stream_room(s->client) == 0;
}

static void on_agent(void *arg, struct stream *stream, enum stream_event event)
{
    struct call *c = arg;
    (void)stream;
    switch (event) {
    case STREAM_DATA: pass_output(c); break;
    case STREAM_DRAINED: pass_input(c); break;
    case STREAM_EOF:
    case STREAM_ERROR: lost(c); break;
    case STREAM_OPEN: break;
    }
}

/* ---- the request ---- */

static void start(struct call *c, const struct place *p, struct stream *stream)
{
    struct session *s = c->state;
    if (!p) {
        fail(c, ERR_INTERNAL, "the broker cannot keep its audit trail, or the agent is gone");
        return;
    }
    s->stream = stream;
    stream_own(stream, on_agent, c);
    frame_write(stream, s->asked.payload, s->asked.len);
    frame_reader_fini(&s->request);
    loop_timer_set(&s->patience, s->limit_ms ? s->limit_ms + c->front->patience->late_ms
                                             : c->front->patience->silence_ms);
    pass_input(c);
}

/* The command and its arguments, or nothing for a login shell; heap. */
static char *words(const struct json_value *body)
{
    struct buf all = {0};
    const char *command = json_get_str(body, "command");
    buf_printf(&all, "%s", command ? command : "");
    for (struct json_iter it = json_iter(json_get(body, "args")); json_next(&it);)
        buf_printf(&all, " %s", json_str(it.value) ? json_str(it.value) : "");
    char *text = xstrndup(all.len ? (const char *)buf_front(&all) : "", all.len);
    buf_fini(&all);
    return text;
}

static uint64_t limit_of(const struct message *m)
{
    uint64_t secs = 0;
    (void)json_get_uint(m->body, "timeout_secs", &secs);
    return (secs < UINT32_MAX ? secs : UINT32_MAX) * 1000;
}

static void begin(struct call *c, const struct message *m)
{
    struct session *s = c->state;
    struct place p;
    s->limit_ms = limit_of(m);
    cleanup_free char *what = words(m->body);
    if (place_find(c->front, &c->who, s->agent, &p) < 0) {
        lost(c);
        return;
    }
    s->deed.fn = start;
    (void)deed_begin(&s->deed, c, s->agent, ACTIVITY_EXEC, what);
}

static void take_request(struct call *c)
{
    struct session *s = c->state;
    struct message m;
    const char *why = "the command, its words and its environment have more than 1 MiB";
    enum frame_status status = frame_read(&s->request, s->client, &s->asked);
    if (status == FRAME_BAD && s->request.limit < REQUEST_MAX) {
        s->request.limit = REQUEST_MAX;
        if (frame_due(&s->request) <= REQUEST_MAX && !call_hold(c, frame_due(&s->request))) {
            fail(c, ERR_RATE_LIMITED, "your requests under way hold as much as one may have");
            return;
        }
        status = frame_read(&s->request, s->client, &s->asked);
    }
    if (status == FRAME_MORE)
        return;
    loop_timer_del(&s->patience);
    if (status == FRAME_BAD && frame_due(&s->request) == 0)
        why = "an empty frame";
    if (status == FRAME_BAD || message_parse(&m, s->asked.payload, s->asked.len, &why) < 0) {
        fail(c, ERR_INVALID_REQUEST, why);
        return;
    }
    if (m.type == MSG_EXEC_STREAM)
        begin(c, &m);
    else
        fail(c, ERR_INVALID_REQUEST, "only ExecStream may be asked for here");
    message_fini(&m);
}

static void on_data(struct call *c)
{
    struct session *s = c->state;
    if (s->stream)
        pass_input(c);
    else if (!s->asked.payload)
        take_request(c);
}

static void on_client(void *arg, struct stream *stream, enum stream_event event)
{
    struct call *c = arg;
    struct session *s = c->state;
    (void)stream;
    switch (event) {
    case STREAM_DATA: on_data(c); break;
    case STREAM_EOF:
    case STREAM_ERROR: call_end(c); break;
    case STREAM_DRAINED:
        if (s->stream)
            pass_output(c);
        break;
    case STREAM_OPEN: break;
    }
}

/* ---- the WebSocket ---- */

/* What is wrong with the request is an HTTP status; the rest is told on the WebSocket. */
void api_exec_socket(struct call *c)
{
    cleanup_free char *agent = NULL;
    struct place p = {0};
    if (call_param(c, "agent", false, &agent) < 0)
        return;
    bool upgrade = http_request_head(c->exchange)->upgrade;
    if (upgrade && place_of_call(c, agent, &p) < 0)
        return;
    struct stream *carrier = websocket_accept(call_take(c), NULL); /* says what is missing */
    if (!carrier) {
        call_end(c);
        return;
    }
    struct session *s = xcalloc(1, sizeof *s);
    snprintf(s->agent, sizeof s->agent, "%s", p.name);
    s->request.limit = ROOM_SURE;
    s->client = websocket_stream_new(carrier, WS_SERVER);
    websocket_stream_watch(s->client, SILENCE_MS);
    loop_timer_init(c->front->loop, &s->patience, on_patience, c);
    loop_timer_set(&s->patience, PATIENCE_MS);
    c->state = s;
    c->abort = forget;
    c->unproven = unproven;
    stream_own(s->client, on_client, c);
}
