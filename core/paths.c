/* paths.c: names of this user's files, and directories that no one else can enter. */
#include "core/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

/* An environment variable that names an absolute path, else NULL. */
static const char *env_path(const char *name)
{
    const char *path = getenv(name);
    return path && path[0] == '/' ? path : NULL;
}

char *path_home(void)
{
    const char *home = env_path("HOME");
    if (home)
        return xstrdup(home);
    const struct passwd *user = getpwuid(geteuid());
    return xstrdup(user && user->pw_dir ? user->pw_dir : "/");
}

char *path_cache(const char *name)
{
    cleanup_free char *home = path_home();
    return xasprintf("%s/.cache/berth/%s", home, name);
}

char *path_config(const char *name)
{
    const char *config = env_path("XDG_CONFIG_HOME");
    if (config)
        return xasprintf("%s/berth/%s", config, name);
    cleanup_free char *home = path_home();
    return xasprintf("%s/.config/berth/%s", home, name);
}

char *path_state(void)
{
    const char *state = env_path("XDG_STATE_HOME");
    if (state)
        return xasprintf("%s/berth", state);
    cleanup_free char *home = path_home();
    return xasprintf("%s/.local/state/berth", home);
}

char *path_self(void)
{
    static const char link[] = "/proc/self/exe";
    char *path = realpath(link, NULL);
    /* A program that was replaced while it runs still runs by its link, and by nothing else. */
    return path ? path : xstrdup(link);
}

char *path_agent_socket(unsigned which)
{
    if (which == 0)
        return xasprintf("/tmp/berth-%u.sock", (unsigned)geteuid());
    cleanup_free char *home = path_home();
    return xasprintf("%s/.berth.sock", home);
}

/* mkdir -p: what exists is left alone, whatever it is. */
static int make_dirs(const char *dir)
{
    if (mkdir(dir, 0700) == 0 || errno == EEXIST)
        return 0;
    const char *slash = strrchr(dir, '/');
    if (errno != ENOENT || !slash || slash == dir)
        return -1;
    cleanup_free char *parent = xstrndup(dir, (size_t)(slash - dir));
    if (make_dirs(parent) < 0)
        return -1;
    return mkdir(dir, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

/* Looks at the directory that was opened, not at its name, which could change meanwhile. */
static int claim(const char *dir)
{
    cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOTDIR || errno == ELOOP || errno == EACCES)
            errno = EPERM;
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -1;
    if (st.st_uid != geteuid()) {
        errno = EPERM;
        return -1;
    }
    return (st.st_mode & 0777) == 0700 ? 0 : fchmod(fd, 0700);
}

int path_private_dir(const char *dir)
{
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/') /* which would have a symlink followed */
        len--;
    cleanup_free char *bare = xstrndup(dir, len);
    return make_dirs(bare) < 0 ? -1 : claim(bare);
}

/* `dir` is taken. NAME's path in it if it can be had for this user alone. */
static char *inside(char *dir, const char *name)
{
    cleanup_free char *own = dir;
    return path_private_dir(own) < 0 ? NULL : xasprintf("%s/%s", own, name);
}

/* Where others could write, they could put their own directory in place of ours. */
static bool only_we_write(const char *dir)
{
    struct stat st;
    return stat(dir, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022);
}

char *path_runtime(const char *name)
{
    const char *runtime = env_path("XDG_RUNTIME_DIR");
    char *path = NULL;
    if (runtime && only_we_write(runtime))
        path = inside(xasprintf("%s/berth", runtime), name);
    if (!path)
        path = inside(xasprintf("/tmp/berth-%u", (unsigned)geteuid()), name);
    return path ? path : inside(path_cache("run"), name);
}

void path_runtime_tidy(void)
{
    cleanup_free char *dir = path_runtime("");
    if (dir)
        rmdir(dir);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int path_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
    cleanup_free char *temporary = xasprintf("%s.XXXXXX", path);
    cleanup_fd int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (write_all(fd, data, len) == 0 && fchmod(fd, mode) == 0 && fsync(fd) == 0 &&
        rename(temporary, path) == 0)
        return 0;
    int error = errno;
    unlink(temporary);
    errno = error;
    return -1;
}

static char *read_all(int fd, size_t max, size_t *len)
{
    cleanup_free char *text = NULL;
    size_t n = 0, cap = 0;
    for (;;) {
        if (n == cap) {
            cap = cap ? cap * 2 : 4096;
            text = xrealloc(text, cap + 1);
        }
        ssize_t got = read(fd, text + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return NULL;
        n += (size_t)got;
        if (got == 0 || n > max)
            break;
    }
    if (n > max) {
        errno = EFBIG;
        return NULL;
    }
    text[n] = '\0';
    *len = n;
    return steal_str(&text);
}

char *path_read(const char *path, size_t max, size_t *len)
{
    size_t unasked;
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? NULL : read_all(fd, max, len ? len : &unasked);
}
