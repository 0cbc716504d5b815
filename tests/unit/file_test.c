#include <dirent.h>
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
#include "tests/unit/service_rig.h"

#define BIG ((size_t)3000001)

static int64_t number(const struct json_value *body, const char *key)
{
    int64_t n = INT64_MIN;
    CHECK_INT(json_get_int(body, key, &n), 1);
    return n;
}

static uint8_t big_byte(size_t at)
{
    return (uint8_t)(at * 7 ^ at >> 11);
}

static uint8_t *big_bytes(void)
{
    uint8_t *bytes = xmalloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = big_byte(i);
    return bytes;
}

static void write_big(const char *path)
{
    cleanup_free uint8_t *bytes = big_bytes();
    CHECK_INT(path_write_atomic(path, bytes, BIG, 0640), 0);
}

static size_t entries(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

static mode_t mode_of(const char *path)
{
    struct stat st = {0};
    CHECK_INT(lstat(path, &st), 0);
    return st.st_mode;
}

static void expect_file(const char *path, const char *text)
{
    size_t len;
    cleanup_free char *found = path_read(path, 1 << 20, &len);
    CHECK_STR(found, text);
}

/* FileGet. */

TEST(file_get_whole)
{
    struct rig g;
    struct stat st;
    rig_init(&g);
    const char *path = rig_path(&g, "big");
    write_big(path);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", path);
    const struct json_value *info = rig_expect(&g, MSG_FILE_INFO);
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(number(info, "size"), BIG);
    CHECK_INT(number(info, "mode"), 0640);
    CHECK_INT(number(info, "mtime"), st.st_mtime);
    CHECK(rig_bytes(&g, BIG));
    bool same = true;
    for (size_t i = 0; i < BIG && same; i++)
        same = buf_front(&g.got)[i] == big_byte(i);
    CHECK(same);
    buf_consume(&g.got, BIG);
    rig_expect_end(&g);
    rig_fini(&g);
}

TEST(file_get_slices)
{
    static const struct {
        const char *fields, *want;
    } rows[] = {
        {"\"offset\":0", "0123456789"},
        {"\"offset\":4", "456789"},
        {"\"offset\":4,\"length\":3", "456"},
        {"\"offset\":4,\"length\":8", "456789"},
        {"\"length\":0", ""},
        {"\"length\":10", "0123456789"},
        {"\"offset\":8,\"length\":9223372036854775807", "89"},
        {"\"offset\":10", ""},
        {"\"offset\":9223372036854775807,\"length\":5", ""},
        {"\"offset\":null,\"length\":null", "0123456789"},
    };
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "digits");
    rig_write_file(path, "0123456789");
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\",%s}", path, rows[i].fields);
        CHECK_INT(number(rig_expect(&g, MSG_FILE_INFO), "size"), 10);
        size_t len = strlen(rows[i].want);
        CHECK(rig_bytes(&g, len));
        CHECK(g.got.len >= len && (len == 0 || memcmp(buf_front(&g.got), rows[i].want, len) == 0));
        buf_consume(&g.got, g.got.len < len ? g.got.len : len);
        rig_expect_end(&g);
        CHECK(g.sv.requests != NULL); /* an end, which lingers, and no reset */
    }
    rig_fini(&g);
}

TEST(file_get_home)
{
    static const char *const names[] = {"f", "~/f", "./f"};
    struct rig g;
    rig_init(&g);
    setenv("HOME", g.dir, 1);
    rig_write_file(rig_path(&g, "f"), "x");
    for (size_t i = 0; i < countof(names); i++) {
        rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", names[i]);
        CHECK_INT(number(rig_expect(&g, MSG_FILE_INFO), "size"), 1);
    }
    setenv("HOME", "/", 1);
    rig_fini(&g);
}

TEST(file_get_refused)
{
    static const struct {
        const char *fields;
        enum error_code code;
        const char *why;
    } rows[] = {
        {"\"x\":1", ERR_INVALID_REQUEST, "FileGet: not {path, offset, length}"},
        {"\"path\":\"\"", ERR_INVALID_REQUEST, "FileGet: not {path, offset, length}"},
        {"\"path\":\"/etc/passwd\",\"offset\":-1", ERR_INVALID_REQUEST,
         "FileGet: not {path, offset, length}"},
        {"\"path\":\"/etc/passwd\",\"length\":\"1\"", ERR_INVALID_REQUEST,
         "FileGet: not {path, offset, length}"},
        {"\"path\":\"/no/such\"", ERR_NOT_FOUND, "/no/such: No such file or directory"},
        {"\"path\":\"/etc/passwd/x\"", ERR_NOT_FOUND, "/etc/passwd/x: Not a directory"},
        {"\"path\":\"/tmp\"", ERR_INVALID_REQUEST, "/tmp: not a regular file"},
        {"\"path\":\"/dev/null\"", ERR_INVALID_REQUEST, "/dev/null: not a regular file"},
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":\"FileGet\",%s}", rows[i].fields);
        CHECK_STR(rig_expect_error(&g, rows[i].code), rows[i].why);
    }
    rig_fini(&g);
}

/* Opening a fifo waits for its writer, unless one is careful. */
TEST(file_get_fifo)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "fifo");
    CHECK_INT(mkfifo(path, 0600), 0);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", path);
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), "fifo: not a regular file") != NULL);
    rig_fini(&g);
}

TEST(file_get_slow_reader)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "big");
    write_big(path);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", path);
    for (int i = 0; i < 100; i++)
        loop_turn(g.loop, 0);
    CHECK_INT(stream_room(g.sv.requests->stream), 0);
    CHECK(fdstream_unsent(g.sv.requests->stream) < FDSTREAM_LIMIT + (128 << 10));
    rig_expect(&g, MSG_FILE_INFO);
    CHECK(rig_bytes(&g, BIG));
    rig_fini(&g);
}

/* A short answer must not look like a whole one. */
TEST(file_get_file_shrinks)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "big");
    write_big(path);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", path);
    loop_turn(g.loop, 1000);
    CHECK_INT(truncate(path, 1000000), 0);
    g.ceiling = 1;
    rig_patience();
    while (!g.ended) {
        g.ceiling = g.got.len + 1;
        if (!rig_turn(&g))
            break;
    }
    CHECK(g.got.len < BIG);
    CHECK(!g.sv.requests); /* reset: it does not wait for the opener's end */
    rig_fini(&g);
}

TEST(file_get_given_up)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "big");
    write_big(path);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", path);
    rig_expect(&g, MSG_FILE_INFO);
    rig_close(&g);
    rig_patience();
    while (g.sv.requests && rig_turn(&g))
        ;
    CHECK(!g.sv.requests);
    rig_fini(&g);
}

/* FilePut. */

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

static void until_idle(struct rig *g)
{
    rig_patience();
    while (g->sv.requests && rig_turn(g))
        ;
    CHECK(!g->sv.requests);
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
