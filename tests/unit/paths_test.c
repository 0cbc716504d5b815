#include "core/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/test.h"

#define NOBODY 65534

static char *fresh_dir(void)
{
    char *dir = xstrdup("/tmp/berth-unit.XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
    return dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* `dir` is taken. */
static void remove_dir(char *dir)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

static void check_path(char *got, const char *dir, const char *rest)
{
    cleanup_free char *path = got, *want = xasprintf("%s%s", dir, rest);
    CHECK_STR(path, want);
}

static unsigned mode_of(const char *dir, const char *name)
{
    struct stat st = {0};
    cleanup_free char *path = xasprintf("%s/%s", dir, name);
    CHECK_INT(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

/* What path_private_dir(dir/name) answers: 0, or errno. */
static int private_dir(const char *dir, const char *name)
{
    cleanup_free char *path = xasprintf("%s/%s", dir, name);
    return path_private_dir(path) == 0 ? 0 : errno;
}

static void make_dir(const char *dir, const char *name, mode_t mode)
{
    cleanup_free char *path = xasprintf("%s/%s", dir, name);
    CHECK_INT(mkdir(path, mode), 0);
    CHECK_INT(chmod(path, mode), 0);
}

/* Environment of a user whose home is `home` and who has nothing else; it is put back after. */
static char *saved_env[3];
static const char *const env_names[] = {"HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"};

static void env_begin(const char *home)
{
    for (size_t i = 0; i < countof(env_names); i++) {
        const char *value = getenv(env_names[i]);
        saved_env[i] = value ? xstrdup(value) : NULL;
        unsetenv(env_names[i]);
    }
    setenv("HOME", home, 1);
}

static void env_end(void)
{
    for (size_t i = 0; i < countof(env_names); i++) {
        if (saved_env[i])
            setenv(env_names[i], saved_env[i], 1);
        else
            unsetenv(env_names[i]);
        free(saved_env[i]);
    }
}

TEST(paths_of_a_user)
{
    env_begin("/home/ann");
    check_path(path_home(), "/home/ann", "");
    check_path(path_cache("x"), "/home/ann", "/.cache/berth/x");
    check_path(path_config("x"), "/home/ann", "/.config/berth/x");
    setenv("XDG_CONFIG_HOME", "/conf", 1);
    check_path(path_config("x"), "/conf", "/berth/x");
    setenv("XDG_CONFIG_HOME", "conf", 1); /* relative: to be ignored */
    check_path(path_config("x"), "/home/ann", "/.config/berth/x");
    check_path(path_agent_socket(1), "/home/ann", "/.berth.sock");
    char tmp[64];
    snprintf(tmp, sizeof tmp, "/tmp/berth-%u.sock", (unsigned)getuid());
    check_path(path_agent_socket(0), tmp, "");
    env_end();
}

TEST(paths_home_without_environment)
{
    static const char *const useless[] = {"", "relative/home"};
    for (size_t i = 0; i < countof(useless); i++) {
        env_begin(useless[i]);
        cleanup_free char *home = path_home();
        CHECK_INT(home[0], '/');
        CHECK(strcmp(home, useless[i]) != 0);
        env_end();
    }
}

TEST(paths_self_can_be_run)
{
    cleanup_free char *self = path_self();
    CHECK_INT(self[0], '/');
    CHECK_INT(access(self, X_OK), 0);
}

TEST(paths_private_dir_is_made)
{
    char *dir = fresh_dir();
    make_dir(dir, "open", 0755);
    CHECK_INT(private_dir(dir, "open/a/b/c"), 0);
    CHECK_INT(mode_of(dir, "open/a"), 0700);
    CHECK_INT(mode_of(dir, "open/a/b"), 0700);
    CHECK_INT(mode_of(dir, "open/a/b/c"), 0700);
    CHECK_INT(mode_of(dir, "open"), 0755); /* a parent is left as it is */
    CHECK_INT(private_dir(dir, "open/a/b/c"), 0);
    CHECK_INT(private_dir(dir, "open//"), 0); /* but our own is closed */
    CHECK_INT(mode_of(dir, "open"), 0700);
    remove_dir(dir);
}

TEST(paths_private_dir_whatever_the_umask)
{
    char *dir = fresh_dir();
    mode_t before = umask(0);
    CHECK_INT(private_dir(dir, "a/b"), 0);
    umask(0277);
    CHECK_INT(private_dir(dir, "c"), 0);
    umask(before);
    CHECK_INT(mode_of(dir, "a"), 0700);
    CHECK_INT(mode_of(dir, "c"), 0700);
    remove_dir(dir);
}

TEST(paths_private_dir_refuses)
{
    char *dir = fresh_dir();
    cleanup_free char *link = xasprintf("%s/link", dir);
    cleanup_free char *nowhere = xasprintf("%s/nowhere", dir);
    cleanup_free char *file = xasprintf("%s/file", dir);
    make_dir(dir, "real", 0755);
    CHECK_INT(symlink("real", link), 0);
    CHECK_INT(symlink("missing", nowhere), 0);
    CHECK_INT(path_write_atomic(file, "", 0, 0600), 0);
    CHECK_INT(private_dir(dir, "link"), EPERM);
    CHECK_INT(private_dir(dir, "link/"), EPERM);
    CHECK_INT(private_dir(dir, "nowhere"), EPERM);
    CHECK_INT(private_dir(dir, "file"), EPERM);
    CHECK_INT(private_dir(dir, "file/below"), ENOTDIR);
    CHECK_INT(mode_of(dir, "real"), 0755);
    if (geteuid() == 0) {
        make_dir(dir, "theirs", 0755);
        cleanup_free char *theirs = xasprintf("%s/theirs", dir);
        CHECK_INT(chown(theirs, NOBODY, NOBODY), 0);
        CHECK_INT(private_dir(dir, "theirs"), EPERM);
        CHECK_INT(mode_of(dir, "theirs"), 0755);
    }
    remove_dir(dir);
}

TEST(paths_runtime_by_environment)
{
    char *dir = fresh_dir();
    env_begin(dir);
    setenv("XDG_RUNTIME_DIR", dir, 1);
    check_path(path_runtime("x"), dir, "/berth/x");
    CHECK_INT(mode_of(dir, "berth"), 0700);
    env_end();
    remove_dir(dir);
}

/* As a user whom nobody else on this machine is, so that nothing of a person's is touched.
 * Exits with 0 when path_runtime() answers `want`. */
static int runtime_as(uid_t uid, const char *home, const char *xdg, const char *want)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        env_begin(home);
        if (xdg)
            setenv("XDG_RUNTIME_DIR", xdg, 1);
        if (setresuid(uid, uid, uid) < 0)
            _exit(2);
        char *path = path_runtime("x");
        _exit(path && strcmp(path, want) == 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return status;
}

TEST(paths_runtime_passes_over_what_others_hold)
{
    if (geteuid() != 0)
        return; /* only root can be two users */
    uid_t uid = 1000000 + (uid_t)getpid();
    char *home = fresh_dir(), *theirs = fresh_dir();
    cleanup_free char *shared = xasprintf("/tmp/berth-%u", (unsigned)uid);
    cleanup_free char *in_shared = xasprintf("%s/x", shared);
    cleanup_free char *in_home = xasprintf("%s/.cache/berth/run/x", home);
    cleanup_free char *in_xdg = xasprintf("%s/berth/x", home);
    CHECK_INT(chown(home, uid, uid), 0);
    /* another user's directory, who may put another one in place of ours */
    cleanup_free char *lent = xasprintf("%s/berth", theirs);
    CHECK_INT(chmod(theirs, 0755), 0);
    make_dir(theirs, "berth", 0700);
    CHECK_INT(chown(lent, uid, uid), 0);
    CHECK_INT(runtime_as(uid, home, theirs, in_shared), 0);
    /* one's own */
    CHECK_INT(runtime_as(uid, home, home, in_xdg), 0);
    /* one's own, where anyone may write */
    CHECK_INT(chmod(home, 0777), 0);
    CHECK_INT(runtime_as(uid, home, home, in_shared), 0);
    CHECK_INT(chmod(home, 0700), 0);
    CHECK_INT(rmdir(shared), 0);
    /* the name in /tmp is taken: by a directory, by a symlink to one's own */
    CHECK_INT(mkdir(shared, 0777), 0);
    CHECK_INT(runtime_as(uid, home, NULL, in_home), 0);
    CHECK_INT(rmdir(shared), 0);
    CHECK_INT(symlink(home, shared), 0);
    CHECK_INT(runtime_as(uid, home, NULL, in_home), 0);
    CHECK_INT(unlink(shared), 0);
    remove_dir(home);
    remove_dir(theirs);
}

static size_t count_names(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n - 2;
}

TEST(paths_write_is_whole)
{
    char *dir = fresh_dir();
    cleanup_free char *path = xasprintf("%s/file", dir);
    size_t len = 0;
    CHECK_INT(path_write_atomic(path, "first\0one", 9, 0640), 0);
    CHECK_INT(mode_of(dir, "file"), 0640);
    CHECK_INT(path_write_atomic(path, "second", 6, 0600), 0);
    CHECK_INT(mode_of(dir, "file"), 0600);
    cleanup_free char *text = path_read(path, 100, &len);
    CHECK_STR(text, "second");
    CHECK_INT(len, 6);
    CHECK_INT(count_names(dir), 1);
    remove_dir(dir);
}

TEST(paths_write_leaves_nothing_behind)
{
    char *dir = fresh_dir();
    cleanup_free char *missing = xasprintf("%s/missing/file", dir);
    cleanup_free char *taken = xasprintf("%s/taken", dir);
    CHECK_INT(path_write_atomic(missing, "x", 1, 0600), -1);
    CHECK_INT(errno, ENOENT);
    make_dir(dir, "taken", 0700);
    CHECK_INT(path_write_atomic(taken, "x", 1, 0600), -1);
    CHECK_INT(errno, EISDIR);
    CHECK_INT(count_names(dir), 1);
    remove_dir(dir);
}

TEST(paths_read_has_a_limit)
{
    char *dir = fresh_dir(), data[10000];
    cleanup_free char *path = xasprintf("%s/file", dir);
    size_t len = 0;
    memset(data, 'x', sizeof data);
    CHECK_INT(path_write_atomic(path, data, sizeof data, 0600), 0);
    cleanup_free char *all = path_read(path, sizeof data, &len);
    CHECK_INT(len, sizeof data);
    CHECK(all && memcmp(all, data, sizeof data) == 0 && !all[sizeof data]);
    CHECK(path_read(path, sizeof data - 1, &len) == NULL);
    CHECK_INT(errno, EFBIG);
    CHECK_INT(path_write_atomic(path, "", 0, 0600), 0);
    cleanup_free char *none = path_read(path, 0, NULL);
    CHECK_STR(none, "");
    remove_dir(dir);
}

TEST(paths_read_fails)
{
    CHECK(path_read("/tmp/berth-unit-no-such-file", 10, NULL) == NULL);
    CHECK_INT(errno, ENOENT);
    CHECK(path_read("/tmp", 10, NULL) == NULL);
    CHECK_INT(errno, EISDIR);
}
