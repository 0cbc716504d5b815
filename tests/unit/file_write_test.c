#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base64.h"
#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/file_rig.h"

/* FileWrite of these bytes; `fields` begins with a comma, if it is anything. */
static void write_bytes_to(struct rig *g, const char *path, const char *fields, const void *bytes,
                           size_t len)
{
    cleanup_free char *text = xmalloc(BASE64_LEN(len) + 1);
    base64_encode(text, bytes, len);
    rig_open(g, "{\"type\":\"FileWrite\",\"path\":\"%s\",\"content\":\"%s\"%s}", path, text,
             fields);
}

static void write_to(struct rig *g, const char *path, const char *fields, const char *text)
{
    write_bytes_to(g, path, fields, text, strlen(text));
}

TEST(file_write_new)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    mode_t mask = umask(027);
    write_to(&g, path, "", "hello");
    rig_expect(&g, MSG_OK);
    rig_expect_end(&g);
    umask(mask);
    expect_file(path, "hello");
    CHECK_INT(mode_of(path), S_IFREG | 0640);
    rig_open(&g, "{\"type\":\"FileUpload\",\"guest_path\":\"%s\",\"data\":\"\",\"mode\":null}",
             path);
    rig_expect(&g, MSG_OK);
    expect_file(path, "");
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

TEST(file_write_modes)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    write_to(&g, path, ",\"mode\":448", "1");
    rig_expect(&g, MSG_OK);
    CHECK_INT(mode_of(path), S_IFREG | 0700);
    write_to(&g, path, "", "22");
    rig_expect(&g, MSG_OK);
    CHECK_INT(mode_of(path), S_IFREG | 0700);
    rig_open(&g, "{\"type\":\"FileUpload\",\"guest_path\":\"%s\",\"data\":\"eA==\",\"mode\":0}",
             path);
    rig_expect(&g, MSG_OK);
    CHECK_INT(mode_of(path), S_IFREG);
    rig_fini(&g);
}

TEST(file_write_any_bytes)
{
    struct rig g;
    size_t len;
    rig_init(&g);
    g.sv.frame_limit = 16u << 20;
    const char *path = rig_path(&g, "f");
    cleanup_free uint8_t *bytes = big_bytes();
    write_bytes_to(&g, path, "", bytes, BIG);
    rig_expect(&g, MSG_OK);
    cleanup_free char *found = path_read(path, BIG, &len);
    CHECK_INT(len, BIG);
    CHECK(found && memcmp(found, bytes, BIG) == 0);
    rig_fini(&g);
}

TEST(file_write_makes_directories)
{
    struct rig g;
    rig_init(&g);
    setenv("HOME", g.dir, 1);
    write_to(&g, "~/a/b/c", "", "x");
    rig_expect(&g, MSG_OK);
    expect_file(rig_path(&g, "a/b/c"), "x");
    write_to(&g, "a/b/d", "", "y");
    rig_expect(&g, MSG_OK);
    expect_file(rig_path(&g, "a/b/d"), "y");
    setenv("HOME", "/", 1);
    rig_fini(&g);
}

TEST(file_write_symlink)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f"), *link = rig_path(&g, "link");
    rig_write_file(path, "old");
    CHECK_INT(symlink("f", link), 0);
    write_to(&g, link, "", "new");
    rig_expect(&g, MSG_OK);
    expect_file(path, "new");
    CHECK(S_ISLNK(mode_of(link)));
    CHECK_INT(unlink(path), 0);
    write_to(&g, link, "", "again");
    rig_expect_error(&g, ERR_NOT_FOUND);
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

#define UPLOAD "FileUpload\",\"guest_path\":"
#define WRITE  "FileWrite\",\"path\":"

