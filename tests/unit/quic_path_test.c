/* QUIC over bad paths: loss, outages, new sockets, strangers, and owners who free things. */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/quic_crypto.h"
#include "net/quic_internal.h"
#include "tests/unit/quic_rig.h"

static struct qrig r;

TEST(quic_path_loses_doubles_and_reorders)
{
    qrig_bulk(&r, true, 4 << 20);
    r.relay.lose = 20;
    r.relay.twice = 30;
    r.relay.later = 50;
    qrig_bulk_end(&r, 4 << 20);
}

/* The number by which ngtcp2 knows the path. */
static unsigned name_of_path(void)
{
    const ngtcp2_path *path = ngtcp2_conn_get_path(quic_conn_of(r.a.m)->conn);
    return ((const struct sockaddr_in *)(const void *)path->local.addr)->sin_port;
}

TEST(quic_path_hops_under_load)
{
    qrig_bulk(&r, false, 30 << 20);
    unsigned name = name_of_path();
    for (int i = 1; i <= 10; i++) {
        QRIG_UNTIL(&r, r.a.talks[0]->got >= (uint64_t)i << 20);
        CHECK_INT(quic_hop(r.a.m, NULL), 0);
    }
    QRIG_UNTIL(&r, quic_path_good(r.a.m));
    CHECK_INT(name_of_path(), name);
    qrig_bulk_end(&r, 30 << 20);
}

TEST(quic_path_roams_under_load)
{
    qrig_bulk(&r, false, 60 << 20);
    for (int i = 1; i <= 20; i++) {
        unsigned name = name_of_path();
        QRIG_UNTIL(&r, r.a.talks[0]->got >= (uint64_t)i << 20);
        CHECK_INT(quic_roam(r.a.m, NULL), 0);
        QRIG_UNTIL(&r, name_of_path() != name);
    }
    qrig_bulk_end(&r, 60 << 20);
}

/* More often than there are connection ids, while nothing gets through. */
TEST(quic_path_roams_while_it_is_cut)
{
    qrig_bulk(&r, true, 8 << 20);
    QRIG_UNTIL(&r, r.a.talks[0]->got >= 1 << 20);
    r.relay.cut = true;
    for (int i = 0; i < 20; i++) {
        CHECK_INT(quic_roam(r.a.m, NULL), 0);
        qrig_idle(&r, 20);
    }
    CHECK(!quic_path_good(r.a.m));
    r.relay.cut = false;
    quic_probe(r.a.m);
    qrig_bulk_end(&r, 8 << 20);
}

/* The peer moves on while its last move is still being looked into. */
TEST(quic_path_roams_right_after_a_hop)
{
    qrig_bulk(&r, false, 60 << 20);
    for (int i = 1; i <= 20; i++) {
        QRIG_UNTIL(&r, r.a.talks[0]->got >= (uint64_t)i << 20);
        struct quic_addr was = quic_peer(r.b.m), now = was;
        CHECK_INT(quic_hop(r.a.m, NULL), 0);
        while (quic_addr_equal(&now, &was) && qrig_turn(&r))
            now = quic_peer(r.b.m);
        CHECK_INT(quic_roam(r.a.m, NULL), 0);
    }
    qrig_bulk_end(&r, 60 << 20);
}

/* Another address of the server's. */
static struct quic_addr server_at(const char *text)
{
    struct quic_addr a = {.len = sizeof(a.in)};
    bool six = inet_pton(AF_INET, text, &a.in.sin_addr) != 1;
    uint16_t port = htons(quic_server_port(r.server));
    if (six) {
        a = (struct quic_addr){.len = sizeof(a.in6)};
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = port;
        inet_pton(AF_INET6, text, &a.in6.sin6_addr);
    } else {
        a.in.sin_family = AF_INET;
        a.in.sin_port = port;
    }
    return a;
}

static bool speaks_to(const struct quic_addr *a)
{
    struct quic_addr now = quic_peer(r.a.m);
    return quic_addr_equal(&now, a);
}

/* Each in turn, more often than there are connection ids, and both families. */
static void change_addresses(int (*change)(struct mux *m, const struct quic_addr *remote))
{
    static const char *const texts[] = {"127.0.0.2", "::1", "127.0.0.3", "127.0.0.1", "::1"};
    qrig_bulk(&r, false, 40 << 20);
    for (uint64_t i = 1; i <= 15; i++) {
        struct quic_addr next = server_at(texts[i % 5]);
        QRIG_UNTIL(&r, r.a.talks[0]->got >= i << 20 && quic_path_good(r.a.m));
        CHECK_INT(change(r.a.m, &next), 0);
        CHECK(!quic_path_good(r.a.m));
        CHECK(speaks_to(&next));
    }
    QRIG_UNTIL(&r, quic_path_good(r.a.m));
    qrig_bulk_end(&r, 40 << 20);
}

