/* run_command.c: frames from the agent become output, input becomes frames; each held up by the other
 * side's room. Standard output and error share the connection, so one that nobody reads holds
 * up the other. */
#include "applets/service/run_command.h"

#include <errno.h>
#include <string.h>

#include "applets/service/standard.h"
#include "core/mem.h"

#define PIECE ((size_t)64 << 10) /* of input in one frame */

struct output {
    struct run *run;
    struct stream *stream;
    const char *name;
    bool ended; /* the command has closed it */
};

struct run {
    struct visit *visit;
    struct run_spec *spec;
    struct talk talk;
    struct stream *input; /* once the command runs, where it is passed on */
    bool input_ended;
    bool started;
    struct output out, err;
};

/* ---- input ---- */

static void end_input(struct run *r)
{
    if (!r->input_ended)
        frame_write_data(r->talk.stream, CHANNEL_STDIN, NULL, 0);
    r->input_ended = true;
}

static void pass_input(struct run *r)
{
    const uint8_t *data;
    size_t len;
    while (r->input && stream_room(r->talk.stream) > 0 && (data = stream_peek(r->input, &len))) {
        len = len < PIECE ? len : PIECE;
        frame_write_data(r->talk.stream, CHANNEL_STDIN, data, len);
        stream_consume(r->input, len);
    }
    if (r->input && stream_ended(r->input))
        end_input(r);
}

static void on_input(void *arg, struct stream *s, enum stream_event event)
{
    struct run *r = arg;
    if (event != STREAM_ERROR) {
        pass_input(r);
        return;
    }
    visit_fail(r->visit, "standard input: %s", strerror(stream_error(s)));
}

/* ---- output ---- */

static bool takes(const struct output *o)
{
    return o->ended || stream_room(o->stream) > 0;
}

static void take_data(struct run *r, const struct frame *f)
{
    struct output *o = f->payload[0] == CHANNEL_STDOUT   ? &r->out
                       : f->payload[0] == CHANNEL_STDERR ? &r->err
                                                         : NULL;
    if (!o || !r->started) {
        visit_lost(r->visit, EPROTO);
    } else if (f->len > 1) {
        stream_write(o->stream, f->payload + 1, f->len - 1);
    } else {
        o->ended = true;
        stream_shutdown(o->stream);
    }
}

/* ---- what the agent says of the command ---- */

static void begin(struct run *r)
{
    r->started = true;
    if (r->spec->started)
        r->spec->started(r, r->spec->arg);
    if (!r->spec->input)
        return;
    r->input = standard_open(r->visit->loop, 0);
    stream_own(r->input, on_input, r);
}

static void exited(struct run *r, const struct message *m)
{
    int64_t code;
    if (r->started && json_get_int(m->body, "exit_code", &code) == 1 && code >= 0 && code <= 255)
        visit_end(r->visit, (int)code);
    else
        visit_lost(r->visit, EPROTO);
}

/* As docker exec and timeout(1) have them. */
static int status_of_error(const struct visit *v, const char *code)
{
    switch (errno_of_error_code(code ? code : "")) {
    case ENOENT: return RUN_NOT_FOUND;
    case EACCES: return RUN_FORBIDDEN;
    case ETIMEDOUT: return RUN_TIMED_OUT;
    default: return v->failure;
    }
}

static void take_message(struct run *r, const struct frame *f)
{
    struct message m;
    if (!talk_message(&r->talk, f, &m))
        return;
    if (m.type == MSG_STARTED && !r->started) {
        begin(r);
    } else if (m.type == MSG_EXITED) {
        exited(r, &m);
    } else {
        r->visit->failure = status_of_error(r->visit, json_get_str(m.body, "code"));
        talk_refused(&r->talk, &m);
    }
    message_fini(&m);
}

static void take_frames(struct run *r)
{
    struct frame f;
    while (takes(&r->out) && takes(&r->err) && talk_frame(&r->talk, &f)) {
        if (f.payload[0] == '{')
            take_message(r, &f);
        else
            take_data(r, &f);
    }
}

static void on_output(void *arg, struct stream *s, enum stream_event event)
{
    struct output *o = arg;
    if (event == STREAM_DRAINED)
        take_frames(o->run);
    else if (event == STREAM_ERROR)
        visit_output_failed(o->run->visit, o->name, stream_error(s));
}

static void on_agent(void *arg, struct stream *s, enum stream_event event)
{
    struct run *r = arg;
    switch (event) {
    case STREAM_OPEN: break;
    case STREAM_DATA: take_frames(r); break;
    case STREAM_DRAINED: pass_input(r); break;
    case STREAM_EOF: visit_lost(r->visit, ECONNRESET); break;
    case STREAM_ERROR: visit_lost(r->visit, stream_error(s)); break;
    }
}

/* ---- the beginning and the end ---- */

void run_resize(struct run *r, uint16_t rows, uint16_t cols)
{
    struct draft d = draft_of(MSG_RESIZE);
    draft_int(&d, "rows", rows);
    draft_int(&d, "cols", cols);
    draft_send(&d, r->talk.stream);
}

static void open_output(struct run *r, struct output *o, int fd, const char *name)
{
    *o = (struct output){.run = r, .name = name};
    o->stream = standard_open(r->visit->loop, fd);
    stream_own(o->stream, on_output, o);
}

int run_command(struct visit *v, struct run_spec *spec)
{
    struct run r = {.visit = v, .spec = spec, .talk.visit = v};
    open_output(&r, &r.out, 1, "standard output");
    open_output(&r, &r.err, 2, "standard error");
    talk_start(&r.talk, &spec->request, on_agent, &r);
    int status = visit_run(v);
    talk_fini(&r.talk);
    stream_reset(r.input);
    stream_reset(r.out.stream);
    stream_reset(r.err.stream);
    return status;
}
