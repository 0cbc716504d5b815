/* load.c: the two ends of a benchmark: servers, and clients that measure.
 *
 *   load serve                     echo and sink servers; prints both ports, serves until killed
 *   load echo PORT COUNT           round trips of 64 bytes: p50 and p99 in microseconds
 *   load bulk PORT STREAMS SECS    megabytes a second that have arrived at the sink
 *   load conns PORT WORKERS SECS   connections a second: connect, one byte there and back, close
 *   load mixed ECHO SINK SECS      round trips while one stream sends what it can
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK        ((size_t)256 * 1024)
#define MESSAGE      64
#define WORKERS_MAX  64
#define ROUNDS_MAX   2000000
#define LISTEN_QUEUE 1024
#define SETTLED      ((uint64_t)32 << 20) /* bytes after which a stream has found its speed */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* --- servers ------------------------------------------------------------------------------ */

static int listen_any(int *port)
{
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, LISTEN_QUEUE) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        die("listen");
    *port = ntohs(a.sin_port);
    return fd;
}

static void echo_once(int ep, int fd)
{
    char buf[4096];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n > 0 && write(fd, buf, (size_t)n) == n)
        return;
    epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
    close(fd);
}

static void *serve_echo(void *arg)
{
    int listener = *(int *)arg, ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ready[64];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(ep, ready, 64, -1);
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd != listener) {
                echo_once(ep, ready[i].data.fd);
                continue;
            }
            e.data.fd = accept(listener, NULL, NULL);
            if (e.data.fd < 0)
                continue;
            no_delay(e.data.fd);
            epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e);
        }
    }
    return NULL;
}

/* Counts to the end of file, then says how much it was. */
static void *sink_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *buf = malloc(CHUNK);
    uint64_t total = 0;
    ssize_t n;
    while (buf && (n = read(fd, buf, CHUNK)) > 0)
        total += (uint64_t)n;
    (void)!write(fd, &total, sizeof total);
    close(fd);
    free(buf);
    return NULL;
}

static void start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    if (pthread_create(thread, NULL, fn, arg))
        die("pthread_create");
}