TEST(quic_path_hops_to_other_addresses)
{
    change_addresses(quic_hop);
}

TEST(quic_path_roams_to_other_addresses)
{
    change_addresses(quic_roam);
}

/* The address that was spoken to is dead for good, and so is the first one that is tried. */
static void leave_dead_address(int (*change)(struct mux *m, const struct quic_addr *remote),
                               const char *text)
{
    struct quic_addr dead, alive;
    qrig_bulk(&r, true, 8 << 20);
    dead = quic_peer(r.a.m);
    alive = server_at(text);
    QRIG_UNTIL(&r, r.a.talks[0]->got >= 1 << 20);
    r.relay.cut = true;
    for (int i = 0; i < 20; i++) {
        CHECK_INT(change(r.a.m, i % 2 ? NULL : &dead), 0);
        qrig_idle(&r, 10);
    }
    CHECK(!quic_path_good(r.a.m));
    CHECK_INT(change(r.a.m, &alive), 0);
    QRIG_UNTIL(&r, quic_path_good(r.a.m));
    CHECK(speaks_to(&alive));
    qrig_bulk_end(&r, 8 << 20);
}

TEST(quic_path_hops_off_a_dead_address)
{
    leave_dead_address(quic_hop, "127.0.0.2");
    leave_dead_address(quic_hop, "::1");
}

TEST(quic_path_roams_off_a_dead_address)
{
    leave_dead_address(quic_roam, "127.0.0.2");
    leave_dead_address(quic_roam, "::1");
}

/* What the peer sent to the last socket counts, but says nothing of the path in use. */
TEST(quic_path_late_packets_count)
{
    qrig_bulk(&r, true, 8 << 20);
    struct quic_addr nobody = server_at("127.0.0.9");
    nobody.in.sin_port = htons(9);
    QRIG_UNTIL(&r, r.a.talks[0]->got >= 1 << 20);
    uint64_t got = r.a.talks[0]->got;
    CHECK_INT(quic_hop(r.a.m, &nobody), 0);
    QRIG_UNTIL(&r, r.a.talks[0]->got > got);
    CHECK(!quic_path_good(r.a.m));
    CHECK_INT(quic_hop(r.a.m, &r.target.remote), 0);
    qrig_bulk_end(&r, 8 << 20);
}

TEST(quic_path_hops_nowhere)
{
    struct quic_addr odd = {.len = sizeof(odd.in)};
    odd.sa.sa_family = 99;
    qrig_bulk(&r, false, 8 << 20);
    CHECK_INT(quic_hop(r.a.m, &odd), -1);
    CHECK_INT(errno, EAFNOSUPPORT);
    CHECK(speaks_to(&r.target.remote));
    qrig_bulk_end(&r, 8 << 20);
}

/* Packets with the right names and keys, from an address that is not the peer's. */
TEST(quic_path_strange_source)
{
    qrig_bulk(&r, true, 8 << 20);
    QRIG_UNTIL(&r, r.a.talks[0]->got >= 1 << 20);
    int front = r.relay.front, other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint64_t passed = r.relay.to_client;
    r.relay.front = other;
    qrig_idle(&r, 300);
    CHECK(r.relay.to_client > passed);
    CHECK(quic_silence_ms(r.a.m) >= 100);
    r.relay.front = front;
    quic_probe(r.a.m);
    close(other);
    qrig_bulk_end(&r, 8 << 20);
}

TEST(quic_path_cut_and_back)
{
    qrig_bulk(&r, true, 8 << 20);
    QRIG_UNTIL(&r, r.a.talks[0]->got >= 1 << 20);
    r.relay.cut = true;
    qrig_idle(&r, 4000);
    CHECK(quic_silence_ms(r.a.m) >= 3000);
    CHECK(quic_waiting(r.a.m));
    r.relay.cut = false;
    quic_probe(r.a.m);
    QRIG_UNTIL(&r, quic_silence_ms(r.a.m) < 1000);
    qrig_bulk_end(&r, 8 << 20);
}

