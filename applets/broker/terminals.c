#include "applets/broker/terminals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/broker/agent_error.h"
#include "applets/broker/tail.h"
#include "applets/broker/viewer.h"
#include "core/bytes.h"
#include "core/key.h"
#include "core/mem.h"
#include "core/message.h"
#include "net/websocket_frame.h"

#define TERM      "xterm-256color"
#define FRAME_MAX (256u << 10) /* bytes; an agent's are as long as what it read at once */

const struct terminal_limits terminal_limits = {
    .alone_ms = 60000, .silence_ms = VIEWER_SILENCE_MS, .each = 32};

struct terminal {
    struct front *front;
    struct terminal *next, *prev;
    const struct terminal_limits *limits;
    char id[TERMINAL_ID_LEN + 1];
    struct principal owner;
    char *greeting;        /* what each client is told first: JSON */
    struct stream *stream; /* to the place; NULL: it has ended */
    struct frame_reader frames;
    struct viewer *viewer; /* NULL: nobody looks */
    struct tail tail;
    struct loop_timer alone;
    struct lease lease;           /* of who looks, or did last */
    char *last_words;             /* once it has ended: JSON */
    bool failed;                  /* it was no orderly end */
    struct activity_entry *entry; /* NULL: it has ended */
};

/* ---- what clients are told ---- */

static char *text_of(struct json_out *out)
{
    char *text = json_out_text(out, false, NULL);
    json_out_free(out);
    return text;
}

static char *greeting_of(const struct terminal *t, const struct place *p)
{
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    json_put_str(out, root, "session", t->id);
    json_put_str(out, root, "agent", p->name);
    json_put_str(out, root, "hostname", p->hostname);
    return text_of(out);
}

static char *error_text(enum api_error code, const char *why)
{
    struct json_out *out = json_out_new();
    json_put_str(out, json_out_root(out), "error", api_error_name(code));
    json_put_str(out, json_out_root(out), "message", why);
    return text_of(out);
}

static char *exit_text(int64_t code)
{
    struct json_out *out = json_out_new();
    json_put_int(out, json_out_root(out), "exit", code);
    return text_of(out);
}

/* ---- its end ---- */

static void release(void *p)
{
    struct terminal *t = p;
    frame_reader_fini(&t->frames);
    tail_fini(&t->tail);
    free(t->greeting);
    free(t->last_words);
    free(t);
}

static void keep_outcome(struct terminal *t, enum activity_outcome outcome, int exit_code)
{
    struct activity_entry *entry = t->entry;
    t->entry = NULL;
    if (entry)
        activity_end(entry, outcome, exit_code);
}

static void terminal_free(struct terminal *t)
{
    struct front *f = t->front;
    keep_outcome(t, ACTIVITY_INTERRUPTED, ACTIVITY_NO_CODE);
    lease_end(&t->lease);
    loop_timer_del(&t->alone);
    stream_reset(t->stream); /* an agent hangs up on what runs still */
    t->stream = NULL;
    if (t->next)
        t->next->prev = t->prev;
    *(t->prev ? &t->prev->next : &f->terminals) = t->next;
    loop_reap(f->loop, t, release);
}

static void say_goodbye(struct terminal *t)
{
    struct viewer *v = t->viewer;
    t->viewer = NULL;
    viewer_tell(v, t->last_words);
    viewer_end(v, t->failed ? WS_INTERNAL : WS_NORMAL, "");
    terminal_free(t);
}

/* Takes the words. Where nobody looks they are kept for who may come back. */
static void over(struct terminal *t, char *words)
{
    t->last_words = words;
    stream_reset(t->stream);
    t->stream = NULL;
    if (t->viewer)
        say_goodbye(t);
}

static void fail(struct terminal *t, enum activity_outcome outcome, enum api_error code,
                 const char *why)
{
    keep_outcome(t, outcome, ACTIVITY_NO_CODE);
    t->failed = true;
    over(t, error_text(code, why));
}

static void on_alone(void *arg)
{
    terminal_free(arg);
}

/* ---- from the place ---- */

