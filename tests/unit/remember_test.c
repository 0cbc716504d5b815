/* What a master remembers, in a configuration directory of the test's own. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/master/master.h"
#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/capture.h"
#include "tests/unit/test.h"

struct memory {
    char dir[32];
    char *before; /* XDG_CONFIG_HOME */
    struct loop *loop;
    struct options options;
    struct master m;
};

static void nothing(void *arg, int error)
{
    (void)arg;
    (void)error;
}

static const struct session_events events = {.over = nothing, .down = nothing};

static void begin(struct memory *y, const char *host)
{
    static const uint8_t id[SESSION_LEN] = {1, 2, 3};
    y->loop = loop_new();
    y->options = (struct options){.host = xstrdup(host), .ssh_args = xcalloc(1, sizeof(char *))};
    y->m = (struct master){.loop = y->loop, .options = &y->options, .ready_fd = -1};
    y->m.session = session_new(y->loop, SESSION_MASTER, id, &events, &y->m);
    forward_init(&y->m);
}

static void end(struct memory *y)
{
    forward_fini(&y->m);
    session_free(y->m.session);
    free(y->m.takeover);
    free(y->m.closed);
    options_fini(&y->options);
    loop_turn(y->loop, 0);
    loop_free(y->loop);
}

static void open_memory(struct memory *y)
{
    const char *before = getenv("XDG_CONFIG_HOME");
    *y = (struct memory){.dir = "/tmp/berth-memory-XXXXXX"};
    CHECK(mkdtemp(y->dir) != NULL);
    y->before = before ? xstrdup(before) : NULL;
    setenv("XDG_CONFIG_HOME", y->dir, 1);
}

static void close_memory(struct memory *y)
{
    static const char *const names[] = {"berth/forwards.json", "berth/forwards.lock", "berth", ""};
    for (size_t i = 0; i < countof(names); i++) {
        cleanup_free char *path = xasprintf("%s/%s", y->dir, names[i]);
        CHECK_INT(remove(path), 0);
    }
    if (y->before)
        setenv("XDG_CONFIG_HOME", y->before, 1);
    else
        unsetenv("XDG_CONFIG_HOME");
    free(y->before);
}

static void give(struct memory *y, enum forward_kind kind, const char *text)
{
    const char *why;
    struct forward_spec spec = {0};
    CHECK_INT(forward_spec_parse(&spec, kind, text, &why), 0);
    options_add(&y->options, &spec);
}

static void add_all(struct memory *y)
{
    for (size_t i = 0; i < y->options.n_specs; i++)
        forward_add(&y->m, &y->options.specs[i], false);
}

static void expect_spec(const struct memory *y, size_t i, const char *text)
{
    char have[FORWARD_SPEC_TEXT_MAX] = "nothing";
    if (i < y->options.n_specs)
        forward_spec_format(&y->options.specs[i], have);
    CHECK_STR(have, text);
}

TEST(remember_what_was_asked_for)
{
    struct memory y;
    open_memory(&y);
    begin(&y, "me@one");
    remember_restore(&y.m); /* nothing yet */
    CHECK_INT(y.options.n_specs, 0);
    give(&y, FORWARD_REMOTE, "8080:localhost:3000");
    give(&y, FORWARD_REMOTE, "0:[/tmp/a:socket]");
    add_all(&y);
    remember_closed(&y.m, 3306);
    remember_closed(&y.m, 3306);
    remember_closed(&y.m, 5432);
    remember_opened(&y.m, 5432);
    remember_save(&y.m);
    end(&y);

    begin(&y, "me@two");
    remember_restore(&y.m); /* another host's are not ours */
    CHECK_INT(y.options.n_specs, 0);
    CHECK(!y.m.takeover);
    remember_save(&y.m);
    end(&y);

    begin(&y, "me@one");
    remember_restore(&y.m);
    CHECK_INT(y.options.n_specs, 2);
    expect_spec(&y, 0, "-R 127.0.0.1:8080 -> localhost:3000");
    expect_spec(&y, 1, "-R 127.0.0.1:0 -> unix:/tmp/a:socket");
    CHECK(remember_is_closed(&y.m, 3306));
    CHECK(!remember_is_closed(&y.m, 5432));
    CHECK_STR(y.m.takeover, "01020300000000000000000000000000");
    end(&y);
    close_memory(&y);
}

