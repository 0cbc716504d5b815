/* quic_rig.c: a QUIC client and a server of one process, over UDP on loopback. */
#include "tests/unit/quic_rig.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"

#define PATIENCE_US 240000000  /* a busy machine that emulates another is slow */
#define PERIOD      (1u << 20) /* bytes after which the pattern repeats; more than one piece */

static uint8_t pattern[2 * PERIOD];

/* ---- talks ---- */

static void write_more(struct qtalk *t)
{
    while (t->s && t->wrote < t->goal && stream_room(t->s)) {
        uint64_t room = stream_room(t->s), left = t->goal - t->wrote;
        size_t n = (size_t)(left < room ? left : room);
        if (n > PERIOD)
            n = PERIOD;
        stream_write(t->s, pattern + t->wrote % PERIOD, n);
        t->wrote += n;
    }
    if (t->s && t->fin && t->wrote == t->goal)
        stream_shutdown(t->s);
}

void qtalk_pump(struct qtalk *t, uint64_t goal, bool fin)
{
    t->goal = goal;
    t->fin = fin;
    write_more(t);
}

void qtalk_take(struct qtalk *t)
{
    size_t len;
    const uint8_t *p = stream_peek(t->s, &len);
    if (!p)
        return;
    for (size_t off = 0, n; off < len; off += n, t->got += n) {
        n = len - off < PERIOD ? len - off : PERIOD;
        t->wrong |= memcmp(p + off, pattern + t->got % PERIOD, n) != 0;
    }
    if (t->echo)
        stream_write(t->s, p, len);
    stream_consume(t->s, len);
}

void qtalk_close(struct qtalk *t)
{
    stream_close(t->s);
    t->s = NULL;
}

void qtalk_reset(struct qtalk *t)
{
    stream_reset(t->s);
    t->s = NULL;
}

void qside_forget(struct qside *side)
{
    size_t kept = 0;
    for (size_t i = 0; i < side->n; i++) {
        if (side->talks[i]->s)
            side->talks[kept++] = side->talks[i];
        else
            free(side->talks[i]);
    }
    side->n = kept;
}

static void ended(struct qtalk *t)
{
    t->eof = true;
    if (t->echo)
        qtalk_close(t);
}

static void broke(struct qtalk *t)
{
    t->error = stream_error(t->s);
    qtalk_close(t);
}

static void on_talk(void *arg, struct stream *s, enum stream_event event)
{
    struct qtalk *t = arg;
    if (t->side->on_event)
        t->side->on_event(t, event);
    if (t->s != s)
        return;
    switch (event) {
    case STREAM_OPEN: break;
    case STREAM_DATA:
        if (!t->hold)
            qtalk_take(t);
        break;
    case STREAM_DRAINED: write_more(t); break;
    case STREAM_EOF: ended(t); break;
    case STREAM_ERROR: broke(t); break;
    }
}

static struct qtalk *talk_new(struct qside *side, struct stream *s)
{
    struct qtalk *t = xcalloc(1, sizeof(*t));
    *t = (struct qtalk){.side = side, .s = s, .hold = side->hold, .echo = side->echo};
    if (side->n == countof(side->talks))
        abort();
    side->talks[side->n++] = t;
    stream_own(s, on_talk, t);
    return t;
}

struct qtalk *qrig_open(struct qside *side)
{
    struct stream *s = mux_open(side->m);
    return s ? talk_new(side, s) : NULL;
}

/* ---- sides ---- */

static void accepted(void *arg, struct stream *s)
{
    struct qside *side = arg;
    struct qtalk *t = talk_new(side, s);
    if (side->on_accept)
        side->on_accept(side, t);
}

static void down(void *arg, int error)
{
    struct qside *side = arg;
    side->downs++;
    side->down_error = error;
    if (side->on_down)
        side->on_down(side);
}

static void up(void *arg)
{
    struct qside *side = arg;
    side->ups++;
    if (side->on_up)
        side->on_up(side);
}

static void datagram(void *arg, const uint8_t *data, size_t len)
{
    struct qside *side = arg;
    (void)data;
    side->datagrams++;
    side->datagram_len = len;
    if (side->on_datagram)
        side->on_datagram(side);
}

