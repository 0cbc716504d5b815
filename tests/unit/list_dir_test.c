#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/file_rig.h"

/* The next entry. */
static const struct json_value *next(struct json_iter *it)
{
    CHECK(json_next(it));
    return it->value;
}

static struct json_iter list(struct rig *g, const char *path)
{
    rig_open(g, "{\"type\":\"ListDir\",\"path\":\"%s\"}", path);
    const struct json_value *entries = json_get(rig_expect(g, MSG_DIR_LISTING), "entries");
    CHECK(json_is_array(entries));
    rig_expect_end(g);
    return json_iter(entries);
}

static void expect_entry(struct json_iter *it, const char *name, const char *kind,
                         const char *permissions)
{
    const struct json_value *e = next(it);
    CHECK_STR(json_get_str(e, "name"), name);
    CHECK_STR(json_get_str(e, "kind"), kind);
    CHECK_STR(json_get_str(e, "permissions"), permissions);
}

TEST(list_dir_kinds)
{
    struct rig g;
    struct stat st = {0};
    rig_init(&g);
    make_irregular(&g);
    rig_write_file(rig_path(&g, "f"), "text");
    CHECK_INT(chmod(rig_path(&g, "f"), 0651), 0);
    CHECK_INT(chmod(rig_path(&g, "dir"), 01777), 0);
    CHECK_INT(chmod(rig_path(&g, "fifo"), 0604), 0);
    CHECK_INT(chmod(rig_path(&g, "socket"), 06710), 0);
    CHECK_INT(stat(rig_path(&g, "f"), &st), 0);
    struct json_iter it = list(&g, g.dir);
    expect_entry(&it, "device", "file", "rw-------");
    expect_entry(&it, "dir", "dir", "rwxrwxrwx");
    expect_entry(&it, "f", "file", "rw-r-x--x");
    CHECK_INT(number(it.value, "size"), 4);
    CHECK_INT(number(it.value, "modified"), st.st_mtime);
    CHECK_INT(json_count(it.value), 5);
    expect_entry(&it, "fifo", "file", "rw----r--");
    expect_entry(&it, "link", "symlink", "rwxrwxrwx");
    CHECK_INT(number(it.value, "size"), 4);
    expect_entry(&it, "socket", "file", "rwx--x---");
    CHECK(!json_next(&it));
    rig_fini(&g);
}

/* By bytes; what is no UTF-8 is shown as such. */
TEST(list_dir_names)
{
    static const char *const names[] = {
        "-", ".hidden", "A", "B", "\\x\"", "a", "a b", "a\n", "\xc3\xbc", "\xff\xff",
    };
    static const char *const shown[] = {
        "-", ".hidden", "A",   "B",        "\\x\"",
        "a", "a\n",     "a b", "\xc3\xbc", "\xef\xbf\xbd\xef\xbf\xbd",
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = countof(names); i--;)
        rig_write_file(rig_path(&g, names[i]), "");
    struct json_iter it = list(&g, g.dir);
    for (size_t i = 0; i < countof(shown); i++)
        CHECK_STR(json_get_str(next(&it), "name"), shown[i]);
    CHECK(!json_next(&it));
    rig_fini(&g);
}

TEST(list_dir_empty_and_home)
{
    struct rig g;
    rig_init(&g);
    setenv("HOME", g.dir, 1);
    CHECK_INT(mkdir(rig_path(&g, "d"), 0700), 0);
    CHECK_INT(symlink("d", rig_path(&g, "link")), 0);
    struct json_iter it = list(&g, "d");
    CHECK(!json_next(&it));
    it = list(&g, "~/link/");
    CHECK(!json_next(&it));
    it = list(&g, "~");
    CHECK_STR(json_get_str(next(&it), "name"), "d");
    setenv("HOME", "/", 1);
    rig_fini(&g);
}

/* Before 1970 there is no time of it. */
TEST(list_dir_old_file)
{
    static const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = -10}};
    struct rig g;
    struct stat st = {0};
    rig_init(&g);
    rig_write_file(rig_path(&g, "f"), "");
    CHECK_INT(utimensat(AT_FDCWD, rig_path(&g, "f"), times, 0), 0);
    CHECK_INT(stat(rig_path(&g, "f"), &st), 0);
    if (st.st_mtime < 0) { /* which not every file system can hold */
        struct json_iter it = list(&g, g.dir);
        CHECK(!json_get(next(&it), "modified"));
    }
    rig_fini(&g);
}

#define MANY     1000
#define NAME_LEN 200

static void make_many(struct rig *g)
{
    for (int i = 0; i < MANY; i++) {
        cleanup_free char *path = xasprintf("%s/%0*d", g->dir, NAME_LEN, i);
        rig_write_file(path, "");
    }
}

/* More than a stream takes at once, and than is read beforehand. */
TEST(list_dir_many)
{
    struct rig g;
    char name[NAME_LEN + 1];
    int i = 0;
    rig_init(&g);
    make_many(&g);
    struct json_iter it = list(&g, g.dir);
    for (; json_next(&it); i++) {
        snprintf(name, sizeof name, "%0*d", NAME_LEN, i);
        if (strcmp(json_get_str(it.value, "name"), name) != 0)
            break;
    }
    CHECK_INT(i, MANY);
    rig_fini(&g);
}

