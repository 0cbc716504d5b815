#include "applets/service/command.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/test.h"

static const struct environment *agent; /* what it is prepared with */

typedef int parse_fn(struct command *c, const struct json_value *body, struct fault *why);

static int parse(parse_fn *fn, struct command *c, struct fault *why, const char *text)
{
    struct json *doc = json_parse(text, strlen(text));
    CHECK(doc != NULL);
    *c = (struct command){0};
    *why = (struct fault){0};
    int result = fn(c, json_root(doc), why);
    json_free(doc);
    return result == 0 ? command_prepare(c, agent, why) : result;
}

static const char *env_of(const struct command *c, const char *name)
{
    const char *found = NULL;
    size_t len = strlen(name);
    for (char **at = c->env.pairs; *at; at++) {
        if (strncmp(*at, name, len) == 0 && (*at)[len] == '=') {
            CHECK(!found); /* at most once */
            found = *at + len + 1;
        }
    }
    return found;
}

TEST(command_shell)
{
    struct command c;
    struct fault why;
    setenv("HOME", "/", 1);
    CHECK_INT(parse(command_of_exec, &c, &why, "{\"command\":\"a b\",\"args\":[]}"), 0);
    CHECK_STR(c.file, "/bin/sh");
    CHECK_STR(c.argv[1], "-c");
    CHECK_STR(c.argv[2], "a b");
    CHECK(!c.argv[3]);
    CHECK_STR(c.dir, "/");
    CHECK_INT(c.timeout_secs, 120);
    CHECK(!c.input && !c.pty);
    const char *path = getenv("PATH");
    CHECK_STR(env_of(&c, "PATH"), path ? path : "");
    command_fini(&c);
}

TEST(command_args)
{
    struct command c;
    struct fault why;
    CHECK_INT(
        parse(command_of_exec, &c, &why,
              "{\"command\":\"ls\",\"args\":[\"-l\",\"\"],\"workdir\":\"/tmp\","
              "\"timeout_secs\":31536000,\"env\":{\"A\":\"1\",\"_b2\":\"x=y\",\"HOME\":\"/h\"}}"),
        0);
    CHECK_STR(c.file, "ls");
    CHECK_STR(c.argv[0], "ls");
    CHECK_STR(c.argv[1], "-l");
    CHECK_STR(c.argv[2], "");
    CHECK(!c.argv[3]);
    CHECK_STR(c.dir, "/tmp");
    CHECK_INT(c.timeout_secs, 31536000);
    CHECK_STR(env_of(&c, "A"), "1");
    CHECK_STR(env_of(&c, "_b2"), "x=y");
    CHECK_STR(env_of(&c, "HOME"), "/h");
    command_fini(&c);
}

TEST(command_stream)
{
    struct command c;
    struct fault why;
    setenv("HOME", "/", 1);
    CHECK_INT(parse(command_of_stream, &c, &why, "{\"command\":\"cat\",\"stdin\":true}"), 0);
    CHECK(c.input && !c.pty);
    CHECK_INT(c.timeout_secs, 0);
    command_fini(&c);
    CHECK_INT(parse(command_of_stream, &c, &why,
                    "{\"command\":\"cat\",\"timeout_secs\":0,"
                    "\"pty\":{\"rows\":50,\"cols\":65535,\"term\":\"vt100\"}}"),
              0);
    CHECK(c.input && c.pty);
    CHECK_INT(c.rows, 50);
    CHECK_INT(c.cols, 65535);
    CHECK_STR(env_of(&c, "TERM"), "vt100");
    command_fini(&c);
}

TEST(command_login_shell)
{
    struct command c;
    struct fault why;
    cleanup_free char *before = getenv("SHELL") ? xstrdup(getenv("SHELL")) : NULL;
    setenv("SHELL", "/usr/bin/zz", 1);
    CHECK_INT(parse(command_of_stream, &c, &why, "{\"command\":\"\",\"pty\":{}}"), 0);
    CHECK_STR(c.file, "/usr/bin/zz");
    CHECK_STR(c.argv[0], "-zz");
    CHECK(!c.argv[1]);
    CHECK_INT(c.rows, 24);
    CHECK_INT(c.cols, 80);
    command_fini(&c);
    unsetenv("SHELL");
    CHECK_INT(parse(command_of_stream, &c, &why, "{\"pty\":{}}"), 0);
    CHECK(c.file[0] == '/' && c.argv[0][0] == '-');
    command_fini(&c);
    if (before)
        setenv("SHELL", before, 1);
}

