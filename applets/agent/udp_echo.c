#include "applets/agent/udp_echo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "applets/service/firewall.h"
#include "applets/service/udp_token.h"
#include "core/bytes.h"
#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "net/quic_udp.h"

#define PORT_TRIES    10
#define ANSWERS_MAX   64
#define ADDRESSES_MAX 6

struct echo {
    struct loop *loop;
    struct quic_udp *udp;
    struct firewall *looking; /* NULL: that is done */
    uint8_t token[UDP_TOKEN_LEN];
    unsigned answers;
    bool over; /* nobody asks any more */
    struct loop_timer limit;
    struct loop_fd output;
};

static void say(const char *key, const char *value)
{
    cleanup_free char *text = xstrdup(value);
    text[utf8_harmless(text, strlen(text))] = '\0';
    cleanup_free char *line = xasprintf("%s=%s\n", key, text);
    (void)!write(STDOUT_FILENO, line, strlen(line));
}

/* ---- its end ---- */

static void end_if_done(struct echo *e)
{
    if (e->over && !e->looking)
        loop_stop(e->loop, 0);
}

static void on_limit(void *arg)
{
    struct echo *e = arg;
    e->over = true;
    end_if_done(e);
}

static void on_output(void *arg, uint32_t events)
{
    struct echo *e = arg;
    (void)events;
    loop_stop(e->loop, 1);
}

static void looked(void *arg, const struct firewall_view *view)
{
    struct echo *e = arg;
    e->looking = NULL;
    say("firewall", firewall_verdict_name(view->verdict));
    say("firewall_seen", view->seen);
    say("firewall_remedy", view->remedy ? view->remedy : "");
    end_if_done(e);
}

/* ---- datagrams ---- */

static void on_datagram(void *arg, struct quic_udp *u, const struct quic_batch *in)
{
    struct echo *e = arg;
    struct quic_batch out = *in;
    uint8_t *kind = in->data + UDP_TOKEN_LEN;
    if (in->len < UDP_TOKEN_SMALL || in->len > UDP_TOKEN_LARGE ||
        memcmp(in->data, e->token, UDP_TOKEN_LEN) != 0)
        return;
    if (*kind == UDP_TOKEN_BYE)
        on_limit(e);
    if (*kind != UDP_TOKEN_ASK || ++e->answers > ANSWERS_MAX)
        return;
    *kind = UDP_TOKEN_ANSWER;
    out.ecn = 0;
    (void)quic_udp_send(u, &out); /* one that does not fit now is lost */
}

static void on_writable(void *arg, struct quic_udp *u)
{
    (void)arg;
    (void)u;
}

static const struct quic_udp_events udp_events = {on_datagram, on_writable};

/* On both families, where the machine has both. */
static struct quic_udp *bind_port(struct echo *e, uint16_t port)
{
    struct quic_addr at = {.len = sizeof at.in6};
    at.in6.sin6_family = AF_INET6;
    at.in6.sin6_port = htons(port);
    struct quic_udp *u = quic_udp_open(e->loop, &at, &udp_events, e);
    if (u || errno == EADDRINUSE)
        return u;
    at = (struct quic_addr){.len = sizeof at.in};
    at.in.sin_family = AF_INET;
    at.in.sin_port = htons(port);
    return quic_udp_open(e->loop, &at, &udp_events, e);
}

static struct quic_udp *bind_any(struct echo *e)
{
    uint32_t span = FIREWALL_LAST_PORT - FIREWALL_FIRST_PORT + 1;
    for (int i = 0; i < PORT_TRIES; i++) {
        struct quic_udp *u = bind_port(e, (uint16_t)(FIREWALL_FIRST_PORT + key_random_below(span)));
        if (u)
            return u;
    }
    return bind_port(e, 0);
}

/* ---- addresses ---- */

struct addresses {
    char text[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    size_t n;
};

static void add_address(struct addresses *a, const char *text)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->text[i], text) == 0)
            return;
    if (a->n < ADDRESSES_MAX)
        snprintf(a->text[a->n++], INET6_ADDRSTRLEN, "%s", text);
}

/* False for those that mean nothing to another machine. */
static bool format(const struct sockaddr *sa, char text[static INET6_ADDRSTRLEN])
{
    struct quic_addr a = {0};
    if (!sa || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
        return false;
    memcpy(&a.in6, sa, sa->sa_family == AF_INET ? sizeof a.in : sizeof a.in6);
    if (sa->sa_family == AF_INET)
        return ntohl(a.in.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET &&
               inet_ntop(AF_INET, &a.in.sin_addr, text, INET6_ADDRSTRLEN);
    return !IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr) && !IN6_IS_ADDR_LINKLOCAL(&a.in6.sin6_addr) &&
           inet_ntop(AF_INET6, &a.in6.sin6_addr, text, INET6_ADDRSTRLEN);
}

static void say_addresses(const char *ssh_came_to)
{
    struct addresses a = {0};
    struct ifaddrs *all = NULL;
    char text[INET6_ADDRSTRLEN];
    if (*ssh_came_to)
        add_address(&a, ssh_came_to);
    if (getifaddrs(&all) == 0) {
        for (const struct ifaddrs *i = all; i; i = i->ifa_next)
            if (format(i->ifa_addr, text))
                add_address(&a, text);
        freeifaddrs(all);
    }
    for (size_t i = 0; i < a.n; i++)
        say("address", a.text[i]);
}

/* ---- the whole ---- */

static void say_port(const struct echo *e)
{
    char hex[2 * UDP_TOKEN_LEN + 1];
    hex_encode(hex, e->token, sizeof e->token);
    cleanup_free char *text = xasprintf("%u %s", ntohs(quic_udp_local(e->udp).in6.sin6_port), hex);
    say("udp", text);
}

static void run(struct echo *e, unsigned secs)
{
    const char *connection = getenv("SSH_CONNECTION");
    char from[INET6_ADDRSTRLEN] = "", to[INET6_ADDRSTRLEN] = "";
    struct firewall_ask ask = firewall_ask_of(FIREWALL_FIRST_PORT, NULL);
    if (connection && sscanf(connection, "%45s %*s %45s", from, to) == 2)
        ask.peer = from;
    ask.last = FIREWALL_LAST_PORT;
    loop_timer_init(e->loop, &e->limit, on_limit, e);
    loop_timer_set(&e->limit, secs * 1000);
    (void)loop_fd_add(e->loop, &e->output, STDOUT_FILENO, on_output, e); /* a file has no reader */
    key_random(e->token, sizeof e->token);
    say_addresses(to);
    e->udp = bind_any(e);
    if (e->udp)
        say_port(e);
    else
        on_limit(e);
    e->looking = firewall_look(e->loop, &ask, looked, e);
}

int udp_echo(unsigned secs)
{
    struct echo e = {.loop = loop_new()};
    if (!e.loop) {
        log_error("no event loop: %s", strerror(errno));
        return 1;
    }
    run(&e, secs);
    int status = loop_run(e.loop);
    firewall_cancel(e.looking);
    quic_udp_close(e.udp);
    loop_timer_del(&e.limit);
    loop_fd_del(&e.output);
    loop_free(e.loop);
    return status;
}
