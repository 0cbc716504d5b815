#include "applets/control/doctor_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/service/udp_token.h"
#include "core/bytes.h"
#include "core/loop.h"
#include "core/mem.h"
#include "net/ssh_peer.h"

#define ROUNDS    8   /* of questions, a large and a small one in each */
#define ROUND_MS  250 /* the first pause; each is half as long again */
#define OTHERS_MS 500 /* for the other ways, once one is known to be good */
#define BYES      3   /* one may be lost */

struct way {
    int fd; /* -1: closed */
    struct doctor_way seen;
};

struct doctor_udp {
    uint16_t port;
    uint8_t token[UDP_TOKEN_LEN];
    struct way ways[DOCTOR_WAYS];
    size_t n;
    unsigned round;
    uint64_t asked_us[ROUNDS], pause_ms, due_ms, enough_ms; /* 0: none is good yet */
};

static uint64_t now_ms(void)
{
    return loop_clock_us() / 1000;
}

/* ---- ways ---- */

static void fail(struct way *w, int error)
{
    if (w->seen.outcome >= WAY_SMALL)
        return;
    w->seen.outcome = error == ECONNREFUSED || error == EHOSTUNREACH ? WAY_REFUSED
                      : error == EPERM || error == EACCES            ? WAY_FORBIDDEN
                                                                     : WAY_NONE;
}

static void open_way(struct way *w, const union ssh_peer *to)
{
    socklen_t len = to->sa.sa_family == AF_INET6 ? sizeof to->in6 : sizeof to->in;
    w->fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->fd < 0 || connect(w->fd, &to->sa, len) < 0)
        fail(w, errno);
}

/* Each address once. */
static void add_way(struct doctor_udp *u, union ssh_peer *to)
{
    struct way *w = &u->ways[u->n];
    bool v6 = to->sa.sa_family == AF_INET6;
    if (u->n == DOCTOR_WAYS)
        return;
    *w = (struct way){.fd = -1, .seen = {.outcome = WAY_SILENT, .v6 = v6}};
    if (!inet_ntop(to->sa.sa_family, v6 ? (void *)&to->in6.sin6_addr : (void *)&to->in.sin_addr,
                   w->seen.address, sizeof w->seen.address))
        return;
    for (size_t i = 0; i < u->n; i++)
        if (strcmp(u->ways[i].seen.address, w->seen.address) == 0)
            return;
    *(v6 ? &to->in6.sin6_port : &to->in.sin_port) = htons(u->port);
    open_way(w, to);
    u->n++;
}

static bool read_address(const char *text, union ssh_peer *to)
{
    *to = (union ssh_peer){0};
    to->sa.sa_family = AF_INET;
    if (inet_pton(AF_INET, text, &to->in.sin_addr) == 1)
        return true;
    to->sa.sa_family = AF_INET6;
    return inet_pton(AF_INET6, text, &to->in6.sin6_addr) == 1;
}

struct doctor_udp *doctor_udp_new(const struct doctor_report *r, pid_t ssh)
{
    const char *said = r->facts[FACT_UDP];
    unsigned port = 0;
    char hex[2 * UDP_TOKEN_LEN + 1];
    struct doctor_udp udp = {.pause_ms = ROUND_MS};
    union ssh_peer to;
    if (!said || sscanf(said, "%5u %32s", &port, hex) != 2 || port < 1024 || port > UINT16_MAX ||
        hex_decode(udp.token, sizeof udp.token, hex) < 0)
        return NULL;
    udp.port = (uint16_t)port;
    if (ssh_peer_of(ssh, &to) == 0)
        add_way(&udp, &to);
    for (size_t i = 0; i < r->address_count; i++)
        if (read_address(r->addresses[i], &to))
            add_way(&udp, &to);
    if (!udp.n)
        return NULL;
    struct doctor_udp *u = xmalloc(sizeof *u);
    *u = udp;
    doctor_udp_turn(u);
    return u;
}

void doctor_udp_free(struct doctor_udp *u)
{
    for (size_t i = 0; u && i < u->n; i++)
        if (u->ways[i].fd >= 0)
            close(u->ways[i].fd);
    free(u);
}

/* ---- datagrams ---- */