static void lost(struct terminal *t)
{
    fail(t, ACTIVITY_LOST, API_AGENT_DISCONNECTED, "The agent is gone, and the terminal with it.");
}

static void mistake(struct terminal *t)
{
    fail(t, ACTIVITY_FAILED, API_AGENT_ERROR, "The agent's answer makes no sense.");
}

static void ended(struct terminal *t, int64_t code)
{
    keep_outcome(t, ACTIVITY_OK, (int)code);
    over(t, exit_text(code));
}

static void refused(struct terminal *t, const struct message *m)
{
    struct agent_error why = agent_error_of(m);
    fail(t, why.outcome, why.api, why.text);
}

static void take_message(struct terminal *t, const struct message *m)
{
    int64_t code;
    if (m->type == MSG_EXITED && json_get_int(m->body, "exit_code", &code) == 1 && code >= 0 &&
        code <= 255)
        ended(t, code);
    else if (m->type == MSG_ERROR)
        refused(t, m);
    else if (m->type != MSG_STARTED)
        mistake(t);
}

static void take_frame(struct terminal *t, const struct frame *f)
{
    struct message m;
    const char *why;
    if (f->payload[0] != '{') {
        t->front->metrics.bytes[METRICS_OUTPUT] += f->len - 1;
        tail_put(&t->tail, f->payload + 1, f->len - 1);
        if (t->viewer && f->len > 1)
            viewer_show(t->viewer, f->payload + 1, f->len - 1);
    } else if (message_parse(&m, f->payload, f->len, &why) == 0) {
        take_message(t, &m);
        message_fini(&m);
    } else {
        mistake(t);
    }
}

static void take_frames(struct terminal *t)
{
    struct frame f;
    enum frame_status status;
    while (t->stream && (!t->viewer || viewer_room(t->viewer) > 0) &&
           (status = frame_read(&t->frames, t->stream, &f)) != FRAME_MORE) {
        if (status == FRAME_BAD)
            mistake(t);
        else
            take_frame(t, &f);
    }
}

static void on_place(void *arg, struct stream *s, enum stream_event event)
{
    struct terminal *t = arg;
    (void)s;
    switch (event) {
    case STREAM_OPEN: break;
    case STREAM_DATA: take_frames(t); break;
    case STREAM_DRAINED:
        if (t->viewer)
            viewer_hold(t->viewer, false);
        break;
    case STREAM_EOF:
    case STREAM_ERROR: lost(t); break;
    }
}

/* ---- from the client ---- */

static void put_size(struct draft *d, struct json_node *to, struct terminal_size size)
{
    if (size.rows)
        json_put_int(d->out, to, "rows", size.rows);
    if (size.cols)
        json_put_int(d->out, to, "cols", size.cols);
}

/* Whatever the client says becomes bytes for the place, which may take none. */
static void hold_up(struct terminal *t)
{
    if (t->viewer && stream_room(t->stream) == 0)
        viewer_hold(t->viewer, true);
}

static void resize(struct terminal *t, struct terminal_size size)
{
    if (!t->stream || !size.rows || !size.cols)
        return;
    struct draft d = draft_of(MSG_RESIZE);
    put_size(&d, d.root, size);
    draft_send(&d, t->stream);
    hold_up(t);
}

static void on_input(void *arg, const uint8_t *data, size_t len)
{
    struct terminal *t = arg;
    if (!t->stream)
        return;
    t->front->metrics.bytes[METRICS_INPUT] += len;
    frame_write_data(t->stream, CHANNEL_STDIN, data, len);
    hold_up(t);
}

static void on_resized(void *arg, uint16_t rows, uint16_t cols)
{
    resize(arg, (struct terminal_size){rows, cols});
}

static void on_drained(void *arg)
{
    take_frames(arg);
}

static void on_gone(void *arg, bool done)
{
    struct terminal *t = arg;
    t->viewer = NULL;
    if (done) {
        terminal_free(t);
        return;
    }
    loop_timer_set(&t->alone, t->limits->alone_ms);
    take_frames(t);
}