TEST(remember_gives_way_to_the_command_line)
{
    struct memory y;
    open_memory(&y);
    begin(&y, "h");
    give(&y, FORWARD_REMOTE, "8080:localhost:3000");
    give(&y, FORWARD_REMOTE, "8081:localhost:3001");
    add_all(&y);
    remember_save(&y.m);
    end(&y);
    for (int again = 0; again < 2; again++) {
        begin(&y, "h");
        if (!again)
            give(&y, FORWARD_REMOTE, "8080:elsewhere:99");
        remember_restore(&y.m);
        CHECK_INT(y.options.n_specs, 2);
        expect_spec(&y, 0, "-R 127.0.0.1:8080 -> elsewhere:99");
        expect_spec(&y, 1, "-R 127.0.0.1:8081 -> localhost:3001");
        add_all(&y);
        remember_save(&y.m);
        end(&y);
    }
    begin(&y, "h");
    y.options.no_restore = true;
    remember_restore(&y.m);
    CHECK_INT(y.options.n_specs, 0);
    end(&y);
    close_memory(&y);
}

TEST(remember_forgets_what_was_closed_and_what_was_automatic)
{
    struct memory y;
    struct forward_spec found = {
        .kind = FORWARD_LOCAL,
        .bind = {.host = "127.0.0.1"},
        .target = {.host = "localhost", .port = 3000},
    };
    open_memory(&y);
    begin(&y, "h");
    give(&y, FORWARD_REMOTE, "8080:localhost:3000");
    give(&y, FORWARD_REMOTE, "8081:localhost:3001");
    add_all(&y);
    CHECK_INT(forward_add(&y.m, &found, true)->error, 0);
    forward_close_by_hand(forward_by_port(&y.m, 8080, false));
    end(&y);
    begin(&y, "h");
    remember_restore(&y.m);
    CHECK_INT(y.options.n_specs, 1);
    expect_spec(&y, 0, "-R 127.0.0.1:8081 -> localhost:3001");
    CHECK(remember_is_closed(&y.m, 8080));
    end(&y);
    close_memory(&y);
}

/* Of a forward the last word of each row counts: is it restored? */
TEST(remember_passes_over_what_it_cannot_read)
{
    static const char *const rows[] = {
        "{}",
        "3",
        "{\"kind\":\"L\"}",
        "{\"kind\":\"\",\"bind\":\"127.0.0.1:80\",\"target\":\"a:1\"}",
        "{\"kind\":\"X\",\"bind\":\"127.0.0.1:80\",\"target\":\"a:1\"}",
        "{\"kind\":\"L\",\"bind\":\"127.0.0.1\",\"target\":\"a:1\"}",
        "{\"kind\":\"L\",\"bind\":\"127.0.0.1:80\",\"target\":\"a\"}",
        "{\"kind\":\"L\",\"bind\":\"127.0.0.1:80\"}",
    };
    struct memory y;
    open_memory(&y);
    cleanup_free char *dir = path_config(""), *path = path_config("forwards.json"),
                      *lock = path_config("forwards.lock");
    CHECK_INT(path_private_dir(dir), 0);
    CHECK_INT(path_write_atomic(lock, "", 0, 0600), 0);
    for (size_t i = 0; i < countof(rows); i++) {
        cleanup_free char *text =
            xasprintf("{\"hosts\":{\"h\":{\"closed\":[0,-1,65536,\"x\",443],\"forwards\":[%s,"
                      "{\"kind\":\"D\",\"bind\":\"127.0.0.1:1080\"}]}}}",
                      rows[i]);
        CHECK_INT(path_write_atomic(path, text, strlen(text), 0600), 0);
        begin(&y, "h");
        capture_begin();
        remember_restore(&y.m);
        cleanup_free char *said = capture_end();
        CHECK(strstr(said, "passed over") != NULL);
        CHECK_INT(y.options.n_specs, 1);
        CHECK_INT(y.m.n_closed, 1);
        CHECK(remember_is_closed(&y.m, 443));
        end(&y);
    }
    close_memory(&y);
}
