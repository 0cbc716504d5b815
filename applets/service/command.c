/* command.c: a request's fields, each checked before anything runs. */
#include "applets/service/command.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/service/file_path.h"
#include "applets/service/file_root.h"
#include "core/mem.h"

#define ROWS 24
#define COLS 80

static void list_add(char ***list, size_t at, const char *text)
{
    *list = xrealloc(*list, (at + 2) * sizeof **list);
    (*list)[at] = xstrdup(text);
    (*list)[at + 1] = NULL;
}

static void list_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

/* The program and its arguments. */

static int read_args(struct command *c, const struct json_value *args, struct fault *why)
{
    size_t n = 1;
    char **argv = xcalloc(json_count(args) + 2, sizeof *argv);
    argv[0] = xstrdup(c->file);
    c->argv = argv;
    for (struct json_iter it = json_iter(args); json_next(&it);) {
        const char *arg = json_str(it.value);
        if (!arg)
            return fault_set(why, ERR_INVALID_REQUEST, "args: not all of them are strings");
        argv[n++] = xstrdup(arg);
    }
    return 0;
}

static void login_shell(struct command *c)
{
    const char *shell = getenv("SHELL");
    const struct passwd *user = shell && shell[0] == '/' ? NULL : getpwuid(geteuid());
    if (user)
        shell = user->pw_shell;
    c->file = xstrdup(shell && shell[0] == '/' ? shell : "/bin/sh");
    cleanup_free char *name = xasprintf("-%s", strrchr(c->file, '/') + 1);
    list_add(&c->argv, 0, name);
}

static void shell_command(struct command *c, const char *text)
{
    c->file = xstrdup("/bin/sh");
    list_add(&c->argv, 0, "/bin/sh");
    list_add(&c->argv, 1, "-c");
    list_add(&c->argv, 2, text);
}

/* *text: NULL where there is none. */
static int read_text(const struct json_value *body, const char **text, struct fault *why)
{
    *text = json_get_str(body, "command");
    if (json_get(body, "command") && !*text)
        return fault_set(why, ERR_INVALID_REQUEST, "command: not a string");
    if (*text && !**text)
        *text = NULL;
    return 0;
}

static int read_argv(struct command *c, const struct json_value *body, struct fault *why)
{
    const struct json_value *args = json_get(body, "args");
    const char *text;
    if (args && !json_is_array(args))
        return fault_set(why, ERR_INVALID_REQUEST, "args: not an array");
    if (read_text(body, &text, why) != 0)
        return -1;
    if (text && json_count(args) > 0) {
        c->file = xstrdup(text);
        return read_args(c, args, why);
    }
    if (text)
        shell_command(c, text);
    else if (c->pty && json_count(args) == 0)
        login_shell(c);
    else
        return fault_set(why, ERR_INVALID_REQUEST, "command: missing");
    return 0;
}

static int read_shell_command(struct command *c, const struct json_value *body, struct fault *why)
{
    const char *text;
    if (read_text(body, &text, why) != 0)
        return -1;
    if (!text)
        return fault_set(why, ERR_INVALID_REQUEST, "command: missing");
    shell_command(c, text);
    return 0;
}

/* Where and how long. */

static int read_dir(struct command *c, const struct json_value *body, struct fault *why)
{
    const char *text = json_get_str(body, "workdir");
    if (json_get(body, "workdir") && (!text || !*text))
        return fault_set(why, ERR_INVALID_REQUEST, "workdir: not a path");
    c->dir = text ? file_path(c->root, text) : NULL;
    return 0;
}

/* The original's is a u64, by which some mean for ever: 136 years are. */
static int read_timeout(struct command *c, const struct json_value *body, struct fault *why)
{
    uint64_t secs = c->timeout_secs;
    uint64_t least = secs == 0 ? 0 : 1;
    if (json_get_uint(body, "timeout_secs", &secs) < 0 || secs < least)
        return fault_set(why, ERR_INVALID_REQUEST, "timeout_secs: not a number from %d on",
                         (int)least);
    c->timeout_secs = secs < UINT32_MAX ? (uint32_t)secs : UINT32_MAX;
    return 0;
}

