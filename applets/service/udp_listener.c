#include "applets/service/udp_listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/key.h"
#include "core/mem.h"
#include "net/sock.h"
#include "net/yamux_list.h"

#define SLOTS 1024u /* a power of two */

enum sender_state {
    SENDER_UNANSWERED,
    SENDER_ANSWERED,
    SENDER_MUTE, /* without a flow */
    SENDER_STATES
};

struct sender {
    struct list_node node; /* in the ring of its state; first: who was active last is at its end */
    struct udp_listener *listener;
    struct sender *chain;
    enum sender_state state;
    uint64_t active_ms;
    struct dgram_path path;
    struct udp_flow *flow;
};

struct udp_listener {
    struct loop *loop;
    struct udp_listener_options o;
    struct dgram *socket;
    struct sender *slots[SLOTS];
    struct list_node rings[SENDER_STATES];
    unsigned n;
    uint8_t seed[8];
    struct loop_timer expiry;
    bool freed;
};

/* --- by address ------------------------------------------------------------------------------ */

/* FNV-1a; who does not know the seed cannot make one chain long on purpose. */
static uint32_t mix(uint32_t hash, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len--)
        hash = (hash ^ *p++) * 16777619u;
    return hash;
}

static uint32_t mix_address(uint32_t hash, const struct quic_addr *a)
{
    if (a->sa.sa_family == AF_INET6)
        return mix(mix(hash, &a->in6.sin6_addr, sizeof a->in6.sin6_addr), &a->in6.sin6_port, 2);
    return mix(mix(hash, &a->in.sin_addr, sizeof a->in.sin_addr), &a->in.sin_port, 2);
}

static struct sender **slot_of(struct udp_listener *l, const struct dgram_path *path)
{
    uint32_t hash = mix(2166136261u, l->seed, sizeof l->seed);
    hash = mix_address(mix_address(hash, &path->remote), &path->local);
    return &l->slots[(hash ^ hash >> 16) & (SLOTS - 1)];
}

static bool same_path(const struct dgram_path *a, const struct dgram_path *b)
{
    return quic_addr_equal(&a->remote, &b->remote) && quic_addr_equal(&a->local, &b->local);
}

static struct sender *find(struct udp_listener *l, const struct dgram_path *path)
{
    struct sender *s = *slot_of(l, path);
    while (s && !same_path(&s->path, path))
        s = s->chain;
    return s;
}

/* --- how long they stay ------------------------------------------------------------------------- */

static uint64_t patience_ms(const struct udp_listener *l, enum sender_state state)
{
    switch (state) {
    case SENDER_ANSWERED: return l->o.idle_ms;
    case SENDER_UNANSWERED: return l->o.unanswered_ms;
    default: return UDP_MUTE_MS;
    }
}

static struct sender *idlest_in(struct list_node *ring)
{
    return list_empty(ring) ? NULL : container_of(ring->next, struct sender, node);
}

/* The earliest that one is due; UINT64_MAX: there is none. */
static uint64_t next_due_ms(struct udp_listener *l)
{
    uint64_t first = UINT64_MAX;
    for (int state = 0; state < SENDER_STATES; state++) {
        struct sender *s = idlest_in(&l->rings[state]);
        uint64_t due = s ? s->active_ms + patience_ms(l, s->state) : UINT64_MAX;
        first = due < first ? due : first;
    }
    return first;
}

static void touch(struct sender *s, enum sender_state state)
{
    struct udp_listener *l = s->listener;
    uint64_t after_ms = patience_ms(l, state);
    list_unlink(&s->node);
    s->state = state;
    s->active_ms = loop_now_ms(l->loop);
    list_push(&l->rings[state], &s->node);
    if (!loop_timer_armed(&l->expiry) || l->expiry.due_ms > s->active_ms + after_ms)
        loop_timer_set(&l->expiry, after_ms);
}

static void lose_flow(struct sender *s)
{
    s->flow = NULL;
    s->listener->o.count->open--;
}

static void forget(struct sender *s)
{
    struct udp_listener *l = s->listener;
    struct sender **at = slot_of(l, &s->path);
    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
    list_unlink(&s->node);
    l->n--;
    udp_flow_end(s->flow);
    if (s->flow)
        lose_flow(s);
    loop_reap(l->loop, s, free);
}

