/* Dialling a guest: the machine monitor and the agent are played by the test. */
#include "net/guest_dial.h"

#include <sys/socket.h>

#include <linux/vm_sockets.h> /* wants sys/socket.h in front of it */

#include "tests/unit/guest_peer.h"

#define PATIENCE_MS 20000

struct outcome {
    struct stream *stream;
    int error;
    int count;
};

static void on_dialled(void *arg, struct stream *s, int error)
{
    struct outcome *o = arg;
    o->stream = s;
    o->error = error;
    o->count++;
    CHECK(!s == (error != 0));
}

static void start(struct peer *p, enum guest_kind kind, struct outcome *o)
{
    struct guest_place place = peer_place(p, kind);
    *o = (struct outcome){0};
    CHECK(guest_dial(p->loop, &place, PATIENCE_MS, on_dialled, o));
    CHECK_INT(o->count, 0);
}

/* As far as the CONNECT that the monitor reads. */
static void ask(struct peer *p, struct outcome *o)
{
    start(p, GUEST_HYBRID, o);
    peer_accept(p);
    peer_expect(p, "CONNECT 5000\n");
    CHECK_INT(o->count, 0);
}

static void expect_failure(struct peer *p, const struct outcome *o, int error)
{
    TURN_UNTIL(p->loop, o->count == 1);
    CHECK_INT(o->error, error);
}

TEST(guest_dial_hybrid)
{
    struct peer p;
    struct outcome o;
    struct probe probe = {0};
    peer_init(&p);
    ask(&p, &o);
    peer_send(&p, "OK 1073741824\n");
    TURN_UNTIL(p.loop, o.count == 1);
    CHECK_INT(o.error, 0);
    probe_own(&probe, o.stream);
    stream_write(o.stream, "to the guest", 12);
    peer_expect(&p, "to the guest");
    peer_send(&p, "from the guest");
    TURN_UNTIL(p.loop, probe.got.len == 14);
    CHECK(probe_got(&probe, "from the guest"));
    stream_shutdown(o.stream);
    peer_expect(&p, "");
    peer_send(&p, "!");
    peer_close(&p.fd);
    TURN_UNTIL(p.loop, probe.eofs == 1);
    CHECK(probe_got(&probe, "from the guest!"));
    probe_fini(&probe);
    peer_fini(&p);
}

/* What follows the line at once is the stream's, its end too. */
TEST(guest_dial_hybrid_payload_behind_the_line)
{
    struct peer p;
    struct outcome o;
    struct probe probe = {0};
    peer_init(&p);
    ask(&p, &o);
    peer_send(&p, "OK 7\nOK 8\npayload");
    peer_close(&p.fd);
    TURN_UNTIL(p.loop, o.count == 1);
    CHECK_INT(o.error, 0);
    probe_own(&probe, o.stream);
    TURN_UNTIL(p.loop, probe.eofs == 1);
    CHECK(probe_got(&probe, "OK 8\npayload"));
    probe_fini(&probe);
    peer_fini(&p);
}

TEST(guest_dial_hybrid_byte_by_byte)
{
    static const char *const bytes[] = {"O", "K", " ", "4", "2", "\n", "x"};
    struct peer p;
    struct outcome o;
    struct probe probe = {0};
    peer_init(&p);
    ask(&p, &o);
    for (size_t i = 0; i < countof(bytes) - 1; i++) {
        CHECK_INT(o.count, 0);
        peer_send(&p, bytes[i]);
        loop_turn(p.loop, 1000);
    }
    CHECK_INT(o.count, 1);
    probe_own(&probe, o.stream);
    peer_send(&p, "x");
    TURN_UNTIL(p.loop, probe.got.len > 0);
    CHECK(probe_got(&probe, "x"));
    probe_fini(&probe);
    peer_fini(&p);
}

TEST(guest_dial_hybrid_garbage)
{
    static const char *const garbage[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "\n", "OK\n",
                                          "OK 345678901234567890123456789012345678901234567890"};
    for (size_t i = 0; i < countof(garbage); i++) {
        struct peer p;
        struct outcome o;
        peer_init(&p);
        ask(&p, &o);
        peer_send(&p, garbage[i]);
        expect_failure(&p, &o, EPROTO);
        peer_expect_end(&p);
        peer_fini(&p);
    }
}

TEST(guest_dial_hybrid_nobody_listens_in_the_guest)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    ask(&p, &o);
    peer_close(&p.fd);
    expect_failure(&p, &o, ECONNREFUSED);
    /* Closed unread, which is a reset. */
    start(&p, GUEST_HYBRID, &o);
    peer_accept(&p);
    peer_await(&p, p.fd);
    peer_close(&p.fd);
    expect_failure(&p, &o, ECONNREFUSED);
    peer_fini(&p);
}

