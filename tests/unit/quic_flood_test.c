/* QUIC from strangers: what a server keeps, and what it sends to addresses that nobody has proven. */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/quic_internal.h"
#include "tests/unit/quic_rig.h"

#define SOURCES 200

static struct qrig r;
static int sources[SOURCES];

static void open_sources(void)
{
    for (int i = 0; i < SOURCES; i++)
        sources[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void close_sources(void)
{
    for (int i = 0; i < SOURCES; i++)
        close(sources[i]);
}

static void send_from(int i, const uint8_t *p, size_t len)
{
    const struct quic_addr *to = &r.relay.server;
    CHECK_INT(sendto(sources[i], p, len, 0, &to->sa, to->len), (int)len);
    if (i % 20 == 19)
        loop_turn(r.loop, 0);
}

/* Bytes that have come back to one of them. */
static size_t answered(int i)
{
    uint8_t bytes[2048];
    size_t sum = 0;
    for (ssize_t n; (n = recv(sources[i], bytes, sizeof(bytes), 0)) > 0;)
        sum += (size_t)n;
    return sum;
}

/* A genuine first flight, which no server has answered yet. */
static void capture(void)
{
    qrig_begin(&r, true);
    r.relay.cut = true;
    r.target.handshake_timeout_ms = 300;
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.relay.first_len);
    mux_free(r.a.m);
    r.a.m = NULL;
    CHECK(r.relay.first_len >= 1200);
    open_sources();
}

static void begin_live(void)
{
    qrig_begin(&r, true);
    r.b.echo = true;
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
    open_sources();
}

static void end_live(void)
{
    qtalk_pump(qrig_open(&r.a), 300000, true);
    QRIG_UNTIL(&r, r.a.talks[0]->eof);
    CHECK_INT(r.a.talks[0]->got, 300000);
    CHECK(!r.a.downs && !r.b.downs);
    close_sources();
    qrig_end(&r);
}

static void flood_unanswered(void)
{
    size_t before = quic_server_count(r.server);
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < SOURCES; i++)
            send_from(i, r.relay.first, r.relay.first_len);
    qrig_idle(&r, 50);
    for (int i = 0; i < SOURCES; i++)
        CHECK_INT(answered(i), 0);
    CHECK_INT(quic_server_count(r.server), before);
}

/* The server's session is not the one that the flight names. */
TEST(quic_flood_of_an_unknown_session)
{
    capture();
    r.session[0] ^= 1;
    flood_unanswered();
    close_sources();
    qrig_end(&r);
}

/* The first one may be genuine; the others are not, whatever their address. */
TEST(quic_flood_of_one_flight)
{
    capture();
    for (int i = 0; i < SOURCES; i++)
        send_from(i, r.relay.first, r.relay.first_len);
    QRIG_UNTIL(&r, quic_server_count(r.server) == 1);
    qrig_idle(&r, 1500); /* the server's timer sends again */
    size_t sum = 0, most = 0;
    for (int i = 0; i < SOURCES; i++) {
        size_t n = answered(i);
        sum += n;
        most = n > most ? n : most;
    }
    CHECK(sum > 0);
    CHECK(most == sum);
    CHECK(most <= 3 * r.relay.first_len);
    CHECK_INT(quic_server_count(r.server), 1);
    close_sources();
    qrig_end(&r);
}

/* What the live session once began with, while it lives and after. */
TEST(quic_flood_of_the_live_flight)
{
    begin_live();
    flood_unanswered();
    CHECK(quic_path_good(r.a.m));
    end_live();
}

TEST(quic_flood_of_a_past_flight)
{
    begin_live();
    mux_free(r.a.m);
    QRIG_UNTIL(&r, r.b.downs);
    mux_free(r.b.m);
    r.a.m = r.b.m = NULL;
    r.a.downs = r.b.downs = r.a.ups = r.b.ups = 0;
    CHECK_INT(quic_server_count(r.server), 0);
    flood_unanswered();
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
    end_live();
}

/* A flight per source, each genuine, and none goes on: how many are kept. */
static size_t flood_genuine(int flights, bool of_one)
{
    static uint8_t bytes[SOURCES][1500];
    static size_t lens[SOURCES];
    struct mux *live = r.a.m;
    struct quic_addr server = r.relay.server;
    r.relay.server.in.sin_port = htons(9);
    for (int i = 0; i < flights; i++) {
        r.relay.first_len = 0;
        r.its_session[1] = (uint8_t)(of_one ? r.session[1] : i);
        qrig_connect(&r);
        QRIG_UNTIL(&r, r.relay.first_len);
        mux_free(r.a.m);
        lens[i] = r.relay.first_len;
        CHECK(lens[i] <= sizeof(bytes[i]));
        memcpy(bytes[i], r.relay.first, lens[i]);
    }
    r.relay.server = server;
    r.a.m = live;
    size_t before = quic_server_count(r.server);
    for (int i = 0; i < flights; i++)
        send_from(i, bytes[i], lens[i]);
    qrig_idle(&r, 1000);
    for (int i = 0; i < flights; i++)
        CHECK(answered(i) <= 3 * lens[i]);
    return quic_server_count(r.server) - before;
}

TEST(quic_flood_of_genuine_flights)
{
    begin_live();
    CHECK_INT(flood_genuine(30, true), 6);
    end_live();
}

TEST(quic_flood_of_many_sessions)
{
    begin_live();
    r.any_session = true;
    CHECK_INT(flood_genuine(100, false), 64);
    end_live();
}