TEST(command_refused)
{
    static const struct {
        parse_fn *fn;
        const char *text, *why;
    } rows[] = {
        {command_of_exec, "{}", "command: missing"},
        {command_of_exec, "{\"command\":\"\"}", "command: missing"},
        {command_of_exec, "{\"command\":[\"ls\"]}", "command: not a string"},
        {command_of_exec, "{\"command\":\"a\",\"args\":\"b\"}", "args: not an array"},
        {command_of_exec, "{\"command\":\"a\",\"args\":[1]}", "args: not all of them are strings"},
        {command_of_exec, "{\"command\":\"a\",\"args\":[\"b\\u0000c\"]}",
         "args: not all of them are strings"},
        {command_of_exec, "{\"command\":\"a\",\"env\":[]}", "env: not an object"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"A\":1}}", "env: A is not a string"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"\":\"\"}}", "env: \"\" is not a name"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"1a\":\"\"}}", "env: \"1a\" is not a name"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"a=b\":\"\"}}",
         "env: \"a=b\" is not a name"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"PATH\":\"/x\"}}",
         "env: PATH cannot be set"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"IFS\":\"/x\"}}", "env: IFS cannot be set"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"ENV\":\"/x\"}}", "env: ENV cannot be set"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"BASH_ENV\":\"/x\"}}",
         "env: BASH_ENV cannot be set"},
        {command_of_exec, "{\"command\":\"a\",\"env\":{\"LD_PRELOAD\":\"/x\"}}",
         "env: LD_PRELOAD cannot be set"},
        {command_of_exec, "{\"command\":\"a\",\"workdir\":7}", "workdir: not a path"},
        {command_of_exec, "{\"command\":\"a\",\"timeout_secs\":0}",
         "timeout_secs: not a number from 1 on"},
        {command_of_exec, "{\"command\":\"a\",\"timeout_secs\":\"1\"}",
         "timeout_secs: not a number from 1 on"},
        {command_of_stream, "{\"command\":\"a\",\"timeout_secs\":-1}",
         "timeout_secs: not a number from 0 on"},
        {command_of_task, "{\"command\":\"a\",\"timeout_secs\":0}",
         "timeout_secs: not a number from 1 on"},
        {command_of_task, "{\"command\":7}", "command: not a string"},
        {command_of_background, "{\"args\":[\"a\"]}", "command: missing"},
        {command_of_background, "{\"command\":\"a\",\"env\":{\"LD_X\":\"\"}}",
         "env: LD_X cannot be set"},
        {command_of_background, "{\"command\":\"a\",\"workdir\":\"\"}", "workdir: not a path"},
        {command_of_stream, "{\"command\":\"a\",\"stdin\":1}", "stdin: not a boolean"},
        {command_of_stream, "{\"command\":\"a\",\"pty\":true}", "pty: not {rows, cols, term}"},
        {command_of_stream, "{\"command\":\"a\",\"pty\":{\"term\":1}}",
         "pty: not {rows, cols, term}"},
        {command_of_stream, "{\"command\":\"a\",\"pty\":{\"rows\":0}}", "rows: not 1 to 65535"},
        {command_of_stream, "{\"command\":\"a\",\"pty\":{\"cols\":65536}}", "cols: not 1 to 65535"},
        {command_of_stream, "{\"pty\":{},\"args\":[\"x\"]}", "command: missing"},
        {command_of_stream, "{\"stdin\":true}", "command: missing"},
    };
    setenv("HOME", "/", 1);
    for (size_t i = 0; i < countof(rows); i++) {
        struct command c;
        struct fault why;
        CHECK_INT(parse(rows[i].fn, &c, &why, rows[i].text), -1);
        CHECK_STR(why.text, rows[i].why);
        CHECK_INT(why.code, ERR_INVALID_REQUEST);
        command_fini(&c);
    }
}

