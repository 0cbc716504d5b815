/* command.c: a request's fields, each checked before anything runs. */
#include "applets/service/command.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/service/file_path.h"
#include "core/mem.h"

#define ROWS    24
#define COLS    80
#define ENV_MAX 4096 /* variables that a request may set */

static const char name_start[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char name_more[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
static const char *const refused[] = {"PATH", "IFS", "ENV", "BASH_ENV"};

int fault_set(struct fault *f, enum error_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    f->code = code;
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return -1;
}

/* Lists of strings that end with NULL. */

static size_t list_len(char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* Takes `text`. */
static void list_add(char ***list, char *text)
{
    size_t n = list_len(*list);
    *list = xrealloc(*list, (n + 2) * sizeof **list);
    (*list)[n] = text;
    (*list)[n + 1] = NULL;
}

static void list_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

/* The environment. */

static void inherit_env(struct command *c)
{
    size_t n = list_len(environ);
    c->env = xcalloc(n + 1, sizeof *c->env);
    for (size_t i = 0; i < n; i++)
        c->env[i] = xstrdup(environ[i]);
}

/* Takes `pair`. */
static void put_env(struct command *c, char *pair, size_t name_len)
{
    for (char **at = c->env; at && *at; at++) {
        if (strncmp(*at, pair, name_len + 1) == 0) {
            free(*at);
            *at = pair;
            return;
        }
    }
    list_add(&c->env, pair);
}

static bool is_refused(const char *name)
{
    for (size_t i = 0; i < countof(refused); i++)
        if (strcmp(refused[i], name) == 0)
            return true;
    return strncmp(name, "LD_", 3) == 0;
}

int command_setenv(struct command *c, const char *name, const char *value, struct fault *why)
{
    size_t len = strlen(name);
    if (strspn(name, name_start) == 0 || strspn(name, name_more) != len)
        return fault_set(why, ERR_INVALID_REQUEST, "env: \"%s\" is not a name", name);
    if (is_refused(name))
        return fault_set(why, ERR_INVALID_REQUEST, "env: %s cannot be set", name);
    put_env(c, xasprintf("%s=%s", name, value), len);
    return 0;
}

static int read_env(struct command *c, const struct json_value *body, struct fault *why)
{
    const struct json_value *env = json_get(body, "env");
    inherit_env(c);
    if (env && !json_is_object(env))
        return fault_set(why, ERR_INVALID_REQUEST, "env: not an object");
    if (json_count(env) > ENV_MAX)
        return fault_set(why, ERR_INVALID_REQUEST, "env: more than %d names", ENV_MAX);
    for (struct json_iter it = json_iter(env); json_next(&it);) {
        const char *value = json_str(it.value);
        if (!value)
            return fault_set(why, ERR_INVALID_REQUEST, "env: %s is not a string", it.key);
        if (command_setenv(c, it.key, value, why) != 0)
            return -1;
    }
    return 0;
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
    list_add(&c->argv, xasprintf("-%s", strrchr(c->file, '/') + 1));
}

static void shell_command(struct command *c, const char *text)
{
    c->file = xstrdup("/bin/sh");
    list_add(&c->argv, xstrdup("/bin/sh"));
    list_add(&c->argv, xstrdup("-c"));
    list_add(&c->argv, xstrdup(text));
}

static int read_argv(struct command *c, const struct json_value *body, struct fault *why)
{
    const struct json_value *args = json_get(body, "args");
    const char *text = json_get_str(body, "command");
    if (args && !json_is_array(args))
        return fault_set(why, ERR_INVALID_REQUEST, "args: not an array");
    if (json_get(body, "command") && !text)
        return fault_set(why, ERR_INVALID_REQUEST, "command: not a string");
    if (text && *text && json_count(args) > 0) {
        c->file = xstrdup(text);
        return read_args(c, args, why);
    }
    if (text && *text)
        shell_command(c, text);
    else if (c->pty && json_count(args) == 0)
        login_shell(c);
    else
        return fault_set(why, ERR_INVALID_REQUEST, "command: missing");
    return 0;
}

/* Where and how long. */

static int read_dir(struct command *c, const struct json_value *body, struct fault *why)
{
    struct stat st;
    const char *text = json_get_str(body, "workdir");
    if (json_get(body, "workdir") && (!text || !*text))
        return fault_set(why, ERR_INVALID_REQUEST, "workdir: not a path");
    c->dir = file_path(text ? text : "~");
    int error = stat(c->dir, &st) != 0 ? errno : !S_ISDIR(st.st_mode) ? ENOTDIR : 0;
    if (error)
        return fault_set(why, error_code_of_errno(error), "workdir %s: %s", c->dir,
                         strerror(error));
    return 0;
}

static int read_timeout(struct command *c, const struct json_value *body, struct fault *why)
{
    int64_t secs = c->timeout_secs;
    int64_t least = secs == 0 ? 0 : 1;
    if (json_get_int(body, "timeout_secs", &secs) < 0 || secs < least || secs > COMMAND_TIMEOUT_MAX)
        return fault_set(why, ERR_INVALID_REQUEST, "timeout_secs: not %d to %d", (int)least,
                         COMMAND_TIMEOUT_MAX);
    c->timeout_secs = (uint32_t)secs;
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
        put_env(c, xasprintf("TERM=%s", term), strlen("TERM"));
    return command_size(pty, &c->rows, &c->cols, why);
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

void command_fini(struct command *c)
{
    free(c->file);
    free(c->dir);
    list_free(c->argv);
    list_free(c->env);
    *c = (struct command){0};
}
