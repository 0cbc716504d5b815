/* What a machine's owner allows, held against every request that a service knows. */
#include "applets/service/policy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base64.h"
#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/file_rig.h"

/* ---- kinds ---- */

TEST(policy_kinds_as_text)
{
    static const struct {
        const char *text, *same;
        unsigned allow;
    } good[] = {
        {"exec", "exec", POLICY_EXEC},
        {"dial,exec", "exec,dial", POLICY_EXEC | POLICY_DIAL},
        {"exec,files,terminal,dial", "exec,files,terminal,dial", POLICY_ALL},
        {"files,files", "files", POLICY_FILES},
        {"all", "exec,files,terminal,dial", POLICY_ALL},
        {"none", "none", 0},
    };
    static const char *const bad[] = {"",      ",",         "exec,",    ",exec", "exe",
                                      "execs", "exec dial", "all,exec", "Exec"};
    unsigned allow;
    for (size_t i = 0; i < countof(good); i++) {
        CHECK_INT(policy_read_kinds(&allow, good[i].text), 0);
        CHECK_INT(allow, good[i].allow);
        cleanup_free char *text = policy_kinds_text(allow);
        CHECK_STR(text, good[i].same);
    }
    for (size_t i = 0; i < countof(bad); i++)
        CHECK_INT(policy_read_kinds(&allow, bad[i]), -1);
}

static const struct {
    unsigned kind; /* 0: allowed whatever the policy */
    const char *request;
} requests[] = {
    {0, "\"Ping\""},
    {POLICY_EXEC, "\"Exec\",\"command\":\"true\""},
    {POLICY_EXEC, "\"ExecStream\",\"command\":\"true\""},
    {POLICY_EXEC, "\"ExecStream\",\"command\":\"true\",\"pty\":null"},
    {POLICY_TERMINAL, "\"ExecStream\",\"command\":\"true\",\"pty\":{}"},
    {POLICY_TERMINAL, "\"ExecStream\",\"command\":\"true\",\"pty\":false"},
    {POLICY_EXEC, "\"ExecBackground\",\"command\":\"true\""},
    {POLICY_EXEC, "\"ExecPoll\",\"job_id\":1"},
    {POLICY_EXEC, "\"ExecKill\",\"job_id\":1"},
    {POLICY_FILES, "\"FileGet\",\"path\":\"x\""},
    {POLICY_FILES, "\"FilePut\",\"path\":\"x\",\"size\":0"},
    {POLICY_FILES, "\"FileRead\",\"path\":\"x\""},
    {POLICY_FILES, "\"FileWrite\",\"path\":\"x\",\"content\":\"\""},
    {POLICY_FILES, "\"FileUpload\",\"guest_path\":\"x\",\"data\":\"\""},
    {POLICY_FILES, "\"FileDownload\",\"guest_path\":\"x\""},
    {POLICY_FILES, "\"EditFile\",\"path\":\"x\",\"old_string\":\"a\",\"new_string\":\"b\""},
    {POLICY_FILES, "\"ListDir\",\"path\":\"/\""},
    {POLICY_FILES, "\"Sync\""},
    {POLICY_DIAL, "\"Dial\",\"target\":\"127.0.0.1:1\""},
};

static bool is_policy_refusal(const struct message *m)
{
    const char *text = m->type == MSG_ERROR ? json_get_str(m->body, "message") : NULL;
    return text && strncmp(text, "this machine's owner", 20) == 0;
}

/* Each with no kind allowed, with just its own, and with all but its own. */
TEST(policy_holds_for_every_request)
{
    struct rig g;
    struct service_policy policy = {0};
    rig_init(&g);
    setenv("HOME", g.dir, 1);
    g.sv.policy = &policy;
    for (size_t i = 0; i < countof(requests); i++) {
        const unsigned allow[] = {0, requests[i].kind, POLICY_ALL & ~requests[i].kind};
        for (size_t k = 0; k < countof(allow); k++) {
            bool allowed = !requests[i].kind || (allow[k] & requests[i].kind);
            struct frame f;
            const char *why;
            struct message m;
            policy.allow = allow[k];
            rig_open(&g, "{\"type\":%s}", requests[i].request);
            f = rig_frame(&g);
            CHECK(f.len > 0);
            if (f.len == 0 || message_parse(&m, f.payload, f.len, &why) != 0)
                continue;
            if (is_policy_refusal(&m) == allowed)
                test_fail(__FILE__, __LINE__, "%s with %u", requests[i].request, allow[k]);
            if (!allowed)
                CHECK_STR(json_get_str(m.body, "code"), "PermissionDenied");
            message_fini(&m);
        }
    }
    rig_close(&g);
    until_idle(&g);
    setenv("HOME", "/", 1);
    rig_fini(&g);
}