static void send_one(struct doctor_udp *u, struct way *w, uint8_t kind, size_t len)
{
    uint8_t datagram[UDP_TOKEN_LARGE] = {0};
    struct writer to = writer_to(datagram, sizeof datagram);
    write_bytes(&to, u->token, sizeof u->token);
    write_u8(&to, kind);
    write_u8(&to, (uint8_t)u->round);
    if (w->fd >= 0 && send(w->fd, datagram, len, 0) < 0 && errno != EAGAIN)
        fail(w, errno);
}

static void read_answer(struct doctor_udp *u, struct way *w, const uint8_t *datagram, size_t len)
{
    struct reader r = reader_of(datagram, len);
    const uint8_t *token = read_bytes(&r, UDP_TOKEN_LEN);
    uint8_t kind = read_u8(&r), round = read_u8(&r);
    if (r.bad || memcmp(token, u->token, UDP_TOKEN_LEN) != 0 || kind != UDP_TOKEN_ANSWER ||
        round >= ROUNDS || round > u->round || len < UDP_TOKEN_SMALL)
        return;
    if (w->seen.outcome < WAY_SMALL)
        w->seen.rtt_us = loop_clock_us() - u->asked_us[round];
    if (len == UDP_TOKEN_LARGE)
        w->seen.outcome = WAY_GOOD;
    else if (w->seen.outcome < WAY_SMALL)
        w->seen.outcome = WAY_SMALL;
}

static void read_all(struct doctor_udp *u, struct way *w)
{
    uint8_t datagram[UDP_TOKEN_LARGE];
    ssize_t n;
    while (w->fd >= 0 && (n = recv(w->fd, datagram, sizeof datagram, 0)) >= 0)
        read_answer(u, w, datagram, (size_t)n);
    if (w->fd >= 0 && errno != EAGAIN && errno != EINTR)
        fail(w, errno);
}

static void ask(struct doctor_udp *u)
{
    u->asked_us[u->round] = loop_clock_us();
    for (size_t i = 0; i < u->n; i++) {
        if (u->ways[i].seen.outcome == WAY_GOOD)
            continue;
        send_one(u, &u->ways[i], UDP_TOKEN_ASK, UDP_TOKEN_LARGE);
        send_one(u, &u->ways[i], UDP_TOKEN_ASK, UDP_TOKEN_SMALL);
    }
    u->due_ms = now_ms() + u->pause_ms;
    u->pause_ms += u->pause_ms / 2;
    u->round += u->round < ROUNDS - 1;
}

/* No more is to be asked: all are good, or one is and the others had their time. */
static bool has_enough(struct doctor_udp *u)
{
    size_t good = 0;
    for (size_t i = 0; i < u->n; i++)
        good += u->ways[i].seen.outcome == WAY_GOOD;
    if (good && !u->enough_ms)
        u->enough_ms = now_ms() + OTHERS_MS;
    return good == u->n || (good && now_ms() >= u->enough_ms);
}

static void say_bye(struct doctor_udp *u)
{
    for (size_t i = 0; i < u->n; i++) {
        struct way *w = &u->ways[i];
        for (int k = 0; w->seen.outcome == WAY_GOOD && k < BYES; k++)
            send_one(u, w, UDP_TOKEN_BYE, UDP_TOKEN_SMALL);
    }
}

void doctor_udp_turn(struct doctor_udp *u)
{
    for (size_t i = 0; u && i < u->n; i++)
        read_all(u, &u->ways[i]);
    if (!u || u->due_ms == UINT64_MAX)
        return;
    if (has_enough(u)) {
        say_bye(u);
        u->due_ms = UINT64_MAX;
    } else if (now_ms() >= u->due_ms) {
        ask(u);
    }
}

size_t doctor_udp_wait(const struct doctor_udp *u, struct pollfd *fds, uint64_t *due_ms)
{
    if (!u)
        return 0;
    uint64_t due = u->enough_ms && u->enough_ms < u->due_ms && u->due_ms != UINT64_MAX
                       ? u->enough_ms
                       : u->due_ms;
    *due_ms = due < *due_ms ? due : *due_ms;
    for (size_t i = 0; i < u->n; i++)
        fds[i] = (struct pollfd){.fd = u->ways[i].fd, .events = POLLIN};
    return u->n;
}

void doctor_udp_report(const struct doctor_udp *u, struct doctor_side *side)
{
    if (!u)
        return;
    side->udp_port = u->port;
    side->way_count = u->n;
    for (size_t i = 0; i < u->n; i++)
        side->ways[i] = u->ways[i].seen;
}
