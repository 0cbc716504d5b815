#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* The request and its body as they are on the wire; heap. */
static char *wire_of(const char *path, const char *body, size_t *len)
{
    cleanup_free char *request =
        xasprintf("{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":%zu}", path, strlen(body));
    size_t request_len = strlen(request);
    char *all = xasprintf("....%s%s", request, body);
    memset(all, 0, 3);
    all[3] = (char)request_len;
    *len = 4 + request_len + strlen(body);
    return all;
}

/* The old file stays what it is until the new one is whole, and no other is left. */
TEST(file_put_interrupted_at_any_byte)
{
    struct rig g;
    size_t len;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "old");
    cleanup_free char *wire = wire_of(path, "0123456789", &len);
    CHECK(len < 128);
    for (size_t cut = 0; cut < len; cut++) {
        rig_connect(&g);
        rig_send(&g, wire, cut);
        for (int i = 0; i < 4; i++)
            loop_turn(g.loop, 0);
        CHECK_INT(g.sv.requests && g.sv.requests->state, cut >= len - 10);
        rig_close(&g);
        until_idle(&g);
        expect_file(path, "old");
        CHECK_INT(entries(g.dir), 1);
    }
    rig_connect(&g);
    rig_send(&g, wire, len);
    rig_expect(&g, MSG_OK);
    expect_file(path, "0123456789");
    rig_fini(&g);
}

TEST(file_put_of_no_known_size)
{
    struct rig g;
    size_t len;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    cleanup_free uint8_t *bytes = big_bytes();
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\"}", path);
    for (size_t at = 0, n = 1; at < BIG; at += n, n = n * 3 % 65536 + 1) {
        n = n < BIG - at ? n : BIG - at;
        rig_send_data(&g, CHANNEL_STDIN, bytes + at, n);
    }
    rig_send_data(&g, CHANNEL_STDIN, NULL, 0);
    rig_expect(&g, MSG_OK);
    rig_expect_end(&g);
    cleanup_free char *found = path_read(path, BIG, &len);
    CHECK_INT(len, BIG);
    CHECK(found && memcmp(found, bytes, BIG) == 0);
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":null}", path);
    rig_send_data(&g, CHANNEL_STDIN, NULL, 0);
    rig_expect(&g, MSG_OK);
    expect_file(path, "");
    rig_fini(&g);
}

/* The end of the stream, wherever it comes, is not the file's. */
TEST(file_put_of_no_known_size_interrupted)
{
    static const char wire[] = "\0\0\0\4\0"
                               "abc\0\0\0\3\0"
                               "de\0\0\0\1";
    struct rig g;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "old");
    for (size_t cut = 0; cut < sizeof wire; cut++)
        for (int half = 0; half < 2; half++) {
            rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\"}", path);
            rig_send(&g, wire, cut);
            if (half) {
                shutdown(g.fd, SHUT_WR);
                rig_expect_error(&g, ERR_INVALID_REQUEST);
            }
            rig_close(&g);
            until_idle(&g);
            expect_file(path, "old");
            CHECK_INT(entries(g.dir), 1);
        }
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\"}", path);
    rig_send(&g, wire, sizeof wire - 1);
    rig_send(&g, "\0", 1);
    rig_expect(&g, MSG_OK);
    expect_file(path, "abcde");
    static const char *const bad[] = {"\0\0\0\2\1x", "\0\0\0\2{x", "\0\0\0\0\0x", "what is this"};
    for (size_t i = 0; i < countof(bad); i++) {
        rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\"}", path);
        rig_send(&g, bad[i], 6);
        rig_expect_error(&g, ERR_INVALID_REQUEST);
        expect_file(path, "abcde");
    }
    rig_fini(&g);
}

/* What is done to a child that serves a FilePut of 100 bytes, once 60 of them have come. */
static pid_t put_in_child(const char *path, int ready)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":100}", path);
    rig_send(&g, "012345678901234567890123456789012345678901234567890123456789", 60);
    for (int i = 0; i < 4; i++)
        loop_turn(g.loop, 0);
    _exit(write(ready, g.sv.requests->state ? "y" : "n", 1) == 1 ? pause() : 1);
}

static bool has_nameless_files(const char *dir)
{
    cleanup_fd int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0;
}

/* An agent that dies in the middle of it leaves nothing either, where there are nameless files. */
TEST(file_put_killed)
{
    struct rig g;
    char said = 0;
    int ends[2];
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "old");
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = put_in_child(path, ends[1]);
    CHECK_INT(read(ends[0], &said, 1), 1);
    CHECK_INT(said, 'y');
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    close(ends[0]);
    close(ends[1]);
    expect_file(path, "old");
    if (has_nameless_files(g.dir))
        CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

