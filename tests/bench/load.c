/* load.c: the two ends of a benchmark: servers, and clients that measure.
 *
 *   load serve [ADDRESS]           echo, sink and source servers, by default on loopback; prints their
 *                                  ports, serves until killed
 *   load echo AT COUNT             round trips of 64 bytes: p50 and p99 in microseconds
 *   load bulk AT STREAMS SECS      megabytes a second that have arrived at the sink
 *   load mixed ECHO SINK SECS      round trips while one stream sends what it can
 *   load conns AT WORKERS SECS     connections a second (connect, one byte there and back, close), and
 *                                  p50 and p99 of the microseconds until that byte is back
 *   load fetch AT STREAMS SECS     megabytes a second from the source once the rate has settled, and the
 *                                  milliseconds until nine tenths of it
 *   load beside ECHO SOURCE STREAMS SECS
 *                                  round trips beside so many streams from the source: p50, p99, and
 *                                  the streams' megabytes a second
 *   load hold AT COUNT             idle connections until standard input ends; prints their number
 *
 * AT is a port of loopback, or ADDRESS:PORT.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define CHUNK        ((size_t)256 * 1024)
#define MESSAGE      64
#define WORKERS_MAX  64
#define ROUNDS_MAX   2000000
#define LISTEN_QUEUE 1024
#define SETTLED      ((uint64_t)32 << 20) /* bytes after which a stream has found its speed */
#define SETTLED_NS   ((uint64_t)500000000)
#define SLOT_MS      50
#define SLOTS_MAX    2400
#define WINDOW       4 /* slots that a rate is judged by */
#define ECHOES       16
#define ECHO_SECONDS 5
#define START_UP_NS  ((uint64_t)1000000000)

static struct sockaddr_in address(const char *host, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
        die(host);
    return a;
}

static struct sockaddr_in place(const char *at)
{
    char host[INET_ADDRSTRLEN] = "127.0.0.1";
    const char *colon = strchr(at, ':');
    if (colon)
        snprintf(host, sizeof host, "%.*s", (int)(colon - at), at);
    return address(host, atoi(colon ? colon + 1 : at));
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* --- servers ------------------------------------------------------------------------------ */

static int listen_any(const char *host, int *port)
{
    struct sockaddr_in a = address(host, 0);
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

/* Counts until a byte that is not 0, then says how much it was: not every tunnel passes on the end
 * of one direction. */
static void *sink_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *buf = malloc(CHUNK);
    uint64_t total = 0;
    ssize_t n;
    do {
        n = buf ? read(fd, buf, CHUNK) : 0;
        if (n > 0)
            total += (uint64_t)n;
    } while (n > 0 && !buf[n - 1]);
    (void)!write(fd, &total, sizeof total);
    close(fd);
    free(buf);
    return NULL;
}

/* What it takes, until it is closed. */
static void *source_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *chunk = calloc(1, CHUNK);
    while (chunk && write(fd, chunk, CHUNK) > 0)
        ;
    close(fd);
    free(chunk);
    return NULL;
}

static void start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    if (pthread_create(thread, NULL, fn, arg))
        die("pthread_create");
}

struct service {
    int listener;
    void *(*fn)(void *);
};

