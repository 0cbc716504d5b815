/* session_quic.c: QUIC connections beside the link: which one is used, whether it answers, and
 * how it is found again. */
#include <errno.h>
#include <stdlib.h>

#include "applets/service/session_state.h"
#include "core/log.h"
#include "core/mem.h"

#define WATCH_MS    500   /* how often a connection on which something is open is looked at */
#define IDLE_MS     5000  /* and one on which nothing is */
#define SILENT_MS   2000  /* without an answer, it does not answer */
#define KEEP_MS     10000 /* of silence; then the master probes it, for NATs to keep its mapping */
#define MISSED_MS   25000 /* and then the agent does, which has missed two of those */
#define HOP_MS      1000  /* from one port to the next while it is silent … */
#define HOP_SLOWLY  60    /* … for so many; then, with nothing open on it, each: */
#define HOP_IDLE_MS 60000

struct session_quic *session_quic_alive(const struct session *s)
{
    return s->quic && s->quic->alive ? s->quic : NULL;
}

bool session_has_quic(const struct session *s)
{
    return s->quic != NULL;
}

static bool is_first(const struct session_quic *q)
{
    return q->session->quic == q;
}

static void forget(struct session_quic *q)
{
    struct session_quic **at = &q->session->quic;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    loop_timer_del(&q->pulse);
    mux_free(q->mux);
    loop_reap(q->session->loop, q, free);
}

void session_quic_free_all(struct session *s)
{
    while (s->quic)
        forget(s->quic);
}

/* --- whether it answers ----------------------------------------------------------------------- */

static bool is_silent(const struct session_quic *q)
{
    uint64_t now = loop_now_ms(q->session->loop);
    return q->waiting_ms && now - q->waiting_ms >= SILENT_MS &&
           quic_silence_ms(q->mux) >= SILENT_MS;
}

/* An answer is awaited from now on, and looked for soon. */
void session_quic_probe(struct session_quic *q)
{
    quic_probe(q->mux);
    if (!q->waiting_ms)
        q->waiting_ms = loop_now_ms(q->session->loop);
    loop_timer_set(&q->pulse, WATCH_MS);
}

static void note_waiting(struct session_quic *q)
{
    if (!quic_waiting(q->mux))
        q->waiting_ms = 0;
    else if (!q->waiting_ms)
        q->waiting_ms = loop_now_ms(q->session->loop);
}

/* The link leaves it before the owner is told. */
static void fall_silent(struct session_quic *q, int error)
{
    struct session *s = q->session;
    log_trace("session: quic is silent");
    q->alive = false;
    q->hops = 0;
    q->silent_ms = loop_now_ms(s->loop);
    quic_datagram_drop(q->mux);
    if (!is_first(q))
        return;
    if (s->link_on_quic) {
        s->link_on_quic = false;
        link_detach(s->link);
    }
    session_reconsider(s, error);
}

static void note_way(struct session_quic *q)
{
    q->peer = quic_peer(q->mux);
    q->source = quic_source(&q->peer);
}

/* While the link lives it stays where it is. */
static void answer(struct session_quic *q)
{
    struct session *s = q->session;
    q->waiting_ms = 0;
    if (q->alive)
        return;
    log_trace("session: quic answers after %llu ms",
              (unsigned long long)(loop_now_ms(s->loop) - q->silent_ms));
    q->alive = true;
    note_way(q);
    if (!is_first(q))
        return;
    if (!link_is_up(s->link))
        session_carry_by_quic(s);
    session_reconsider(s, 0);
}

/* --- how it is found again: the master's ---------------------------------------------------------- */

/* Where it was, and in turn each of the places where it may be. */
static const struct quic_addr *next_place(const struct session_quic *q)
{
    const struct session *s = q->session;
    unsigned turn = q->hops / 2;
    if (q->hops % 2 == 0 || !s->n_peers)
        return &q->peer;
    return &s->peers[turn % s->n_peers];
}

static void hop(struct session_quic *q)
{
    if (quic_hop(q->mux, next_place(q)) < 0)
        log_trace("session: no other port: %d", errno);
    q->hops++;
}

static uint64_t hop_ms(const struct session_quic *q)
{
    uint64_t least = 2 * quic_rtt_us(q->mux) / 1000, ms = HOP_MS;
    if (q->hops > HOP_SLOWLY && !mux_count(q->mux))
        ms = HOP_IDLE_MS;
    return ms > least ? ms : least;
}

