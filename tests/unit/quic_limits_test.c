/* QUIC with much of everything: streams, keys, families, ports, and a kernel that will not. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net/quic_internal.h"
#include "tests/unit/quic_rig.h"

static struct qrig r;

static void connect_both(void)
{
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
}

/* ---- streams ---- */

#define OPEN 2000

static bool all_got(const struct qside *side, size_t n, uint64_t len)
{
    for (size_t i = 0; i < side->n; i++)
        if (side->talks[i]->got < len)
            return false;
    return side->n == n;
}

TEST(quic_limits_two_thousand_open_streams)
{
    qrig_begin(&r, false);
    r.b.echo = true;
    connect_both();
    for (int i = 0; i < OPEN; i++)
        qtalk_pump(qrig_open(&r.a), 100, false);
    QRIG_UNTIL(&r, all_got(&r.a, OPEN, 100));
    CHECK_INT(mux_count(r.a.m), OPEN);
    CHECK_INT(mux_count(r.b.m), OPEN);
    for (size_t i = 0; i < OPEN; i++)
        qtalk_pump(r.a.talks[i], 3000, i % 2);
    QRIG_UNTIL(&r, all_got(&r.a, OPEN, 3000));
    for (size_t i = 0; i < OPEN; i++) {
        CHECK(!r.a.talks[i]->wrong);
        qtalk_close(r.a.talks[i]);
    }
    QRIG_UNTIL(&r, !mux_count(r.a.m) && !mux_count(r.b.m));
    qrig_end(&r);
}

/* What is in use: exactly where a sanitizer counts it, else what the kernel says. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t in_use(void)
{
    unsigned long pages = 0;
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    FILE *f = fopen("/proc/self/statm", "re");
    CHECK(f && fscanf(f, "%*u %lu", &pages) == 1);
    fclose(f);
    return pages * 4096;
}

/* Of the kernel's pages, some come late. */
static size_t slack(void)
{
    return __sanitizer_get_current_allocated_bytes ? 256u * 1024 : 8u << 20;
}

#define ROUND  200
#define ROUNDS 500

static void round_of_streams(int how)
{
    for (int i = 0; i < ROUND; i++)
        qtalk_pump(qrig_open(&r.a), 50, true);
    QRIG_UNTIL(&r, all_got(&r.a, ROUND, how == 2 ? 0 : 50));
    for (size_t i = 0; i < ROUND; i++)
        (how == 1 ? qtalk_reset : qtalk_close)(r.a.talks[i]);
    QRIG_UNTIL(&r, !mux_count(r.a.m) && !mux_count(r.b.m));
    qside_forget(&r.a);
    for (size_t i = 0; i < r.b.n; i++)
        if (r.b.talks[i]->s)
            qtalk_close(r.b.talks[i]);
    qside_forget(&r.b);
}

TEST(quic_limits_a_hundred_thousand_streams)
{
    size_t early = 0;
    qrig_begin(&r, false);
    r.b.echo = true;
    connect_both();
    for (int i = 0; i < ROUNDS; i++) {
        round_of_streams(i % 3);
        r.started_us = loop_clock_us(); /* each round has its own patience */
        if (i == ROUNDS / 5)
            early = in_use();
    }
    CHECK(in_use() < early + slack());
    qrig_end(&r);
}

/* Both windows grow beyond what they begin with, to what is held against them and no further. */
TEST(quic_limits_windows)
{
    uint64_t most = 0, most_of_stream = 0;
    qrig_bulk(&r, true, 40 << 20);
    ngtcp2_conn *conn = quic_conn_of(r.a.m)->conn;
    while (!qrig_bulk_over(&r) && qrig_turn(&r)) {
        uint64_t left = ngtcp2_conn_get_max_data_left(conn);
        uint64_t left_of_stream = ngtcp2_conn_get_max_stream_data_left(conn, 0);
        most = left > most ? left : most;
        most_of_stream = left_of_stream > most_of_stream ? left_of_stream : most_of_stream;
    }
    CHECK(most > 1u << 20);
    CHECK(most <= QUIC_WINDOW);
    CHECK(most_of_stream > 256u << 10);
    CHECK(most_of_stream <= QUIC_STREAM_WINDOW);
    qrig_bulk_end(&r, 40 << 20);
}

