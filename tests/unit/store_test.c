/* The store in a file: revisions, order, watches; and what becomes of it when its process, its disk or its
 * file dies. */
#include "core/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/store_home.h"

struct rig {
    struct loop *loop;
    struct store *s;
    struct store_home home;
    /* The last answer: */
    unsigned answers;
    int error;
    uint64_t revision;
    char text[4096]; /* "key=value@revision " of each entry */
    size_t n;
    bool more;
    /* What watches were told: */
    struct buf told;
};

static void write_entry(struct buf *b, const struct store_entry *e)
{
    buf_printf(b, "%s", e->key);
    if (e->value)
        buf_printf(b, "=%.*s", (int)e->len, (const char *)e->value);
    buf_printf(b, "@%llu ", (unsigned long long)e->revision);
}

static void on_answer(void *arg, const struct store_answer *a)
{
    struct rig *r = arg;
    struct buf text = {0};
    r->answers++;
    r->error = a->error;
    r->revision = a->revision;
    r->n = a->n;
    r->more = a->more;
    for (size_t i = 0; i < a->n && text.len < 3000; i++)
        write_entry(&text, &a->entries[i]);
    snprintf(r->text, sizeof(r->text), "%.*s", (int)text.len, (const char *)buf_front(&text));
    buf_fini(&text);
}

static void on_change(void *arg, int error, const struct store_entry *e)
{
    struct rig *r = arg;
    if (error)
        buf_printf(&r->told, "!%d ", error);
    else if (e)
        write_entry(&r->told, e);
    else
        buf_printf(&r->told, "| ");
}

static void reopen(struct rig *r)
{
    r->s = store_home_open(&r->home, r->loop);
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    store_home_init(&r->home);
    reopen(r);
}

static void close_it(struct rig *r)
{
    store_close(r->s);
    r->s = NULL;
    loop_turn(r->loop, 0);
}

static void rig_fini(struct rig *r)
{
    close_it(r);
    loop_free(r->loop);
    buf_fini(&r->told);
    store_home_fini(&r->home);
}

static void await(struct rig *r, unsigned answers)
{
    TURN_UNTIL(r->loop, r->answers >= answers);
    r->answers = 0;
}

static int put(struct rig *r, const char *key, uint64_t revision, const char *value)
{
    const struct store_entry e = {
        .key = key, .revision = revision, .value = value, .len = strlen(value)};
    store_put(r->s, &e, on_answer, r);
    await(r, 1);
    return r->error;
}

static const char *get(struct rig *r, const char *key)
{
    store_get(r->s, key, on_answer, r);
    await(r, 1);
    return r->text;
}

static int drop(struct rig *r, const char *key, uint64_t revision)
{
    store_delete(r->s, key, revision, on_answer, r);
    await(r, 1);
    return r->error;
}

static const char *list(struct rig *r, const char *prefix, const char *after)
{
    store_list(r->s, prefix, after, on_answer, r);
    await(r, 1);
    return r->text;
}

TEST(store_puts_only_where_the_revision_is_still_that)
{
    struct rig r;
    rig_init(&r);
    CHECK_INT(put(&r, "a", 5, "x"), EEXIST);
    CHECK_INT(put(&r, "a", 0, "one"), 0);
    CHECK_INT(r.revision, 1);
    CHECK_INT(put(&r, "a", 0, "x"), EEXIST);
    CHECK_INT(put(&r, "a", 2, "x"), EEXIST);
    CHECK_STR(get(&r, "a"), "a=one@1 ");
    CHECK_INT(put(&r, "a", 1, "two"), 0);
    CHECK_INT(put(&r, "b", STORE_ANY, ""), 0);
    CHECK_INT(put(&r, "b", STORE_ANY, "b"), 0);
    CHECK_STR(get(&r, "a"), "a=two@2 ");
    CHECK_STR(get(&r, "b"), "b=b@4 ");
    get(&r, "c");
    CHECK_INT(r.error, ENOENT);
    CHECK_INT(drop(&r, "a", 1), EEXIST);
    CHECK_INT(drop(&r, "a", 2), 0);
    CHECK_INT(r.revision, 5);
    CHECK_INT(drop(&r, "a", STORE_ANY), ENOENT);
    CHECK_INT(put(&r, "a", 2, "x"), EEXIST);
    rig_fini(&r);
}