/* Blocks of zeros take no room, wherever they lie, and are zeros all the same. */
TEST(file_put_sparse)
{
    struct rig g;
    struct stat st = {0};
    size_t size = 40 * 4096 + 77, len;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    cleanup_free char *bytes = xcalloc(1, size);
    memset(bytes + 3, 'a', 10);           /* the first block */
    memset(bytes + 8 * 4096 - 1, 'b', 2); /* across two */
    bytes[20 * 4096 + 4095] = 'c';        /* a block's last */
    bytes[30 * 4096] = 'd';               /* a block's first */
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":%zu}", path, size);
    for (size_t at = 0; at < size; at += 5000) { /* in pieces that are no blocks */
        rig_send(&g, bytes + at, size - at < 5000 ? size - at : 5000);
        loop_turn(g.loop, 0);
    }
    rig_expect(&g, MSG_OK);
    cleanup_free char *found = path_read(path, size, &len);
    CHECK_INT(len, size);
    CHECK(found && memcmp(found, bytes, size) == 0);
    CHECK_INT(stat(path, &st), 0);
    CHECK(st.st_blocks * 512 <= 6 * 4096);
    rig_fini(&g);
}

TEST(file_put_all_zeros)
{
    struct rig g;
    struct stat st = {0};
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s\",\"size\":3}", path);
    rig_send(&g, "\0\0\0", 3);
    rig_expect(&g, MSG_OK);
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_size, 3);
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

TEST(file_put_keeps_the_owner)
{
    struct rig g;
    struct stat st = {0};
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "old");
    if (chown(path, 65534, 65533) == 0) { /* as root only */
        put(&g, path, "", "new");
        rig_expect(&g, MSG_OK);
        CHECK_INT(stat(path, &st), 0);
        CHECK_INT(st.st_uid, 65534);
        CHECK_INT(st.st_gid, 65533);
    }
    rig_fini(&g);
}

TEST(file_put_refused)
{
    static const char no_size[] = "FilePut: size is no number of bytes";
    static const char no_mode[] = "FilePut: mode is none (0 to 4095, which is 07777)";
    static const struct {
        const char *fields;
        enum error_code code;
        const char *why;
    } rows[] = {
        {"\"path\":\"d\"", ERR_INVALID_REQUEST, "d: not a regular file"},
        {"\"size\":1", ERR_INVALID_REQUEST, "FilePut: path is missing"},
        {"\"path\":\"x\",\"size\":-1", ERR_INVALID_REQUEST, no_size},
        {"\"path\":\"x\",\"size\":\"1\"", ERR_INVALID_REQUEST, no_size},
        {"\"path\":\"x\",\"size\":1,\"mode\":4096", ERR_INVALID_REQUEST, no_mode},
        {"\"path\":\"x\",\"size\":1,\"mode\":-1", ERR_INVALID_REQUEST, no_mode},
        {"\"path\":\"x\",\"size\":1,\"mode\":\"0644\"", ERR_INVALID_REQUEST, no_mode},
        {"\"path\":\"d\",\"size\":1", ERR_INVALID_REQUEST, "d: not a regular file"},
        {"\"path\":\"none/\",\"size\":1", ERR_INVALID_REQUEST, "none/: not a regular file"},
        {"\"path\":\"/\",\"size\":1", ERR_INVALID_REQUEST, "/: not a regular file"},
        {"\"path\":\"no/such/file\",\"size\":1", ERR_NOT_FOUND,
         "no/such/file: No such file or directory"},
        {"\"path\":\"f/x\",\"size\":1", ERR_NOT_FOUND, "f/x: Not a directory"},
    };
    struct rig g;
    rig_init(&g);
    rig_write_file(rig_path(&g, "f"), "");
    CHECK_INT(mkdir(rig_path(&g, "d"), 0700), 0);
    for (size_t i = 0; i < countof(rows); i++) {
        cleanup_free char *request = xasprintf("{\"type\":\"FilePut\",%s", rows[i].fields);
        expect_refused(&g, request, rows[i].code, rows[i].why);
    }
    CHECK_INT(entries(g.dir), 2);
    make_irregular(&g);
    size_t n = entries(g.dir);
    for (const char *const *name = irregular_names; *name; name++) {
        rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s/%s\",\"size\":1}", g.dir, *name);
        CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), "regular file") != NULL);
    }
    CHECK_INT(entries(g.dir), n);
    rig_fini(&g);
}

TEST(file_put_names_that_are_too_long)
{
    struct rig g;
    char name[5000];
    rig_init(&g);
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s/%s\",\"size\":0}", g.dir, name);
    rig_expect(&g, MSG_OK); /* the longest name that there can be, with a temporary one beside */
    name[255] = 'n';
    name[256] = '\0';
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"%s/%s\",\"size\":0}", g.dir, name);
    CHECK(strstr(rig_expect_error(&g, ERR_INVALID_REQUEST), strerror(ENAMETOOLONG)) != NULL);
    name[256] = 'n';
    name[4200] = '\0';
    rig_open(&g, "{\"type\":\"FilePut\",\"path\":\"/%s\",\"size\":0}", name);
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST),
              "FilePut: path is too long (4095 bytes at most)");
    CHECK_INT(entries(g.dir), 1);
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
