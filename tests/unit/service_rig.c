#include "tests/unit/service_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/mem.h"

static uint64_t deadline_ms;

static uint64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void rig_patience(void)
{
    deadline_ms = clock_ms() + RIG_PATIENCE_MS;
}

static int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static bool have_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

void rig_init(struct rig *g)
{
    *g = (struct rig){.fd = -1, .ceiling = SIZE_MAX, .dir = "/tmp/berth-unit-XXXXXX"};
    g->descriptors = count_descriptors();
    CHECK(!have_children());
    CHECK(mkdtemp(g->dir) != NULL);
    g->loop = loop_new();
    service_init(&g->sv, g->loop);
    workload_init(&g->workload, g->loop);
    g->sv.workload = &g->workload;
    rig_patience();
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void rig_fini(struct rig *g)
{
    rig_close(g);
    service_fini(&g->sv);
    CHECK(g->sv.requests == NULL);
    workload_fini(&g->workload);
    rig_patience();
    while (have_children() && rig_turn(g))
        ;
    CHECK(!have_children());
    loop_turn(g->loop, 0);
    loop_free(g->loop);
    message_fini(&g->message);
    CHECK_INT(count_descriptors(), g->descriptors);
    nftw(g->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void rig_close(struct rig *g)
{
    if (g->fd >= 0)
        close(g->fd);
    g->fd = -1;
    g->ended = false;
    g->ceiling = SIZE_MAX;
    buf_fini(&g->got);
}

void rig_connect(struct rig *g)
{
    int ends[2];
    rig_close(g);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    g->fd = ends[0];
    service_serve(&g->sv, fdstream_new(g->loop, ends[1], ends[1]));
}

void rig_open(struct rig *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    rig_connect(g);
    rig_send_message(g, "%s", text);
}

size_t rig_send_some(struct rig *g, const void *data, size_t len)
{
    ssize_t n = send(g->fd, data, len, MSG_NOSIGNAL);
    return n < 0 ? 0 : (size_t)n;
}

void rig_send(struct rig *g, const void *data, size_t len)
{
    const char *p = data;
    rig_patience();
    while (len > 0) {
        size_t n = rig_send_some(g, p, len);
        p += n;
        len -= n;
        if (n == 0 && !rig_turn(g))
            return;
    }
}

void rig_send_message(struct rig *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    uint8_t header[4];
    struct writer w = writer_to(header, sizeof header);
    write_u32(&w, (uint32_t)strlen(text));
    rig_send(g, header, sizeof header);
    rig_send(g, text, strlen(text));
}

void rig_send_data(struct rig *g, uint8_t channel, const void *data, size_t len)
{
    uint8_t header[5];
    struct writer w = writer_to(header, sizeof header);
    write_u32(&w, (uint32_t)len + 1);
    write_u8(&w, channel);
    rig_send(g, header, sizeof header);
    rig_send(g, data, len);
}

/* True when there was something. */
static bool read_some(struct rig *g)
{
    if (g->fd < 0 || g->ended || g->got.len >= g->ceiling)
        return false;
    ssize_t n = recv(g->fd, buf_reserve(&g->got, 65536), 65536, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        g->ended = true;
    else
        buf_commit(&g->got, (size_t)n);
    return true;
}

bool rig_turn(struct rig *g)
{
    bool busy = read_some(g);
    loop_turn(g->loop, busy ? 0 : 100);
    if (clock_ms() < deadline_ms)
        return true;
    test_fail(__FILE__, __LINE__, "nothing came for %d ms", RIG_PATIENCE_MS);
    return false;
}

bool rig_bytes(struct rig *g, size_t len)
{
    rig_patience();
    while (g->got.len < len && !g->ended)
        if (!rig_turn(g))
            return false;
    return g->got.len >= len;
}

struct frame rig_frame(struct rig *g)
{
    static struct buf last;
    buf_fini(&last);
    if (!rig_bytes(g, 4))
        return (struct frame){0};
    struct reader r = reader_of(buf_front(&g->got), 4);
    size_t len = read_u32(&r);
    if (!rig_bytes(g, 4 + len))
        return (struct frame){0};
    buf_append(&last, buf_front(&g->got) + 4, len);
    buf_consume(&g->got, 4 + len);
    return (struct frame){buf_front(&last), len};
}

static bool take_message(struct rig *g, struct frame f)
{
    const char *why = "no frame";
    message_fini(&g->message);
    if (f.len > 0 && message_parse(&g->message, f.payload, f.len, &why) == 0)
        return true;
    test_fail(__FILE__, __LINE__, "no message: %s", why);
    return false;
}

const struct json_value *rig_expect(struct rig *g, enum message_type type)
{
    if (!take_message(g, rig_frame(g)))
        return NULL;
    CHECK_STR(message_name(g->message.type), message_name(type));
    if (g->message.type == MSG_ERROR && type != MSG_ERROR)
        test_fail(__FILE__, __LINE__, "Error: %s", json_get_str(g->message.body, "message"));
    return g->message.body;
}

void rig_expect_end(struct rig *g)
{
    rig_patience();
    while (!g->ended && rig_turn(g))
        ;
    CHECK_INT(g->got.len, 0);
}

const char *rig_expect_error(struct rig *g, enum error_code code)
{
    const struct json_value *body = rig_expect(g, MSG_ERROR);
    const char *text = json_get_str(body, "message");
    CHECK_STR(json_get_str(body, "code"), error_code_name(code));
    rig_expect_end(g);
    return text ? text : "";
}

static char *text_of(struct buf *b)
{
    char *text = xstrndup(b->len ? (const char *)buf_front(b) : "", b->len);
    buf_fini(b);
    return text;
}

char *rig_output(struct rig *g, char **err)
{
    struct buf texts[3] = {0};
    for (;;) {
        struct frame f = rig_frame(g);
        if (!f.payload || f.payload[0] == '{') {
            take_message(g, f);
            break;
        }
        CHECK(f.payload[0] == CHANNEL_STDOUT || f.payload[0] == CHANNEL_STDERR);
        buf_append(&texts[f.payload[0] % 3], f.payload + 1, f.len - 1);
    }
    char *text = text_of(&texts[CHANNEL_STDERR]);
    if (err)
        *err = text;
    else
        free(text);
    buf_fini(&texts[0]);
    return text_of(&texts[CHANNEL_STDOUT]);
}

const char *rig_path(struct rig *g, const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % countof(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", g->dir, name);
    return path;
}

void rig_write_file(const char *path, const char *text)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void lifeline_ready(void *arg, uint32_t events)
{
    struct lifeline *l = arg;
    (void)events;
    loop_fd_del(&l->watch);
    l->cut = true;
}

void lifeline_init(struct rig *g, struct lifeline *l, const char *path)
{
    *l = (struct lifeline){0};
    CHECK(mkfifo(path, 0600) == 0);
    l->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(loop_fd_add(g->loop, &l->watch, l->fd, lifeline_ready, l) == 0);
}

void lifeline_fini(struct lifeline *l)
{
    loop_fd_del(&l->watch);
    close(l->fd);
}