/* All are asked in one turn: what is counted is what those before have changed. */
TEST(store_puts_so_many_in_a_folder)
{
    static const char *const keys[] = {"d/a", "d/b", "d/b", "d/c", "c/z", "d/e/x", "d/d"};
    struct rig r;
    rig_init(&r);
    CHECK_INT(put(&r, "d0", 0, "v"), 0);
    CHECK_INT(put(&r, "d.", 0, "v"), 0);
    for (size_t i = 0; i < countof(keys); i++) {
        const struct store_entry e = {
            .key = keys[i], .revision = STORE_ANY, .value = "v", .len = 1};
        store_put_within(r.s, &e, 3, on_answer, &r);
    }
    await(&r, countof(keys));
    CHECK_INT(r.error, EMLINK);
    CHECK_STR(list(&r, "", NULL), "c/z=v@7 d.=v@2 d/a=v@3 d/b=v@5 d/c=v@6 d/e/x=v@8 d0=v@1 ");
    CHECK_INT(drop(&r, "d/b", STORE_ANY), 0);
    const struct store_entry e = {.key = "d/d", .value = "v", .len = 1};
    store_put_within(r.s, &e, 3, on_answer, &r);
    await(&r, 1);
    CHECK_INT(r.error, EMLINK); /* what is in a folder of a folder counts too */
    store_put_within(r.s, &e, 4, on_answer, &r);
    await(&r, 1);
    CHECK_INT(r.error, 0);
    const struct store_entry again = {.key = "d/d", .revision = STORE_ANY, .value = "w", .len = 1};
    store_put_within(r.s, &again, 3, on_answer, &r);
    await(&r, 1);
    CHECK_INT(r.error, 0);
    rig_fini(&r);
}

/* Also across its end: no revision comes again, not even that of what is gone. */
TEST(store_remembers)
{
    struct rig r;
    struct stat st;
    rig_init(&r);
    CHECK_INT(put(&r, "a", 0, "one"), 0);
    CHECK_INT(put(&r, "b", 0, "two"), 0);
    CHECK_INT(drop(&r, "b", 2), 0);
    close_it(&r);
    CHECK(!stat(r.home.path, &st) && (st.st_mode & 0777) == 0600);
    CHECK(!chmod(r.home.path, 0644));
    reopen(&r);
    CHECK(!stat(r.home.path, &st) && (st.st_mode & 0777) == 0600);
    CHECK_STR(list(&r, "", NULL), "a=one@1 ");
    CHECK_INT(put(&r, "b", 0, "three"), 0);
    CHECK_INT(r.revision, 4);
    rig_fini(&r);
}

TEST(store_lists_what_begins_so)
{
    struct rig r;
    rig_init(&r);
    static const char *const keys[] = {"user/b",  "user/a",  "user",
                                       "users/c", "token/~", "user/a/x"};
    for (size_t i = 0; i < countof(keys); i++)
        put(&r, keys[i], 0, "v");
    CHECK_STR(list(&r, "user/", NULL), "user/a=v@2 user/a/x=v@6 user/b=v@1 ");
    CHECK_STR(list(&r, "user/", "user/a"), "user/a/x=v@6 user/b=v@1 ");
    CHECK_STR(list(&r, "token/~", NULL), "token/~=v@5 ");
    CHECK_STR(list(&r, "nothing", NULL), "");
    CHECK_INT(r.error, 0);
    list(&r, "", NULL);
    CHECK_INT(r.n, 6);
    CHECK(!r.more);
    rig_fini(&r);
}

