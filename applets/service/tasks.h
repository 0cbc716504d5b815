/* tasks.h: commands that were assigned by message: a few at a time, the rest in order, their
 * results kept until they are fetched. PROTOCOLS, section 5: TeamMessage, PollDaemonResults.
 *
 * An assignment is a JSON text {task_id, command, workdir?, env?, timeout_secs=300}. Once it
 * was taken it has a result, whatever becomes of it:
 *
 *   it ran                           success: exit_code 0     exit_code: -1 killed by a signal
 *   it could not be run, or may not  exit_code -1             stderr "exec failed: WHY"
 *   it took too long, and was killed exit_code -1             stderr "task timed out after Ns"
 *   it has no task_id or no command  exit_code -2, task_id "unknown"
 *                                    stderr "failed to parse task_assignment content: …" */
#ifndef SERVICE_TASKS_H
#define SERVICE_TASKS_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/service/child.h"
#include "applets/service/output.h"

#define TASKS_AT_ONCE     4
#define TASKS_MAX         1000               /* waiting, running and not yet fetched, together */
#define TASKS_WAITING_MAX ((size_t)16 << 20) /* bytes of the assignments that wait */
#define TASK_ID_MAX       256                /* bytes of a task's id, and of a message's */
#define TASK_WORKDIR      "/workspace"       /* where none is named, if it is there; else $HOME */

struct task {
    struct tasks *tasks;
    struct task *next;
    char *task_id, *message_id;
    size_t weight; /* bytes of its assignment */
    struct command command;
    struct child *child; /* NULL: it does not run */
    uint64_t started_ms; /* 0: it never ran */
    /* The result. */
    uint64_t elapsed_secs;
    int exit_code;
    struct output output;
};

struct task_queue {
    struct task *first, *last;
    size_t count;
};

struct tasks {
    struct loop *loop;
    const struct environment *environment; /* borrowed, as is the budget */
    struct output_budget *budget;
    struct task_queue waiting, finished; /* the oldest first */
    size_t waiting_bytes;
    struct task *running[TASKS_AT_ONCE];
    size_t running_count;
};

void tasks_init(struct tasks *tasks, struct loop *loop, const struct environment *environment,
                struct output_budget *budget);
/* Kills those that run, as groups, and forgets all. */
void tasks_fini(struct tasks *tasks);

/* 0, or -1 with *why when there are too many already. */
int tasks_assign(struct tasks *tasks, const char *assignment, const char *message_id,
                 struct fault *why);
/* Waiting and running. */
size_t tasks_pending(const struct tasks *tasks);

/* The oldest result, or NULL; and forgets it. */
const struct task *tasks_oldest(const struct tasks *tasks);
void tasks_forget_oldest(struct tasks *tasks);

#endif
