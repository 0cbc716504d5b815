/* Two links and what they carry: much, both ways, over carriers that break all the time. */
#include <stdlib.h>

#include "core/fdstream.h"
#include "core/mem.h"
#include "net/link_state.h"
#include "tests/unit/probe.h"
#include "tests/unit/wire.h"

#define PATTERN 1048573 /* a prime: a byte that is lost or sent twice shifts all that follow */

struct pair;

struct side {
    struct pair *pair;
    struct link *l;
    struct stream *s;
    uint64_t written, read, total; /* total: to be written, and to be read */
    unsigned ups, downs, losses;
    bool wrong, failed;
};

struct pair {
    struct loop *loop;
    struct side side[2];
    int fd[2];  /* of the carrier attached last; -1: it broke */
    bool greet; /* side 1 reads the Hello first */
    bool over;
    size_t chunk;     /* 0: sockets, else wires that bring so much in a turn */
    uint8_t *pattern; /* 2 * PATTERN bytes */
};

static uint64_t seed;

static size_t dice(size_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % n;
}

static void write_more(struct side *e)
{
    size_t room;
    while (e->written < e->total && (room = stream_room(e->s)) > 0) {
        size_t len = 1 + dice(dice(4) ? 100000 : 100);
        len = len < room ? len : room;
        len = len < e->total - e->written ? len : (size_t)(e->total - e->written);
        stream_write(e->s, e->pair->pattern + e->written % PATTERN, len);
        e->written += len;
    }
}

static void read_more(struct side *e)
{
    size_t len;
    const uint8_t *p;
    while ((p = stream_peek(e->s, &len))) {
        len = len < PATTERN ? len : PATTERN;
        e->wrong |= memcmp(p, e->pair->pattern + e->read % PATTERN, len) != 0;
        e->read += len;
        stream_consume(e->s, len);
    }
}

static void stream_event(void *arg, struct stream *s, enum stream_event event)
{
    struct side *e = arg;
    (void)s;
    e->failed |= event == STREAM_EOF || event == STREAM_ERROR;
    read_more(e);
    write_more(e);
}

/* Who greets waits for the other end to come again; it may have come already. */
static void gone(struct side *e)
{
    struct pair *p = e->pair;
    if (e == &p->side[0] || !p->greet)
        p->fd[e - p->side] = -1;
}

static void link_event(void *arg, struct link *l, enum link_event event)
{
    struct side *e = arg;
    (void)l;
    e->ups += event == LINK_UP;
    e->downs += event == LINK_DOWN;
    e->losses += event == LINK_LOST;
    if (event == LINK_DOWN)
        gone(e);
}

static void pair_init(struct pair *p, uint64_t total, size_t chunk)
{
    static const uint8_t session[SESSION_LEN] = "transfer";
    *p = (struct pair){.loop = loop_new(), .fd = {-1, -1}, .chunk = chunk};
    p->pattern = xmalloc(2 * PATTERN);
    for (size_t i = 0; i < PATTERN; i++)
        p->pattern[i] = p->pattern[i + PATTERN] = (uint8_t)dice(256);
    for (int i = 0; i < 2; i++) {
        struct side *e = &p->side[i];
        *e = (struct side){.pair = p, .total = total};
        e->l = link_new(p->loop, session, link_event, e);
        e->s = link_stream(e->l);
        stream_own(e->s, stream_event, e);
        write_more(e);
    }
}

static void pair_fini(struct pair *p)
{
    p->over = true;
    for (int i = 0; i < 2; i++) {
        CHECK(!p->side[i].wrong && !p->side[i].failed);
        CHECK_INT(p->side[i].losses, 0);
        stream_close(p->side[i].s);
        link_free(p->side[i].l);
    }
    for (int i = 0; i < 4; i++)
        loop_turn(p->loop, 0);
    loop_free(p->loop);
    free(p->pattern);
}

static void greeted(void *arg, struct stream *carrier, const struct link_hello *hello)
{
    struct pair *p = arg;
    if (p->over)
        stream_close(carrier);
    else if (carrier)
        link_attach(p->side[1].l, carrier, hello);
}