static int serve(void)
{
    int echo_port, sink_port, echo = listen_any(&echo_port), sink = listen_any(&sink_port);
    pthread_t thread;
    start(&thread, serve_echo, &echo);
    printf("%d %d\n", echo_port, sink_port);
    fflush(stdout);
    for (;;) {
        int fd = accept(sink, NULL, NULL);
        if (fd < 0)
            continue;
        start(&thread, sink_one, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
    return 0;
}

/* --- clients -------------------------------------------------------------------------------- */

static int dial(int port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
        die("connect");
    no_delay(fd);
    return fd;
}

static void round_trip(int fd, char *message, size_t len)
{
    if (write(fd, message, len) != (ssize_t)len)
        die("write");
    for (size_t got = 0; got < len;) {
        ssize_t n = read(fd, message + got, len - got);
        if (n <= 0)
            die("read");
        got += (size_t)n;
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* `count` round trips, or as many as fit into `secs`. */
static int echo(int port, size_t count, double secs)
{
    uint32_t *took = malloc(count * sizeof *took);
    char message[MESSAGE] = "x";
    int fd = dial(port);
    size_t n = 0;
    uint64_t end = now_ns() + (uint64_t)(secs * 1e9);
    if (!took)
        die("malloc");
    for (int i = 0; i < 50; i++)
        round_trip(fd, message, sizeof message);
    while (n < count && (secs == 0 || now_ns() < end)) {
        uint64_t t = now_ns();
        round_trip(fd, message, sizeof message);
        took[n++] = (uint32_t)((now_ns() - t) / 1000);
    }
    qsort(took, n, sizeof *took, by_value);
    printf("%u %u\n", took[n / 2], took[n - 1 - n / 100]);
    free(took);
    return 0;
}

struct sender {
    int port;
    uint64_t until, bytes;
    int flowing_fd; /* told once SETTLED bytes are sent; 0: nobody waits */
    pthread_t thread;
};

static void *send_bulk(void *arg)
{
    struct sender *s = arg;
    char *chunk = calloc(1, CHUNK);
    int fd = dial(s->port);
    uint64_t arrived = 0, sent = 0;
    while (chunk && now_ns() < s->until) {
        ssize_t n = write(fd, chunk, CHUNK);
        if (n < 0)
            die("write");
        if (s->flowing_fd && sent < SETTLED && sent + (uint64_t)n >= SETTLED)
            (void)!write(s->flowing_fd, "", 1);
        sent += (uint64_t)n;
    }
    shutdown(fd, SHUT_WR);
    if (read(fd, &arrived, sizeof arrived) != sizeof arrived)
        die("the sink's count");
    s->bytes = arrived;
    close(fd);
    free(chunk);
    return NULL;
}

static int bulk(int port, int streams, double secs)
{
    struct sender senders[WORKERS_MAX];
    uint64_t began = now_ns(), bytes = 0;
    for (int i = 0; i < streams; i++) {
        senders[i] = (struct sender){.port = port, .until = began + (uint64_t)(secs * 1e9)};
        start(&senders[i].thread, send_bulk, &senders[i]);
    }
    for (int i = 0; i < streams; i++) {
        pthread_join(senders[i].thread, NULL);
        bytes += senders[i].bytes;
    }
    printf("%.1f\n", (double)bytes / 1e6 / ((double)(now_ns() - began) / 1e9));
    return 0;
}

static void *connect_often(void *arg)
{
    struct sender *s = arg;
    char byte = 'x';
    while (now_ns() < s->until) {
        int fd = dial(s->port);
        round_trip(fd, &byte, 1);
        close(fd);
        s->bytes++;
    }
    return NULL;
}

static int conns(int port, int workers, double secs)
{
    struct sender each[WORKERS_MAX];
    uint64_t began = now_ns(), n = 0;
    for (int i = 0; i < workers; i++) {
        each[i] = (struct sender){.port = port, .until = began + (uint64_t)(secs * 1e9)};
        start(&each[i].thread, connect_often, &each[i]);
    }
    for (int i = 0; i < workers; i++) {
        pthread_join(each[i].thread, NULL);
        n += each[i].bytes;
    }
    printf("%.1f\n", (double)n / ((double)(now_ns() - began) / 1e9));
    return 0;
}

static int mixed(int echo_port, int sink_port, double secs)
{
    /* The stream flows before and after every round trip that is measured. */
    struct sender s = {.port = sink_port, .until = now_ns() + (uint64_t)((secs + 1) * 1e9)};
    int flowing[2];
    char byte;
    if (pipe(flowing))
        die("pipe");
    s.flowing_fd = flowing[1];
    start(&s.thread, send_bulk, &s);
    if (read(flowing[0], &byte, 1) != 1)
        die("read");
    int status = echo(echo_port, ROUNDS_MAX, secs);
    pthread_join(s.thread, NULL);
    return status;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int port = argc > 2 ? atoi(argv[2]) : 0, n = argc > 3 ? atoi(argv[3]) : 0;
    double secs = argc > 4 ? atof(argv[4]) : 0;
    if (strcmp(what, "serve") == 0)
        return serve();
    if (strcmp(what, "echo") == 0 && n > 0 && n <= ROUNDS_MAX)
        return echo(port, (size_t)n, 0);
    if (strcmp(what, "bulk") == 0 && n > 0 && n <= WORKERS_MAX && secs > 0)
        return bulk(port, n, secs);
    if (strcmp(what, "conns") == 0 && n > 0 && n <= WORKERS_MAX && secs > 0)
        return conns(port, n, secs);
    if (strcmp(what, "mixed") == 0 && n > 0 && secs > 0)
        return mixed(port, n, secs);
    fprintf(stderr, "usage: load serve | echo PORT N | bulk PORT N SECS | conns PORT N SECS | "
                    "mixed ECHO SINK SECS\n");
    return 2;
}