/* One that was closed is given up when the peer, who is there, takes nothing for long. */
TEST(quic_limits_a_reader_that_never_reads)
{
    qrig_begin(&r, false);
    connect_both();
    r.b.hold = true;
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 4 << 20, true);
    QRIG_UNTIL(&r, r.b.n == 1 && t->wrote > 300u << 10); /* more than the window */
    qtalk_close(t);
    unsigned rounds = 0;
    for (; !r.b.talks[0]->error && qrig_turn(&r); rounds++) {
        loop_timer_set(&quic_conn_of(r.a.m)->sweep, 0);
        qrig_idle(&r, 10);
    }
    CHECK(rounds >= 5);
    CHECK_INT(r.b.talks[0]->error, ECONNRESET);
    QRIG_UNTIL(&r, !mux_count(r.a.m));
    qrig_end(&r);
}

/* The number by which ngtcp2 knows the path. */
static unsigned name_of_path(void)
{
    const ngtcp2_path *path = ngtcp2_conn_get_path(quic_conn_of(r.a.m)->conn);
    return ((const struct sockaddr_in *)(const void *)path->local.addr)->sin_port;
}

/* Connection ids that were given up are forgotten. */
TEST(quic_limits_many_roams)
{
    size_t early = 0;
    qrig_begin(&r, false);
    r.b.echo = true;
    connect_both();
    struct qtalk *t = qrig_open(&r.a);
    for (uint64_t i = 1; i <= 600; i++) {
        unsigned name = name_of_path();
        CHECK_INT(quic_roam(r.a.m, NULL), 0);
        qtalk_pump(t, i * 100, false);
        QRIG_UNTIL(&r, t->got == i * 100 && name_of_path() != name);
        if (i == 100)
            early = in_use();
    }
    CHECK(in_use() < early + (__sanitizer_get_current_allocated_bytes ? 16u << 10 : slack()));
    qrig_end(&r);
}

/* ---- keys ---- */

/* Of slow start, which a loss sets. BBR has none. */
static uint64_t threshold_of(struct mux *m)
{
    ngtcp2_conn_info info;
    ngtcp2_conn_get_conn_info(quic_conn_of(m)->conn, &info);
    return info.ssthresh;
}

static void talk_on(struct qtalk *t)
{
    if (t->got == t->goal)
        qtalk_pump(t, t->goal + (256u << 10), false);
}

static void end_talk(struct qtalk *t)
{
    qtalk_pump(t, t->goal, true);
    QRIG_UNTIL(&r, t->eof);
    CHECK_INT(t->got, t->goal);
    CHECK(!t->wrong && !t->error);
    qrig_end(&r);
}

TEST(quic_limits_new_keys_under_load)
{
    unsigned ours = 0, theirs = 0;
    qrig_begin(&r, true);
    r.b.echo = true;
    connect_both();
    r.relay.lose = 5;
    r.relay.later = 20;
    struct qtalk *t = qrig_open(&r.a);
    while ((ours < 3 || theirs < 3) && qrig_turn(&r)) {
        ours += quic_update_keys(r.a.m);
        theirs += quic_update_keys(r.b.m);
        talk_on(t);
    }
    CHECK(ours >= 3 && theirs >= 3);
    CHECK(threshold_of(r.a.m) == UINT64_MAX);
    end_talk(t);
}

/* ---- paths ---- */

TEST(quic_limits_ipv6_from_the_beginning)
{
    struct quic_addr six = {.len = sizeof(six.in6)};
    qrig_begin(&r, false);
    r.b.echo = true;
    six.in6.sin6_family = AF_INET6;
    six.in6.sin6_port = htons(quic_server_port(r.server));
    six.in6.sin6_addr = in6addr_loopback;
    r.target.remote = six;
    connect_both();
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 3 << 20, true);
    QRIG_UNTIL(&r, t->eof);
    CHECK_INT(t->got, 3 << 20);
    CHECK(!t->wrong);
    struct quic_addr client = quic_peer(r.b.m);
    CHECK(IN6_IS_ADDR_LOOPBACK(&client.in6.sin6_addr));
    qrig_end(&r);
}