static void *serve_each(void *arg)
{
    const struct service *v = arg;
    pthread_t thread;
    for (;;) {
        int fd = accept(v->listener, NULL, NULL);
        if (fd < 0)
            continue;
        no_delay(fd);
        start(&thread, v->fn, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
    return NULL;
}

static int serve(const char *host)
{
    int ports[3], echo = listen_any(host, &ports[0]);
    struct service sink = {listen_any(host, &ports[1]), sink_one};
    struct service source = {listen_any(host, &ports[2]), source_one};
    pthread_t threads[2];
    signal(SIGPIPE, SIG_IGN);
    start(&threads[0], serve_echo, &echo);
    start(&threads[1], serve_each, &source);
    printf("%d %d %d\n", ports[0], ports[1], ports[2]);
    fflush(stdout);
    serve_each(&sink);
    return 0;
}

/* --- clients -------------------------------------------------------------------------------- */

static int dial(const char *at)
{
    struct sockaddr_in a = place(at);
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

/* `count` round trips, or as many as fit into `secs`. */
static int echo(const char *at, size_t count, double secs)
{
    uint32_t *took = malloc(count * sizeof *took);
    char message[MESSAGE] = "x";
    int fd = dial(at);
    size_t n = 0;
    if (!took)
        die("malloc");
    for (int i = 0; i < (secs == 0 ? 50 : 1); i++)
        round_trip(fd, message, sizeof message);
    uint64_t end = now_ns() + (uint64_t)(secs * 1e9);
    while (n < count && (secs == 0 || n == 0 || now_ns() < end)) {
        uint64_t t = now_ns();
        round_trip(fd, message, sizeof message);
        took[n++] = us_since(t);
    }
    qsort(took, n, sizeof *took, by_value);
    printf("%u %u\n", quantile(took, n, 50), quantile(took, n, 99));
    free(took);
    return 0;
}

struct sender {
    const char *at;
    uint64_t until, bytes;
    int flowing_fd; /* told once SETTLED bytes are sent, or SETTLED_NS have passed; 0: nobody waits */
    pthread_t thread;
};

static void *send_bulk(void *arg)
{
    struct sender *s = arg;
    char *chunk = calloc(1, CHUNK);
    int fd = dial(s->at);
    uint64_t arrived = 0, sent = 0, began = now_ns();
    while (chunk && now_ns() < s->until) {
        ssize_t n = write(fd, chunk, CHUNK);
        if (n < 0)
            die("write");
        sent += (uint64_t)n;
        if (s->flowing_fd && (sent >= SETTLED || now_ns() > began + SETTLED_NS)) {
            (void)!write(s->flowing_fd, "", 1);
            s->flowing_fd = 0;
        }
    }
    if (write(fd, "e", 1) != 1 || read(fd, &arrived, sizeof arrived) != sizeof arrived)
        die("the sink's count");
    s->bytes = arrived;
    close(fd);
    free(chunk);
    return NULL;
}

static int bulk(const char *at, int streams, double secs)
{
    struct sender senders[WORKERS_MAX];
    uint64_t began = now_ns(), bytes = 0;
    for (int i = 0; i < streams; i++) {
        senders[i] = (struct sender){.at = at, .until = began + (uint64_t)(secs * 1e9)};
        start(&senders[i].thread, send_bulk, &senders[i]);
    }
    for (int i = 0; i < streams; i++) {
        pthread_join(senders[i].thread, NULL);
        bytes += senders[i].bytes;
    }
    printf("%.1f\n", (double)bytes / 1e6 / ((double)(now_ns() - began) / 1e9));
    return 0;
}

static int mixed(const char *echo_at, const char *sink_at, double secs)
{
    /* The stream flows before and after every round trip that is measured. */
    struct sender s = {.at = sink_at, .until = now_ns() + (uint64_t)((secs + 1) * 1e9)};
    int flowing[2];
    char byte;
    if (pipe(flowing))
        die("pipe");
    s.flowing_fd = flowing[1];
    start(&s.thread, send_bulk, &s);
    if (read(flowing[0], &byte, 1) != 1)
        die("read");
    int status = echo(echo_at, ROUNDS_MAX, secs);
    pthread_join(s.thread, NULL);
    return status;
}

/* --- many at once, told together ------------------------------------------------------------ */

struct samples {
    uint32_t *took; /* [ROUNDS_MAX] */
    atomic_size_t n;
};

static void samples_init(struct samples *s)
{
    s->took = malloc(ROUNDS_MAX * sizeof *s->took);
    s->n = 0;
    if (!s->took)
        die("malloc");
}

static void sample(struct samples *s, uint32_t us)
{
    size_t i = s->n++;
    if (i < ROUNDS_MAX)
        s->took[i] = us;
}

static void samples_sort(struct samples *s)
{
    if (s->n > ROUNDS_MAX)
        s->n = ROUNDS_MAX;
    qsort(s->took, s->n, sizeof *s->took, by_value);
}

struct worker {
    const char *at;
    uint64_t from, until;
    struct samples *samples;
    pthread_t thread;
};

static void start_workers(struct worker *w, int n, void *(*fn)(void *), struct worker like)
{
    for (int i = 0; i < n; i++) {
        w[i] = like;
        start(&w[i].thread, fn, &w[i]);
    }
}

static void join_workers(const struct worker *w, int n)
{
    for (int i = 0; i < n; i++)
        pthread_join(w[i].thread, NULL);
}

static void *connect_often(void *arg)
{
    const struct worker *w = arg;
    char byte = 'x';
    while (now_ns() < w->until) {
        uint64_t t = now_ns();
        int fd = dial(w->at);
        round_trip(fd, &byte, 1);
        sample(w->samples, us_since(t));
        close(fd);
    }
    return NULL;
}

static int conns(const char *at, int workers, double secs)
{
    struct worker each[WORKERS_MAX];
    struct samples s;
    uint64_t began = now_ns();
    samples_init(&s);
    start_workers(
        each, workers, connect_often,
        (struct worker){.at = at, .until = began + (uint64_t)(secs * 1e9), .samples = &s});
    join_workers(each, workers);
    double took = (double)(now_ns() - began) / 1e9;
    samples_sort(&s);
    printf("%.1f %u %u\n", (double)s.n / took, quantile(s.took, s.n, 50),
           quantile(s.took, s.n, 99));
    free(s.took);
    return 0;
}

/* False: `secs` have passed without it. Nothing but the echo of a message is on that connection. */
static bool echo_within(int fd, char *message, time_t secs)
{
    struct timeval limit = {.tv_sec = secs};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (write(fd, message, MESSAGE) != MESSAGE)
        die("write");
    for (size_t got = 0; got < MESSAGE;) {
        ssize_t n = read(fd, message + got, MESSAGE - got);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n <= 0)
            die("read");
        got += (size_t)n;
    }
    return true;
}

/* Those that end from `from` on count, whenever they began; one that takes too long counts as that. */
static void *echo_often(void *arg)
{
    const struct worker *w = arg;
    char message[MESSAGE] = "x";
    int fd = dial(w->at);
    bool came = true;
    for (uint64_t t; came && (t = now_ns()) < w->until;) {
        came = echo_within(fd, message, ECHO_SECONDS);
        if (now_ns() >= w->from)
            sample(w->samples, us_since(t));
    }
    close(fd);
    return NULL;
}

static _Atomic uint64_t slots[SLOTS_MAX]; /* bytes that came in each */

static size_t slot_of(const struct worker *w)
{
    size_t i = (size_t)((now_ns() - w->from) / (SLOT_MS * (uint64_t)1000000));
    return i < SLOTS_MAX ? i : SLOTS_MAX - 1;
}

static void *fetch_one(void *arg)
{
    const struct worker *w = arg;
    struct timeval slot = {.tv_usec = SLOT_MS * 1000};
    char *buf = malloc(CHUNK);
    int fd = dial(w->at);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slot, sizeof slot);
    while (buf && now_ns() < w->until) {
        ssize_t n = read(fd, buf, CHUNK);
        if (n == 0)
            break;
        if (n > 0)
            slots[slot_of(w)] += (uint64_t)n;
    }
    close(fd);
    free(buf);
    return NULL;
}

/* Megabytes a second in the slots from `first` on, before `end`. */
static double rate(size_t first, size_t end)
{
    uint64_t bytes = 0;
    for (size_t i = first; i < end; i++)
        bytes += slots[i];
    return (double)bytes / 1e3 / (double)((end - first) * SLOT_MS);
}

static size_t slots_in(double secs)
{
    size_t n = (size_t)(secs * 1000 / SLOT_MS);
    return n < 2 * WINDOW ? 2 * WINDOW : n < SLOTS_MAX ? n : SLOTS_MAX;
}

static int fetch(const char *at, int streams, double secs)
{
    struct worker each[WORKERS_MAX];
    uint64_t began = now_ns();
    size_t end = slots_in(secs), first = 0;
    start_workers(
        each, streams, fetch_one,
        (struct worker){.at = at, .from = began, .until = began + (uint64_t)(secs * 1e9)});
    join_workers(each, streams);
    double settled = rate(end / 2, end);
    while (first + WINDOW < end && rate(first, first + WINDOW) < 0.9 * settled)
        first++;
    printf("%.4f %zu\n", settled, first * SLOT_MS);
    return 0;
}

static int beside(const char *echo_at, const char *source_at, int streams, double secs)
{
    struct worker bulk_workers[WORKERS_MAX], echo_workers[ECHOES];
    struct samples s;
    uint64_t began = now_ns(), from = began + START_UP_NS;
    uint64_t until = from + (uint64_t)(secs * 1e9);
    size_t first = START_UP_NS / 1000000 / SLOT_MS;
    samples_init(&s);
    start_workers(echo_workers, ECHOES, echo_often,
                  (struct worker){.at = echo_at, .from = from, .until = until, .samples = &s});
    start_workers(bulk_workers, streams, fetch_one,
                  (struct worker){.at = source_at, .from = began, .until = until});
    join_workers(bulk_workers, streams);
    join_workers(echo_workers, ECHOES);
    samples_sort(&s);
    printf("%u %u %.2f\n", quantile(s.took, s.n, 50), quantile(s.took, s.n, 99),
           rate(first, first + slots_in(secs)));
    free(s.took);
    return 0;
}

static int hold(const char *at, int count)
{
    char byte = 'x';
    for (int i = 0; i < count; i++)
        round_trip(dial(at), &byte, 1);
    printf("%d\n", count);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: load serve [ADDRESS] | echo AT N | bulk AT N SECS | mixed ECHO SINK SECS |\n"
            "       conns AT N SECS | fetch AT N SECS | beside ECHO SOURCE N SECS | hold AT N\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *at = argc > 2 ? argv[2] : "127.0.0.1";
    int n = argc > 3 ? atoi(argv[3]) : 0;
    double secs = argc > 4 ? atof(argv[4]) : 0;
    bool some = n > 0 && n <= WORKERS_MAX && secs > 0;
    if (strcmp(what, "serve") == 0)
        return serve(at);
    if (strcmp(what, "echo") == 0 && n > 0 && n <= ROUNDS_MAX)
        return echo(at, (size_t)n, 0);
    if (strcmp(what, "bulk") == 0 && some)
        return bulk(at, n, secs);
    if (strcmp(what, "conns") == 0 && some)
        return conns(at, n, secs);
    if (strcmp(what, "fetch") == 0 && some)
        return fetch(at, n, secs);
    if (strcmp(what, "mixed") == 0 && secs > 0)
        return mixed(at, argv[3], secs);
    if (strcmp(what, "beside") == 0 && argc == 6 && atoi(argv[4]) > 0)
        return beside(at, argv[3], atoi(argv[4]), atof(argv[5]));
    if (strcmp(what, "hold") == 0 && n > 0)
        return hold(at, n);
    return usage();
}
