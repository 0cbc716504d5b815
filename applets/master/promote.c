#include "applets/master/promote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/master/master.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/ssh_peer.h"

#define AGAIN_MS  60000 /* from one vain try to the next */
#define NAMED_MAX 5    /* of the places that are tried; the others are left to what the name says */
#define BEGUN_MAX 48   /* handshakes in that time, whatever the agent says and the network does */
#define TRY_MS    5000 /* for a handshake */
#define GONE_MS   1000 /* after a connection has ended, until the next try */

static bool is_trying(const struct promotion *p)
{
    for (size_t i = 0; i < countof(p->attempts); i++)
        if (p->attempts[i].mux)
            return true;
    return false;
}

static void end_attempts(struct promotion *p)
{
    for (size_t i = 0; i < countof(p->attempts); i++) {
        mux_free(p->attempts[i].mux);
        p->attempts[i].mux = NULL;
    }
}

/* --- without QUIC ---------------------------------------------------------------------------- */

/* Once for each time that it is lost; not while nothing gets through. */
static void tell_blocked(struct master *m)
{
    if (m->promotion.told || session_way(m->session) != SESSION_SSH)
        return;
    m->promotion.told = true;
    log_note("%s: UDP port %u does not get through%s", m->options->host, m->promotion.port,
             m->wants_quic ? "" : ": staying on ssh");
    hint_ask(m);
}

/* Likewise. */
static void tell_none(struct master *m)
{
    if (!m->promotion.told)
        log_note("%s: the agent has no UDP port%s", m->options->host,
                 m->wants_quic ? "" : ": staying on ssh");
    m->promotion.told = true;
    promote_hinted(m);
}

/* A session that replaces one which had it goes on trying. */
void promote_hinted(struct master *m)
{
    if (m->wants_quic && !m->forwards.ready)
        connection_give_up(m, "QUIC cannot be had, and --transport quic asks for it");
}

/* --- the race ------------------------------------------------------------------------------- */

static void on_up(void *arg)
{
    struct attempt *won = arg;
    struct master *m = won->master;
    struct mux *mux = won->mux;
    won->mux = NULL;
    end_attempts(&m->promotion);
    m->promotion.told = false;
    session_take_quic(m->session, mux);
}

static void on_down(void *arg, int error)
{
    struct attempt *a = arg;
    struct master *m = a->master;
    log_trace("%s: quic: %s", m->options->host, error ? strerror(error) : "closed");
    mux_free(a->mux);
    a->mux = NULL;
    if (is_trying(&m->promotion))
        return;
    loop_timer_set(&m->promotion.again, AGAIN_MS);
    tell_blocked(m);
}

static void refuse(void *arg, struct stream *s)
{
    (void)arg;
    stream_reset(s); /* before its connection was taken */
}

static const struct quic_events attempt_events = {.mux = {.accepted = refuse, .down = on_down},
                                                  .up = on_up};

/* The agent may say where it is as often as it likes. */
static bool may_attempt(struct promotion *p, uint64_t now_ms)
{
    if (now_ms - p->counted_ms >= AGAIN_MS) {
        p->counted_ms = now_ms;
        p->begun = 0;
    }
    return p->begun < BEGUN_MAX;
}

static void attempt(struct master *m, const struct quic_addr *place)
{
    struct promotion *p = &m->promotion;
    struct quic_target to = {.remote = *place,
                             .session = session_id(m->session),
                             .psk = m->psk,
                             .handshake_timeout_ms = TRY_MS};
    size_t i = 0;
    while (i < countof(p->attempts) && p->attempts[i].mux)
        i++;
    if (i == countof(p->attempts) || !may_attempt(p, loop_now_ms(m->loop)))
        return;
    p->begun++;
    p->attempts[i].master = m;
    p->attempts[i].mux = quic_connect(m->loop, &to, &attempt_events, &p->attempts[i]);
    if (!p->attempts[i].mux)
        log_trace("%s: quic: %s", m->options->host, strerror(errno));
}

void promote_try(struct master *m)
{
    struct promotion *p = &m->promotion;
    if (!m->greeted || !p->n || session_has_quic(m->session) || is_trying(p))
        return;
    loop_timer_set(&p->again, AGAIN_MS);
    for (size_t i = 0; i < p->n; i++)
        attempt(m, &p->places[i]);
}