TEST(quic_limits_cubic)
{
    qrig_begin_at(&r, true, &(struct quic_listen){.cubic = true});
    r.target.cubic = true;
    r.b.echo = true;
    connect_both();
    r.relay.lose = 20;
    struct qtalk *t = qrig_open(&r.a);
    while ((threshold_of(r.a.m) == UINT64_MAX || threshold_of(r.b.m) == UINT64_MAX) &&
           qrig_turn(&r))
        talk_on(t);
    CHECK(threshold_of(r.a.m) != UINT64_MAX);
    CHECK(threshold_of(r.b.m) != UINT64_MAX);
    end_talk(t);
}

/* Marks are kept, taken off, or say that the path is full. */
TEST(quic_limits_ecn)
{
    static const int marks[] = {-1, 0, 3};
    for (size_t i = 0; i < 3; i++) {
        qrig_begin(&r, true);
        r.relay.tos = marks[i];
        connect_both();
        uint64_t marked = r.relay.marked;
        qtalk_pump(qrig_open(&r.a), 1 << 20, true);
        QRIG_UNTIL(&r, r.b.n);
        qtalk_pump(r.b.talks[0], 1 << 20, true);
        QRIG_UNTIL(&r, qrig_bulk_over(&r));
        CHECK(marked > 0);
        CHECK(marks[i] == 0 || r.relay.marked > marked + 100);
        CHECK(marks[i] != 0 || r.relay.marked < marked + 100);
        qrig_bulk_end(&r, 1 << 20);
    }
}

/* On the client's socket, the only one of IPv4 here. */
static void set_option(int name, int value)
{
    int done = 0;
    for (int fd = 3; fd < 200; fd++) {
        int family = 0, type = 0;
        socklen_t len = sizeof(int);
        if (!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) && family == AF_INET &&
            !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_DGRAM)
            done += !setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value));
    }
    CHECK(done > 0);
}

/* Without checksums the kernel cuts nothing, and says so at the first batch (udp(7)). */
TEST(quic_limits_no_segmentation)
{
    qrig_begin(&r, false);
    connect_both();
    set_option(SO_NO_CHECK, 1);
    qtalk_pump(qrig_open(&r.a), 4 << 20, true);
    QRIG_UNTIL(&r, r.b.n);
    qtalk_pump(r.b.talks[0], 4 << 20, true);
    qrig_bulk_end(&r, 4 << 20);
}

/* What the socket does not take waits for it: nothing is lost, not even datagrams. */
TEST(quic_limits_full_socket)
{
    static const uint8_t bytes[1000];
    qrig_begin(&r, false);
    connect_both();
    QRIG_UNTIL(&r, quic_datagram_max(r.a.m) >= sizeof(bytes));
    set_option(SO_SNDBUF, 1);
    for (int i = 0; i < 60; i++)
        CHECK_INT(quic_datagram_send(r.a.m, bytes, i % 2 ? 700 : sizeof(bytes)), 0);
    QRIG_UNTIL(&r, r.b.datagrams == 60);
    qtalk_pump(qrig_open(&r.a), 1 << 20, true);
    QRIG_UNTIL(&r, r.b.n && r.b.talks[0]->eof);
    CHECK_INT(r.b.talks[0]->got, 1 << 20);
    qrig_end(&r);
}

/* ---- ports ---- */

static const struct quic_server_events no_events;

TEST(quic_limits_ports)
{
    struct loop *loop = loop_new();
    struct quic_server *first = quic_server_new(loop, &(struct quic_listen){0}, &no_events, NULL);
    uint16_t taken = quic_server_port(first);
    CHECK(taken);
    struct quic_listen range = {.first_port = taken, .last_port = taken};
    struct quic_server *other = quic_server_new(loop, &range, &no_events, NULL);
    CHECK(other && quic_server_port(other) && quic_server_port(other) != taken);
    quic_server_free(other);
    quic_server_free(first);
    first = quic_server_new(loop, &range, &no_events, NULL);
    CHECK_INT(quic_server_port(first), taken);
    quic_server_free(first);
    range = (struct quic_listen){.first_port = 40000, .last_port = 50000};
    for (int i = 0; i < 24; i++) {
        struct quic_server *s = quic_server_new(loop, &range, &no_events, NULL);
        CHECK(quic_server_port(s) >= 40000 && quic_server_port(s) <= 50000);
        quic_server_free(s);
    }
    loop_free(loop);
}
