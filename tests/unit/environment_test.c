#include "applets/service/environment.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "tests/unit/service_rig.h"

static int read_vars(struct environment *e, const char *text, struct fault *why)
{
    struct json *doc = json_parse(text, strlen(text));
    CHECK(doc != NULL);
    int result = environment_read(e, json_root(doc), "vars", why);
    json_free(doc);
    return result;
}

/* NULL: it is not there. */
static const char *value_of(const struct environment *e, const char *name)
{
    const char *found = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < e->count; i++) {
        bytes += strlen(e->pairs[i]) + 1 + sizeof(char *);
        if (strncmp(e->pairs[i], name, strlen(name)) == 0 && e->pairs[i][strlen(name)] == '=') {
            CHECK(!found); /* at most once */
            found = e->pairs[i] + strlen(name) + 1;
        }
    }
    CHECK(!e->pairs || !e->pairs[e->count]);
    CHECK_INT(e->bytes, bytes);
    return found;
}

TEST(environment_reads)
{
    struct environment e = {0};
    struct fault why;
    CHECK_INT(read_vars(&e, "{\"A\":\"1\",\"_b9\":\"x=y\",\"EMPTY\":\"\",\"A\":\"2\"}", &why), 0);
    CHECK_INT(e.count, 3);
    CHECK_STR(value_of(&e, "A"), "2");
    CHECK_STR(value_of(&e, "_b9"), "x=y");
    CHECK_STR(value_of(&e, "EMPTY"), "");
    CHECK(!value_of(&e, "B"));
    CHECK_INT(environment_read(&e, NULL, "vars", &why), 0);
    CHECK_INT(e.count, 3);
    CHECK_INT(read_vars(&e, "{\"E\":\"one letter of another\"}", &why), 0);
    CHECK_INT(e.count, 4);
    environment_fini(&e);
    environment_fini(&e);
}