/* By the shell alone, and for ever: what other requests may say besides is not for it. */
TEST(command_background)
{
    struct command c;
    struct fault why;
    setenv("HOME", "/", 1);
    CHECK_INT(parse(command_of_background, &c, &why,
                    "{\"command\":\"a b\",\"args\":[\"x\"],\"timeout_secs\":1,\"stdin\":true,"
                    "\"pty\":{},\"workdir\":null,\"env\":null}"),
              0);
    CHECK_STR(c.file, "/bin/sh");
    CHECK_STR(c.argv[2], "a b");
    CHECK(!c.argv[3] && !c.input && !c.pty);
    CHECK_STR(c.dir, "/");
    CHECK_INT(c.timeout_secs, 0);
    command_fini(&c);
    CHECK_INT(parse(command_of_task, &c, &why, "{\"command\":\"a\",\"workdir\":\"/tmp\"}"), 0);
    CHECK_STR(c.dir, "/tmp");
    CHECK_INT(c.timeout_secs, 300);
    command_fini(&c);
}

/* A u64 that means for ever. */
TEST(command_long_timeouts)
{
    static const char *const numbers[] = {"4294967295", "4294967296", "18446744073709551615"};
    struct command c;
    struct fault why;
    for (size_t i = 0; i < countof(numbers); i++) {
        cleanup_free char *text = xasprintf("{\"command\":\"a\",\"timeout_secs\":%s}", numbers[i]);
        CHECK_INT(parse(command_of_exec, &c, &why, text), 0);
        CHECK_INT(c.timeout_secs, UINT32_MAX);
        command_fini(&c);
    }
}

/* The process's own, under the agent's, under the request's. */
TEST(command_environments)
{
    struct command c;
    struct fault why;
    struct environment set = {0};
    environment_put(&set, "BERTH_ONE", "agent");
    environment_put(&set, "BERTH_TWO", "agent");
    setenv("BERTH_ZERO", "process", 1);
    setenv("BERTH_ONE", "process", 1);
    setenv("HOME", "/", 1);
    agent = &set;
    CHECK_INT(
        parse(command_of_exec, &c, &why, "{\"command\":\"a\",\"env\":{\"BERTH_TWO\":\"own\"}}"), 0);
    agent = NULL;
    CHECK_STR(env_of(&c, "BERTH_ZERO"), "process");
    CHECK_STR(env_of(&c, "BERTH_ONE"), "agent");
    CHECK_STR(env_of(&c, "BERTH_TWO"), "own");
    command_fini(&c);
    environment_fini(&set);
    unsetenv("BERTH_ZERO");
    unsetenv("BERTH_ONE");
}

TEST(command_missing_workdir)
{
    struct command c;
    struct fault why;
    CHECK_INT(parse(command_of_exec, &c, &why, "{\"command\":\"a\",\"workdir\":\"/no/such\"}"), -1);
    CHECK_INT(why.code, ERR_NOT_FOUND);
    CHECK_STR(why.text, "workdir /no/such: No such file or directory");
    command_fini(&c);
    CHECK_INT(parse(command_of_exec, &c, &why, "{\"command\":\"a\",\"workdir\":\"/dev/null\"}"),
              -1);
    CHECK_INT(why.code, ERR_NOT_FOUND);
    command_fini(&c);
    setenv("HOME", "/dev", 1);
    CHECK_INT(parse(command_of_exec, &c, &why, "{\"command\":\"a\",\"workdir\":\"~/pts\"}"), 0);
    CHECK_STR(c.dir, "/dev/pts");
    command_fini(&c);
    CHECK_INT(parse(command_of_exec, &c, &why, "{\"command\":\"a\",\"workdir\":\"pts\"}"), 0);
    CHECK_STR(c.dir, "/dev/pts");
    command_fini(&c);
    setenv("HOME", "/", 1);
}
