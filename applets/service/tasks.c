#include "applets/service/tasks.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/frame.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"

#define KILLED     (-1) /* exit codes */
#define NOT_RUN    (-1)
#define NOT_PARSED (-2)
#define SHOWN_MAX  200 /* characters of an assignment that cannot be read */

void tasks_init(struct tasks *tasks, struct loop *loop, const struct environment *environment,
                struct output_budget *budget)
{
    *tasks = (struct tasks){.loop = loop, .environment = environment, .budget = budget};
}

size_t tasks_pending(const struct tasks *tasks)
{
    return tasks->waiting.count + tasks->running_count;
}

/* Queues: what is taken out of one is freed, or goes into the next. */

static void push(struct task_queue *q, struct task *task)
{
    task->next = NULL;
    *(q->last ? &q->last->next : &q->first) = task;
    q->last = task;
    q->count++;
}

static struct task *pop(struct task_queue *q)
{
    struct task *task = q->first;
    q->first = task->next;
    if (!q->first)
        q->last = NULL;
    q->count--;
    return task;
}

static void task_free(void *p)
{
    struct task *task = p;
    free(task->task_id);
    free(task->message_id);
    command_fini(&task->command);
    free(task);
}

static void forget(struct task *task)
{
    output_fini(&task->output);
    loop_reap(task->tasks->loop, task, task_free);
}

/* The end of a task. */

static void finish(struct task *task, int exit_code)
{
    struct tasks *tasks = task->tasks;
    task->exit_code = exit_code;
    if (task->started_ms)
        task->elapsed_secs = (loop_now_ms(tasks->loop) - task->started_ms) / 1000;
    command_fini(&task->command);
    output_settle(&task->output);
    push(&tasks->finished, task);
}

/* With that for its standard error, and nothing else. */
__attribute__((format(printf, 3, 4))) static void fail(struct task *task, int exit_code,
                                                       const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    output_fini(&task->output);
    output_keep(&task->output, CHANNEL_STDERR, text, strlen(text));
    finish(task, exit_code);
}

static void keep(void *arg, uint8_t channel, const void *data, size_t len)
{
    struct task *task = arg;
    output_keep(&task->output, channel, data, len);
}

/* Running. */

static void start_waiting(struct tasks *tasks);

static void stop_running(struct task *task)
{
    struct tasks *tasks = task->tasks;
    size_t at = 0;
    while (tasks->running[at] != task)
        at++;
    tasks->running[at] = tasks->running[--tasks->running_count];
    child_free(task->child);
    task->child = NULL;
}

static void exited(void *arg, int status)
{
    struct task *task = arg;
    stop_running(task);
    finish(task, WIFEXITED(status) ? WEXITSTATUS(status) : KILLED);
    start_waiting(task->tasks);
}

static void timed_out(void *arg)
{
    struct task *task = arg;
    stop_running(task);
    fail(task, NOT_RUN, "task timed out after %us", task->command.timeout_secs);
    start_waiting(task->tasks);
}

static const struct child_events events = {
    .output = keep,
    .exited = exited,
    .timed_out = timed_out,
};

static void choose_dir(struct command *c)
{
    struct stat st;
    if (!c->dir && stat(TASK_WORKDIR, &st) == 0 && S_ISDIR(st.st_mode))
        c->dir = xstrdup(TASK_WORKDIR);
}

static void start(struct task *task)
{
    struct tasks *tasks = task->tasks;
    struct fault why;
    choose_dir(&task->command);
    if (command_prepare(&task->command, tasks->environment, &why) == 0)
        task->child = child_start(tasks->loop, &task->command, &events, task, &why);
    if (!task->child) {
        fail(task, NOT_RUN, "exec failed: %s", why.text);
        return;
    }
    task->started_ms = loop_now_ms(tasks->loop);
    tasks->running[tasks->running_count++] = task;
}

static void await_turn(struct task *task)
{
    push(&task->tasks->waiting, task);
    task->tasks->waiting_bytes += task->weight;
}

static void start_waiting(struct tasks *tasks)
{
    while (tasks->waiting.first && tasks->running_count < TASKS_AT_ONCE) {
        struct task *task = pop(&tasks->waiting);
        tasks->waiting_bytes -= task->weight;
        start(task);
    }
}

/* Assignments. */

static void show_unreadable(struct task *task, const char *assignment)
{
    size_t len = strlen(assignment), shown = 0;
    bool valid;
    for (int n = 0; n < SHOWN_MAX && shown < len; n++)
        shown += utf8_step(assignment + shown, len - shown, &valid);
    task->task_id = xstrdup("unknown");
    fail(task, NOT_PARSED, "failed to parse task_assignment content: %.*s", (int)shown, assignment);
}

static void read_assignment(struct task *task, const char *assignment)
{
    struct json *doc = json_parse(assignment, task->weight);
    const struct json_value *body = json_root(doc);
    const char *id = json_get_str(body, "task_id");
    struct fault why;
    if (!id || strlen(id) > TASK_ID_MAX || !json_get_str(body, "command")) {
        show_unreadable(task, assignment);
    } else {
        task->task_id = xstrdup(id);
        if (command_of_task(&task->command, body, &why) != 0)
            fail(task, NOT_RUN, "exec failed: %s", why.text);
        else
            await_turn(task);
    }
    json_free(doc);
}

static int check_room(const struct tasks *tasks, size_t more, struct fault *why)
{
    size_t held = tasks_pending(tasks) + tasks->finished.count;
    if (held >= TASKS_MAX)
        return fault_set(why, ERR_INVALID_REQUEST,
                         "too many tasks (%zu, of which %zu are to be fetched; max %d)", held,
                         tasks->finished.count, TASKS_MAX);
    if (tasks->waiting.first && tasks->waiting_bytes + more > TASKS_WAITING_MAX)
        return fault_set(why, ERR_INVALID_REQUEST, "too many tasks (%zu bytes wait, max %zu)",
                         tasks->waiting_bytes, TASKS_WAITING_MAX);
    return 0;
}

int tasks_assign(struct tasks *tasks, const char *assignment, const char *message_id,
                 struct fault *why)
{
    size_t weight = strlen(assignment);
    if (check_room(tasks, weight, why) != 0)
        return -1;
    struct task *task = xcalloc(1, sizeof *task);
    *task = (struct task){.tasks = tasks, .message_id = xstrdup(message_id), .weight = weight};
    output_init(&task->output, tasks->budget);
    read_assignment(task, assignment);
    start_waiting(tasks);
    return 0;
}

/* Results. */

const struct task *tasks_oldest(const struct tasks *tasks)
{
    return tasks->finished.first;
}

void tasks_forget_oldest(struct tasks *tasks)
{
    forget(pop(&tasks->finished));
}

void tasks_fini(struct tasks *tasks)
{
    for (size_t i = 0; i < tasks->running_count; i++) {
        child_kill(tasks->running[i]->child);
        forget(tasks->running[i]);
    }
    while (tasks->waiting.first)
        forget(pop(&tasks->waiting));
    while (tasks->finished.first)
        forget(pop(&tasks->finished));
    *tasks = (struct tasks){0};
}
