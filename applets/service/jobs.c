#include "applets/service/jobs.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "core/mem.h"

void jobs_init(struct jobs *jobs, struct loop *loop, struct output_budget *budget)
{
    *jobs = (struct jobs){.loop = loop, .budget = budget};
}

struct job *jobs_find(const struct jobs *jobs, uint64_t id)
{
    struct job *job = jobs->first;
    while (job && job->id != id)
        job = job->next;
    return job;
}

/* Those who wait. */

void job_await(struct job *job, struct job_wait *wait, loop_fn *fn, void *arg)
{
    *wait = (struct job_wait){.job = job, .next = job->waits, .fn = fn, .arg = arg};
    if (wait->next)
        wait->next->prev = wait;
    job->waits = wait;
}

void job_wait_del(struct job_wait *wait)
{
    if (!wait->job)
        return;
    if (wait->next)
        wait->next->prev = wait->prev;
    *(wait->prev ? &wait->prev->next : &wait->job->waits) = wait->next;
    wait->job = NULL;
}

static void tell(struct job *job)
{
    struct job_wait *wait;
    while ((wait = job->waits)) {
        job_wait_del(wait);
        wait->fn(wait->arg);
    }
}

/* A job's life. */

static void keep(void *arg, uint8_t channel, const void *data, size_t len)
{
    struct job *job = arg;
    output_keep(&job->output, channel, data, len);
}

static void exited(void *arg, int status)
{
    struct job *job = arg;
    job->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    child_free(job->child);
    job->child = NULL;
    output_settle(&job->output);
    tell(job);
}

static const struct child_events events = {.output = keep, .exited = exited};

static uint32_t new_id(struct jobs *jobs)
{
    do
        jobs->last_id++;
    while (jobs->last_id == 0 || jobs_find(jobs, jobs->last_id));
    return jobs->last_id;
}

static void link_first(struct jobs *jobs, struct job *job)
{
    job->id = new_id(jobs);
    job->next = jobs->first;
    if (job->next)
        job->next->prev = job;
    jobs->first = job;
    jobs->count++;
}

struct job *jobs_start(struct jobs *jobs, const struct command *command, struct fault *why)
{
    if (jobs->count >= JOBS_MAX) {
        fault_set(why, ERR_INVALID_REQUEST, "too many background jobs (%zu active, max %d)",
                  jobs->count, JOBS_MAX);
        return NULL;
    }
    struct job *job = xcalloc(1, sizeof *job);
    job->jobs = jobs;
    output_init(&job->output, jobs->budget);
    job->child = child_start(jobs->loop, command, &events, job, why);
    if (!job->child) {
        free(job);
        return NULL;
    }
    link_first(jobs, job);
    return job;
}

void job_forget(struct job *job)
{
    struct jobs *jobs = job->jobs;
    if (job->next)
        job->next->prev = job->prev;
    *(job->prev ? &job->prev->next : &jobs->first) = job->next;
    jobs->count--;
    output_fini(&job->output);
    loop_reap(jobs->loop, job, free);
}

void jobs_fini(struct jobs *jobs)
{
    while (jobs->first) {
        if (jobs->first->child)
            child_kill(jobs->first->child);
        job_forget(jobs->first);
    }
}
