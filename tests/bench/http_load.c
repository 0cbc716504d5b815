/* http_load.c: one HTTP request, asked over and over on so many connections at once.
 *
 *   http-load PORT CONNECTIONS SECS <REQUEST
 *
 * Prints answers a second, and p50 and p99 of the microseconds that each took. Each answer has to be 200 with a
 * Content-Length.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define CONNECTIONS_MAX 256
#define SAMPLES_MAX     200000
#define REQUEST_MAX     65536
#define ANSWER_MAX      65536

static char request[REQUEST_MAX];
static size_t request_len;
static uint64_t until_ns;
static uint16_t port;

struct worker {
    pthread_t thread;
    uint32_t *took; /* [SAMPLES_MAX] */
    size_t n;
};

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* How long an answer is whose head is whole; 0: it is not yet. */
static size_t length_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n"),
               *field = strcasestr(answer, "\r\nContent-Length:");
    if (!end)
        return 0;
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || !field || field > end) {
        fprintf(stderr, "not what was to be answered: %s\n", answer);
        exit(1);
    }
    return (size_t)(end + 4 - answer) + strtoul(field + 17, NULL, 10);
}

static void ask(int fd)
{
    char answer[ANSWER_MAX];
    size_t got = 0, len = 0;
    if (write(fd, request, request_len) != (ssize_t)request_len)
        die("write");
    while (len == 0 || got < len) {
        ssize_t n = read(fd, answer + got, sizeof answer - 1 - got);
        if (n <= 0)
            die("read");
        got += (size_t)n;
        answer[got] = '\0';
        if (len == 0)
            len = length_of(answer);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    int fd = dial();
    ask(fd);
    while (now_ns() < until_ns && w->n < SAMPLES_MAX) {
        uint64_t t = now_ns();
        ask(fd);
        w->took[w->n++] = us_since(t);
    }
    close(fd);
    return NULL;
}

static void print(const struct worker *workers, int count, double secs)
{
    size_t n = 0, at = 0;
    for (int i = 0; i < count; i++)
        n += workers[i].n;
    uint32_t *all = malloc((n + 1) * sizeof *all);
    if (!all || n == 0)
        die("no answers");
    for (int i = 0; i < count; at += workers[i++].n)
        memcpy(all + at, workers[i].took, workers[i].n * sizeof *all);
    qsort(all, n, sizeof *all, by_value);
    printf("%.0f %u %u\n", (double)n / secs, quantile(all, n, 50), quantile(all, n, 99));
    free(all);
}

int main(int argc, char **argv)
{
    static struct worker workers[CONNECTIONS_MAX];
    int count = argc == 4 ? atoi(argv[2]) : 0;
    if (count < 1 || count > CONNECTIONS_MAX) {
        fprintf(stderr, "usage: http-load PORT CONNECTIONS SECS <REQUEST\n");
        return 2;
    }
    port = (uint16_t)atoi(argv[1]);
    request_len = fread(request, 1, sizeof request, stdin);
    uint64_t began = now_ns();
    until_ns = began + (uint64_t)(atof(argv[3]) * 1e9);
    for (int i = 0; i < count; i++) {
        workers[i].took = malloc(SAMPLES_MAX * sizeof(uint32_t));
        if (!workers[i].took || pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            die("pthread_create");
    }
    for (int i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    print(workers, count, (double)(now_ns() - began) / 1e9);
    return 0;
}
