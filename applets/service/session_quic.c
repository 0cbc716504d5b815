/* session_quic.c: the QUIC connection beside the link: whether it answers, and how it is found
 * again. */
#include <errno.h>
#include <stdlib.h>

#include "applets/service/session_state.h"
#include "core/log.h"
#include "core/mem.h"

#define SILENT_MS   2000  /* without an answer, it does not answer */
#define ATTACH_MS   1000  /* from a carrier that broke to the next */
#define KEEP_MS     10000 /* of silence; then the master probes it, for NATs to keep its mapping */
#define MISSED_MS   25000 /* and then the agent does, which has missed two of those */
#define HOP_MS      1000  /* from one port to the next while it is silent … */
#define HOP_SLOWLY  60    /* … for so many; then, with nothing open, it goes, or hops each: */
#define HOP_IDLE_MS 60000

struct session_quic *session_quic_alive(const struct session *s)
{
    return s->quic && s->quic->alive ? s->quic : NULL;
}

bool session_has_quic(const struct session *s)
{
    return s->quic != NULL;
}

static void take_link_off(struct session *s)
{
    if (!s->link_on_quic)
        return;
    s->link_on_quic = false;
    link_detach(s->link);
}

void session_quic_free(struct session *s)
{
    struct session_quic *q = s->quic;
    if (!q)
        return;
    take_link_off(s);
    s->quic = NULL;
    loop_timer_del(&q->pulse);
    mux_free(q->mux);
    loop_reap(s->loop, q, free);
}

/* --- whether it answers ----------------------------------------------------------------------- */

/* An answer is awaited from then on. */
void session_quic_probe(struct session_quic *q)
{
    quic_probe(q->mux);
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
    log_trace("session: quic answers after %llu ms",
              (unsigned long long)(loop_now_ms(s->loop) - q->silent_ms));
    q->alive = true;
    q->disowned = false;
    note_way(q);
    session_quic_watch(q);
    if (!link_is_up(s->link))
        session_carry_by_quic(s);
    session_reconsider(s, 0);
}

/* --- how it is found again: the master's ---------------------------------------------------------- */

/* Where it was, and in turn each of the other places where it may be. */
static const struct quic_addr *next_place(const struct session_quic *q)
{
    const struct session *s = q->session;
    for (size_t i = 0; q->hops % 2 && i < s->n_peers; i++) {
        const struct quic_addr *place = &s->peers[(q->hops / 2 + i) % s->n_peers];
        if (!quic_addr_equal(place, &q->peer))
            return place;
    }
    return &q->peer;
}

static void hop(struct session_quic *q)
{
    if (quic_hop(q->mux, next_place(q)) < 0)
        log_trace("session: no other port: %d", errno);
    q->hops++;
}

/* For what is open on it, or on a link that has no other way; a control stream is always open. */
static bool is_needed(const struct session_quic *q)
{
    const struct session *s = q->session;
    return quic_is_needed(q->mux) || (!link_is_up(s->link) && mux_count(s->mux) > 1);
}

static uint64_t hop_ms(const struct session_quic *q)
{
    uint64_t least = 2 * quic_rtt_us(q->mux) / 1000, ms = HOP_MS;
    if (q->hops > HOP_SLOWLY && !is_needed(q))
        ms = HOP_IDLE_MS;
    return ms > least ? ms : least;
}

/* A new one is as good, and the agent may have lost this one without our hearing of it. */
static bool is_given_up(const struct session_quic *q)
{
    return q->hops > HOP_SLOWLY && link_is_up(q->session->link) && !is_needed(q);
}

/* --- its pulse --------------------------------------------------------------------------------------- */

/* So long it may go unheard before it is asked. */
static uint64_t keep_ms(const struct session_quic *q)
{
    return q->session->side == SESSION_MASTER ? KEEP_MS : MISSED_MS;
}

static bool lacks_link(const struct session_quic *q)
{
    const struct session *s = q->session;
    return s->side == SESSION_MASTER && !link_is_up(s->link) && !link_is_greeting(s->link);
}

static uint64_t until(uint64_t limit_ms, uint64_t passed_ms)
{
    return limit_ms > passed_ms ? limit_ms - passed_ms : 0;
}

