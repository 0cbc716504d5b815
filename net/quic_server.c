/* quic_server.c: a socket that many QUIC connections share.
 *
 * An answer leaves from the address that was spoken to, which ngtcp2 is not told: for it, a peer
 * that speaks to another one would need a new connection id, and it may have none left.
 *
 * Packets find their connection by its ids. What names none, and is no first packet of a session
 * that is known, is not answered and leaves nothing behind; nor does one that was seen before,
 * which anybody may have overheard. What was seen is remembered only so long: so only so many
 * handshakes may be under way, and fewer of each session. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/quic_internal.h"

#define SLOTS          256
#define SHAKING_MAX    64
#define SHAKING_OF_ONE 6
#define SEEN           128
#define SEEN_LEN       16 /* bytes of a ClientHello's random */
#define PORT_TRIES     10
#define WAYS           4 /* the path in use, those that are left, and what strangers repeat */

/* Where a peer was heard from lately, the last one first, and what it had sent that to. */
struct quic_way {
    struct quic_addr remote, local;
};

struct quic_route {
    struct quic_route *next;  /* in its slot */
    struct quic_route *other; /* of the same connection */
    struct quic_conn *m;
    ngtcp2_cid cid;
};

struct quic_server {
    struct loop *loop;
    struct quic_udp *udp;
    const struct quic_server_events *events;
    void *arg;
    struct list_node conns;
    uint64_t hash_key;
    uint8_t token_key[QUIC_SECRET_LEN];
    bool cubic;
    struct quic_route *slots[SLOTS];
    uint8_t seen[SEEN][SEEN_LEN]; /* of clients that had a key */
    size_t next_seen;
};

/* ---- routes ---- */

/* A peer chooses the id that its first packet is for: it cannot know the key. */
static struct quic_route **slot_of(struct quic_server *server, const ngtcp2_cid *cid)
{
    uint64_t hash = server->hash_key;
    for (size_t i = 0; i < cid->datalen; i++)
        hash = (hash ^ cid->data[i]) * UINT64_C(0x9e3779b97f4a7c15) + server->hash_key;
    return &server->slots[hash >> 56];
}

_Static_assert(SLOTS == 1 << 8, "the slot is the hash's upper byte");

static struct quic_route *find(struct quic_server *server, const ngtcp2_cid *cid)
{
    struct quic_route *r = *slot_of(server, cid);
    while (r && !ngtcp2_cid_eq(&r->cid, cid))
        r = r->next;
    return r;
}

static void add(struct quic_conn *m, const ngtcp2_cid *cid)
{
    struct quic_server *server = m->over;
    if (!server || find(server, cid))
        return;
    struct quic_route *r = xcalloc(1, sizeof(*r)), **slot = slot_of(server, cid);
    *r = (struct quic_route){.next = *slot, .other = m->routes, .m = m, .cid = *cid};
    *slot = m->routes = r;
}

static void unhash(struct quic_server *server, const struct quic_route *r)
{
    struct quic_route **at = slot_of(server, &r->cid);
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
}

static void forget(struct quic_conn *m, const ngtcp2_cid *cid)
{
    struct quic_server *server = m->over;
    struct quic_route **at = &m->routes;
    while (*at && !ngtcp2_cid_eq(&(*at)->cid, cid))
        at = &(*at)->other;
    struct quic_route *r = *at;
    if (!r)
        return;
    *at = r->other;
    if (server)
        unhash(server, r);
    free(r);
}

/* ---- as a link ---- */

static size_t way_to(const struct quic_conn *m, const struct quic_addr *remote)
{
    size_t at = 0;
    while (at < WAYS && !quic_addr_equal(&m->ways[at].remote, remote))
        at++;
    return at;
}

static struct quic_udp *route(const struct quic_conn *m, struct quic_batch *out)
{
    const struct quic_server *server = m->over;
    size_t at = way_to(m, &out->remote);
    if (at < WAYS)
        out->local = m->ways[at].local;
    return server ? server->udp : NULL;
}

