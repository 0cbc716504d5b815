/* emulator.c: a path between two network namespaces, each of which sees it as a TUN device.
 *
 *   wan SOCKET NETNS DEVICE NETNS DEVICE [SEED]
 *
 * NETNS is a file such as /run/netns/NAME. What the first sends goes up, what the second sends goes down.
 * Prints "ready" once both devices are there and SOCKET, a unix socket, takes commands (command.h); ends
 * when its standard input does, and the devices with it. */
#include "tests/wan/command.h"
#include "tests/wan/direction.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 16
#define LINE_CAP    512
#define BATCH       64    /* packets read from a device before others have their turn */
#define DRAIN_MAX   1024  /* batches before a command, so that a flood cannot hold it up for ever */
#define TX_QUEUE    32768 /* packets that may wait in a device for the emulator */
#define PRIORITY    (-20) /* where real time is not to be had */

#define EVENTS_MAX (CLIENTS_MAX + 5)

/* A process with real-time priority that never rests is held up for 50 ms of each second, so that others
 * are not starved. The same share in small pieces does less harm. */
#define BREATH_EVERY_NS 1900000
#define BREATH_NS       100000

static struct direction ways[2];
static int tuns[2];
static int timer, epoll, listener;
static int64_t armed_for = NEVER;
static struct client {
    int fd; /* -1: free */
    size_t len;
    char line[LINE_CAP];
} clients[CLIENTS_MAX];

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- devices ------------------------------------------------------------------------------ */

static int open_tun(const char *name)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(ifr.ifr_name, name, sizeof ifr.ifr_name - 1);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        err(1, "/dev/net/tun");
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        err(1, "%s", name);
    /* Without offloads the kernel cuts what it sends into packets of the MTU. */
    if (ioctl(fd, TUNSETOFFLOAD, 0UL) < 0)
        err(1, "%s: offloads", name);
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifr.ifr_qlen = TX_QUEUE;
    if (any < 0 || ioctl(any, SIOCSIFTXQLEN, &ifr) < 0)
        err(1, "%s: length of the queue", name);
    close(any);
    return fd;
}

static int open_tun_in(const char *netns, const char *name)
{
    int there = open(netns, O_RDONLY | O_CLOEXEC);
    if (there < 0 || setns(there, CLONE_NEWNET) < 0)
        err(1, "%s", netns);
    close(there);
    return open_tun(name);
}

/* True when there may be more. */
static bool read_batch(int i)
{
    static uint8_t packet[PACKET_MAX];
    for (int n = 0; n < BATCH; n++) {
        ssize_t len = read(tuns[i], packet, sizeof packet);
        if (len <= 0)
            return false;
        direction_take(&ways[i], packet, (size_t)len, now_ns());
    }
    return true;
}

/* --- commands ----------------------------------------------------------------------------- */

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll");
}

static void listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path) {
        errno = ENAMETOOLONG;
        err(1, "%s", path);
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(listener, CLIENTS_MAX) < 0)
        err(1, "%s", path);
    watch(listener);
}

static void accept_client(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    for (struct client *c = clients; c < clients + CLIENTS_MAX; c++) {
        if (c->fd < 0) {
            *c = (struct client){.fd = fd};
            watch(fd);
            return;
        }
    }
    close(fd);
}

static void drop_client(struct client *c)
{
    close(c->fd);
    c->fd = -1;
}

/* What was sent before the command is treated as before it. */
static void run_line(struct client *c, char *line)
{
    for (int i = 0; i < 2; i++)
        for (int n = 0; n < DRAIN_MAX && read_batch(i); n++)
            ;
    char answer[ANSWER_MAX + 1];
    command_run(ways, line, now_ns(), answer);
    size_t len = strlen(answer);
    answer[len++] = '\n';
    if (send(c->fd, answer, len, MSG_NOSIGNAL) != (ssize_t)len)
        drop_client(c);
}

static void run_lines(struct client *c)
{
    char *start = c->line, *end;
    while (c->fd >= 0 && (end = memchr(start, '\n', c->len))) {
        *end++ = 0;
        c->len -= (size_t)(end - start);
        run_line(c, start);
        start = end;
    }
    memmove(c->line, start, c->len);
}

static void read_client(struct client *c)
{
    ssize_t n = recv(c->fd, c->line + c->len, sizeof c->line - c->len, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop_client(c);
        return;
    }
    c->len += (size_t)n;
    run_lines(c);
    if (c->len == sizeof c->line)
        drop_client(c);
}

/* --- the loop ----------------------------------------------------------------------------- */

/* The timer is never put off: to wake up once for nothing is cheaper. */
static void arm(void)
{
    int64_t up = direction_next(&ways[0]), down = direction_next(&ways[1]);
    int64_t next = up < down ? up : down;
    if (next >= armed_for)
        return;
    armed_for = next;
    struct itimerspec at = {
        .it_value = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000},
    };
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void expire(void)
{
    uint64_t times;
    if (read(timer, &times, sizeof times) == sizeof times)
        armed_for = NEVER;
}

static void end_with_input(void)
{
    char ignored[256];
    if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
        exit(0);
}

static void handle(int fd)
{
    if (fd == timer)
        expire();
    else if (fd == listener)
        accept_client();
    else if (fd == STDIN_FILENO)
        end_with_input();
    else if (fd == tuns[0] || fd == tuns[1])
        read_batch(fd == tuns[1]);
    for (struct client *c = clients; c < clients + CLIENTS_MAX; c++)
        if (c->fd == fd)
            read_client(c);
}

static void loop(void)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t rested_at = now_ns();
    for (;;) {
        arm();
        int count = epoll_wait(epoll, events, EVENTS_MAX, 0);
        if (count == 0) {
            count = epoll_wait(epoll, events, EVENTS_MAX, -1);
            rested_at = now_ns();
        } else if (now_ns() - rested_at > BREATH_EVERY_NS) {
            clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = BREATH_NS}, NULL);
            rested_at = now_ns();
        }
        if (count < 0 && errno != EINTR)
            err(1, "epoll_wait");
        for (int i = 0; i < count; i++)
            handle(events[i].data.fd);
        direction_release(&ways[0], now_ns());
        direction_release(&ways[1], now_ns());
    }
}

/* On a busy machine too packets are to leave when they are due. */
static void hurry(void)
{
    struct sched_param first = {.sched_priority = 1};
    if (sched_setscheduler(0, SCHED_FIFO, &first) < 0 && setpriority(PRIO_PROCESS, 0, PRIORITY) < 0)
        err(1, "priority");
}

static void prepare(void)
{
    for (struct client *c = clients; c < clients + CLIENTS_MAX; c++)
        c->fd = -1;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    hurry();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (epoll < 0 || timer < 0)
        err(1, "epoll, timerfd");
    watch(timer);
    watch(STDIN_FILENO);
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc > 7) {
        fprintf(stderr, "usage: wan SOCKET NETNS DEVICE NETNS DEVICE [SEED]\ncommands:\n%s",
                command_help);
        return 2;
    }
    uint64_t seed = argc > 6 ? strtoull(argv[6], NULL, 10) : 1;
    prepare();
    listen_at(argv[1]);
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        tuns[i] = open_tun_in(argv[2 + 2 * i], argv[3 + 2 * i]);
        watch(tuns[i]);
    }
    if (setns(home, CLONE_NEWNET) < 0)
        err(1, "own namespace");
    close(home);
    direction_init(&ways[0], tuns[1], seed);
    direction_init(&ways[1], tuns[0], seed + 1);
    puts("ready");
    fflush(stdout);
    loop();
}
