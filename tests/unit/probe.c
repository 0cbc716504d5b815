#include "tests/unit/probe.h"

void probe_drink(struct probe *p)
{
    size_t len;
    const uint8_t *data;
    while ((data = stream_peek(p->s, &len))) {
        buf_append(&p->got, data, len);
        stream_consume(p->s, len);
    }
}

void probe_event(void *arg, struct stream *s, enum stream_event event)
{
    struct probe *p = arg;
    switch (event) {
    case STREAM_OPEN: p->opens++; break;
    case STREAM_DRAINED: p->draineds++; break;
    case STREAM_EOF: p->eofs++; break;
    case STREAM_DATA:
        p->datas++;
        if (!p->hold)
            probe_drink(p);
        break;
    case STREAM_ERROR:
        p->errors++;
        p->error = stream_error(s);
        break;
    }
    if (p->close_on_event) {
        stream_close(s);
        p->s = NULL;
    }
}

void probe_own(struct probe *p, struct stream *s)
{
    p->s = s;
    stream_own(s, probe_event, p);
}

bool probe_got(const struct probe *p, const char *text)
{
    return p->got.len == strlen(text) && !memcmp(buf_front(&p->got), text, p->got.len);
}

void probe_fini(struct probe *p)
{
    stream_close(p->s);
    buf_fini(&p->got);
    *p = (struct probe){0};
}

unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

void tcp_pair(int fd[2])
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(!bind(listener, (struct sockaddr *)&addr, len) && !listen(listener, 1));
    CHECK(!getsockname(listener, (struct sockaddr *)&addr, &len));
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(!connect(fd[0], (struct sockaddr *)&addr, len));
    fd[1] = accept(listener, NULL, NULL);
    CHECK(fd[1] >= 0);
    close(listener);
}

void unix_pair(int fd[2])
{
    CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
}

void reset_socket(int fd)
{
    struct linger abort_it = {.l_onoff = 1, .l_linger = 0};
    CHECK(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it)));
    close(fd);
}
