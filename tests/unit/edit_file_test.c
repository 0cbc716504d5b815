#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/file_rig.h"

#define MIB ((size_t)1 << 20)

/* The strings are JSON's. */
static void edit(struct rig *g, const char *path, const char *old, const char *new)
{
    rig_open(g,
             "{\"type\":\"EditFile\",\"path\":\"%s\",\"old_string\":\"%s\","
             "\"new_string\":\"%s\"}",
             path, old, new);
}

TEST(edit_file_first_match)
{
    static const struct {
        const char *text, *old, *new, *want;
    } rows[] = {
        {"one two three", "two", "2", "one 2 three"},
        {"one two three", "one", "four", "four two three"},
        {"one two three", "three", "", "one two "},
        {"one two three", "one two three", "", ""},
        {"aXbXcX", "X", "YY", "aYYbXcX"},
        {"aaa", "aa", "b", "ba"},
        {"a\nb\tc\n", "\\nb\\t", "\\n\\\\", "a\n\\c\n"},
        {"gr\xc3\xbc\xc3\x9f", "\\u00fc", "u", "gru\xc3\x9f"},
        {"latin \xfc here", "here", "there", "latin \xfc there"},
        {"abcabd", "abd", "x", "abcx"},
    };
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    for (size_t i = 0; i < countof(rows); i++) {
        rig_write_file(path, rows[i].text);
        edit(&g, path, rows[i].old, rows[i].new);
        rig_expect(&g, MSG_OK);
        rig_expect_end(&g);
        expect_file(path, rows[i].want);
    }
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

TEST(edit_file_keeps_what_it_was)
{
    struct rig g;
    struct stat st = {0};
    rig_init(&g);
    const char *path = rig_path(&g, "f"), *link = rig_path(&g, "link");
    rig_write_file(path, "old");
    CHECK_INT(symlink("f", link), 0);
    bool root = chown(path, 65534, 65534) == 0;
    CHECK_INT(chmod(path, 0751), 0);
    edit(&g, link, "old", "new");
    rig_expect(&g, MSG_OK);
    expect_file(path, "new");
    CHECK(S_ISLNK(mode_of(link)));
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_mode, S_IFREG | 0751);
    CHECK_INT(st.st_uid, root ? 65534 : geteuid());
    rig_fini(&g);
}

static void expect_no_match(struct rig *g, const char *path, const char *old)
{
    cleanup_free char *want = xasprintf("old_string not found in %s", path);
    edit(g, path, old, "new");
    CHECK_STR(rig_expect_error(g, ERR_INVALID_REQUEST), want);
}

TEST(edit_file_no_match)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "some text");
    expect_no_match(&g, path, "text ");
    expect_no_match(&g, path, "Some");
    expect_no_match(&g, path, "some text and more than there is");
    expect_file(path, "some text");
    rig_write_file(path, "");
    expect_no_match(&g, path, "x");
    rig_fini(&g);
}

TEST(edit_file_binary)
{
    static const char bytes[] = "\x7f"
                                "ELF\0version 1\0";
    struct rig g;
    size_t len;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    CHECK_INT(path_write_atomic(path, bytes, sizeof bytes, 0600), 0);
    edit(&g, path, "version 1", "version 10");
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST),
                 "f: binary (it has NUL bytes), which is not edited") != NULL);
    cleanup_free char *found = path_read(path, 100, &len);
    CHECK(len == sizeof bytes && memcmp(found, bytes, len) == 0);
    rig_fini(&g);
}

/* A text of `len` times 'a', and "end" behind it. */
static void write_long(const char *path, size_t len)
{
    cleanup_free char *text = xmalloc(len + 4);
    memset(text, 'a', len);
    memcpy(text + len, "end", 4);
    CHECK_INT(path_write_atomic(path, text, len + 3, 0600), 0);
}

TEST(edit_file_large)
{
    struct rig g;
    struct stat st = {0};
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    write_long(path, 32 * MIB - 3);
    edit(&g, path, "end", "END");
    rig_expect(&g, MSG_OK);
    edit(&g, path, "END", "four");
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), "hold more than 32 MiB") != NULL);
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_size, 32 * MIB);
    write_long(path, 32 * MIB - 2);
    edit(&g, path, "end", "END");
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST),
              "file too large: 33554433 bytes (max 32 MiB)");
    rig_fini(&g);
}

TEST(edit_file_refused)
{
    static const struct {
        const char *fields;
        enum error_code code;
        const char *why;
    } rows[] = {
        {"\"x\":1", ERR_INVALID_REQUEST, "EditFile: path is missing"},
        {"\"path\":\"f\"", ERR_INVALID_REQUEST, "EditFile: old_string is missing"},
        {"\"path\":\"f\",\"old_string\":\"a\"", ERR_INVALID_REQUEST,
         "EditFile: new_string is missing"},
        {"\"path\":\"f\",\"old_string\":\"\",\"new_string\":\"b\"", ERR_INVALID_REQUEST,
         "EditFile: old_string is empty"},
        {"\"path\":\"f\",\"old_string\":\"a\",\"new_string\":\"a\"", ERR_INVALID_REQUEST,
         "EditFile: old_string and new_string are the same"},
        {"\"path\":\"f\",\"old_string\":\"a\\u0000\",\"new_string\":\"b\"", ERR_INVALID_REQUEST,
         "EditFile: old_string is no text, or has a NUL inside"},
        {"\"path\":\"f\",\"old_string\":\"a\",\"new_string\":7", ERR_INVALID_REQUEST,
         "EditFile: new_string is no text, or has a NUL inside"},
        {"\"path\":\"none\",\"old_string\":\"a\",\"new_string\":\"b\"", ERR_NOT_FOUND,
         "none: No such file or directory"},
        {"\"path\":\"f/f\",\"old_string\":\"a\",\"new_string\":\"b\"", ERR_NOT_FOUND,
         "f/f: Not a directory"},
        {"\"path\":\"/dev/zero\",\"old_string\":\"a\",\"new_string\":\"b\"", ERR_INVALID_REQUEST,
         "/dev/zero: not a regular file"},
    };
    struct rig g;
    rig_init(&g);
    rig_write_file(rig_path(&g, "f"), "a");
    for (size_t i = 0; i < countof(rows); i++) {
        cleanup_free char *request = xasprintf("{\"type\":\"EditFile\",%s", rows[i].fields);
        expect_refused(&g, request, rows[i].code, rows[i].why);
    }
    expect_file(rig_path(&g, "f"), "a");
    make_irregular(&g);
    for (const char *const *name = irregular_names; *name; name++) {
        edit(&g, rig_path(&g, *name), "a", "b");
        rig_expect_error(&g, ERR_INVALID_REQUEST);
    }
    char name[257] = {0};
    memset(name, 'n', 256);
    cleanup_free char *path = xasprintf("%s/%s", g.dir, name);
    edit(&g, path, "a", "b");
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), strerror(ENAMETOOLONG)) != NULL);
    rig_fini(&g);
}

TEST(edit_file_given_up)
{
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "old");
    edit(&g, path, "old", "new");
    rig_patience();
    while (!(g.sv.requests && g.sv.requests->state) && rig_turn(&g))
        ;
    service_fini(&g.sv);
    rig_fini(&g); /* no child, no descriptor is left */
}
