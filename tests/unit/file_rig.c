#include "tests/unit/file_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"

int64_t number(const struct json_value *body, const char *key)
{
    int64_t n = INT64_MIN;
    CHECK_INT(json_get_int(body, key, &n), 1);
    return n;
}

static uint8_t big_byte(size_t at)
{
    return (uint8_t)(at * 7 ^ at >> 11);
}

uint8_t *big_bytes(void)
{
    uint8_t *bytes = xmalloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = big_byte(i);
    return bytes;
}

void write_big(const char *path)
{
    cleanup_free uint8_t *bytes = big_bytes();
    CHECK_INT(path_write_atomic(path, bytes, BIG, 0640), 0);
}

size_t entries(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

mode_t mode_of(const char *path)
{
    struct stat st = {0};
    CHECK_INT(lstat(path, &st), 0);
    return st.st_mode;
}

void expect_file(const char *path, const char *text)
{
    size_t len;
    cleanup_free char *found = path_read(path, 1 << 20, &len);
    CHECK_STR(found, text);
}

const char *const irregular_names[] = {"dir", "dir/", "fifo", "socket", "device", "link", NULL};

void make_irregular(struct rig *g)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", rig_path(g, "socket"));
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    CHECK_INT(mkdir(rig_path(g, "dir"), 0700), 0);
    CHECK_INT(mkfifo(rig_path(g, "fifo"), 0600), 0);
    if (mknod(rig_path(g, "device"), S_IFCHR | 0600, makedev(1, 3)) != 0) /* as root only */
        CHECK_INT(mkfifo(rig_path(g, "device"), 0600), 0);
    CHECK_INT(symlink("fifo", rig_path(g, "link")), 0);
}

void expect_refused(struct rig *g, const char *request, enum error_code code, const char *why)
{
    size_t len = strlen(g->dir);
    setenv("HOME", g->dir, 1);
    rig_open(g, "%s}", request);
    const char *text = rig_expect_error(g, code);
    bool inside = strncmp(text, g->dir, len) == 0 && text[len] == '/';
    CHECK_STR(inside ? text + len + 1 : text, why);
    setenv("HOME", "/", 1);
}

void until_idle(struct rig *g)
{
    rig_patience();
    while (g->sv.requests && rig_turn(g))
        ;
    CHECK(!g->sv.requests);
}
