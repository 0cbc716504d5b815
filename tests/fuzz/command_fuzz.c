/* A text read as all that may be asked to be run: as each kind of command, as an environment, as
 * a task's assignment. Nothing is run. */
#include <stdlib.h>
#include <string.h>

#include "applets/service/command.h"
#include "applets/service/output.h"
#include "applets/service/tasks.h"
#include "core/frame.h"
#include "core/mem.h"

typedef int parse_fn(struct command *c, const struct json_value *body, struct fault *why);

static void read_commands(const struct json_value *body)
{
    static parse_fn *const parsers[] = {command_of_exec, command_of_stream, command_of_background,
                                        command_of_task};
    for (size_t i = 0; i < countof(parsers); i++) {
        struct command c = {0};
        struct fault why;
        if (parsers[i](&c, body, &why) == 0 && (!c.file || !c.argv || !c.argv[0]))
            abort();
        command_fini(&c);
    }
}

static void read_environment(const struct json_value *body)
{
    struct environment all = {0}, more = {0};
    struct fault why;
    if (environment_read(&more, body, "vars", &why) == 0 &&
        environment_extend(&all, &more, &why) == 0 && all.bytes > ENVIRONMENT_BYTES_MAX)
        abort();
    environment_fini(&more);
    environment_fini(&all);
}

/* All places are taken, so that it waits for ever. */
static void read_assignment(struct loop *loop, const char *text)
{
    struct output_budget budget = {OUTPUT_BUDGET};
    struct environment none = {0};
    struct tasks tasks;
    struct fault why;
    tasks_init(&tasks, loop, &none, &budget);
    tasks.running_count = TASKS_AT_ONCE;
    if (tasks_assign(&tasks, text, "m", &why) != 0 ||
        tasks.waiting.count + tasks.finished.count != 1)
        abort();
    tasks.running_count = 0;
    tasks_fini(&tasks);
    if (budget.left != OUTPUT_BUDGET)
        abort();
}

/* As if a command had said it. */
static void keep_output(const uint8_t *data, size_t size)
{
    struct output_budget budget = {OUTPUT_BUDGET};
    struct output o;
    output_init(&o, &budget);
    output_keep(&o, CHANNEL_STDOUT, data, size / 3);
    output_keep(&o, CHANNEL_STDERR, data + size / 3, size - size / 3);
    struct json_out *out = json_out_new();
    output_put(&o, out, json_out_root(out), size);
    size_t len;
    free(json_out_text(out, false, &len));
    json_out_free(out);
    if (len > size + strlen("{'stdout':'','stderr':'','stdout_truncated':true,"
                            "'stderr_truncated':true}"))
        abort();
    output_fini(&o);
}

static void read_text(const uint8_t *data, size_t size)
{
    struct json *doc = json_parse(data, size);
    struct loop *loop = loop_new();
    cleanup_free char *text = xstrndup((const char *)data, size);
    if (doc) {
        read_commands(json_root(doc));
        read_environment(json_root(doc));
    }
    read_assignment(loop, text);
    keep_output(data, size);
    json_free(doc);
    loop_free(loop);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    setenv("HOME", "/", 1);
    setenv("SHELL", "/bin/sh", 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_text(data, size);
    return 0;
}
