/* quic_client.c: a QUIC connection with sockets of its own.
 *
 * ngtcp2 knows each path by a name: a number for our address, and for the peer's the one that was
 * spoken to first, wherever the packets really go. A hop goes unnoticed by it: the new socket is
 * given the name of the last, and the server sees a NAT that rebinds (RFC 9000 §9.3), which needs
 * no new connection id and so works on a dead path any number of times. A roam is a migration
 * (§9.2), which needs one: without, it is a hop until one is there. Either way the size of packets
 * is searched anew. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/quic_internal.h"

struct end {
    struct quic_udp *udp;
    struct quic_addr name;   /* ngtcp2's */
    struct quic_addr remote; /* nobody else is listened to (RFC 9000 §9) */
};

struct quic_client {
    struct quic_conn *m;
    struct end now, last;  /* last: what comes late still arrives there */
    struct quic_addr peer; /* ngtcp2's name of it */
    uint16_t names;        /* given so far */
    bool roam_due;
};

static const struct quic_udp_events udp_events;

static struct quic_udp *open_socket(struct quic_client *c, struct loop *loop,
                                    const struct quic_addr *remote)
{
    struct quic_addr any = {.len = remote->len};
    any.sa.sa_family = remote->sa.sa_family;
    return quic_udp_open(loop, &any, &udp_events, c);
}

static struct quic_addr new_name(struct quic_client *c)
{
    struct quic_addr name = {.len = sizeof(name.in)};
    name.in.sin_family = AF_INET;
    name.in.sin_port = ++c->names;
    return name;
}

static void received(void *arg, struct quic_udp *u, const struct quic_batch *in)
{
    struct quic_client *c = arg;
    const struct end *end = u == c->now.udp ? &c->now : &c->last;
    struct quic_batch named = *in;
    if (!quic_addr_equal(&in->remote, &end->remote))
        return;
    named.local = end->name;
    named.remote = c->peer;
    quic_conn_read(c->m, &named, end == &c->now);
}

static void writable(void *arg, struct quic_udp *u)
{
    struct quic_client *c = arg;
    (void)u;
    quic_conn_writable(c->m);
}

static const struct quic_udp_events udp_events = {.received = received, .writable = writable};

static struct quic_udp *route(const struct quic_conn *m, struct quic_batch *out)
{
    const struct quic_client *c = m->over;
    out->local = (struct quic_addr){0};
    out->remote = c->now.remote;
    return c->now.udp;
}

static void no_cid(struct quic_conn *m, const ngtcp2_cid *cid)
{
    (void)m, (void)cid;
}

static void up(struct quic_conn *m)
{
    if (m->events->up)
        m->events->up(m->mux.arg);
}

static void gone(struct quic_conn *m)
{
    struct quic_client *c = m->over;
    quic_udp_close(c->now.udp);
    quic_udp_close(c->last.udp);
    loop_reap(m->loop, c, free);
}

static void migrate(struct quic_client *c)
{
    struct quic_addr from = new_name(c);
    ngtcp2_path path = {.local = {.addr = &from.sa, .addrlen = from.len},
                        .remote = {.addr = &c->peer.sa, .addrlen = c->peer.len}};
    if (ngtcp2_conn_initiate_immediate_migration(c->m->conn, &path, quic_now()))
        return;
    c->now.name = from;
    c->roam_due = false;
    c->m->probe_due = c->m->moved = true;
}

static void before(struct quic_conn *m)
{
    struct quic_client *c = m->over;
    if (c->roam_due && m->state == QUIC_UP)
        migrate(c);
}

static const struct quic_link_ops link_ops = {.route = route,
                                              .cid_added = no_cid,
                                              .cid_removed = no_cid,
                                              .up = up,
                                              .gone = gone,
                                              .before = before};

int quic_hop(struct mux *mux, const struct quic_addr *remote)
{
    struct quic_conn *m = quic_conn_of(mux);
    struct quic_client *c = m->over;
    struct end next = {.name = c->now.name, .remote = remote ? *remote : c->now.remote};
    if (m->state > QUIC_UP) {
        errno = ENOTCONN;
        return -1;
    }
    next.udp = open_socket(c, m->loop, &next.remote);
    if (!next.udp)
        return -1;
    quic_udp_close(c->last.udp);
    c->last = c->now;
    c->now = next;
    m->path_good = false;
    if (m->asked)
        m->asked = quic_now();
    ngtcp2_conn_restart_pmtud(m->conn);
    quic_probe(mux);
    return 0;
}

int quic_roam(struct mux *mux, const struct quic_addr *remote)
{
    struct quic_client *c = quic_conn_of(mux)->over;
    if (quic_hop(mux, remote))
        return -1;
    c->roam_due = true;
    return 0;
}

struct mux *quic_connect(struct loop *loop, const struct quic_target *to,
                         const struct quic_events *events, void *arg)
{
    static const uint8_t no_tokens[QUIC_SECRET_LEN];
    struct quic_client *c = xcalloc(1, sizeof(*c));
    struct quic_crypto_config crypto = {.prefer = quic_cipher_preferred(),
                                        .session = to->session,
                                        .psk = to->psk,
                                        .keylog = quic_keylog};
    c->peer = c->now.remote = to->remote;
    c->now.name = new_name(c);
    c->now.udp = open_socket(c, loop, &to->remote);
    if (!c->now.udp) {
        free(c);
        return NULL;
    }
    struct quic_conn_config config = {.link = &link_ops,
                                      .over = c,
                                      .local = c->now.name,
                                      .remote = c->peer,
                                      .token_key = no_tokens,
                                      .handshake_timeout_ms = to->handshake_timeout_ms,
                                      .cubic = to->cubic};
    c->m = quic_conn_new(loop, &config, &crypto);
    quic_own(&c->m->mux, events, arg);
    quic_conn_wake(c->m);
    return &c->m->mux;
}