static void keep_way(struct quic_conn *m, const struct quic_batch *in)
{
    size_t at = way_to(m, &in->remote);
    memmove(m->ways + 1, m->ways, (at < WAYS ? at : WAYS - 1) * sizeof(*m->ways));
    m->ways[0] = (struct quic_way){.remote = in->remote, .local = in->local};
}

static bool speaks_to(const struct quic_conn *m, const struct quic_addr *remote)
{
    const ngtcp2_addr *now = &ngtcp2_conn_get_path(m->conn)->remote;
    return now->addrlen == remote->len && !memcmp(now->addr, &remote->sa, remote->len);
}

/* For ngtcp2 all that comes has come to one address. What is in flight to a peer that has moved is
 * lost, most likely: it goes again at once. */
static void hand_over(struct quic_server *server, struct quic_conn *m, const struct quic_batch *in)
{
    struct quic_batch named = *in;
    bool here = speaks_to(m, &in->remote);
    named.local = quic_udp_local(server->udp);
    if (!quic_conn_read(m, &named, true))
        return;
    keep_way(m, in);
    if (!here && m->state == QUIC_UP && speaks_to(m, &in->remote)) {
        m->moved = true;
        quic_probe(&m->mux);
    }
}

static void up(struct quic_conn *m)
{
    struct quic_server *server = m->over;
    if (server)
        server->events->connected(server->arg, &m->mux, quic_crypto_session(m->crypto));
    if (!m->mux.events && m->state <= QUIC_UP)
        mux_free(&m->mux);
}

static void gone(struct quic_conn *m)
{
    while (m->routes)
        forget(m, &m->routes->cid);
    list_unlink(&m->peers);
    loop_reap(m->loop, m->ways, free);
}

static void before(struct quic_conn *m)
{
    (void)m;
}

static const struct quic_link_ops link_ops = {.route = route,
                                              .cid_added = add,
                                              .cid_removed = forget,
                                              .up = up,
                                              .gone = gone,
                                              .before = before};

/* ---- newcomers ---- */

static bool find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN])
{
    struct quic_server *server = arg;
    return server->events->find_psk(server->arg, session, psk);
}

/* NULL counts all. */
static size_t shaking(const struct quic_server *server, const uint8_t *session)
{
    size_t n = 0;
    for (struct list_node *at = server->conns.next; at != &server->conns; at = at->next) {
        const struct quic_conn *m = container_of(at, struct quic_conn, peers);
        const uint8_t *its = m->state == QUIC_SHAKING ? quic_crypto_session(m->crypto) : NULL;
        if (its && (!session || !memcmp(its, session, SESSION_LEN)))
            n++;
    }
    return n;
}

static bool is_replay(struct quic_server *server, const struct quic_conn *m)
{
    const uint8_t *random = quic_crypto_random(m->crypto);
    for (size_t i = 0; i < SEEN; i++)
        if (!memcmp(server->seen[i], random, SEEN_LEN))
            return true;
    memcpy(server->seen[server->next_seen++ % SEEN], random, SEEN_LEN);
    return false;
}

static void meet(struct quic_server *server, const struct quic_batch *in, const ngtcp2_pkt_hd *hd)
{
    struct quic_crypto_config crypto = {.prefer = quic_cipher_preferred(),
                                        .find_psk = find_psk,
                                        .keylog = quic_keylog,
                                        .arg = server};
    struct quic_conn_config config = {.link = &link_ops,
                                      .over = server,
                                      .header = hd,
                                      .local = quic_udp_local(server->udp),
                                      .remote = in->remote,
                                      .token_key = server->token_key,
                                      .cubic = server->cubic};
    struct quic_conn *m = quic_conn_new(server->loop, &config, &crypto);
    list_push(&server->conns, &m->peers);
    add(m, &hd->dcid);
    m->ways = xcalloc(WAYS, sizeof(*m->ways));
    keep_way(m, in);
    hand_over(server, m, in);
    if (m->state == QUIC_SHAKING &&
        (is_replay(server, m) || shaking(server, quic_crypto_session(m->crypto)) > SHAKING_OF_ONE))
        quic_conn_down(m, ECONNREFUSED);
}

