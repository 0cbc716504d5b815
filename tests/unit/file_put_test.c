#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/file_rig.h"

static void put(struct rig *g, const char *path, const char *fields, const char *text)
{
    rig_open(g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":%zu%s}", path, strlen(text),
             fields);
    rig_send(g, text, strlen(text));
}

TEST(file_put_new)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    mode_t mask = umask(027);
    put(&g, path, "", "hello");
    rig_expect(&g, MSG_OK);
    rig_expect_end(&g);
    umask(mask);
    expect_file(path, "hello");
    CHECK_INT(mode_of(path), S_IFREG | 0640);
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

TEST(file_put_modes)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    put(&g, path, ",\"mode\":448", "1");
    rig_expect(&g, MSG_OK);
    CHECK_INT(mode_of(path), S_IFREG | 0700);
    put(&g, path, "", "22");
    rig_expect(&g, MSG_OK);
    CHECK_INT(mode_of(path), S_IFREG | 0700);
    put(&g, path, ",\"mode\":2541", "333");
    rig_expect(&g, MSG_OK);
    CHECK_INT(mode_of(path), S_IFREG | 04755);
    expect_file(path, "333");
    rig_fini(&g);
}

TEST(file_put_empty)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "old");
    put(&g, path, "", "");
    rig_expect(&g, MSG_OK);
    rig_expect_end(&g);
    expect_file(path, "");
    rig_fini(&g);
}

TEST(file_put_big)
{
    struct rig g;
    size_t len;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    cleanup_free uint8_t *bytes = big_bytes();
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":%zu}", path, BIG);
    rig_send(&g, bytes, BIG);
    rig_expect(&g, MSG_OK);
    cleanup_free char *found = path_read(path, BIG, &len);
    CHECK_INT(len, BIG);
    CHECK(found && memcmp(found, bytes, BIG) == 0);
    rig_fini(&g);
}

/* The request, its body and more in one piece: only the body is the file's. */
TEST(file_put_at_once)
{
    struct rig g;
    rig_init(&g);
    cleanup_free char *request =
        xasprintf("{\"type\":\"FilePut\",\"path\":\"%s/f\",\"size\":4}", g.dir);
    cleanup_free char *all =
        xasprintf("%c%c%c%c%sbodymore", 1, 1, 1, (char)strlen(request), request);
    memset(all, 0, 3);
    rig_connect(&g);
    rig_send(&g, all, 4 + strlen(request) + 8);
    rig_expect(&g, MSG_OK);
    expect_file(rig_path(&g, "f"), "body");
    rig_fini(&g);
}

/* The old file stays what it is until the new one is whole, and no other is left. */
TEST(file_put_interrupted)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "old");
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":100}", path);
    rig_send(&g, "new", 3);
    rig_patience();
    while (entries(g.dir) < 2 && rig_turn(&g))
        ;
    expect_file(path, "old");
    rig_close(&g);
    until_idle(&g);
    expect_file(path, "old");
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

TEST(file_put_too_short)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":100}", path);
    rig_send(&g, "new", 3);
    shutdown(g.fd, SHUT_WR);
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), "f: 3 of 100 bytes came") != NULL);
    CHECK_INT(entries(g.dir), 0);
    rig_fini(&g);
}

/* Whoever has sent everything may go: the file is complete. */
TEST(file_put_closed_before_the_answer)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    put(&g, path, "", "all");
    shutdown(g.fd, SHUT_WR);
    rig_expect(&g, MSG_OK);
    expect_file(path, "all");
    put(&g, path, "", "more");
    rig_patience();
    while (!(g.sv.requests && g.sv.requests->state) && rig_turn(&g))
        ;
    service_fini(&g.sv);
    rig_fini(&g); /* no child, no descriptor is left */
}

TEST(file_put_symlink)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f"), *link = rig_path(&g, "link");
    rig_write_file(path, "old");
    CHECK_INT(symlink("f", link), 0);
    put(&g, link, "", "new");
    rig_expect(&g, MSG_OK);
    expect_file(path, "new");
    CHECK(S_ISLNK(mode_of(link)));
    CHECK_INT(unlink(path), 0);
    put(&g, link, "", "again");
    rig_expect_error(&g, ERR_NOT_FOUND);
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

TEST(file_put_refused)
{
    static const struct {
        const char *fields;
        enum error_code code;
    } rows[] = {
        {"\"path\":\"/tmp/x\"", ERR_INVALID_REQUEST},
        {"\"size\":1", ERR_INVALID_REQUEST},
        {"\"path\":\"/tmp/x\",\"size\":-1", ERR_INVALID_REQUEST},
        {"\"path\":\"/tmp/x\",\"size\":\"1\"", ERR_INVALID_REQUEST},
        {"\"path\":\"/tmp/x\",\"size\":1,\"mode\":4096", ERR_INVALID_REQUEST},
        {"\"path\":\"/tmp/x\",\"size\":1,\"mode\":-1", ERR_INVALID_REQUEST},
        {"\"path\":\"/tmp/x\",\"size\":1,\"mode\":\"0644\"", ERR_INVALID_REQUEST},
        {"\"path\":\"/tmp\",\"size\":1", ERR_INVALID_REQUEST},
        {"\"path\":\"/tmp/no-such/\",\"size\":1", ERR_INVALID_REQUEST},
        {"\"path\":\"/dev/null\",\"size\":1", ERR_INVALID_REQUEST},
        {"\"path\":\"/no/such/file\",\"size\":1", ERR_NOT_FOUND},
        {"\"path\":\"/dev/null/x\",\"size\":1", ERR_NOT_FOUND},
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":\"FilePut\",%s}", rows[i].fields);
        rig_expect_error(&g, rows[i].code);
    }
    CHECK(access("/tmp/x", F_OK) != 0);
    rig_fini(&g);
}

/* An error while there is more to come reaches an opener that is still sending. */
TEST(file_put_write_fails)
{
    struct rig g;
    struct rlimit before, small;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    cleanup_free uint8_t *bytes = big_bytes();
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){100000, before.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":%zu}", path, BIG);
    rig_send(&g, bytes, BIG);
    const char *why = rig_expect_error(&g, ERR_IO);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK(strstr(why, "f: File too large") != NULL);
    CHECK_INT(entries(g.dir), 0);
    rig_fini(&g);
}
