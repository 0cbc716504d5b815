/* exec_stream.c: ExecStream: a command with its input and output as they come.
 *
 * From the opener: data frames on channel 0 for standard input, an empty one for its end;
 * Resize. To the opener: Started, data frames on 1 and 2 (a pty has only 1), an empty one
 * where that output was closed; then Exited, or Error (Timeout) when it was killed.
 *
 * Either side holds the other up: while the opener takes nothing the command's pipes are not
 * read, and while the command's standard input is full no frame is. */
#include <stdlib.h>
#include <sys/wait.h>

#include "applets/service/child.h"
#include "applets/service/service.h"
#include "applets/service/signal_name.h"
#include "applets/service/workload.h"
#include "core/mem.h"
#include "core/proc.h"

struct run {
    struct request *request;
    struct child *child;
    uint32_t timeout_secs;
    uint64_t started_ms;
};

/* What the command says. */

static void pass_output(void *arg, uint8_t channel, const void *data, size_t len)
{
    struct run *run = arg;
    struct stream *s = run->request->stream;
    frame_write_data(s, channel, data, len);
    if (stream_room(s) == 0)
        child_pause(run->child);
}

static void exited(void *arg, int status)
{
    struct run *run = arg;
    struct request *r = run->request;
    char number[SIGNAL_NAME_MAX];
    struct draft d = draft_of(MSG_EXITED);
    draft_int(&d, "exit_code", proc_exit_code(status));
    if (WIFSIGNALED(status))
        draft_str(&d, "signal", signal_name(WTERMSIG(status), number));
    draft_int(&d, "duration_ms", (int64_t)(loop_now_ms(r->service->loop) - run->started_ms));
    draft_send(&d, r->stream);
    request_end(r);
}

static void timed_out(void *arg)
{
    struct run *run = arg;
    request_fail(run->request, ERR_TIMEOUT, "command timed out after %us", run->timeout_secs);
}

/* What the opener says. All return false when the request has ended by it. */

static bool refuse(struct run *run, const char *why)
{
    request_fail(run->request, ERR_INVALID_REQUEST, "%s", why);
    return false;
}

static bool take_data(struct run *run, const struct frame *f)
{
    if (f->payload[0] != CHANNEL_STDIN)
        return refuse(run, "data on a channel other than standard input's");
    if (f->len > 1)
        child_write(run->child, f->payload + 1, f->len - 1);
    else
        child_end_input(run->child);
    return true;
}

static bool resize(struct run *run, const struct message *m)
{
    uint16_t rows = 0, cols = 0;
    struct fault why;
    if (m->type != MSG_RESIZE)
        return refuse(run, "only Resize and data may follow ExecStream");
    if (command_size(m->body, &rows, &cols, &why) != 0)
        return refuse(run, why.text);
    child_resize(run->child, rows, cols);
    return true;
}

static bool take_message(struct run *run, const struct frame *f)
{
    const char *why;
    struct message m;
    if (message_parse(&m, f->payload, f->len, &why) != 0)
        return refuse(run, why);
    bool on = resize(run, &m);
    message_fini(&m);
    return on;
}

static void take_frames(struct run *run)
{
    struct request *r = run->request;
    struct frame f;
    bool on = true;
    while (on && child_room(run->child) > 0) {
        switch (frame_read(&r->frames, r->stream, &f)) {
        case FRAME_MORE: return;
        case FRAME_BAD: on = refuse(run, "a frame is empty or over the limit"); break;
        case FRAME_READY: on = f.payload[0] == '{' ? take_message(run, &f) : take_data(run, &f);
        }
    }
}

static void input_drained(void *arg)
{
    take_frames(arg);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    struct request *r = arg;
    struct run *run = r->state;
    (void)s;
    switch (event) {
    case STREAM_OPEN: break;
    case STREAM_DATA: take_frames(run); break;
    case STREAM_DRAINED: child_resume(run->child); break;
    case STREAM_EOF:
    case STREAM_ERROR: request_reset(r); break; /* the command is hung up on */
    }
}

/* The beginning and the end. */

static const struct child_events events = {
    .output = pass_output,
    .drained = input_drained,
    .exited = exited,
    .timed_out = timed_out,
};

static void discard(struct request *r)
{
    struct run *run = r->state;
    child_free(run->child);
    loop_reap(r->service->loop, run, free);
}

static void started(struct run *run)
{
    struct request *r = run->request;
    struct draft d = draft_of(MSG_STARTED);
    draft_int(&d, "pid", child_pid(run->child));
    draft_send(&d, r->stream);
    stream_own(r->stream, on_event, r);
}

void serve_exec_stream(struct request *r)
{
    struct command command = {.root = policy_root(r->service->policy)};
    struct fault why;
    struct run *run = xcalloc(1, sizeof *run);
    *run = (struct run){.request = r, .started_ms = loop_now_ms(r->service->loop)};
    r->state = run;
    r->abort = discard;
    if (command_of_stream(&command, r->message.body, &why) == 0 &&
        command_prepare(&command, &r->service->workload->environment, &why) == 0)
        run->child = child_start(r->service->loop, &command, &events, run, &why);
    run->timeout_secs = command.timeout_secs;
    command_fini(&command);
    if (run->child)
        started(run);
    else
        request_fail(r, why.code, "%s", why.text);
}
