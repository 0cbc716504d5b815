/* workload.h: what the commands of one agent share, whoever asked for them. */
#ifndef SERVICE_WORKLOAD_H
#define SERVICE_WORKLOAD_H

#include "applets/service/environment.h"
#include "applets/service/jobs.h"
#include "applets/service/output.h"
#include "applets/service/tasks.h"

struct workload {
    struct environment environment; /* what SetEnv set */
    struct output_budget answers;   /* for those whose openers wait */
    struct output_budget kept;      /* for jobs and tasks, until somebody asks */
    struct jobs jobs;
    struct tasks tasks;
};

void workload_init(struct workload *w, struct loop *loop);
/* Kills what runs, as groups. To be called when every service that used it is finished. */
void workload_fini(struct workload *w);

#endif
