#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/file_rig.h"

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
    cleanup_free uint8_t *bytes = big_bytes();
    CHECK(g.got.len >= BIG && memcmp(buf_front(&g.got), bytes, BIG) == 0);
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
        {"\"x\":1", ERR_INVALID_REQUEST, "FileGet: path is missing"},
        {"\"path\":null", ERR_INVALID_REQUEST, "FileGet: path is missing"},
        {"\"path\":\"\"", ERR_INVALID_REQUEST, "FileGet: path is empty"},
        {"\"path\":7", ERR_INVALID_REQUEST, "FileGet: path is no text, or has a NUL inside"},
        {"\"path\":\"/etc/passwd\\u0000x\"", ERR_INVALID_REQUEST,
         "FileGet: path is no text, or has a NUL inside"},
        {"\"path\":\"/etc/passwd\",\"offset\":-1", ERR_INVALID_REQUEST,
         "FileGet: offset or length is no number of bytes"},
        {"\"path\":\"/etc/passwd\",\"length\":\"1\"", ERR_INVALID_REQUEST,
         "FileGet: offset or length is no number of bytes"},
        {"\"path\":\"/no/such\"", ERR_NOT_FOUND, "/no/such: No such file or directory"},
        {"\"path\":\"/etc/passwd/x\"", ERR_NOT_FOUND, "/etc/passwd/x: Not a directory"},
        {"\"path\":\"/tmp\"", ERR_INVALID_REQUEST, "/tmp: not a regular file"},
        {"\"path\":\"/\"", ERR_INVALID_REQUEST, "/: not a regular file"},
        {"\"path\":\"~\"", ERR_INVALID_REQUEST, "/: not a regular file"},
        {"\"path\":\"/dev/null\"", ERR_INVALID_REQUEST, "/dev/null: not a regular file"},
        {"\"path\":\"/proc/self/pagemap\"", ERR_INVALID_REQUEST,
         "/proc/self/pagemap: gives no size and holds more than 32 MiB; use a command"},
    };
    struct rig g;
    rig_init(&g);
    setenv("HOME", "/", 1);
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":\"FileGet\",%s}", rows[i].fields);
        CHECK_STR(rig_expect_error(&g, rows[i].code), rows[i].why);
    }
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"/proc/self/mem\"}");
    CHECK(strstr(rig_expect_error(&g, ERR_IO), strerror(EIO)) != NULL);
    rig_fini(&g);
}

TEST(file_get_names_that_are_too_long)
{
    struct rig g;
    char name[5000];
    rig_init(&g);
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"/tmp/%s\"}", name);
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), strerror(ENAMETOOLONG)) != NULL);
    name[256] = 'n';
    name[4095] = '\0';
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", name); /* in $HOME: longer still */
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), strerror(ENAMETOOLONG)) != NULL);
    name[4095] = 'n';
    name[4096] = '\0';
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", name);
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST),
              "FileGet: path is too long (4095 bytes at most)");
    rig_fini(&g);
}

/* Opening a fifo waits for its writer, unless one is careful. */
TEST(file_get_what_is_no_file)
{
    struct rig g;
    rig_init(&g);
    make_irregular(&g);
    for (const char *const *name = irregular_names; *name; name++) {
        rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s/%s\"}", g.dir, *name);
        const char *why = rig_expect_error(&g, ERR_INVALID_REQUEST);
        CHECK(strstr(why, ": not a regular file") != NULL);
    }
    rig_fini(&g);
}

TEST(file_get_symlinks)
{
    struct rig g;
    rig_init(&g);
    rig_write_file(rig_path(&g, "f"), "text");
    CHECK_INT(symlink("f", rig_path(&g, "good")), 0);
    CHECK_INT(symlink("none", rig_path(&g, "dangling")), 0);
    CHECK_INT(symlink("loop", rig_path(&g, "loop")), 0);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s/good\"}", g.dir);
    CHECK_INT(number(rig_expect(&g, MSG_FILE_INFO), "size"), 4);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s/dangling\"}", g.dir);
    rig_expect_error(&g, ERR_NOT_FOUND);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s/loop\"}", g.dir);
    CHECK(strstr(rig_expect_error(&g, ERR_IO), strerror(ELOOP)) != NULL);
    rig_fini(&g);
}

/* They say that they are empty, or that they have a page. */
TEST(file_get_of_the_kernel)
{
    static const char *const paths[] = {"/proc/sys/kernel/ostype", "/proc/crypto",
                                        "/sys/devices/system/cpu/online"};
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(paths); i++) {
        size_t len;
        cleanup_free char *text = path_read(paths[i], 1 << 20, &len);
        if (!text)
            continue; /* not in every kernel */
        rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", paths[i]);
        CHECK_INT(number(rig_expect(&g, MSG_FILE_INFO), "size"), len);
        CHECK(rig_bytes(&g, len) && memcmp(buf_front(&g.got), text, len) == 0);
        buf_consume(&g.got, len);
        rig_expect_end(&g);
        rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"%s\",\"offset\":1,\"length\":%zu}", paths[i],
                 len - 2);
        CHECK_INT(number(rig_expect(&g, MSG_FILE_INFO), "size"), len);
        CHECK(rig_bytes(&g, len - 2) && memcmp(buf_front(&g.got), text + 1, len - 2) == 0);
        buf_consume(&g.got, len - 2);
        rig_expect_end(&g);
    }
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

/* While a file is read beforehand, turn after turn. */
TEST(file_get_given_up_early)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"FileGet\",\"path\":\"/proc/self/pagemap\"}");
    rig_patience();
    while (!(g.sv.requests && g.sv.requests->state) && rig_turn(&g))
        ;
    service_fini(&g.sv);
    for (int i = 0; i < 3; i++)
        loop_turn(g.loop, 0);
    rig_fini(&g);
}

/* A stream that never is full never says that it has drained. */
TEST(file_get_into_an_open_mouth)
{
    enum { SIZE = 900000 };
    struct rig g;
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    rig_init(&g);
    const char *path = rig_path(&g, "big");
    write_big(path);
    cleanup_free char *text =
        xasprintf("....{\"type\":\"FileGet\",\"path\":\"%s\",\"length\":%d}", path, SIZE);
    size_t len = strlen(text);
    memset(text, 0, 3);
    text[3] = (char)(len - 4);
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC | O_NONBLOCK) == 0);
    CHECK(fcntl(out[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
    service_serve(&g.sv, fdstream_new(g.loop, in[0], out[1]));
    CHECK_INT(write(in[1], text, len), len);
    for (int i = 0; i < 10; i++)
        loop_turn(g.loop, 0);
    cleanup_free char *got = xmalloc(1 << 20);
    CHECK(read(out[0], got, 1 << 20) > SIZE);
    close(in[1]);
    close(out[0]);
    until_idle(&g);
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