static void on_unproven(void *arg, enum lease_end end)
{
    struct terminal *t = arg;
    struct viewer *v = t->viewer;
    cleanup_free char *why = xasprintf("The token %s.", lease_why(end));
    cleanup_free char *words = error_text(API_UNAUTHORIZED, why);
    if (v) {
        viewer_tell(v, words);
        viewer_end(v, WS_POLICY, "");
        on_gone(t, end == LEASE_REVOKED);
    } else if (end == LEASE_REVOKED) {
        terminal_free(t);
    }
}

static const struct viewer_events viewer_events = {
    .input = on_input, .resized = on_resized, .drained = on_drained, .gone = on_gone};

/* ---- the owner's calls ---- */

struct terminal *terminal_find(struct front *f, const struct principal *who, const char *id)
{
    struct terminal *t = f->terminals;
    while (t && (strcmp(t->owner.id, who->id) != 0 || strcmp(t->id, id) != 0))
        t = t->next;
    return t;
}

unsigned terminal_count(const struct front *f, const struct principal *who)
{
    unsigned n = 0;
    for (const struct terminal *t = f->terminals; t; t = t->next)
        n += strcmp(t->owner.id, who->id) == 0;
    return n;
}

unsigned terminals_count(const struct front *f)
{
    unsigned n = 0;
    for (const struct terminal *t = f->terminals; t; t = t->next)
        n++;
    return n;
}

static void start(struct terminal *t, struct terminal_size size)
{
    struct draft d = draft_of(MSG_EXEC_STREAM);
    struct json_node *pty = json_put_object(d.out, d.root, "pty");
    put_size(&d, pty, size);
    json_put_str(d.out, pty, "term", TERM);
    draft_send(&d, t->stream);
    stream_own(t->stream, on_place, t);
}

void terminal_begin(struct front *f, const struct terminal_spec *spec, struct stream *stream,
                    struct stream *carrier)
{
    struct terminal *t = xcalloc(1, sizeof *t);
    uint8_t id[TERMINAL_ID_LEN / 2];
    key_random(id, sizeof id);
    hex_encode(t->id, id, sizeof id);
    t->front = f;
    t->limits = spec->limits;
    t->entry = spec->entry;
    t->owner = spec->proof->who;
    t->greeting = greeting_of(t, spec->place);
    t->frames.limit = FRAME_MAX;
    t->stream = stream;
    loop_timer_init(f->loop, &t->alone, on_alone, t);
    t->lease.fn = on_unproven;
    t->lease.arg = t;
    t->next = f->terminals;
    if (t->next)
        t->next->prev = t;
    f->terminals = t;
    start(t, spec->size);
    terminal_show(t, carrier, (struct terminal_size){0}, spec->proof);
}

void terminal_show(struct terminal *t, struct stream *carrier, struct terminal_size size,
                   const struct proof *proof)
{
    struct buf said = {0};
    loop_timer_del(&t->alone);
    lease_begin(&t->front->leases, &t->lease, proof);
    viewer_end(t->viewer, VIEWER_TAKEN_OVER, "another client has this terminal now");
    t->viewer = viewer_new(carrier, t->limits->silence_ms, &viewer_events, t);
    viewer_tell(t->viewer, t->greeting);
    tail_read(&t->tail, &said);
    if (said.len)
        viewer_show(t->viewer, buf_front(&said), said.len);
    buf_fini(&said);
    if (!t->stream)
        say_goodbye(t);
    else
        resize(t, size);
}

void terminal_refuse(struct stream *carrier, enum api_error code, const char *why)
{
    static const struct viewer_events nothing = {0};
    cleanup_free char *words = error_text(code, why);
    struct viewer *v = viewer_new(carrier, VIEWER_SILENCE_MS, &nothing, NULL);
    viewer_tell(v, words);
    viewer_end(v, WS_INTERNAL, "");
}

void terminals_end(struct front *f)
{
    for (struct terminal *t = f->terminals; t; t = f->terminals) {
        viewer_end(t->viewer, WS_GOING_AWAY, "the broker ends");
        terminal_free(t);
    }
}