TEST(store_bounds_keys_values_and_answers)
{
    struct rig r;
    char key[STORE_KEY_MAX + 2], last[32];
    rig_init(&r);
    memset(key, 'k', sizeof(key));
    key[STORE_KEY_MAX + 1] = '\0';
    CHECK_INT(put(&r, key, 0, "v"), EINVAL);
    key[STORE_KEY_MAX] = '\0';
    CHECK_INT(put(&r, key, 0, "v"), 0);
    CHECK_INT(put(&r, "", 0, "v"), EINVAL);
    CHECK_INT(put(&r, "a b", 0, "v"), EINVAL);
    CHECK_INT(put(&r, "a\n", 0, "v"), EINVAL);
    CHECK_INT(put(&r, "\xc3\xa9", 0, "v"), EINVAL);
    static const uint8_t large[STORE_VALUE_MAX + 1];
    struct store_entry e = {.key = "large", .value = large, .len = sizeof(large)};
    store_put(r.s, &e, on_answer, &r);
    await(&r, 1);
    CHECK_INT(r.error, EMSGSIZE);
    e.len--;
    e.key = last;
    for (int i = 0; i < 5; i++) {
        snprintf(last, sizeof(last), "large/%d", i);
        store_put(r.s, &e, on_answer, &r);
    }
    e.len = 1;
    for (int i = 0; i < 1001; i++) {
        snprintf(last, sizeof(last), "small/%04d", i);
        store_put(r.s, &e, on_answer, &r);
    }
    await(&r, 1006);
    list(&r, "small/", NULL);
    CHECK(r.n == STORE_LIST_MAX && r.more);
    list(&r, "small/", "small/0999");
    CHECK(r.n == 1 && !r.more);
    store_list(r.s, "large/", NULL, on_answer, &r);
    await(&r, 1);
    CHECK(r.n == 4 && r.more);
    rig_fini(&r);
}

/* All in one turn: each sees what was asked before it. */
TEST(store_answers_in_order)
{
    struct rig r;
    rig_init(&r);
    struct store_entry e = {.key = "a", .value = "v", .len = 1};
    store_put(r.s, &e, NULL, NULL);
    store_put(r.s, &e, on_answer, &r);
    e.key = "b";
    store_cancel(store_put(r.s, &e, on_answer, &r));
    store_delete(r.s, "a", 1, NULL, NULL);
    store_list(r.s, "", NULL, on_answer, &r);
    CHECK(!r.answers);
    await(&r, 2);
    CHECK_STR(r.text, "b=v@2 ");
    e.key = "c";
    store_put(r.s, &e, on_answer, &r);
    close_it(&r);
    CHECK(!r.answers);
    reopen(&r);
    CHECK_STR(list(&r, "", NULL), "b=v@2 c=v@4 ");
    rig_fini(&r);
}

static bool told(struct rig *r, const char *text)
{
    return r->told.len == strlen(text) && !memcmp(buf_front(&r->told), text, r->told.len);
}

TEST(store_tells_those_who_watch)
{
    struct rig r;
    rig_init(&r);
    put(&r, "u/a", 0, "1");
    put(&r, "v/a", 0, "2");
    struct store_watch *w = store_watch(r.s, "u/", on_change, &r);
    TURN_UNTIL(r.loop, told(&r, "u/a=1@1 | "));
    put(&r, "u/b", 0, "3");
    put(&r, "v/b", 0, "4");
    put(&r, "u/b", 0, "x");
    drop(&r, "u/a", STORE_ANY);
    CHECK(told(&r, "u/a=1@1 | u/b=3@3 u/a@5 "));
    store_watch_end(w);
    put(&r, "u/c", 0, "5");
    CHECK(told(&r, "u/a=1@1 | u/b=3@3 u/a@5 "));
    w = store_watch(r.s, "", on_change, &r);
    store_watch_end(w);
    w = store_watch(r.s, "", on_change, &r);
    close_it(&r);
    CHECK(told(&r, "u/a=1@1 | u/b=3@3 u/a@5 "));
    store_watch_end(w);
    reopen(&r);
    rig_fini(&r);
}

/* What was told already changes before the last page is there. */
static void change_the_first(void *arg, int error, const struct store_entry *e)
{
    struct rig *r = arg;
    if (!r->told.len)
        store_put(r->s, &(struct store_entry){e->key, "new", 3, e->revision}, NULL, NULL);
    on_change(arg, error, e);
}

static bool heard(struct rig *r, const char *text)
{
    return r->told.len && memmem(buf_front(&r->told), r->told.len, text, strlen(text));
}