TEST(environment_refuses)
{
    static const char *const rows[][2] = {
        {"[]", "vars: not an object"},
        {"{\"A\":1}", "vars: A is not a string"},
        {"{\"A\":null}", "vars: A is not a string"},
        {"{\"A\":\"x\\u0000y\"}", "vars: A is not a string"},
        {"{\"A\\u0000B\":\"x\"}", "vars: a name has a NUL inside"},
        {"{\"\":\"\"}", "vars: \"\" is not a name"},
        {"{\"1a\":\"\"}", "vars: \"1a\" is not a name"},
        {"{\"a-b\":\"\"}", "vars: \"a-b\" is not a name"},
        {"{\"a=b\":\"\"}", "vars: \"a=b\" is not a name"},
        {"{\"\xc3\xa4\":\"\"}", "vars: \"\xc3\xa4\" is not a name"},
        {"{\"PATH\":\"/x\"}", "vars: PATH cannot be set"},
        {"{\"IFS\":\"/x\"}", "vars: IFS cannot be set"},
        {"{\"ENV\":\"/x\"}", "vars: ENV cannot be set"},
        {"{\"BASH_ENV\":\"/x\"}", "vars: BASH_ENV cannot be set"},
        {"{\"LD_\":\"/x\"}", "vars: LD_ cannot be set"},
        {"{\"LD_AUDIT\":\"/x\"}", "vars: LD_AUDIT cannot be set"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct environment e = {0};
        struct fault why;
        CHECK_INT(read_vars(&e, rows[i][0], &why), -1);
        CHECK_STR(why.text, rows[i][1]);
        CHECK_INT(why.code, ERR_INVALID_REQUEST);
        environment_fini(&e);
    }
}

/* `n` names from N<first> on, as JSON. */
static char *many_names(int first, int n)
{
    struct buf text = {0};
    for (int i = 0; i < n; i++)
        buf_printf(&text, "%c\"N%d\":\"v\"", i ? ',' : '{', first + i);
    buf_append(&text, "}", 2);
    return (char *)text.data;
}

TEST(environment_names_are_limited)
{
    struct environment e = {0}, more = {0};
    struct fault why;
    cleanup_free char *all = many_names(0, ENVIRONMENT_NAMES_MAX);
    cleanup_free char *over = many_names(0, ENVIRONMENT_NAMES_MAX + 1);
    cleanup_free char *next = many_names(ENVIRONMENT_NAMES_MAX, 1);
    CHECK_INT(read_vars(&more, over, &why), -1);
    CHECK_STR(why.text, "vars: more than 1024 names");
    CHECK_INT(read_vars(&more, all, &why), 0);
    CHECK_INT(environment_extend(&e, &more, &why), 0);
    CHECK_INT(environment_extend(&e, &more, &why), 0); /* the same names */
    CHECK_INT(e.count, ENVIRONMENT_NAMES_MAX);
    environment_fini(&more);
    CHECK_INT(read_vars(&more, next, &why), 0);
    CHECK_INT(environment_extend(&e, &more, &why), -1);
    CHECK_STR(why.text, "vars: 1025 names in all, 1024 at most");
    CHECK_INT(e.count, ENVIRONMENT_NAMES_MAX);
    environment_fini(&more);
    environment_fini(&e);
}

static void put_long(struct environment *e, const char *name, size_t len)
{
    cleanup_free char *value = xmalloc(len + 1);
    memset(value, 'v', len);
    value[len] = '\0';
    environment_put(e, name, value);
}

TEST(environment_bytes_are_limited)
{
    struct environment e = {0}, more = {0};
    struct fault why;
    size_t all = ENVIRONMENT_BYTES_MAX - strlen("A=") - 1 - sizeof(char *);
    put_long(&more, "A", all);
    CHECK_INT(environment_extend(&e, &more, &why), 0);
    CHECK_INT(e.bytes, ENVIRONMENT_BYTES_MAX);
    put_long(&more, "A", all + 1);
    environment_put(&more, "B", "");
    CHECK_INT(environment_extend(&e, &more, &why), -1);
    CHECK_INT(why.code, ERR_INVALID_REQUEST);
    CHECK_INT(e.count, 1);
    CHECK_INT(strlen(value_of(&e, "A")), all);
    put_long(&more, "A", 1);
    CHECK_INT(environment_extend(&e, &more, &why), 0); /* what was replaced counts no more */
    CHECK_STR(value_of(&e, "A"), "v");
    CHECK_STR(value_of(&e, "B"), "");
    environment_fini(&more);
    environment_fini(&e);
}

TEST(environment_inherits)
{
    struct environment e = {0};
    setenv("BERTH_INHERITED", "a=b", 1);
    environment_inherit(&e);
    CHECK_STR(value_of(&e, "BERTH_INHERITED"), "a=b");
    unsetenv("BERTH_INHERITED");
    environment_put(&e, "BERTH_INHERITED", "c");
    CHECK_STR(value_of(&e, "BERTH_INHERITED"), "c");
    environment_fini(&e);
}

/* SetEnv. */

static int64_t set(struct rig *g, const char *vars)
{
    int64_t count = -1;
    rig_open(g, "{\"type\":\"SetEnv\",\"vars\":%s}", vars);
    CHECK_INT(json_get_int(rig_expect(g, MSG_SET_ENV_RESULT), "count", &count), 1);
    rig_expect_end(g);
    return count;
}

static const char *exec_output(struct rig *g, const char *fields)
{
    rig_open(g, "{\"type\":\"Exec\",%s}", fields);
    return json_get_str(rig_expect(g, MSG_EXEC_RESULT), "stdout");
}

TEST(set_env_applies_to_later_commands)
{
    struct rig g;
    rig_init(&g);
    CHECK_INT(set(&g, "{\"X\":\"one\",\"Y\":\"two\"}"), 2);
    CHECK_STR(exec_output(&g, "\"command\":\"echo $X $Y\""), "one two\n");
    CHECK_INT(set(&g, "{\"Y\":\"three\"}"), 1);
    CHECK_INT(set(&g, "{}"), 0);
    CHECK_STR(exec_output(&g, "\"command\":\"echo $X $Y\",\"env\":{\"X\":\"own\"}"), "own three\n");
    CHECK_STR(exec_output(&g, "\"command\":\"echo $X $Y\""), "one three\n");
    rig_open(&g, "{\"type\":\"ExecStream\",\"command\":\"echo $X\"}");
    rig_expect(&g, MSG_STARTED);
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK_STR(out, "one\n");
    CHECK(!getenv("X")); /* it is no variable of ours */
    rig_fini(&g);
}

TEST(set_env_sets_all_or_nothing)
{
    static const char *const bad[] = {
        "{\"type\":\"SetEnv\",\"vars\":{\"X\":\"new\",\"PATH\":\"/x\"}}",
        "{\"type\":\"SetEnv\",\"vars\":{\"X\":\"new\",\"9\":\"\"}}",
        "{\"type\":\"SetEnv\",\"vars\":{\"X\":\"new\",\"A\":7}}",
        "{\"type\":\"SetEnv\",\"vars\":[\"X\"]}",
        "{\"type\":\"SetEnv\",\"vars\":null}",
        "{\"type\":\"SetEnv\"}",
    };
    struct rig g;
    rig_init(&g);
    set(&g, "{\"X\":\"old\"}");
    for (size_t i = 0; i < countof(bad); i++) {
        rig_open(&g, "%s", bad[i]);
        rig_expect_error(&g, ERR_INVALID_REQUEST);
    }
    CHECK_STR(exec_output(&g, "\"command\":\"echo $X\""), "old\n");
    rig_fini(&g);
}

/* As much as can be set leaves room for a command of its own size. */
TEST(set_env_never_fills_a_command)
{
    struct rig g;
    rig_init(&g);
    cleanup_free char *names = many_names(0, ENVIRONMENT_NAMES_MAX - 1);
    CHECK_INT(set(&g, names), ENVIRONMENT_NAMES_MAX - 1);
    size_t left = ENVIRONMENT_BYTES_MAX - g.workload.environment.bytes;
    put_long(&g.workload.environment, "A", left - strlen("A=") - 1 - sizeof(char *));
    CHECK_INT(g.workload.environment.bytes, ENVIRONMENT_BYTES_MAX);
    cleanup_free char *arg = xmalloc(120001);
    memset(arg, 'a', 120000);
    arg[120000] = '\0';
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"echo\",\"args\":[\"%s\",\"%s\",\"%s\"]}", arg,
             arg, arg);
    const char *out = json_get_str(rig_expect(&g, MSG_EXEC_RESULT), "stdout");
    CHECK_INT(out ? strlen(out) : 0, 360003);
    rig_open(&g, "{\"type\":\"SetEnv\",\"vars\":{\"A\":\"\",\"B\":\"\",\"C\":\"\"}}");
    rig_expect_error(&g, ERR_INVALID_REQUEST);
    rig_fini(&g);
}
