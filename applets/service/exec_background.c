/* exec_background.c: ExecBackground, ExecPoll, ExecKill: commands that nobody waits for. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "applets/service/service.h"
#include "applets/service/workload.h"
#include "core/mem.h"

#define FIELDS_MAX   1024 /* bytes of an answer beside the texts */
#define SIGNAL_MAX   64
#define KILL_WAIT_MS 500 /* for a job to be over after a signal */

void serve_exec_background(struct request *r)
{
    struct workload *w = r->service->workload;
    struct command command = {.root = policy_root(r->service->policy)};
    struct fault why;
    struct job *job = NULL;
    if (command_of_background(&command, r->message.body, &why) == 0 &&
        command_prepare(&command, &w->environment, &why) == 0)
        job = jobs_start(&w->jobs, &command, &why);
    command_fini(&command);
    if (!job) {
        request_fail(r, why.code, "%s", why.text);
        return;
    }
    struct draft d = draft_of(MSG_BACKGROUND_STARTED);
    draft_int(&d, "job_id", job->id);
    draft_send(&d, r->stream);
    request_end(r);
}

/* The job that is meant, or NULL: the request has then failed. */
static struct job *find(struct request *r)
{
    uint64_t id;
    if (json_get_uint(r->message.body, "job_id", &id) != 1) {
        request_fail(r, ERR_INVALID_REQUEST, "job_id: missing, or not a number from 0 on");
        return NULL;
    }
    struct job *job = jobs_find(&r->service->workload->jobs, id);
    if (!job)
        request_fail(r, ERR_NOT_FOUND, "unknown job_id: %llu", (unsigned long long)id);
    return job;
}

void serve_exec_poll(struct request *r)
{
    struct job *job = find(r);
    if (!job)
        return;
    struct draft d = draft_of(MSG_BACKGROUND_STATUS);
    draft_bool(&d, "running", job->child);
    if (!job->child)
        draft_int(&d, "exit_code", job->exit_code);
    output_put(&job->output, d.out, d.root, r->service->frame_limit - FIELDS_MAX);
    request_answer(r, &d);
    if (!job->child)
        job_forget(job);
    request_end(r);
}

/* ExecKill: what is signalled may take its time to die, or not die of it at all. */

struct killing {
    struct request *request;
    struct job_wait wait;
    struct loop_timer patience;
};

static void done(void *arg)
{
    struct killing *k = arg;
    message_send(k->request->stream, MSG_OK);
    request_end(k->request);
}

static void discard(struct request *r)
{
    struct killing *k = r->state;
    job_wait_del(&k->wait);
    loop_timer_del(&k->patience);
    loop_reap(r->service->loop, k, free);
}

static void await_end(struct request *r, struct job *job)
{
    struct killing *k = xcalloc(1, sizeof *k);
    k->request = r;
    r->state = k;
    r->abort = discard;
    job_await(job, &k->wait, done, k);
    loop_timer_init(r->service->loop, &k->patience, done, k);
    loop_timer_set(&k->patience, KILL_WAIT_MS);
}

void serve_exec_kill(struct request *r)
{
    int64_t signo = SIGKILL;
    if (json_get_int(r->message.body, "signal", &signo) < 0 || signo < 1 || signo > SIGNAL_MAX) {
        request_fail(r, ERR_INVALID_REQUEST, "signal: not 1 to %d", SIGNAL_MAX);
        return;
    }
    struct job *job = find(r);
    if (!job)
        return;
    if (!job->child) {
        message_send(r->stream, MSG_OK);
        request_end(r);
    } else if (child_signal(job->child, (int)signo) != 0) {
        request_fail(r, fault_code(errno), "job %u: %s", job->id, strerror(errno));
    } else {
        await_end(r, job);
    }
}