/* However short ago it was asked, an answer is awaited. */
TEST(quic_path_counts_from_the_question_on)
{
    qrig_begin(&r, true);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups && !quic_waiting(r.a.m));
    CHECK_INT(quic_unanswered_ms(r.a.m), 0);
    r.relay.cut = true;
    qtalk_pump(qrig_open(&r.a), 1000, false);
    QRIG_UNTIL(&r, quic_waiting(r.a.m));
    CHECK(quic_unanswered_ms(r.a.m) > 0);
    qrig_end(&r);
}

TEST(quic_path_stranger_hears_nothing)
{
    qrig_begin(&r, true);
    r.its_session[3] ^= 1;
    r.target.handshake_timeout_ms = 500;
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.downs);
    CHECK_INT(r.a.down_error, ETIMEDOUT);
    CHECK(r.relay.to_server >= 1200);
    CHECK_INT(r.relay.to_client, 0);
    CHECK_INT(quic_server_count(r.server), 0);
    qrig_end(&r);
}

TEST(quic_path_wrong_key_leaves_no_state)
{
    qrig_begin(&r, true);
    r.its_psk[3] ^= 1;
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.downs);
    CHECK_INT(r.a.down_error, EACCES);
    CHECK_INT(quic_server_count(r.server), 0);
    CHECK(r.relay.to_client > 0 && r.relay.to_client <= 3 * r.relay.to_server);
    qrig_end(&r);
}

TEST(quic_path_garbage_is_not_answered)
{
    static uint8_t bytes[1500];
    uint64_t seed = 5;
    qrig_begin(&r, false);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    for (int i = 0; i < 500; i++) {
        for (size_t at = 0; at < sizeof(bytes); at++)
            bytes[at] = (uint8_t)((seed = seed * 6364136223846793005u + 1) >> 40);
        if (i % 2) {
            static const uint8_t long_header[] = {0xc3, 0, 0, 0, 1, 8};
            memcpy(bytes, long_header, sizeof(long_header));
        }
        sendto(fd, bytes, 40 + (size_t)i % 1400, 0, &r.target.remote.sa, r.target.remote.len);
        if (i % 20 == 0)
            loop_turn(r.loop, 10);
    }
    qrig_idle(&r, 20);
    CHECK_INT(recv(fd, bytes, sizeof(bytes), 0), -1);
    CHECK_INT(quic_server_count(r.server), 1);
    close(fd);
    r.b.echo = true;
    qtalk_pump(qrig_open(&r.a), 1000, true);
    QRIG_UNTIL(&r, r.a.talks[0]->eof);
    qrig_end(&r);
}

TEST(quic_path_nobody_is_there)
{
    qrig_begin(&r, true);
    r.relay.cut = true;
    r.target.handshake_timeout_ms = 300;
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.downs);
    CHECK_INT(r.a.down_error, ETIMEDOUT);
    qrig_end(&r);
}

/* Streams that were closed in order lose nothing by the connection's end. */
TEST(quic_path_drains_before_it_ends)
{
    qrig_begin(&r, true);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
    r.relay.lose = 100;
    for (int i = 0; i < 20; i++) {
        struct qtalk *t = qrig_open(&r.a);
        qtalk_pump(t, 30000, true);
        qtalk_close(t);
    }
    mux_go_away(r.a.m);
    CHECK(mux_count(r.a.m) == 20);
    QRIG_UNTIL(&r, r.a.drains);
    CHECK_INT(mux_count(r.a.m), 0);
    CHECK(!quic_waiting(r.a.m));
    CHECK_INT(r.b.n, 20);
    for (size_t i = 0; i < r.b.n; i++) {
        CHECK_INT(r.b.talks[i]->got, 30000);
        CHECK(r.b.talks[i]->eof && !r.b.talks[i]->error);
    }
    r.relay.lose = 0;
    mux_free(r.a.m);
    r.a.m = NULL;
    QRIG_UNTIL(&r, r.b.downs);
    CHECK_INT(r.b.down_error, 0);
    qrig_end(&r);
}

/* Nothing is to be done at any time: nor is anything held back by pacing. */
static bool idle(struct mux *m)
{
    return ngtcp2_conn_get_expiry(quic_conn_of(m)->conn) == UINT64_MAX;
}