TEST(store_tells_of_a_change_between_its_pages)
{
    struct rig r;
    char key[32];
    rig_init(&r);
    for (unsigned i = 1; i <= STORE_LIST_MAX + 1; i++) {
        snprintf(key, sizeof(key), "k/%04u", i);
        store_put(r.s, &(struct store_entry){key, "", 0, 0}, on_answer, &r);
    }
    await(&r, STORE_LIST_MAX + 1);
    struct store_watch *w = store_watch(r.s, "k/", change_the_first, &r);
    TURN_UNTIL(r.loop, heard(&r, "|"));
    CHECK(heard(&r, "k/0001=@1 "));
    CHECK(heard(&r, "k/1001=@1001 "));
    CHECK(heard(&r, "k/0001=new@1002 "));
    store_watch_end(w);
    rig_fini(&r);
}

static struct store_call *asked;

static void keep_call(struct store *s, struct store_call *call)
{
    (void)s;
    asked = call;
}

/* By a store whose disk cannot be read. */
TEST(store_tells_nothing_once_a_watch_has_failed)
{
    static const struct store_ops ops = {.ask = keep_call};
    struct rig r;
    rig_init(&r);
    struct store s = {&ops, r.loop, NULL};
    struct store_watch *w = store_watch(&s, "k/", on_change, &r);
    store_answer(asked, &(struct store_answer){.error = EIO});
    store_changed(&s, &(struct store_entry){"k/a", "v", 1, 1});
    CHECK(told(&r, "!5 "));
    store_watch_end(w);
    rig_fini(&r);
}

/* ---- what goes wrong ---- */

static void name_of(uint32_t number, char key[static 32])
{
    snprintf(key, 32, "n/%u", number);
}

static void check_refused(struct rig *r, const char *because)
{
    char *why = NULL;
    struct store *s = store_sqlite_open(r->loop, r->home.path, &why);
    CHECK(!s);
    CHECK(why && strstr(why, r->home.path) && strstr(why, because));
    if (why && !strstr(why, because))
        fprintf(stderr, "%s\n", why);
    free(why);
    store_close(s);
}

static void scribble(const struct rig *r, off_t at, const void *bytes, size_t len)
{
    cleanup_fd int fd = open(r->home.path, O_WRONLY | O_CLOEXEC);
    CHECK(pwrite(fd, bytes, len, at) == (ssize_t)len);
}

TEST(store_says_why_a_file_is_none)
{
    struct rig r;
    char rubbish[3000], key[32];
    memset(rubbish, 'x', sizeof(rubbish));
    for (int i = 0; i < 6; i++) {
        rig_init(&r);
        for (uint32_t n = 0; n < 300; n++) {
            const struct store_entry e = {.key = key, .value = rubbish, .len = 100};
            name_of(n, key);
            store_put(r.s, &e, NULL, NULL);
        }
        close_it(&r);
        if (i == 0)
            scribble(&r, 0, "this is a letter to my mother", 29);
        else if (i == 1)
            scribble(&r, 68, "\1\2\3\4", 4);
        else if (i == 2)
            scribble(&r, 60, "\0\0\0\11", 4);
        else if (i == 3)
            scribble(&r, 4096 * 5, rubbish, sizeof(rubbish) - 1);
        else if (i == 4)
            CHECK(!truncate(r.home.path, 4096 * 5));
        else
            CHECK(!unlink(r.home.path) && !symlink("/dev/null", r.home.path));
        check_refused(&r, i == 1   ? "another program"
                          : i == 2 ? "newer version"
                          : i == 5 ? "no file"
                                   : "damaged");
        rig_fini(&r);
    }
}

/* Runs body(r) in a process of its own; what it returns is the status. */
static int in_child(struct rig *r, int (*body)(struct rig *r))
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(body(r));
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int open_it_too(struct rig *r)
{
    char *why = NULL;
    struct loop *loop = loop_new();
    struct store *s = store_sqlite_open(loop, r->home.path, &why);
    return !s && why && strstr(why, "another process has it open") ? 0 : 1;
}

TEST(store_is_one_process_s_alone)
{
    struct rig r;
    rig_init(&r);
    put(&r, "a", 0, "1");
    CHECK_INT(in_child(&r, open_it_too), 0);
    CHECK_INT(put(&r, "a", 1, "2"), 0);
    rig_fini(&r);
}