static void received(void *arg, struct quic_udp *u, const struct quic_batch *in)
{
    struct quic_server *server = arg;
    ngtcp2_version_cid id;
    ngtcp2_pkt_hd hd;
    ngtcp2_cid dcid;
    (void)u;
    if (ngtcp2_pkt_decode_version_cid(&id, in->data, in->len, QUIC_CID_LEN) ||
        id.dcidlen > NGTCP2_MAX_CIDLEN)
        return;
    ngtcp2_cid_init(&dcid, id.dcid, id.dcidlen);
    struct quic_route *r = find(server, &dcid);
    if (r)
        hand_over(server, r->m, in);
    else if (id.version == NGTCP2_PROTO_VER_V1 && !ngtcp2_accept(&hd, in->data, in->len) &&
             shaking(server, NULL) < SHAKING_MAX)
        meet(server, in, &hd);
}

static void writable(void *arg, struct quic_udp *u)
{
    struct quic_server *server = arg;
    (void)u;
    for (struct list_node *at = server->conns.next; at != &server->conns; at = at->next)
        quic_conn_writable(container_of(at, struct quic_conn, peers));
}

static const struct quic_udp_events udp_events = {.received = received, .writable = writable};

/* ---- life ---- */

/* Both families by one socket, or IPv4 alone. */
static struct quic_udp *bind_port(struct quic_server *server, uint16_t port)
{
    struct quic_addr at = {.len = sizeof(at.in6)};
    at.in6.sin6_family = AF_INET6;
    at.in6.sin6_port = htons(port);
    struct quic_udp *u = quic_udp_open(server->loop, &at, &udp_events, server);
    if (u || errno == EADDRINUSE)
        return u;
    at = (struct quic_addr){.len = sizeof(at.in)};
    at.in.sin_family = AF_INET;
    at.in.sin_port = htons(port);
    return quic_udp_open(server->loop, &at, &udp_events, server);
}

/* No port is tried twice, so that in a small range one that is free is found. */
static struct quic_udp *bind_range(struct quic_server *server, const struct quic_listen *at)
{
    uint32_t span = (uint32_t)at->last_port - at->first_port + 1;
    if (!at->first_port || at->first_port > at->last_port)
        return bind_port(server, 0);
    uint32_t tries = span < PORT_TRIES ? span : PORT_TRIES, begin = key_random_below(span);
    for (uint32_t i = 0; i < tries; i++) {
        uint32_t place = (begin + i * (span / tries)) % span;
        struct quic_udp *u = bind_port(server, (uint16_t)(at->first_port + place));
        if (u)
            return u;
    }
    return bind_port(server, 0);
}

struct quic_server *quic_server_new(struct loop *loop, const struct quic_listen *at,
                                    const struct quic_server_events *events, void *arg)
{
    struct quic_server *server = xcalloc(1, sizeof(*server));
    server->loop = loop;
    server->events = events;
    server->arg = arg;
    server->cubic = at->cubic;
    list_init(&server->conns);
    key_random(&server->hash_key, sizeof(server->hash_key));
    key_random(server->token_key, sizeof(server->token_key));
    server->udp = bind_range(server, at);
    if (!server->udp) {
        free(server);
        return NULL;
    }
    return server;
}

void quic_server_free(struct quic_server *server)
{
    if (!server)
        return;
    while (!list_empty(&server->conns)) {
        struct quic_conn *m = container_of(server->conns.next, struct quic_conn, peers);
        while (m->routes)
            forget(m, &m->routes->cid);
        list_unlink(&m->peers);
        m->over = NULL;
        quic_conn_down(m, ECONNABORTED);
    }
    quic_udp_close(server->udp);
    loop_reap(server->loop, server, free);
}

uint16_t quic_server_port(const struct quic_server *server)
{
    return ntohs(quic_udp_local(server->udp).in6.sin6_port);
}

size_t quic_server_count(const struct quic_server *server)
{
    size_t n = 0;
    for (const struct list_node *at = server->conns.next; at != &server->conns; at = at->next)
        n++;
    return n;
}
