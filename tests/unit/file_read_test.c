#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base64.h"
#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/file_rig.h"

#define MIB ((int64_t)1 << 20)

/* An answer with bytes inside: those under `key` are bytes[len], and `size` says how many. */
static void expect_bytes(struct rig *g, enum message_type type, const char *key, const void *bytes,
                         size_t len)
{
    const struct json_value *body = rig_expect(g, type);
    cleanup_free char *text = xmalloc(BASE64_LEN(len) + 1);
    const char *got = json_get_str(body, key);
    base64_encode(text, bytes, len);
    CHECK(got && strcmp(got, text) == 0);
    CHECK_INT(number(body, "size"), len);
}

static void expect_content(struct rig *g, const char *text)
{
    expect_bytes(g, MSG_FILE_CONTENT, "content", text, strlen(text));
}

static void make_sparse(const char *path, int64_t size)
{
    rig_write_file(path, "");
    CHECK_INT(truncate(path, size), 0);
}

TEST(file_read_slices)
{
    static const struct {
        const char *fields, *want;
    } rows[] = {
        {"\"x\":0", "0123456789"},
        {"\"offset\":4", "456789"},
        {"\"offset\":4,\"limit\":3", "456"},
        {"\"offset\":4,\"limit\":8", "456789"},
        {"\"limit\":0", ""},
        {"\"limit\":10", "0123456789"},
        {"\"offset\":8,\"limit\":9223372036854775807", "89"},
        {"\"offset\":10", ""},
        {"\"offset\":9223372036854775807,\"limit\":5", ""},
        {"\"offset\":null,\"limit\":null", "0123456789"},
    };
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "digits");
    rig_write_file(path, "0123456789");
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"%s\",%s}", path, rows[i].fields);
        expect_content(&g, rows[i].want);
        rig_expect_end(&g);
    }
    rig_fini(&g);
}

/* Of what is streamed, as of what is small enough to be read beforehand. */
TEST(file_read_slices_of_much)
{
    static const struct {
        size_t offset, limit;
    } rows[] = {{0, BIG}, {0, BIG - 1}, {1, 49152}, {49151, 98305}, {BIG - 1, 9}, {BIG, 9}, {7, 0}};
    struct rig g;
    rig_init(&g);
    cleanup_free uint8_t *bytes = big_bytes();
    const char *path = rig_path(&g, "big");
    write_big(path);
    for (size_t i = 0; i < countof(rows); i++) {
        size_t left = BIG - rows[i].offset;
        rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"%s\",\"offset\":%zu,\"limit\":%zu}", path,
                 rows[i].offset, rows[i].limit);
        expect_bytes(&g, MSG_FILE_CONTENT, "content", bytes + rows[i].offset,
                     rows[i].limit < left ? rows[i].limit : left);
        rig_expect_end(&g);
    }
    rig_open(&g, "{\"type\":\"FileDownload\",\"guest_path\":\"%s\"}", path);
    expect_bytes(&g, MSG_FILE_DATA, "data", bytes, BIG);
    CHECK_INT(truncate(path, 60000), 0);
    for (size_t offset = 49150; offset < 49155; offset++) { /* where one piece follows another */
        rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"%s\",\"offset\":%zu,\"limit\":10000}", path,
                 offset);
        expect_bytes(&g, MSG_FILE_CONTENT, "content", bytes + offset, 10000);
    }
    rig_fini(&g);
}

TEST(file_read_empty)
{
    struct rig g;
    rig_init(&g);
    setenv("HOME", g.dir, 1);
    rig_write_file(rig_path(&g, "f"), "");
    rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"~/f\"}");
    expect_content(&g, "");
    rig_open(&g, "{\"type\":\"FileDownload\",\"guest_path\":\"f\"}");
    expect_bytes(&g, MSG_FILE_DATA, "data", "", 0);
    setenv("HOME", "/", 1);
    rig_fini(&g);
}

TEST(file_read_of_the_kernel)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"/proc/sys/kernel/ostype\"}");
    expect_content(&g, "Linux\n");
    rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"/proc/sys/kernel/ostype\","
                 "\"offset\":2,\"limit\":3}");
    expect_content(&g, "nux");
    rig_open(&g, "{\"type\":\"FileDownload\",\"guest_path\":\"/proc/sys/kernel/ostype\"}");
    expect_bytes(&g, MSG_FILE_DATA, "data", "Linux\n", 6);
    rig_fini(&g);
}