static void drained(void *arg)
{
    struct qside *side = arg;
    side->drains++;
}

static void answered(void *arg)
{
    struct qside *side = arg;
    side->answers++;
}

static void asked(void *arg)
{
    struct qside *side = arg;
    side->asks++;
}

static const struct quic_events events = {.mux = {.accepted = accepted, .down = down},
                                          .up = up,
                                          .asked = asked,
                                          .answered = answered,
                                          .drained = drained,
                                          .datagram = datagram};

static void side_end(struct qside *side)
{
    mux_free(side->m);
    side->m = NULL;
    for (size_t i = 0; i < side->n; i++) {
        stream_close(side->talks[i]->s);
        free(side->talks[i]);
    }
    side->n = 0;
}

static bool find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN])
{
    const struct qrig *r = arg;
    memcpy(psk, r->psk, PSK_LEN);
    return r->any_session || !memcmp(session, r->session, SESSION_LEN);
}

static void connected(void *arg, struct mux *m, const uint8_t session[static SESSION_LEN])
{
    struct qrig *r = arg;
    CHECK(!memcmp(session, r->session, SESSION_LEN));
    if (r->b.m)
        return;
    r->b.m = m;
    quic_own(m, &events, &r->b);
    up(&r->b);
}

static const struct quic_server_events server_events = {.find_psk = find_psk,
                                                        .connected = connected};

/* ---- the relay ---- */

static bool chance(struct qrelay *y, unsigned per_mille)
{
    y->seed = y->seed * 6364136223846793005u + 1442695040888963407u;
    return (y->seed >> 33) % 1000 < per_mille;
}

static void pass(struct qrelay *y, bool front, const uint8_t *p, size_t len)
{
    const struct quic_addr *to = front ? &y->server : &y->client;
    sendto(front ? y->back : y->front, p, len, 0, &to->sa, to->len);
    *(front ? &y->to_server : &y->to_client) += len;
}

static void relay_one(struct qrelay *y, bool front, const uint8_t *p, size_t len)
{
    bool lost = y->cut || (y->mute && !front) || (y->most && len > y->most);
    if (lost || chance(y, y->lose))
        return;
    if (!y->held_len && len <= sizeof(y->held) && chance(y, y->later)) {
        memcpy(y->held, p, len);
        y->held_len = len;
        y->held_front = front;
        return;
    }
    pass(y, front, p, len);
    if (chance(y, y->twice))
        pass(y, front, p, len);
    if (y->held_len && chance(y, 300)) {
        pass(y, y->held_front, y->held, y->held_len);
        y->held_len = 0;
    }
}