/* What listens on one may run commands for whoever comes. */
TEST(policy_unix_sockets_are_as_good_as_exec)
{
    static const struct {
        unsigned allow;
        bool fine;
    } rows[] = {
        {POLICY_DIAL, false},
        {POLICY_DIAL | POLICY_FILES, false},
        {POLICY_EXEC | POLICY_TERMINAL, false},
        {POLICY_DIAL | POLICY_EXEC, true},
        {POLICY_DIAL | POLICY_TERMINAL, true},
    };
    static const char text[] = "{\"type\":\"Dial\",\"target\":\"unix:/run/docker.sock\"}";
    struct message m;
    const char *flaw;
    CHECK_INT(message_parse(&m, text, sizeof text - 1, &flaw), 0);
    for (size_t i = 0; i < countof(rows); i++) {
        struct fault why;
        CHECK_INT(policy_allows(&(struct service_policy){.allow = rows[i].allow}, &m, &why),
                  rows[i].fine);
    }
    message_fini(&m);
}

/* Who serves more than these must not be let in by that. */
TEST(policy_refuses_what_it_does_not_know)
{
    struct rig g;
    const struct service_policy policy = {.allow = POLICY_ALL};
    rig_init(&g);
    g.sv.policy = &policy;
    rig_open(&g, "{\"type\":\"SetEnv\",\"vars\":{}}");
    CHECK_STR(rig_expect_error(&g, ERR_PERMISSION_DENIED),
              "this machine's owner does not allow SetEnv");
    rig_fini(&g);
}

/* ---- the root ---- */

struct rooted {
    struct rig g;
    struct service_policy policy;
    char outside[64]; /* a file with "secret" in it, beside the root */
    int beside;       /* the directory that it is in */
};

/* What is asked for names nothing of the machine's own that could be written to: code that is broken
 * on purpose, to see these tests fail, writes wherever they say. */