static void on_expiry(void *arg)
{
    struct udp_listener *l = arg;
    uint64_t now_ms = loop_now_ms(l->loop), due_ms;
    for (int state = 0; state < SENDER_STATES; state++) {
        struct sender *s;
        while ((s = idlest_in(&l->rings[state])) &&
               s->active_ms + patience_ms(l, s->state) <= now_ms)
            forget(s);
    }
    due_ms = next_due_ms(l);
    if (due_ms != UINT64_MAX)
        loop_timer_set(&l->expiry, due_ms - now_ms);
}

static void make_place(struct udp_listener *l)
{
    struct sender *idlest = NULL;
    for (int state = 0; l->n >= l->o.senders && state < SENDER_STATES; state++) {
        struct sender *s = idlest_in(&l->rings[state]);
        if (s && (!idlest || s->active_ms < idlest->active_ms))
            idlest = s;
    }
    if (idlest)
        forget(idlest);
}

/* --- its flow ---------------------------------------------------------------------------------- */

static void tell(struct udp_listener *l, int error)
{
    if (l->o.heard)
        l->o.heard(l->o.arg, error);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    struct sender *s = arg;
    struct udp_listener *l = s->listener;
    l->o.count->down_bytes += len;
    touch(s, SENDER_ANSWERED);
    dgram_send(l->socket, &s->path, data, len);
    tell(l, 0);
}

static void on_refused(void *arg, int error)
{
    tell(((struct sender *)arg)->listener, error);
}

static void on_over(void *arg, int error)
{
    struct sender *s = arg;
    (void)error;
    lose_flow(s);
    touch(s, SENDER_MUTE);
}

static struct draft on_request(void *arg)
{
    const struct sender *s = arg;
    char peer[TARGET_TEXT_MAX];
    sock_address_text(&s->path.remote.sa, peer);
    return s->listener->o.request(s->listener->o.arg, peer);
}

static const struct udp_flow_events flow_events = {
    .datagram = on_datagram, .refused = on_refused, .over = on_over, .request = on_request};

static struct sender *begin(struct udp_listener *l, const struct dgram_path *path)
{
    if (l->o.ready && !l->o.ready(l->o.arg))
        return NULL;
    make_place(l);
    struct sender *s = xcalloc(1, sizeof *s), **slot = slot_of(l, path);
    s->listener = l;
    s->path = *path;
    s->flow = udp_flow_open(l->o.flows, &flow_events, s);
    if (!s->flow) {
        free(s);
        return NULL;
    }
    s->chain = *slot;
    *slot = s;
    l->n++;
    l->o.count->open++;
    return s;
}

static void on_received(void *arg, const struct dgram_path *from, const uint8_t *data, size_t len)
{
    struct udp_listener *l = arg;
    struct sender *s = find(l, from);
    if (!s)
        s = begin(l, from);
    if (!s || s->state == SENDER_MUTE)
        return;
    l->o.count->up_bytes += len;
    udp_flow_send(s->flow, data, len);
    touch(s, s->state);
}

static void on_failed(void *arg, int error)
{
    (void)arg; /* only of a connected socket */
    (void)error;
}

static const struct dgram_events socket_events = {.received = on_received, .failed = on_failed};

/* --- its life ------------------------------------------------------------------------------------ */

struct udp_listener *udp_listener_new(struct loop *loop, const struct udp_listener_options *o)
{
    struct udp_listener *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->o = *o;
    l->o.bind = NULL;
    l->o.senders = o->senders ? o->senders : UDP_SENDERS_MAX;
    l->o.idle_ms = o->idle_ms ? o->idle_ms : UDP_IDLE_MS;
    l->o.unanswered_ms = o->unanswered_ms ? o->unanswered_ms : UDP_UNANSWERED_MS;
    l->socket = dgram_bind(loop, o->bind, &socket_events, l);
    if (!l->socket) {
        free(l);
        return NULL;
    }
    key_random(l->seed, sizeof l->seed);
    for (int state = 0; state < SENDER_STATES; state++)
        list_init(&l->rings[state]);
    loop_timer_init(loop, &l->expiry, on_expiry, l);
    return l;
}

void udp_listener_free(struct udp_listener *l)
{
    struct sender *s;
    if (!l || l->freed)
        return;
    l->freed = true;
    for (int state = 0; state < SENDER_STATES; state++)
        while ((s = idlest_in(&l->rings[state])))
            forget(s);
    loop_timer_del(&l->expiry);
    dgram_close(l->socket);
    loop_reap(l->loop, l, free);
}

uint16_t udp_listener_port(const struct udp_listener *l)
{
    return dgram_port(l->socket);
}
