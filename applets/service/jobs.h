/* jobs.h: commands that run on while nobody waits for them. PROTOCOLS, section 5.
 *
 * A job is over when its own process is; it is then kept, without a descriptor or a process,
 * until somebody has been told how it ended. */
#ifndef SERVICE_JOBS_H
#define SERVICE_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/service/child.h"
#include "applets/service/output.h"

#define JOBS_MAX 1000 /* running and not yet forgotten, together */

struct jobs {
    struct loop *loop;
    struct output_budget *budget; /* borrowed */
    struct job *first;
    size_t count;
    uint32_t last_id;
};

struct job {
    struct jobs *jobs;
    struct job *next, *prev;
    uint32_t id;
    struct child *child; /* NULL: it is over */
    int exit_code;       /* once it is over; -1: killed by a signal */
    struct output output;
    struct job_wait *waits;
};

void jobs_init(struct jobs *jobs, struct loop *loop, struct output_budget *budget);
/* Kills those that run, as groups, and forgets all. Nobody may be waiting for one. */
void jobs_fini(struct jobs *jobs);

/* NULL with *why. Ids count from 1. */
struct job *jobs_start(struct jobs *jobs, const struct command *command, struct fault *why);
/* NULL: there is none, or it was forgotten. */
struct job *jobs_find(const struct jobs *jobs, uint64_t id);
/* One that is over. Its memory stays valid till the loop's turn ends. */
void job_forget(struct job *job);

/* To be told, once, when a job that runs is over. */
struct job_wait {
    struct job *job; /* NULL: not waiting */
    struct job_wait *next, *prev;
    loop_fn *fn;
    void *arg;
};
void job_await(struct job *job, struct job_wait *wait, loop_fn *fn, void *arg);
void job_wait_del(struct job_wait *wait);

#endif