/* A datagram and where it came from; the bits of ECN that it came with, -1: none is there. */
static int take(int fd, uint8_t *bytes, ssize_t *len, struct quic_addr *from)
{
    _Alignas(struct cmsghdr) uint8_t control[64];
    struct iovec iov = {bytes, 65536};
    struct msghdr msg = {.msg_name = &from->sa,
                         .msg_namelen = sizeof(from->in6),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    *len = recvmsg(fd, &msg, MSG_DONTWAIT);
    if (*len < 0)
        return -1;
    from->len = msg.msg_namelen;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    return c && c->cmsg_type == IP_TOS ? *CMSG_DATA(c) & 3 : 0;
}

static void on_relay(struct qrelay *y, bool front)
{
    static uint8_t bytes[65536];
    struct quic_addr from;
    ssize_t n;
    for (int tos; (tos = take(front ? y->front : y->back, bytes, &n, &from)) >= 0;) {
        if (front)
            y->client = from;
        if (front && !y->first_len && (size_t)n <= sizeof(y->first))
            memcpy(y->first, bytes, y->first_len = (size_t)n);
        y->marked += tos == 2;
        tos = y->tos < 0 ? tos : y->tos;
        setsockopt(front ? y->back : y->front, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
        relay_one(y, front, bytes, (size_t)n);
    }
}

static void on_front(void *arg, uint32_t mask)
{
    (void)mask;
    on_relay(arg, true);
}

static void on_back(void *arg, uint32_t mask)
{
    (void)mask;
    on_relay(arg, false);
}

static struct quic_addr loopback(uint16_t port)
{
    struct quic_addr a = {.len = sizeof(a.in)};
    a.in.sin_family = AF_INET;
    a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.in.sin_port = htons(port);
    return a;
}

static int relay_socket(struct quic_addr *at)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = 4 << 20, on = 1;
    *at = loopback(0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
    CHECK(!bind(fd, &at->sa, at->len) && !getsockname(fd, &at->sa, &at->len));
    return fd;
}

static void relay_begin(struct qrig *r)
{
    struct qrelay *y = &r->relay;
    struct quic_addr back;
    y->seed = 7;
    y->server = r->target.remote;
    y->front = relay_socket(&r->target.remote);
    y->back = relay_socket(&back);
    loop_fd_add(r->loop, &y->front_watch, y->front, on_front, y);
    loop_fd_add(r->loop, &y->back_watch, y->back, on_back, y);
    loop_fd_want(&y->front_watch, EPOLLIN);
    loop_fd_want(&y->back_watch, EPOLLIN);
}

/* ---- the rig ---- */

bool qrig_turn(struct qrig *r)
{
    loop_turn(r->loop, 1000);
    return loop_clock_us() - r->started_us < PATIENCE_US;
}

void qrig_idle(struct qrig *r, unsigned ms)
{
    uint64_t until = loop_clock_us() + ms * 1000;
    while (loop_clock_us() < until)
        loop_turn(r->loop, 1);
}

void qrig_begin(struct qrig *r, bool relayed)
{
    qrig_begin_at(r, relayed, &(struct quic_listen){0});
}

void qrig_begin_at(struct qrig *r, bool relayed, const struct quic_listen *at)
{
    memset(r, 0, sizeof(*r));
    key_init();
    for (size_t i = pattern[0] ? sizeof(pattern) : 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(1 + ((i % PERIOD) * 2654435761u >> 11));
    memset(r->session, 0x51, sizeof(r->session));
    memset(r->psk, 0x42, sizeof(r->psk));
    memcpy(r->its_session, r->session, sizeof(r->session));
    memcpy(r->its_psk, r->psk, sizeof(r->psk));
    r->started_us = loop_clock_us();
    r->relay.front = r->relay.back = -1;
    r->loop = loop_new();
    r->server = quic_server_new(r->loop, at, &server_events, r);
    CHECK(r->server != NULL);
    r->target = (struct quic_target){.remote = loopback(quic_server_port(r->server)),
                                     .session = r->its_session,
                                     .psk = r->its_psk};
    if (relayed)
        relay_begin(r);
}

void qrig_connect(struct qrig *r)
{
    r->a.m = quic_connect(r->loop, &r->target, &events, &r->a);
    CHECK(r->a.m != NULL);
}

void qrig_end(struct qrig *r)
{
    side_end(&r->a);
    side_end(&r->b);
    quic_server_free(r->server);
    loop_fd_del(&r->relay.front_watch);
    loop_fd_del(&r->relay.back_watch);
    if (r->relay.front >= 0) {
        close(r->relay.front);
        close(r->relay.back);
    }
    loop_turn(r->loop, 0);
    loop_free(r->loop);
}

void qrig_bulk(struct qrig *r, bool relayed, uint64_t len)
{
    qrig_begin(r, relayed);
    qrig_connect(r);
    qtalk_pump(qrig_open(&r->a), len, true);
    QRIG_UNTIL(r, r->b.n == 1);
    qtalk_pump(r->b.talks[0], len, true);
}

bool qrig_bulk_over(const struct qrig *r)
{
    return r->a.talks[0]->eof && r->b.talks[0]->eof;
}

void qrig_bulk_end(struct qrig *r, uint64_t len)
{
    QRIG_UNTIL(r, qrig_bulk_over(r));
    CHECK_INT(r->a.talks[0]->got, len);
    CHECK_INT(r->b.talks[0]->got, len);
    CHECK(!r->a.talks[0]->wrong && !r->b.talks[0]->wrong);
    CHECK(!r->a.downs && !r->b.downs);
    qrig_end(r);
}
