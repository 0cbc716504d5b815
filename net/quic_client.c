/* quic_client.c: a QUIC connection with sockets of its own.
 *
 * ngtcp2 knows each socket by a name, its local address. A hop goes unnoticed by it: the new
 * socket is given the name of the last, and the server sees a NAT that rebinds (RFC 9000 §9.3),
 * which needs no new connection id and so works on a dead path any number of times. A roam is a
 * migration (§9.2), which needs one: without, it is a hop, with packets of the least size,
 * until one is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/quic_internal.h"

struct quic_client {
    struct quic_conn *m;
    struct quic_udp *now, *last; /* last: what comes late still arrives there */
    struct quic_addr name, last_name;
    struct quic_addr remote;
    bool roam_due;
};

static const struct quic_udp_events udp_events;

static struct quic_udp *open_socket(struct quic_client *c, struct loop *loop)
{
    struct quic_addr any = {.len = c->remote.len};
    any.sa.sa_family = c->remote.sa.sa_family;
    return quic_udp_open(loop, &any, &udp_events, c);
}

static void received(void *arg, struct quic_udp *u, const struct quic_batch *in)
{
    struct quic_client *c = arg;
    quic_conn_read(c->m, u == c->now ? &c->name : &c->last_name, in);
}

static void writable(void *arg, struct quic_udp *u)
{
    struct quic_client *c = arg;
    (void)u;
    quic_conn_writable(c->m);
}

static const struct quic_udp_events udp_events = {.received = received, .writable = writable};

static struct quic_udp *udp(struct quic_conn *m)
{
    const struct quic_client *c = m->over;
    return c->now;
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
    quic_udp_close(c->now);
    quic_udp_close(c->last);
    loop_reap(m->loop, c, free);
}

static int migrate(struct quic_client *c, const struct quic_addr *name)
{
    struct quic_addr from = *name, to = c->remote;
    ngtcp2_path path = {.local = {.addr = &from.sa, .addrlen = from.len},
                        .remote = {.addr = &to.sa, .addrlen = to.len}};
    if (ngtcp2_conn_initiate_immediate_migration(c->m->conn, &path, quic_now()))
        return -1;
    c->name = *name;
    c->roam_due = false;
    c->m->payload_max = 0;
    return 0;
}

static void before(struct quic_conn *m)
{
    struct quic_client *c = m->over;
    struct quic_addr name = quic_udp_local(c->now);
    if (c->roam_due && m->state == QUIC_UP)
        migrate(c, &name);
}

static const struct quic_link_ops link_ops = {.udp = udp,
                                              .cid_added = no_cid,
                                              .cid_removed = no_cid,
                                              .up = up,
                                              .gone = gone,
                                              .before = before};

int quic_hop(struct mux *mux)
{
    struct quic_conn *m = quic_conn_of(mux);
    struct quic_client *c = m->over;
    struct quic_udp *u = m->state <= QUIC_UP ? open_socket(c, m->loop) : NULL;
    if (!u)
        return -1;
    quic_udp_close(c->last);
    c->last = c->now;
    c->last_name = c->name;
    c->now = u;
    m->path_good = false;
    quic_probe(mux);
    return 0;
}

int quic_roam(struct mux *mux)
{
    struct quic_conn *m = quic_conn_of(mux);
    struct quic_client *c = m->over;
    if (quic_hop(mux))
        return -1;
    c->roam_due = true;
    m->payload_max = NGTCP2_MAX_UDP_PAYLOAD_SIZE;
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
    c->remote = to->remote;
    c->now = open_socket(c, loop);
    if (!c->now) {
        free(c);
        return NULL;
    }
    c->name = quic_udp_local(c->now);
    struct quic_conn_config config = {.link = &link_ops,
                                      .over = c,
                                      .local = c->name,
                                      .remote = c->remote,
                                      .token_key = no_tokens,
                                      .handshake_timeout_ms = to->handshake_timeout_ms,
                                      .cubic = to->cubic};
    c->m = quic_conn_new(loop, &config, &crypto);
    quic_own(&c->m->mux, events, arg);
    quic_conn_wake(c->m);
    return &c->m->mux;
}