TEST(file_read_too_large)
{
    static const char *const requests[] = {"FileRead\",\"limit\":9,\"path",
                                           "FileDownload\",\"guest_path"};
    struct rig g;
    rig_init(&g);
    g.sv.frame_limit = 64u << 20;
    const char *path = rig_path(&g, "large");
    for (size_t i = 0; i < countof(requests); i++) {
        make_sparse(path, 32 * MIB + 1);
        rig_open(&g, "{\"type\":\"%s\":\"%s\"}", requests[i], path);
        CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST),
                  "file too large: 33554433 bytes (max 32 MiB); any size by FileGet");
        make_sparse(path, 32 * MIB);
        rig_open(&g, "{\"type\":\"%s\":\"%s\"}", requests[i], path);
        number(rig_expect(&g, i ? MSG_FILE_DATA : MSG_FILE_CONTENT), "size");
    }
    rig_fini(&g);
}

static void read_limit(struct rig *g, const char *path, int limit)
{
    rig_open(g, "{\"type\":\"FileRead\",\"path\":\"%s\",\"limit\":%d}", path, limit);
}

/* Up to the last byte that a frame can take; and the size that the Error names can be had. */
TEST(file_read_fits_a_frame)
{
    struct rig g;
    int limit = 0, named = 0;
    rig_init(&g);
    g.sv.frame_limit = 1000;
    const char *path = rig_path(&g, "f");
    write_big(path);
    for (;; limit++) {
        read_limit(&g, path, limit);
        struct frame f = rig_frame(&g);
        CHECK(f.len > 0 && f.len <= 1000);
        if (!f.len || memmem(f.payload, f.len, "Error", 5))
            break;
    }
    CHECK(limit > 700 && limit < 750);
    read_limit(&g, path, limit - 1);
    uint32_t largest = (uint32_t)rig_frame(&g).len;
    g.sv.frame_limit = largest;
    read_limit(&g, path, limit - 1);
    CHECK_INT(number(rig_expect(&g, MSG_FILE_CONTENT), "size"), limit - 1);
    g.sv.frame_limit = largest - 1;
    read_limit(&g, path, limit - 1);
    rig_expect_error(&g, ERR_INVALID_REQUEST);
    g.sv.frame_limit = 1000;
    read_limit(&g, path, 2000);
    const char *why = rig_expect_error(&g, ERR_INVALID_REQUEST);
    CHECK_INT(sscanf(why,
                     "2000 bytes do not fit into a message: use FileRead with offset and "
                     "limit, %d bytes at a time, or FileGet",
                     &named),
              1);
    read_limit(&g, path, named);
    CHECK_INT(number(rig_expect(&g, MSG_FILE_CONTENT), "size"), named);
    rig_open(&g, "{\"type\":\"FileDownload\",\"guest_path\":\"%s\"}", path);
    rig_expect_error(&g, ERR_INVALID_REQUEST);
    rig_fini(&g);
}

TEST(file_read_refused)
{
    static const struct {
        const char *fields;
        enum error_code code;
        const char *why;
    } rows[] = {
        {"FileRead\"", ERR_INVALID_REQUEST, "FileRead: path is missing"},
        {"FileRead\",\"path\":\"\"", ERR_INVALID_REQUEST, "FileRead: path is empty"},
        {"FileRead\",\"path\":\"/etc/passwd\",\"offset\":-1", ERR_INVALID_REQUEST,
         "FileRead: offset or limit is no number of bytes"},
        {"FileRead\",\"path\":\"/etc/passwd\",\"limit\":1.5", ERR_INVALID_REQUEST,
         "FileRead: offset or limit is no number of bytes"},
        {"FileRead\",\"path\":\"/no/such\"", ERR_NOT_FOUND, "/no/such: No such file or directory"},
        {"FileRead\",\"path\":\"/dev/zero\"", ERR_INVALID_REQUEST, "/dev/zero: not a regular file"},
        {"FileDownload\",\"path\":\"/etc/passwd\"", ERR_INVALID_REQUEST,
         "FileDownload: guest_path is missing"},
        {"FileDownload\",\"guest_path\":\"a\\u0000b\"", ERR_INVALID_REQUEST,
         "FileDownload: guest_path is no text, or has a NUL inside"},
        {"FileDownload\",\"guest_path\":\"/no/such\"", ERR_NOT_FOUND,
         "/no/such: No such file or directory"},
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":\"%s}", rows[i].fields);
        CHECK_STR(rig_expect_error(&g, rows[i].code), rows[i].why);
    }
    make_irregular(&g);
    for (const char *const *name = irregular_names; *name; name++) {
        rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"%s/%s\"}", g.dir, *name);
        rig_expect_error(&g, ERR_INVALID_REQUEST);
        rig_open(&g, "{\"type\":\"FileDownload\",\"guest_path\":\"%s/%s\"}", g.dir, *name);
        rig_expect_error(&g, ERR_INVALID_REQUEST);
    }
    rig_fini(&g);
}