/* Who does not wait has said it all the same, if nothing gets lost. */
TEST(quic_path_ends_at_once)
{
    qrig_begin(&r, false);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups && idle(r.a.m));
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 3000, true);
    qtalk_close(t);
    mux_free(r.a.m);
    r.a.m = NULL;
    QRIG_UNTIL(&r, r.b.downs);
    CHECK_INT(r.b.down_error, 0);
    CHECK_INT(r.b.n, 1);
    CHECK(r.b.n && r.b.talks[0]->got == 3000 && r.b.talks[0]->eof);
    qrig_end(&r);
}

TEST(quic_path_does_not_drain_while_it_is_used)
{
    uint8_t bytes[100] = {0};
    qrig_begin(&r, true);
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups && r.b.ups);
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 1000, false);
    QRIG_UNTIL(&r, r.b.n == 1 && r.b.talks[0]->got == 1000);
    mux_go_away(r.a.m);
    qrig_idle(&r, 300);
    CHECK_INT(r.a.drains, 0);
    r.relay.cut = true;
    qtalk_close(t);
    CHECK_INT(quic_datagram_send(r.a.m, bytes, sizeof(bytes)), 0);
    qrig_idle(&r, 300);
    CHECK_INT(r.a.drains, 0);
    r.relay.cut = false;
    quic_probe(r.a.m);
    QRIG_UNTIL(&r, r.a.drains);
    CHECK(r.b.talks[0]->eof);
    CHECK_INT(r.b.drains, 0);
    qrig_end(&r);
}

/* ---- owners who free things inside callbacks ---- */

static void free_side(struct qside *side)
{
    mux_free(side->m);
    side->m = NULL;
}

static void free_on_accept(struct qside *side, struct qtalk *t)
{
    (void)t;
    free_side(side);
}

static enum stream_event wanted;

static void free_on_event(struct qtalk *t, enum stream_event event)
{
    if (event == wanted)
        free_side(t->side);
}

static void free_server_on_up(struct qside *side)
{
    (void)side;
    quic_server_free(r.server);
    r.server = NULL;
}

TEST(quic_path_freed_on_up)
{
    qrig_begin(&r, false);
    r.b.on_up = free_side;
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.downs);
    qrig_end(&r);
    qrig_begin(&r, false);
    r.a.on_up = free_side;
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.a.ups);
    qrig_idle(&r, 20);
    qrig_end(&r);
}

TEST(quic_path_server_freed_on_up)
{
    qrig_begin(&r, false);
    r.b.on_up = free_server_on_up;
    qrig_connect(&r);
    QRIG_UNTIL(&r, r.b.downs);
    CHECK_INT(r.b.down_error, ECONNABORTED);
    qrig_end(&r);
}

TEST(quic_path_freed_on_accept)
{
    qrig_begin(&r, false);
    r.b.on_accept = free_on_accept;
    qrig_connect(&r);
    for (int i = 0; i < 20; i++)
        qtalk_pump(qrig_open(&r.a), 3000, true);
    QRIG_UNTIL(&r, r.a.downs);
    CHECK_INT(r.a.down_error, 0);
    qrig_end(&r);
}

TEST(quic_path_freed_on_each_event)
{
    static const enum stream_event events[] = {STREAM_DATA, STREAM_DRAINED, STREAM_EOF};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        qrig_begin(&r, false);
        wanted = events[i];
        (wanted == STREAM_DRAINED ? &r.a : &r.b)->on_event = free_on_event;
        qrig_connect(&r);
        qtalk_pump(qrig_open(&r.a), 3 << 20, true);
        QRIG_UNTIL(&r, r.a.downs || r.b.downs);
        qrig_end(&r);
    }
}

TEST(quic_path_freed_on_error)
{
    qrig_begin(&r, false);
    wanted = STREAM_ERROR;
    r.b.on_event = free_on_event;
    qrig_connect(&r);
    struct qtalk *t = qrig_open(&r.a);
    qtalk_pump(t, 1000, false);
    QRIG_UNTIL(&r, r.b.n == 1);
    qtalk_reset(t);
    QRIG_UNTIL(&r, r.a.downs);
    qrig_end(&r);
}

TEST(quic_path_freed_on_down)
{
    qrig_begin(&r, false);
    r.a.on_down = free_side;
    qrig_connect(&r);
    qtalk_pump(qrig_open(&r.a), 1000, false);
    QRIG_UNTIL(&r, r.b.n == 1);
    free_side(&r.b);
    QRIG_UNTIL(&r, r.a.downs);
    CHECK(!r.a.m);
    qrig_end(&r);
}