static void connect_pair(struct pair *p)
{
    struct stream *ends[2];
    if (p->chunk) {
        wire_new(p->loop, p->chunk, 1000, ends);
        p->fd[0] = p->fd[1] = 0;
    } else {
        unix_pair(p->fd);
        for (int i = 0; i < 2; i++)
            ends[i] = fdstream_new(p->loop, p->fd[i], p->fd[i]);
    }
    size_t first = p->greet ? 0 : dice(2);
    link_attach(p->side[first].l, ends[first], NULL);
    if (p->greet)
        link_greet(ends[1], greeted, p);
    else
        link_attach(p->side[1 - first].l, ends[1 - first], NULL);
}

/* Breaks the carrier in one of the ways in which ssh ends, or replaces it as it is. */
static void break_carrier(struct pair *p)
{
    size_t who = dice(2);
    switch (p->chunk ? 3 + dice(2) : dice(5)) {
    case 0: shutdown(p->fd[who], SHUT_RDWR); break;
    case 1: shutdown(p->fd[who], SHUT_WR); break;
    case 2: shutdown(p->fd[who], SHUT_RD); break;
    case 3:
        link_detach(p->side[who].l);
        gone(&p->side[who]);
        break;
    case 4: connect_pair(p); break;
    }
}

static bool done(const struct pair *p)
{
    for (int i = 0; i < 2; i++)
        if (p->side[i].read < p->side[i].total || link_waiting(p->side[i].l))
            return false;
    return true;
}

static uint64_t moved(const struct pair *p)
{
    return p->side[0].read + p->side[1].read;
}

/* Until `until` bytes were read in all and `ups` carriers were used, or all is done. */
static void run_to(struct pair *p, uint64_t until, unsigned ups)
{
    uint64_t give_up_ms = loop_now_ms(p->loop) + 60000;
    while (!done(p) && (moved(p) < until || p->side[0].ups < ups)) {
        if (p->fd[0] < 0 || p->fd[1] < 0)
            connect_pair(p);
        loop_turn(p->loop, 1000);
        if (loop_now_ms(p->loop) > give_up_ms)
            break;
    }
    CHECK(done(p) || (moved(p) >= until && p->side[0].ups >= ups));
}

static void survive(uint64_t total, size_t chunk, unsigned breaks, bool greet)
{
    struct pair p;
    seed = 4711;
    pair_init(&p, total, chunk);
    p.greet = greet;
    for (unsigned i = 0; i < breaks; i++) {
        run_to(&p, moved(&p) + dice((size_t)(total / breaks)), i + 1);
        break_carrier(&p);
    }
    run_to(&p, UINT64_MAX, 0);
    CHECK_INT(p.side[0].read, total);
    CHECK_INT(p.side[1].read, total);
    CHECK_INT(p.side[0].l->kept.len + p.side[1].l->kept.len, 0);
    CHECK(p.side[0].ups >= breaks);
    pair_fini(&p);
}

TEST(link_carries_64_mib_both_ways_over_200_sockets)
{
    survive(64u << 20, 0, 200, false);
}

TEST(link_carries_on_when_its_peer_greets)
{
    survive(32u << 20, 0, 100, true);
}

TEST(link_carries_on_over_byte_wise_carriers)
{
    survive(3000, 1, 40, false);
    survive(3000, 1, 40, true);
    survive(60000, 17, 100, false);
}

/* One that is not broken: nothing is held for long, and nothing goes down. */
TEST(link_carries_bulk_over_one_socket)
{
    struct pair p;
    seed = 1;
    pair_init(&p, 64u << 20, 0);
    connect_pair(&p);
    uint64_t give_up_ms = loop_now_ms(p.loop) + 60000;
    while (!done(&p) && loop_now_ms(p.loop) < give_up_ms) {
        loop_turn(p.loop, 1000);
        for (int i = 0; i < 2; i++)
            CHECK(p.side[i].l->kept.len <= LINK_KEEP + 100000);
    }
    CHECK(done(&p));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(p.side[i].read, p.side[i].total);
        CHECK_INT(p.side[i].ups, 1);
        CHECK_INT(p.side[i].downs, 0);
        CHECK(link_rtt_us(p.side[i].l) > 0);
    }
    pair_fini(&p);
}