/* Half a message cannot be turned into an Error. */
TEST(file_read_file_shrinks)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "big");
    write_big(path);
    rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"%s\"}", path);
    g.ceiling = 1000;
    rig_patience();
    while (g.got.len < 1000 && rig_turn(&g))
        ;
    CHECK_INT(truncate(path, 2000000), 0);
    g.ceiling = SIZE_MAX;
    rig_patience();
    while (!g.ended && rig_turn(&g))
        ;
    CHECK(g.got.len < BASE64_LEN(BIG));
    CHECK(!g.sv.requests); /* reset: it does not wait for the opener's end */
    rig_fini(&g);
}

TEST(file_read_given_up)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "big");
    write_big(path);
    rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"%s\"}", path);
    CHECK(rig_bytes(&g, 1000));
    rig_close(&g);
    until_idle(&g);
    rig_fini(&g);
}

/* One who reads nothing holds up nobody, and costs a queue and no more. */
TEST(file_read_stalled)
{
    struct rig g;
    rig_init(&g);
    g.sv.frame_limit = 48u << 20;
    const char *path = rig_path(&g, "large");
    make_sparse(path, 30 * MIB);
    rig_open(&g, "{\"type\":\"FileRead\",\"path\":\"%s\"}", path);
    for (int i = 0; i < 100; i++)
        loop_turn(g.loop, 0);
    const struct stream *stalled = g.sv.requests->stream;
    CHECK_INT(stream_room(stalled), 0);
    CHECK(fdstream_unsent(stalled) < FDSTREAM_LIMIT + (128 << 10));
    int fd = g.fd;
    g.fd = -1;
    for (int i = 0; i < 100; i++) {
        rig_open(&g, "{\"type\":\"Ping\"}");
        rig_expect(&g, MSG_PONG);
    }
    CHECK(fdstream_unsent(stalled) < FDSTREAM_LIMIT + (128 << 10));
    rig_close(&g);
    g.fd = fd;
    CHECK_INT(number(rig_expect(&g, MSG_FILE_CONTENT), "size"), 30 * MIB);
    CHECK_INT(strlen(json_get_str(g.message.body, "content")), 40 * MIB);
    rig_fini(&g);
}

/* On a stream of many requests the next one waits for the whole of the answer. */
TEST(file_read_between_others)
{
    struct rig g;
    rig_init(&g);
    g.sv.repeated = true;
    cleanup_free uint8_t *bytes = big_bytes();
    const char *path = rig_path(&g, "big");
    write_big(path);
    rig_open(&g, "{\"type\":\"Ping\"}");
    for (int i = 0; i < 2; i++) {
        rig_send_message(&g, "{\"type\":\"FileRead\",\"path\":\"%s\"}", path);
        rig_send_message(&g, "{\"type\":\"FileRead\",\"path\":\"/no/such\"}");
        rig_send_message(&g, "{\"type\":\"FileRead\",\"path\":\"%s\",\"limit\":3}", path);
    }
    rig_expect(&g, MSG_PONG);
    for (int i = 0; i < 2; i++) {
        expect_bytes(&g, MSG_FILE_CONTENT, "content", bytes, BIG);
        rig_expect(&g, MSG_ERROR);
        expect_bytes(&g, MSG_FILE_CONTENT, "content", bytes, 3);
    }
    rig_close(&g);
    until_idle(&g);
    rig_fini(&g);
}
