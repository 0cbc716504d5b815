/* A QUIC client and a server with a hop between them, and owners who do anything in any order.
 *
 * The input is pairs of bytes: what is done, and to whom or how much. Whatever it is, what comes
 * out of a stream is what went in, once and in order. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/mem.h"
#include "net/quic_internal.h"

#define TALKS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct talk {
    struct stream *s;
    uint64_t got, wrote;
};

struct side {
    struct mux *m;
    struct talk talks[TALKS];
    size_t n;
    bool hold;
};

enum harm { LOSE, TWICE, FLIP, SWAP, HARMS };

static struct loop *loop;
static struct quic_server *server;
static struct side sides[2]; /* client, server */
static int front, back;
static struct quic_addr client_at, server_at;
static unsigned harm_left;
static enum harm harm;
static uint8_t held[2048];
static ssize_t held_len;

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 2654435761u >> 9);
}

/* ---- owners ---- */

static void take(struct talk *t)
{
    size_t len;
    const uint8_t *p = stream_peek(t->s, &len);
    for (size_t i = 0; p && i < len; i++, t->got++)
        if (p[i] != byte_at(t->got))
            abort();
    if (p)
        stream_consume(t->s, len);
}

static struct side *side_of(const struct talk *t)
{
    return t >= sides[0].talks && t < sides[0].talks + TALKS ? &sides[0] : &sides[1];
}

static void on_stream(void *arg, struct stream *s, enum stream_event event)
{
    struct talk *t = arg;
    (void)s;
    if (event == STREAM_DATA && !side_of(t)->hold)
        take(t);
    if (event != STREAM_ERROR)
        return;
    stream_close(t->s);
    t->s = NULL;
}

static void own(struct side *side, struct stream *s)
{
    if (s && side->n == TALKS) {
        stream_reset(s);
    } else if (s) {
        side->talks[side->n].s = s;
        stream_own(s, on_stream, &side->talks[side->n++]);
    }
}

static void accepted(void *arg, struct stream *s)
{
    own(arg, s);
}

static void down(void *arg, int error)
{
    struct side *side = arg;
    (void)error;
    mux_free(side->m);
    side->m = NULL;
}

static void ignore(void *arg)
{
    (void)arg;
}

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    (void)arg;
    for (size_t i = 0; i < len; i++)
        if (data[i] != byte_at(i))
            abort();
}

static const struct quic_events events = {.mux = {.accepted = accepted, .down = down},
                                          .up = ignore,
                                          .asked = ignore,
                                          .answered = ignore,
                                          .drained = ignore,
                                          .datagram = on_datagram};

static bool find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN])
{
    (void)arg;
    memset(psk, 0x42, PSK_LEN);
    return session[0] == 0x51;
}

static void connected(void *arg, struct mux *m, const uint8_t session[static SESSION_LEN])
{
    (void)arg, (void)session;
    if (sides[1].m)
        return;
    sides[1].m = m;
    quic_own(m, &events, &sides[1]);
}

static const struct quic_server_events server_events = {.find_psk = find_psk,
                                                        .connected = connected};

/* ---- the hop ---- */

static void forward(bool to_server, const uint8_t *p, size_t len)
{
    const struct quic_addr *to = to_server ? &server_at : &client_at;
    sendto(to_server ? back : front, p, len, 0, &to->sa, to->len);
}

static void pass(bool to_server, uint8_t *p, ssize_t len)
{
    enum harm now = harm_left ? harm : HARMS;
    harm_left -= harm_left > 0;
    if (now == LOSE)
        return;
    if (now == FLIP)
        p[(size_t)harm_left * 7 % (size_t)len] ^= (uint8_t)(1 + harm_left);
    if (now == SWAP && !held_len && len <= (ssize_t)sizeof(held)) {
        memcpy(held, p, (size_t)len);
        held_len = to_server ? len : -len;
        return;
    }
    forward(to_server, p, (size_t)len);
    if (now == TWICE)
        forward(to_server, p, (size_t)len);
    if (held_len)
        forward(held_len > 0, held, (size_t)labs(held_len));
    held_len = 0;
}

