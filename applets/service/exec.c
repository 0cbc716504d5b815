/* exec.c: Exec: a command run to its end, its output in one answer.
 *
 * Of each output 2 MiB are kept and the rest is read and dropped, so that a command that
 * says more than anybody will read still ends. The answer has to fit into one frame as well,
 * where JSON writes some bytes longer than they are; what is cut is said to be. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "applets/service/child.h"
#include "applets/service/service.h"
#include "core/mem.h"
#include "core/utf8.h"

#define KEPT_MAX  ((size_t)2 << 20)            /* bytes of each output */
#define TEXTS_MAX ((size_t)FRAME_LIMIT - 1024) /* of both as JSON; the rest is for the fields */

struct output {
    struct buf kept;
    bool truncated;
};

struct exec {
    struct request *request;
    struct child *child;
    uint32_t timeout_secs;
    struct output out, err;
};

static void keep(void *arg, uint8_t channel, const void *data, size_t len)
{
    struct exec *e = arg;
    struct output *o = channel == CHANNEL_STDERR ? &e->err : &e->out;
    size_t room = KEPT_MAX - o->kept.len;
    buf_append(&o->kept, data, len < room ? len : room);
    o->truncated |= len > room;
}

/* Bytes that JSON makes of one character of `step` bytes. */
static size_t json_cost(uint8_t first, size_t step, bool valid)
{
    if (!valid)
        return 3; /* U+FFFD */
    if (first && strchr("\b\t\n\f\r\"\\", first))
        return 2;
    return first < 0x20 ? 6 : step;
}

/* How much of the output takes no more than `budget` as JSON; *cost: what that takes. */
static size_t fitting(const struct output *o, size_t budget, size_t *cost)
{
    const uint8_t *text = buf_front(&o->kept);
    size_t at = 0;
    *cost = 0;
    while (at < o->kept.len) {
        bool valid;
        size_t step = utf8_step(text + at, o->kept.len - at, &valid);
        size_t more = json_cost(text[at], step, valid);
        if (*cost + more > budget)
            break;
        *cost += more;
        at += step;
    }
    return at;
}

static void put_output(struct draft *d, const char *key, const struct output *o, size_t len)
{
    json_put_text(d->out, d->root, key, buf_front(&o->kept), len);
}

/* What one output leaves of its half is the other's. */
static void answer(struct exec *e, int exit_code)
{
    size_t out_cost, err_cost;
    fitting(&e->err, TEXTS_MAX / 2, &err_cost);
    size_t out_len = fitting(&e->out, TEXTS_MAX - err_cost, &out_cost);
    size_t err_len = fitting(&e->err, TEXTS_MAX - out_cost, &err_cost);
    struct draft d = draft_of(MSG_EXEC_RESULT);
    draft_int(&d, "exit_code", exit_code);
    put_output(&d, "stdout", &e->out, out_len);
    put_output(&d, "stderr", &e->err, err_len);
    if (e->out.truncated || out_len < e->out.kept.len)
        draft_bool(&d, "stdout_truncated", true);
    if (e->err.truncated || err_len < e->err.kept.len)
        draft_bool(&d, "stderr_truncated", true);
    draft_send(&d, e->request->stream);
    request_end(e->request);
}

static void exited(void *arg, int status)
{
    answer(arg, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void timed_out(void *arg)
{
    struct exec *e = arg;
    request_fail(e->request, ERR_TIMEOUT, "command timed out after %us", e->timeout_secs);
}

static const struct child_events events = {
    .output = keep,
    .exited = exited,
    .timed_out = timed_out,
};

static void discard(struct request *r)
{
    struct exec *e = r->state;
    child_free(e->child);
    buf_fini(&e->out.kept);
    buf_fini(&e->err.kept);
    loop_reap(r->service->loop, e, free);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    struct request *r = arg;
    (void)s;
    if (event == STREAM_DATA)
        request_drop_input(r);
    else if (event == STREAM_EOF || event == STREAM_ERROR)
        request_reset(r); /* nobody waits for the answer */
}

void serve_exec(struct request *r)
{
    struct command command = {0};
    struct fault why;
    struct exec *e = xcalloc(1, sizeof *e);
    e->request = r;
    r->state = e;
    r->abort = discard;
    stream_own(r->stream, on_event, r);
    if (command_of_exec(&command, r->message.body, &why) == 0)
        e->child = child_start(r->service->loop, &command, &events, e, &why);
    e->timeout_secs = command.timeout_secs;
    command_fini(&command);
    if (!e->child)
        request_fail(r, why.code, "%s", why.text);
}