TEST(guest_dial_hybrid_ends_half_way)
{
    struct peer p;
    struct outcome o;
    peer_init(&p);
    ask(&p, &o);
    peer_send(&p, "OK 12");
    peer_close(&p.fd);
    expect_failure(&p, &o, EPROTO);
    peer_fini(&p);
}

TEST(guest_dial_hybrid_silence)
{
    struct peer p;
    struct outcome o = {0};
    peer_init(&p);
    struct guest_place place = peer_place(&p, GUEST_HYBRID);
    CHECK(guest_dial(p.loop, &place, 30, on_dialled, &o));
    peer_accept(&p);
    expect_failure(&p, &o, ETIMEDOUT);
    peer_expect(&p, "CONNECT 5000\n");
    peer_expect_end(&p);
    peer_fini(&p);
}

/* The limit is for the connecting too: here the socket's queue is full. */
TEST(guest_dial_no_room_in_the_queue)
{
    struct peer p;
    struct outcome o = {0}, first = {0};
    peer_init(&p);
    CHECK_INT(listen(p.listening, 0), 0);
    start(&p, GUEST_UNIX, &first);
    TURN_UNTIL(p.loop, first.count == 1);
    struct guest_place place = peer_place(&p, GUEST_UNIX);
    CHECK(guest_dial(p.loop, &place, 60, on_dialled, &o));
    expect_failure(&p, &o, ETIMEDOUT);
    stream_reset(first.stream);
    peer_fini(&p);
}

TEST(guest_dial_no_monitor)
{
    struct peer p;
    struct outcome o;
    char path[200];
    peer_init(&p);
    peer_close(&p.listening);
    for (enum guest_kind kind = GUEST_HYBRID; kind <= GUEST_UNIX; kind++) {
        start(&p, kind, &o);
        expect_failure(&p, &o, ECONNREFUSED);
    }
    unlink(p.path);
    start(&p, GUEST_HYBRID, &o);
    expect_failure(&p, &o, ENOENT);
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    struct guest_place place = {.kind = GUEST_UNIX, .path = path};
    o = (struct outcome){0};
    guest_dial(p.loop, &place, PATIENCE_MS, on_dialled, &o);
    CHECK_INT(o.count, 0);
    expect_failure(&p, &o, ENAMETOOLONG);
    peer_fini(&p);
}

/* The agent's own socket knows of no CONNECT. */
TEST(guest_dial_unix)
{
    struct peer p;
    struct outcome o;
    struct probe probe = {0};
    peer_init(&p);
    start(&p, GUEST_UNIX, &o);
    TURN_UNTIL(p.loop, o.count == 1);
    CHECK_INT(o.error, 0);
    peer_accept(&p);
    probe_own(&probe, o.stream);
    stream_write(o.stream, "x", 1);
    peer_expect(&p, "x");
    probe_fini(&probe);
    peer_fini(&p);
}

TEST(guest_dial_cancelled)
{
    struct peer p;
    struct outcome o = {0};
    peer_init(&p);
    for (enum guest_kind kind = GUEST_HYBRID; kind <= GUEST_UNIX; kind++) {
        struct guest_place place = peer_place(&p, kind);
        guest_dial_cancel(guest_dial(p.loop, &place, PATIENCE_MS, on_dialled, &o));
        peer_accept(&p);
        peer_expect_end(&p);
        peer_close(&p.fd);
    }
    struct guest_place place = peer_place(&p, GUEST_HYBRID);
    struct guest_dial *d = guest_dial(p.loop, &place, PATIENCE_MS, on_dialled, &o);
    peer_accept(&p);
    peer_expect(&p, "CONNECT 5000\n");
    guest_dial_cancel(d);
    peer_expect_end(&p);
    loop_turn(p.loop, 20);
    CHECK_INT(o.count, 0);
    peer_fini(&p);
}

TEST(guest_dial_places_as_text)
{
    const struct guest_place places[] = {
        {.kind = GUEST_VSOCK, .cid = 3, .port = 5000},
        {.kind = GUEST_HYBRID, .path = "/run/vm.sock", .port = 5001},
        {.kind = GUEST_UNIX, .path = "/run/berth.sock"},
    };
    static const char *const texts[] = {"vsock:3:5000", "unix:/run/vm.sock:5001",
                                        "unix:/run/berth.sock"};
    for (size_t i = 0; i < countof(places); i++) {
        cleanup_free char *text = guest_place_text(&places[i]);
        CHECK_STR(text, texts[i]);
    }
}