static void turn(int times)
{
    static uint8_t bytes[65536];
    for (int i = 0; i < times; i++) {
        struct quic_addr from = {.len = sizeof(from.in6)};
        loop_turn(loop, 0);
        for (ssize_t n;
             (n = recvfrom(front, bytes, sizeof(bytes), MSG_DONTWAIT, &from.sa, &from.len)) > 0;) {
            client_at = from;
            pass(true, bytes, n);
        }
        for (ssize_t n; (n = recv(back, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0;)
            if (client_at.len)
                pass(false, bytes, n);
    }
}

static int hop_socket(struct quic_addr *at)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *at = (struct quic_addr){.len = sizeof(at->in)};
    at->in.sin_family = AF_INET;
    at->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, &at->sa, at->len) || getsockname(fd, &at->sa, &at->len))
        abort();
    return fd;
}

/* ---- what is done ---- */

static void say(struct talk *t, size_t len)
{
    uint8_t bytes[16384];
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(t->wrote + i);
    if (!stream_room(t->s))
        return;
    stream_write(t->s, bytes, len);
    t->wrote += len;
}

static void to_stream(struct side *side, unsigned what, unsigned arg)
{
    struct talk *t = side->n ? &side->talks[arg % side->n] : NULL;
    if (!t || !t->s)
        return;
    switch (what) {
    case 0: say(t, 1 + arg); break;
    case 1: say(t, 64u * (1 + arg)); break;
    case 2: stream_shutdown(t->s); break;
    case 3: stream_close(t->s); break;
    case 4: stream_reset(t->s); break;
    default: take(t);
    }
    if (what == 3 || what == 4)
        t->s = NULL;
    if (what == 2)
        t->wrote = UINT64_MAX / 2; /* the rest is dropped */
}

static void to_mux(struct side *side, unsigned what, unsigned arg)
{
    uint8_t bytes[1400];
    if (!side->m)
        return;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = byte_at(i);
    switch (what) {
    case 0: own(side, mux_open(side->m)); break;
    case 1: quic_datagram_send(side->m, bytes, arg * 5); break;
    case 2: quic_update_keys(side->m); break;
    case 3: quic_probe(side->m); break;
    case 4: side->hold = arg & 1; break;
    case 5: mux_go_away(side->m); break;
    case 6:
        if (side == &sides[0])
            (arg & 1 ? quic_hop : quic_roam)(side->m, arg & 2 ? &server_at : NULL);
        break;
    default:
        if (arg == 0x77)
            down(side, 0);
    }
}

static void do_one(unsigned op, unsigned arg)
{
    struct side *side = &sides[op & 1];
    switch (op >> 1 & 3) {
    case 0: to_stream(side, op >> 3 & 7, arg); break;
    case 1: to_mux(side, op >> 3 & 7, arg); break;
    case 2:
        harm = (enum harm)((op >> 3) % HARMS);
        harm_left = arg;
        break;
    default:
        quic_clock_ahead_ns += (uint64_t)arg * arg * ((op >> 3) + 1) * NGTCP2_MILLISECONDS / 16;
        for (int i = 0; i < 2; i++)
            if (sides[i].m)
                quic_conn_wake(quic_conn_of(sides[i].m));
    }
    turn(1 + (arg & 3));
}

/* ---- from the beginning to the end ---- */

static void begin(void)
{
    static uint8_t session[SESSION_LEN] = {0x51}, psk[PSK_LEN];
    struct quic_addr unused;
    memset(psk, 0x42, sizeof(psk));
    memset(sides, 0, sizeof(sides));
    client_at.len = 0;
    harm_left = 0;
    held_len = 0;
    loop = loop_new();
    server = quic_server_new(loop, &(struct quic_listen){0}, &server_events, NULL);
    struct quic_target to = {.session = session, .psk = psk};
    front = hop_socket(&to.remote);
    back = hop_socket(&unused);
    server_at = to.remote;
    server_at.in.sin_port = htons(quic_server_port(server));
    sides[0].m = quic_connect(loop, &to, &events, &sides[0]);
}

static void end(void)
{
    for (int i = 0; i < 2; i++) {
        for (size_t at = 0; at < sides[i].n; at++)
            stream_close(sides[i].talks[at].s);
        mux_free(sides[i].m);
    }
    quic_server_free(server);
    loop_turn(loop, 0);
    loop_free(loop);
    close(front);
    close(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    key_init();
    begin();
    if (len && data[0] & 1)
        turn(6); /* the handshake goes well */
    for (size_t i = 1; i + 1 < len && i < 400; i += 2)
        do_one(data[i], data[i + 1]);
    harm_left = 0;
    turn(4);
    end();
    return 0;
}
