#include "applets/service/workload.h"

void workload_init(struct workload *w, struct loop *loop)
{
    *w = (struct workload){.answers = {OUTPUT_BUDGET}, .kept = {OUTPUT_BUDGET}};
    jobs_init(&w->jobs, loop, &w->kept);
    tasks_init(&w->tasks, loop, &w->environment, &w->kept);
}

void workload_fini(struct workload *w)
{
    jobs_fini(&w->jobs);
    tasks_fini(&w->tasks);
    environment_fini(&w->environment);
}