/* --- its pulse --------------------------------------------------------------------------------------- */

static uint64_t pulse_ms(const struct session_quic *q)
{
    if (!q->alive && q->session->side == SESSION_MASTER)
        return hop_ms(q);
    return q->waiting_ms || mux_count(q->mux) ? WATCH_MS : IDLE_MS;
}

static void look(struct session_quic *q)
{
    struct session *s = q->session;
    bool master = s->side == SESSION_MASTER;
    note_waiting(q);
    if (q->alive && is_silent(q))
        fall_silent(q, ETIMEDOUT);
    else if (!q->alive && master)
        hop(q);
    else if (q->alive && !q->waiting_ms &&
             quic_silence_ms(q->mux) >= (master ? KEEP_MS : MISSED_MS))
        session_quic_probe(q);
    else if (q->alive && is_first(q) && !link_is_up(s->link) && !link_is_greeting(s->link))
        session_carry_by_quic(s);
}

static void on_pulse(void *arg)
{
    struct session_quic *q = arg;
    if (!is_first(q) && !mux_count(q->mux)) {
        forget(q);
        return;
    }
    loop_timer_set(&q->pulse, pulse_ms(q)); /* before: what follows may free it */
    look(q);
}

/* --- the connection's events ---------------------------------------------------------------------------- */

static void on_accepted(void *arg, struct stream *stream)
{
    struct session_quic *q = arg;
    struct session *s = q->session;
    if (s->over)
        stream_reset(stream);
    else
        s->events->stream(s->arg, stream);
}

static void on_down(void *arg, int error)
{
    struct session_quic *q = arg;
    struct session *s = q->session;
    bool first = is_first(q);
    log_trace("session: quic ends: %d", error);
    if (q->alive)
        q->alive = false;
    if (first && s->link_on_quic) {
        s->link_on_quic = false;
        link_detach(s->link);
    }
    forget(q);
    if (first)
        session_reconsider(s, error);
}

static void on_heard(void *arg)
{
    answer(arg);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    struct session_quic *q = arg;
    struct session *s = q->session;
    if (s->events->datagram && !s->over)
        s->events->datagram(s->arg, data, len);
}

static const struct quic_events quic_events = {
    .mux = {.accepted = on_accepted, .down = on_down}, .heard = on_heard, .datagram = on_datagram};

/* --- for the owner ------------------------------------------------------------------------------------------ */

void session_take_quic(struct session *s, struct mux *mux)
{
    struct session_quic *q = xcalloc(1, sizeof *q);
    q->session = s;
    q->mux = mux;
    q->alive = true;
    q->next = s->quic;
    s->quic = q;
    loop_timer_init(s->loop, &q->pulse, on_pulse, q);
    loop_timer_set(&q->pulse, WATCH_MS);
    quic_own(mux, &quic_events, q);
    note_way(q);
    if (!link_is_up(s->link) && !link_is_greeting(s->link))
        session_carry_by_quic(s);
    session_reconsider(s, 0);
}

void session_set_peers(struct session *s, const struct quic_addr *peers, size_t n)
{
    s->n_peers = n < SESSION_PEERS ? n : SESSION_PEERS;
    for (size_t i = 0; i < s->n_peers; i++)
        s->peers[i] = peers[i];
}

/* A change that leaves our address on the way there as it is calls for no new path. */
void session_network_changed(struct session *s, bool woke)
{
    struct session_quic *q = s->quic;
    if (!q)
        return;
    struct quic_addr source = quic_source(&q->peer);
    if (!source.len)
        return;
    if (!quic_addr_same_host(&source, &q->source)) {
        q->source = source;
        (void)quic_roam(q->mux, NULL);
    } else if (woke || !q->alive) {
        (void)quic_hop(q->mux, NULL);
    }
    q->hops = 0;
    session_quic_probe(q);
}

int session_datagram_send(struct session *s, const void *data, size_t len)
{
    struct session_quic *q = session_quic_alive(s);
    if (!q) {
        errno = ENOTCONN;
        return -1;
    }
    return quic_datagram_send(q->mux, data, len);
}

size_t session_datagram_max(const struct session *s)
{
    const struct session_quic *q = session_quic_alive(s);
    return q ? quic_datagram_max(q->mux) : 0;
}