/* root/{a,dir/b,links…}, and secret, dir2/ beside it. */
static void rooted_init(struct rooted *r)
{
    char *why = NULL;
    rig_init(&r->g);
    r->policy = (struct service_policy){.allow = POLICY_ALL};
    CHECK_INT(mkdir(rig_path(&r->g, "root"), 0700), 0);
    CHECK_INT(mkdir(rig_path(&r->g, "root/dir"), 0700), 0);
    CHECK_INT(mkdir(rig_path(&r->g, "root2"), 0700), 0);
    snprintf(r->outside, sizeof r->outside, "%s", rig_path(&r->g, "root2/secret"));
    rig_write_file(r->outside, "secret");
    rig_write_file(rig_path(&r->g, "root/a"), "inside");
    rig_write_file(rig_path(&r->g, "root/dir/b"), "deeper");
    CHECK_INT(symlink("a", rig_path(&r->g, "root/to-a")), 0);
    CHECK_INT(symlink("../a", rig_path(&r->g, "root/dir/up")), 0);
    CHECK_INT(symlink(r->outside, rig_path(&r->g, "root/abs")), 0);
    CHECK_INT(symlink("../root2/secret", rig_path(&r->g, "root/rel")), 0);
    CHECK_INT(symlink("../root2", rig_path(&r->g, "root/out")), 0);
    CHECK_INT(symlink("..", rig_path(&r->g, "root/parent")), 0);
    r->beside = open(rig_path(&r->g, "root2"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_free char *magic = xasprintf("/proc/self/fd/%d", r->beside);
    CHECK_INT(symlink(magic, rig_path(&r->g, "root/magic")), 0);
    CHECK_INT(symlink("../root2/new", rig_path(&r->g, "root/dangling")), 0);
    CHECK_INT(policy_set_root(&r->policy, rig_path(&r->g, "root"), &why), 0);
    CHECK(why == NULL);
    r->g.sv.policy = &r->policy;
    setenv("HOME", r->g.dir, 1);
}

/* Nothing beside the root has changed, or come. */
static void rooted_fini(struct rooted *r)
{
    rig_close(&r->g);
    until_idle(&r->g);
    expect_file(r->outside, "secret");
    CHECK_INT(entries(rig_path(&r->g, "root2")), 1);
    CHECK_INT(entries(r->g.dir), 2);
    setenv("HOME", "/", 1);
    close(r->beside);
    policy_fini(&r->policy);
    rig_fini(&r->g);
}

/* Requests with a path at %s. */
static const char *const paths_of[] = {
    "\"FileGet\",\"path\":\"%s\"",
    "\"FilePut\",\"path\":\"%s\",\"size\":0",
    "\"FileRead\",\"path\":\"%s\"",
    "\"FileWrite\",\"path\":\"%s\",\"content\":\"eA==\"",
    "\"FileUpload\",\"guest_path\":\"%s\",\"data\":\"eA==\"",
    "\"FileDownload\",\"guest_path\":\"%s\"",
    "\"EditFile\",\"path\":\"%s\",\"old_string\":\"secret\",\"new_string\":\"b\"",
    "\"ListDir\",\"path\":\"%s\"",
    "\"Exec\",\"command\":\"pwd\",\"workdir\":\"%s\"",
    "\"ExecStream\",\"command\":\"pwd\",\"workdir\":\"%s\"",
    "\"ExecBackground\",\"command\":\"pwd\",\"workdir\":\"%s\"",
};

static void expect_outside(struct rooted *r, const char *request, const char *path)
{
    cleanup_free char *text = NULL;
    const char *at = strstr(request, "%s");
    text = xasprintf("%.*s%s%s", (int)(at - request), request, path, at + 2);
    rig_open(&r->g, "{\"type\":%s}", text);
    const char *why = rig_expect_error(&r->g, ERR_PERMISSION_DENIED);
    if (!strstr(why, "outside of what this machine's owner allows"))
        test_fail(__FILE__, __LINE__, "%s: %s", text, why);
}

/* By name, by "..", by a symlink in the middle: whatever is asked. */
TEST(policy_root_cannot_be_left)
{
    struct rooted r;
    rooted_init(&r);
    const char *const ways[] = {
        "/",           "/proc/version",      "..",
        "../root2",    "../root2/secret",    "dir/../../root2/secret",
        "out/secret",  "parent/root2",       "parent/root2/secret",
        "magic",       "magic/secret",       "~",
        "~/root2",     "~/root2/secret",     "~/root/../root2/secret",
        "out/new/one", "parent/root2/x/y/z", r.outside,
    };
    for (size_t i = 0; i < countof(ways); i++)
        for (size_t k = 0; k < countof(paths_of); k++) {
            bool writes = strstr(paths_of[k], "size") || strstr(paths_of[k], "eA==");
            if (strcmp(ways[i], "..") != 0 || !writes) /* that is no file's name anyway */
                expect_outside(&r, paths_of[k], ways[i]);
        }
    rooted_fini(&r);
}

/* By a symlink in the last place. */
TEST(policy_root_holds_last_links)
{
    static const char *const links[] = {"abs", "rel", "dangling"};
    struct rooted r;
    rooted_init(&r);
    for (size_t i = 0; i < countof(links); i++)
        for (size_t k = 0; k < countof(paths_of); k++)
            expect_outside(&r, paths_of[k], links[i]);
    rooted_fini(&r);
}

static void expect_text(struct rooted *r, const char *path, const char *text)
{
    char found[64] = "";
    rig_open(&r->g, "{\"type\":\"FileRead\",\"path\":\"%s\"}", path);
    const char *content = json_get_str(rig_expect(&r->g, MSG_FILE_CONTENT), "content");
    CHECK(content != NULL);
    if (content)
        CHECK_INT(base64_decode(found, content, strlen(content)), 0);
    CHECK_STR(found, text);
}

TEST(policy_root_lets_in_what_is_below)
{
    struct rooted r;
    rooted_init(&r);
    cleanup_free char *absolute = xasprintf("%s/dir/b", r.policy.root);
    const struct {
        const char *path, *text;
    } files[] = {{"a", "inside"},        {"to-a", "inside"},  {"dir/up", "inside"},
                 {"dir/../a", "inside"}, {"./a", "inside"},   {"~/root/a", "inside"},
                 {"dir//b", "deeper"},   {absolute, "deeper"}};
    for (size_t i = 0; i < countof(files); i++)
        expect_text(&r, files[i].path, files[i].text);
    rig_open(&r.g, "{\"type\":\"FileWrite\",\"path\":\"new/one/x\",\"content\":\"eA==\"}");
    rig_expect(&r.g, MSG_OK);
    expect_file(rig_path(&r.g, "root/new/one/x"), "x");
    rig_open(&r.g, "{\"type\":\"FileWrite\",\"path\":\"dir/up\",\"content\":\"eQ==\"}");
    rig_expect(&r.g, MSG_OK);
    expect_file(rig_path(&r.g, "root/a"), "y");
    CHECK(S_ISLNK(mode_of(rig_path(&r.g, "root/dir/up"))));
    rig_open(&r.g, "{\"type\":\"FilePut\",\"path\":\"z\",\"size\":3}");
    rig_send(&r.g, "zzz", 3);
    rig_expect(&r.g, MSG_OK);
    expect_file(rig_path(&r.g, "root/z"), "zzz");
    rig_open(&r.g, "{\"type\":\"EditFile\",\"path\":\"to-a\",\"old_string\":\"y\","
                   "\"new_string\":\"w\"}");
    rig_expect(&r.g, MSG_OK);
    expect_file(rig_path(&r.g, "root/a"), "w");
    rig_open(&r.g, "{\"type\":\"ListDir\",\"path\":\".\"}");
    CHECK(json_count(json_get(rig_expect(&r.g, MSG_DIR_LISTING), "entries")) >= 8);
    rooted_fini(&r);
}

static void expect_pwd(struct rooted *r, const char *workdir, const char *dir)
{
    rig_open(&r->g, "{\"type\":\"Exec\",\"command\":\"pwd -P\",\"workdir\":%s}", workdir);
    cleanup_free char *line = xasprintf("%s%s\n", r->policy.root, dir);
    CHECK_STR(json_get_str(rig_expect(&r->g, MSG_EXEC_RESULT), "stdout"), line);
}

TEST(policy_root_is_where_commands_start)
{
    struct rooted r;
    rooted_init(&r);
    expect_pwd(&r, "null", "");
    expect_pwd(&r, "\".\"", "");
    expect_pwd(&r, "\"dir\"", "/dir");
    expect_pwd(&r, "\"~/root/dir\"", "/dir");
    rooted_fini(&r);
}

TEST(policy_root_is_a_directory)
{
    struct rig g;
    struct service_policy p = {0};
    char *why = NULL;
    rig_init(&g);
    rig_write_file(rig_path(&g, "file"), "");
    CHECK_INT(policy_set_root(&p, rig_path(&g, "none"), &why), -1);
    CHECK(why && strstr(why, "No such file"));
    free(why);
    CHECK_INT(policy_set_root(&p, rig_path(&g, "file"), &why), -1);
    CHECK(why && strstr(why, "ot a directory"));
    free(why);
    CHECK(!p.root);
    CHECK_INT(policy_set_root(&p, "/", &why), 0);
    CHECK(!p.root);
    CHECK_INT(symlink(".", rig_path(&g, "link")), 0);
    CHECK_INT(policy_set_root(&p, rig_path(&g, "link"), &why), 0);
    cleanup_free char *real = realpath(g.dir, NULL);
    CHECK_STR(p.root, real);
    policy_fini(&p);
    rig_fini(&g);
}