TEST(file_write_refused)
{
    static const struct {
        const char *fields;
        enum error_code code;
        const char *why;
    } rows[] = {
        {"FileWrite\"", ERR_INVALID_REQUEST, "FileWrite: path is missing"},
        {WRITE "\"\"", ERR_INVALID_REQUEST, "FileWrite: path is empty"},
        {WRITE "\"x\\u0000\"", ERR_INVALID_REQUEST,
         "FileWrite: path is no text, or has a NUL inside"},
        {WRITE "\"x\"", ERR_INVALID_REQUEST, "FileWrite: content is missing"},
        {WRITE "\"x\",\"content\":[]", ERR_INVALID_REQUEST,
         "FileWrite: content is no text, or has a NUL inside"},
        {WRITE "\"x\",\"content\":\"YQ\"", ERR_INVALID_REQUEST,
         "x: what is to be written is no base64"},
        {WRITE "\"x/y\",\"content\":\"YQ==\\n\"", ERR_INVALID_REQUEST,
         "x/y: what is to be written is no base64"},
        {WRITE "\"x\",\"content\":\"\",\"mode\":-1", ERR_INVALID_REQUEST,
         "FileWrite: mode is none (0 to 4095, which is 07777)"},
        {UPLOAD "\"x\",\"data\":\"\",\"mode\":4096", ERR_INVALID_REQUEST,
         "FileUpload: mode is none (0 to 4095, which is 07777)"},
        {UPLOAD "\"x\",\"content\":\"\"", ERR_INVALID_REQUEST, "FileUpload: data is missing"},
        {"FileUpload\",\"path\":\"x\",\"data\":\"\"", ERR_INVALID_REQUEST,
         "FileUpload: guest_path is missing"},
        {WRITE "\"d\",\"content\":\"\"", ERR_INVALID_REQUEST, "d: not a regular file"},
        {WRITE "\"x/\",\"content\":\"\"", ERR_INVALID_REQUEST, "x/: not a regular file"},
        {WRITE "\"/proc/self/comm\",\"content\":\"\"", ERR_INVALID_REQUEST,
         "/proc/self/comm: cannot be replaced, only written to, as by a command"},
        {WRITE "\"/proc/self/none\",\"content\":\"\"", ERR_NOT_FOUND,
         "/proc/self/none: No such file or directory"},
        {WRITE "\"f/x\",\"content\":\"\"", ERR_NOT_FOUND, "f/x: Not a directory"},
        {WRITE "\"f/x/y\",\"content\":\"\"", ERR_NOT_FOUND, "f/x/y: Not a directory"},
    };
    struct rig g;
    rig_init(&g);
    rig_write_file(rig_path(&g, "f"), "");
    CHECK_INT(mkdir(rig_path(&g, "d"), 0700), 0);
    for (size_t i = 0; i < countof(rows); i++) {
        cleanup_free char *request = xasprintf("{\"type\":\"%s", rows[i].fields);
        expect_refused(&g, request, rows[i].code, rows[i].why);
    }
    CHECK_INT(entries(g.dir), 2);
    make_irregular(&g);
    size_t n = entries(g.dir);
    for (const char *const *name = irregular_names; *name; name++) {
        rig_open(&g, "{\"type\":\"" WRITE "\"%s/%s\",\"content\":\"\"}", g.dir, *name);
        CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), "regular file") != NULL);
    }
    CHECK_INT(entries(g.dir), n);
    rig_fini(&g);
}

TEST(file_write_names_that_are_too_long)
{
    struct rig g;
    char name[257];
    rig_init(&g);
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    cleanup_free char *dir = xasprintf("%s/%s/f", g.dir, name);
    write_to(&g, dir, "", "x");
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), strerror(ENAMETOOLONG)) != NULL);
    name[255] = '\0';
    cleanup_free char *path = xasprintf("%s/%s", g.dir, name);
    write_to(&g, path, "", "x");
    rig_expect(&g, MSG_OK);
    expect_file(path, "x");
    rig_fini(&g);
}

TEST(file_write_too_large)
{
    struct rig g;
    size_t len = BASE64_LEN(((size_t)32 << 20) + 1);
    rig_init(&g);
    g.sv.frame_limit = 64u << 20;
    const char *path = rig_path(&g, "f");
    cleanup_free char *text = xmalloc(len + 1);
    memset(text, 'A', len);
    text[len] = '\0';
    rig_open(&g, "{\"type\":\"FileWrite\",\"path\":\"%s\",\"content\":\"%s\"}", path, text);
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST),
              "file too large: 33554433 bytes (max 32 MiB); any size by FilePut");
    text[len - 1] = '='; /* one byte less */
    rig_open(&g, "{\"type\":\"FileWrite\",\"path\":\"%s\",\"content\":\"%s\"}", path, text);
    rig_expect(&g, MSG_OK);
    rig_fini(&g);
}

/* The old file stays, and nothing is left beside it. */
TEST(file_write_fails)
{
    struct rig g;
    struct rlimit before, small;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    cleanup_free uint8_t *bytes = big_bytes();
    rig_write_file(path, "old");
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){100000, before.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
    write_bytes_to(&g, path, "", bytes, BIG);
    const char *why = rig_expect_error(&g, ERR_IO);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK(strstr(why, strerror(EFBIG)) != NULL);
    expect_file(path, "old");
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

/* Whoever goes away has the file written or not, whole in any case. */
TEST(file_write_given_up)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    write_to(&g, path, "", "new");
    rig_patience();
    while (!(g.sv.requests && g.sv.requests->state) && rig_turn(&g))
        ;
    service_fini(&g.sv);
    rig_patience();
    while (access(path, F_OK) != 0 && rig_turn(&g))
        ;
    expect_file(path, "new");
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g); /* no child, no descriptor is left */
}

TEST(file_write_between_others)
{
    struct rig g;
    rig_init(&g);
    g.sv.repeated = true;
    rig_open(&g, "{\"type\":\"Ping\"}");
    rig_send_message(&g, "{\"type\":\"FileWrite\",\"path\":\"%s/f\",\"content\":\"eA==\"}", g.dir);
    rig_send_message(&g, "{\"type\":\"FileWrite\",\"path\":\"%s/f\",\"content\":\"?\"}", g.dir);
    rig_send_message(&g, "{\"type\":\"FileRead\",\"path\":\"%s/f\"}", g.dir);
    rig_expect(&g, MSG_PONG);
    rig_expect(&g, MSG_OK);
    rig_expect(&g, MSG_ERROR);
    CHECK_STR(json_get_str(rig_expect(&g, MSG_FILE_CONTENT), "content"), "eA==");
    rig_close(&g);
    until_idle(&g);
    rig_fini(&g);
}