/* Until there is something to do about it. */
static uint64_t pulse_ms(const struct session_quic *q)
{
    uint64_t unanswered_ms = quic_unanswered_ms(q->mux), ms;
    if (!q->alive)
        return hop_ms(q);
    ms = until(unanswered_ms ? SILENT_MS : keep_ms(q),
               unanswered_ms ? unanswered_ms : quic_silence_ms(q->mux));
    return lacks_link(q) && ms > ATTACH_MS ? ATTACH_MS : ms;
}

/* An agent's that is silent is woken by the answer. */
void session_quic_watch(struct session_quic *q)
{
    if (q->alive || q->session->side == SESSION_MASTER)
        loop_timer_set(&q->pulse, pulse_ms(q));
    else
        loop_timer_del(&q->pulse);
}

static void probe_and_wait(struct session_quic *q)
{
    session_quic_probe(q);
    loop_timer_set(&q->pulse, SILENT_MS);
}

/* What has silenced it may have silenced ssh as well. The link leaves it before the owner is told. */
static void fall_silent(struct session_quic *q, int error)
{
    struct session *s = q->session;
    log_trace("session: quic is silent");
    q->alive = false;
    q->hops = 0;
    q->silent_ms = loop_now_ms(s->loop);
    quic_await_answer(q->mux);
    quic_datagram_drop(q->mux);
    if (s->side == SESSION_MASTER)
        hop(q);
    session_quic_watch(q);
    if (!s->link_on_quic && link_is_up(s->link))
        session_probe(s);
    take_link_off(s);
    if (q->disowned)
        session_quic_free(s);
    session_reconsider(s, error);
}

/* If it works after all it is alive again with the answer. */
void session_quic_doubt(struct session_quic *q)
{
    session_quic_probe(q);
    fall_silent(q, ETIMEDOUT);
}

/* May free it. */
static void look(struct session_quic *q)
{
    session_quic_watch(q);
    if (!q->alive && is_given_up(q))
        session_quic_free(q->session);
    else if (!q->alive)
        hop(q);
    else if (quic_unanswered_ms(q->mux) >= SILENT_MS)
        fall_silent(q, ETIMEDOUT);
    else if (lacks_link(q))
        session_carry_by_quic(q->session);
    else if (quic_silence_ms(q->mux) >= keep_ms(q))
        probe_and_wait(q);
}

static void on_pulse(void *arg)
{
    look(arg);
}

/* Under traffic this comes with every question: a timer that is early enough is left alone. */
static void on_asked(void *arg)
{
    struct session_quic *q = arg;
    uint64_t at = loop_now_ms(q->session->loop) + SILENT_MS;
    if (q->alive && (!loop_timer_armed(&q->pulse) || q->pulse.due_ms > at))
        loop_timer_set(&q->pulse, SILENT_MS);
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
    log_trace("session: quic ends: %d", error);
    session_quic_free(s);
    session_reconsider(s, error);
}

static void on_answered(void *arg)
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

static const struct quic_events quic_events = {.mux = {.accepted = on_accepted, .down = on_down},
                                               .asked = on_asked,
                                               .answered = on_answered,
                                               .datagram = on_datagram};

/* --- for the owner ------------------------------------------------------------------------------------------ */

void session_take_quic(struct session *s, struct mux *mux)
{
    struct session_quic *q = xcalloc(1, sizeof *q);
    q->session = s;
    q->mux = mux;
    q->alive = true;
    session_quic_free(s);
    s->quic = q;
    loop_timer_init(s->loop, &q->pulse, on_pulse, q);
    quic_own(mux, &quic_events, q);
    note_way(q);
    session_quic_watch(q);
    if (!link_is_up(s->link) && !link_is_greeting(s->link))
        session_carry_by_quic(s);
    session_reconsider(s, 0);
}

void session_quic_is_lost(struct session *s)
{
    struct session_quic *q = s->quic;
    if (q && !q->alive) {
        session_quic_free(s);
    } else if (q) {
        q->disowned = true;
        quic_await_answer(q->mux);
        session_quic_probe(q);
    }
}

void session_set_peers(struct session *s, const struct quic_addr *peers, size_t n)
{
    s->n_peers = n < SESSION_PEERS ? n : SESSION_PEERS;
    for (size_t i = 0; i < s->n_peers; i++)
        s->peers[i] = peers[i];
    if (s->quic && !s->quic->alive) {
        s->quic->hops = 1; /* to the first of them */
        loop_timer_set(&s->quic->pulse, 0);
    }
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
    session_quic_watch(q);
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
