/* exec.c: Exec: a command run to its end, its output in one answer.
 *
 * What is past the limits of output.h is read and dropped, so that a command that says more
 * than anybody will read still ends. */
#include <stdlib.h>
#include <sys/wait.h>

#include "applets/service/child.h"
#include "applets/service/output.h"
#include "applets/service/service.h"
#include "applets/service/workload.h"
#include "core/mem.h"

#define FIELDS_MAX 1024 /* bytes of an answer beside the texts */

struct exec {
    struct request *request;
    struct child *child;
    uint32_t timeout_secs;
    struct output output;
};

static void keep(void *arg, uint8_t channel, const void *data, size_t len)
{
    struct exec *e = arg;
    output_keep(&e->output, channel, data, len);
}

static void answer(struct exec *e, int exit_code)
{
    struct request *r = e->request;
    struct draft d = draft_of(MSG_EXEC_RESULT);
    draft_int(&d, "exit_code", exit_code);
    output_put(&e->output, d.out, d.root, r->service->frame_limit - FIELDS_MAX);
    request_answer(r, &d);
    request_end(r);
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
    output_fini(&e->output);
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
    struct command command = {.root = policy_root(r->service->policy)};
    struct fault why;
    struct exec *e = xcalloc(1, sizeof *e);
    struct workload *w = r->service->workload;
    e->request = r;
    output_init(&e->output, &w->answers);
    r->state = e;
    r->abort = discard;
    stream_own(r->stream, on_event, r);
    if (command_of_exec(&command, r->message.body, &why) == 0 &&
        command_prepare(&command, &w->environment, &why) == 0)
        e->child = child_start(r->service->loop, &command, &events, e, &why);
    e->timeout_secs = command.timeout_secs;
    command_fini(&command);
    if (!e->child)
        request_fail(r, why.code, "%s", why.text);
}