/* Where nothing could be tried it was in vain as well. */
static void on_again(void *arg)
{
    struct master *m = arg;
    loop_timer_set(&m->promotion.again, AGAIN_MS);
    promote_try(m);
    if (!session_has_quic(m->session) && !is_trying(&m->promotion))
        tell_blocked(m);
}

void promote_again(struct master *m)
{
    loop_timer_set(&m->promotion.again, GONE_MS);
}

/* --- the places ------------------------------------------------------------------------------- */

static void add_place(struct master *m, const struct quic_addr *place)
{
    struct promotion *p = &m->promotion;
    if (!place->len || p->n == countof(p->places))
        return;
    for (size_t i = 0; i < p->n; i++)
        if (quic_addr_equal(&p->places[i], place))
            return;
    p->places[p->n++] = *place;
    session_set_peers(m->session, p->places, p->n);
    if (is_trying(p))
        attempt(m, place);
}

static void on_resolved(void *arg, const struct resolved *addresses)
{
    struct master *m = arg;
    m->promotion.resolve = NULL;
    for (size_t i = 0; i < addresses->n; i++) {
        struct quic_addr place = {.len = addresses->len[i]};
        if (place.len > sizeof place.in6)
            continue;
        memcpy(&place.in6, &addresses->addr[i], place.len);
        add_place(m, &place);
    }
    promote_try(m);
}

/* The agent does not know of a NAT before it. */
static void look_up(struct master *m)
{
    struct promotion *p = &m->promotion;
    struct resolved known;
    if (!p->hostname || !p->port || p->resolve)
        return;
    if (resolve_now(p->hostname, p->port, &known))
        on_resolved(m, &known);
    else
        p->resolve = resolve_start(m->loop, p->hostname, p->port, on_resolved, m);
}

static void on_host(void *arg, const char *hostname)
{
    struct master *m = arg;
    m->promotion.ask = NULL;
    m->promotion.hostname = hostname ? xstrdup(hostname) : NULL;
    look_up(m);
}

static void add_peer_of_ssh(struct master *m)
{
    union ssh_peer peer;
    struct quic_addr place = {0};
    uint16_t port = htons(m->promotion.port);
    if (!m->ssh || ssh_peer_of(ssh_pid(m->ssh), &peer) < 0)
        return;
    if (peer.sa.sa_family == AF_INET6) {
        place.in6 = peer.in6;
        place.in6.sin6_port = port;
        place.len = sizeof place.in6;
    } else {
        place.in = peer.in;
        place.in.sin_port = port;
        place.len = sizeof place.in;
    }
    add_place(m, &place);
}

void promote_learn(struct master *m, const struct message *ack)
{
    struct promotion *p = &m->promotion;
    int64_t port = 0;
    if (m->options->transport == TRANSPORT_SSH)
        return;
    if (json_get_int(ack->body, "udp_port", &port) != 1 || port < 1 || port > UINT16_MAX) {
        tell_none(m);
        return;
    }
    p->port = (uint16_t)port;
    p->n = 0;
    add_peer_of_ssh(m);
    struct json_iter it = json_iter(json_get(ack->body, "addresses"));
    while (p->n < NAMED_MAX && json_next(&it)) {
        const char *text = json_str(it.value);
        struct quic_addr place = text ? quic_addr_parse(text, p->port) : (struct quic_addr){0};
        if (quic_addr_is_elsewhere(&place))
            add_place(m, &place);
    }
    loop_timer_set(&p->again, AGAIN_MS);
    look_up(m);
    promote_try(m);
}

/* --- its life ----------------------------------------------------------------------------------- */

void promote_init(struct master *m)
{
    struct promotion *p = &m->promotion;
    loop_timer_init(m->loop, &p->again, on_again, m);
    if (m->options->transport != TRANSPORT_SSH)
        p->ask = ssh_host_ask(m->loop, m->options->host, m->options->ssh_args, on_host, m);
}

void promote_stop(struct master *m)
{
    struct promotion *p = &m->promotion;
    loop_timer_del(&p->again);
    end_attempts(p);
    resolve_cancel(p->resolve);
    p->resolve = NULL;
    p->n = 0;
    p->port = 0;
    p->told = false;
}

void promote_fini(struct master *m)
{
    promote_stop(m);
    ssh_host_cancel(m->promotion.ask);
    free(m->promotion.hostname);
}