static int read_extent(const struct json_value *v, const char *key, uint16_t *extent,
                       struct fault *why)
{
    int64_t n = *extent;
    if (json_get_int(v, key, &n) < 0 || n < 1 || n > UINT16_MAX)
        return fault_set(why, ERR_INVALID_REQUEST, "%s: not 1 to %d", key, UINT16_MAX);
    *extent = (uint16_t)n;
    return 0;
}

int command_size(const struct json_value *v, uint16_t *rows, uint16_t *cols, struct fault *why)
{
    return read_extent(v, "rows", rows, why) == 0 ? read_extent(v, "cols", cols, why) : -1;
}

static int read_pty(struct command *c, const struct json_value *pty, struct fault *why)
{
    const char *term = json_get_str(pty, "term");
    if (!json_is_object(pty) || (json_get(pty, "term") && !term))
        return fault_set(why, ERR_INVALID_REQUEST, "pty: not {rows, cols, term}");
    c->pty = c->input = true;
    c->rows = ROWS;
    c->cols = COLS;
    if (term)
        environment_put(&c->env, "TERM", term);
    return command_size(pty, &c->rows, &c->cols, why);
}

static int read_env(struct command *c, const struct json_value *body, struct fault *why)
{
    return environment_read(&c->env, json_get(body, "env"), "env", why);
}

static int read_rest(struct command *c, const struct json_value *body, struct fault *why)
{
    if (read_argv(c, body, why) != 0 || read_dir(c, body, why) != 0)
        return -1;
    return read_timeout(c, body, why);
}

int command_of_exec(struct command *c, const struct json_value *body, struct fault *why)
{
    c->timeout_secs = COMMAND_TIMEOUT_SECS;
    return read_env(c, body, why) == 0 ? read_rest(c, body, why) : -1;
}

int command_of_stream(struct command *c, const struct json_value *body, struct fault *why)
{
    const struct json_value *pty = json_get(body, "pty");
    if (json_get_bool(body, "stdin", &c->input) < 0)
        return fault_set(why, ERR_INVALID_REQUEST, "stdin: not a boolean");
    if (read_env(c, body, why) != 0 || (pty && read_pty(c, pty, why) != 0))
        return -1;
    return read_rest(c, body, why);
}

int command_of_background(struct command *c, const struct json_value *body, struct fault *why)
{
    if (read_env(c, body, why) != 0 || read_shell_command(c, body, why) != 0)
        return -1;
    return read_dir(c, body, why);
}

int command_of_task(struct command *c, const struct json_value *body, struct fault *why)
{
    c->timeout_secs = COMMAND_TASK_SECS;
    return command_of_background(c, body, why) == 0 ? read_timeout(c, body, why) : -1;
}

/* Without a root it takes no descriptor, which there may be none of. */
static int look_at_dir(const struct command *c)
{
    struct stat st;
    cleanup_fd int fd = -1;
    if (c->root)
        return file_root_open(c->root, c->dir, O_PATH | O_DIRECTORY, &fd);
    return stat(c->dir, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}

static int check_dir(const struct command *c, struct fault *why)
{
    int error = look_at_dir(c);
    if (error == FILE_OUTSIDE)
        return fault_set(why, ERR_PERMISSION_DENIED,
                         "workdir %s: outside of what this machine's owner allows (--root)",
                         c->dir);
    if (error)
        return fault_set(why, fault_code(error), "workdir %s: %s", c->dir, strerror(error));
    return 0;
}

int command_prepare(struct command *c, const struct environment *agent, struct fault *why)
{
    struct environment all = {0};
    if (!c->dir)
        c->dir = file_path(NULL, c->root ? c->root : "~");
    if (check_dir(c, why) != 0)
        return -1;
    environment_inherit(&all);
    environment_merge(&all, agent);
    environment_merge(&all, &c->env);
    environment_fini(&c->env);
    c->env = all;
    return 0;
}

void command_fini(struct command *c)
{
    free(c->file);
    free(c->dir);
    list_free(c->argv);
    environment_fini(&c->env);
    *c = (struct command){0};
}