/* Whether that is seen when they are counted or when they are written. */
TEST(list_dir_more_than_a_frame_holds)
{
    struct rig g;
    rig_init(&g);
    make_many(&g);
    uint32_t *limit = &g.sv.frame_limit;
    for (*limit = MANY * NAME_LEN; *limit < MANY * (NAME_LEN + 120); *limit += MANY * 4) {
        rig_open(&g, "{\"type\":\"ListDir\",\"path\":\"%s\"}", g.dir);
        struct frame f = rig_frame(&g);
        CHECK(f.len > 0 && f.len <= *limit);
        if (!memmem(f.payload, f.len, "\"Error\"", 7))
            break;
        CHECK(memmem(f.payload, f.len, "more names than fit into a message", 34) != NULL);
        CHECK(memmem(f.payload, f.len, "InvalidRequest", 14) != NULL);
    }
    CHECK(*limit > MANY * (NAME_LEN + 64) && *limit < MANY * (NAME_LEN + 120));
    rig_fini(&g);
}

TEST(list_dir_refused)
{
    static const struct {
        const char *fields;
        enum error_code code;
        const char *why;
    } rows[] = {
        {"\"x\":1", ERR_INVALID_REQUEST, "ListDir: path is missing"},
        {"\"path\":\"\"", ERR_INVALID_REQUEST, "ListDir: path is empty"},
        {"\"path\":\"/no/such\"", ERR_NOT_FOUND, "/no/such: No such file or directory"},
        {"\"path\":\"/etc/passwd\"", ERR_INVALID_REQUEST, "/etc/passwd: not a directory"},
        {"\"path\":\"/etc/passwd/x\"", ERR_NOT_FOUND, "/etc/passwd/x: Not a directory"},
        {"\"path\":\"/dev/zero\"", ERR_INVALID_REQUEST, "/dev/zero: not a directory"},
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(rows); i++) {
        rig_open(&g, "{\"type\":\"ListDir\",%s}", rows[i].fields);
        CHECK_STR(rig_expect_error(&g, rows[i].code), rows[i].why);
    }
    make_irregular(&g);
    for (size_t i = 2; irregular_names[i]; i++) {
        rig_open(&g, "{\"type\":\"ListDir\",\"path\":\"%s/%s\"}", g.dir, irregular_names[i]);
        rig_expect_error(&g, ERR_INVALID_REQUEST);
    }
    char name[257] = {0};
    memset(name, 'n', 256);
    rig_open(&g, "{\"type\":\"ListDir\",\"path\":\"%s\"}", name);
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), strerror(ENAMETOOLONG)) != NULL);
    rig_fini(&g);
}

/* As a user whom the directory does not let in, or in without letting look. */
TEST(list_dir_forbidden)
{
    struct rig g;
    rig_init(&g);
    const char *dir = rig_path(&g, "d");
    CHECK_INT(mkdir(dir, 0700), 0);
    CHECK_INT(chmod(g.dir, 0755), 0);
    rig_write_file(rig_path(&g, "d/f"), "text");
    uid_t self = geteuid();
    CHECK_INT(self == 0 ? seteuid(65534) : chmod(dir, 0300), 0);
    rig_open(&g, "{\"type\":\"ListDir\",\"path\":\"%s\"}", dir);
    CHECK(strstr(rig_expect_error(&g, ERR_PERMISSION_DENIED), strerror(EACCES)) != NULL);
    CHECK_INT(seteuid(self), 0);
    CHECK_INT(chmod(dir, self == 0 ? 0744 : 0400), 0);
    CHECK_INT(self == 0 ? seteuid(65534) : 0, 0);
    struct json_iter it = list(&g, dir);
    expect_entry(&it, "f", "file", "---------");
    CHECK(!json_next(&it));
    CHECK_INT(seteuid(self), 0);
    CHECK_INT(chmod(dir, 0700), 0);
    rig_fini(&g);
}

TEST(list_dir_given_up)
{
    struct rig g;
    rig_init(&g);
    make_many(&g);
    rig_open(&g, "{\"type\":\"ListDir\",\"path\":\"%s\"}", g.dir);
    rig_patience();
    while (!(g.sv.requests && g.sv.requests->state) && rig_turn(&g))
        ;
    rig_close(&g); /* while the child reads */
    until_idle(&g);
    rig_open(&g, "{\"type\":\"ListDir\",\"path\":\"%s\"}", g.dir);
    CHECK(rig_bytes(&g, 1000));
    rig_close(&g); /* while the answer is sent */
    until_idle(&g);
    rig_fini(&g);
}

TEST(list_dir_between_others)
{
    struct rig g;
    rig_init(&g);
    g.sv.repeated = true;
    rig_open(&g, "{\"type\":\"ListDir\",\"path\":\"%s\"}", g.dir);
    rig_send_message(&g, "{\"type\":\"ListDir\",\"path\":\"/no/such\"}");
    rig_send_message(&g, "{\"type\":\"Ping\"}");
    CHECK_INT(json_count(json_get(rig_expect(&g, MSG_DIR_LISTING), "entries")), 0);
    rig_expect(&g, MSG_ERROR);
    rig_expect(&g, MSG_PONG);
    rig_close(&g);
    until_idle(&g);
    rig_fini(&g);
}