/* ---- kill -9 ---- */

static int acknowledged; /* a pipe: the number of each put that was answered */

static void on_put(void *arg, const struct store_answer *a)
{
    uint32_t number = (uint32_t)(uintptr_t)arg;
    if (a->error || write(acknowledged, &number, sizeof(number)) != sizeof(number))
        _exit(3);
}

/* Puts until it is killed, some of them in the same turn. */
static void put_for_ever(const char *path, uint32_t number)
{
    char key[32], value[3000], *why;
    struct loop *loop = loop_new();
    struct store *s = store_sqlite_open(loop, path, &why);
    memset(value, 'v', sizeof(value));
    for (;; number++) {
        const struct store_entry e = {
            .key = key, .value = value, .len = 1 + number * 37 % sizeof(value)};
        name_of(number, key);
        store_put(s, &e, on_put, (void *)(uintptr_t)number);
        if (number % 7 == 0)
            loop_turn(loop, 0);
    }
}

static uint32_t next_number;

/* Whatever was acknowledged is there, in full. */
static void check_all(struct rig *r, uint32_t acked)
{
    char key[32], begin[40];
    for (uint32_t i = next_number; i <= acked; i++) {
        name_of(i, key);
        snprintf(begin, sizeof(begin), "%s=v", key);
        const char *text = get(r, key);
        CHECK(!strncmp(text, begin, strlen(begin)));
        CHECK(strlen(text) >= 1 + i * 37 % 3000);
    }
    while (get(r, key)[0]) /* what was written and not told */
        name_of(++acked, key);
    next_number = acked + 1;
}

TEST(store_keeps_what_it_has_acknowledged_when_it_is_killed)
{
    struct rig r;
    rig_init(&r);
    next_number = 1;
    for (int round = 0; round < 8; round++) {
        int fd[2];
        uint32_t acked = next_number - 1, number;
        unsigned left = 3 + (unsigned)round * 41 % 97;
        close_it(&r);
        CHECK(!pipe(fd));
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            acknowledged = fd[1];
            put_for_ever(r.home.path, next_number);
        }
        close(fd[1]);
        while (left-- && read(fd[0], &number, sizeof(number)) == sizeof(number))
            acked = number;
        CHECK(!kill(pid, SIGKILL));
        while (read(fd[0], &number, sizeof(number)) == sizeof(number))
            acked = number;
        close(fd[0]);
        CHECK(waitpid(pid, NULL, 0) == pid);
        reopen(&r);
        check_all(&r, acked);
        CHECK(acked > 0);
    }
    rig_fini(&r);
}

/* ---- a full disk ---- */

#define SKIPPED 77

static int fill_the_disk(struct rig *r)
{
    char key[32];
    int failed = 0;
    uint32_t n = 0;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", r->home.folder, "tmpfs", 0, "size=400k") != 0)
        return SKIPPED;
    r->loop = loop_new();
    reopen(r);
    static char value[2001];
    memset(value, 'v', sizeof(value) - 1);
    while (n < 1000 && !failed) {
        name_of(n++, key);
        failed = put(r, key, 0, value);
    }
    if (failed != ENOSPC || n < 20)
        return 1;
    if (get(r, key)[0] || r->error != ENOENT || !get(r, "n/3")[0])
        return 2;
    for (uint32_t i = 0; i < n - 1; i++) { /* full, but not dead */
        name_of(i, key);
        if (!get(r, key)[0])
            return 3;
    }
    close_it(r);
    reopen(r);
    if (!r->s || !get(r, "n/3")[0])
        return 4;
    close_it(r);
    return 0;
}

TEST(store_says_that_the_disk_is_full)
{
    struct rig r;
    rig_init(&r);
    close_it(&r);
    int status = in_child(&r, fill_the_disk);
    if (status == SKIPPED)
        fprintf(stderr, "%s: not tested: it needs a small tmpfs, which only root may mount\n",
                __func__);
    else
        CHECK_INT(status, 0);
    reopen(&r);
    rig_fini(&r);
}
