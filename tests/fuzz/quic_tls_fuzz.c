/* The handshake reader in either role, told anything at any step.
 *
 * The first byte says which of these the rest is:
 *     SERVER, CLIENT  u8 level | u8 n | n bytes, again and again, to a fresh end
 *     HELLO           a ClientHello, which gets the binder that it ought to have: so what is
 *                     behind that check is reached
 *     EXTENSIONS      as CLIENT, to a client that has its ServerHello
 *     FLIP            u8 leg | u16 at | u8 by, again and again: bytes that are changed on their
 *                     way through a handshake that is well otherwise */
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/bytes.h"
#include "core/mem.h"
#include "net/quic_tls.h"
#include "net/quic_tls_keys.h"
#include "net/quic_tls_wire.h"

#define LEVELS 3

enum kind { SERVER, CLIENT, HELLO, EXTENSIONS, FLIP, KINDS };

static const uint8_t session[SESSION_LEN] = "0123456789abcde", psk[PSK_LEN] = "key";

struct end {
    struct quic_tls *t;
    struct buf out[LEVELS];
    bool reads_data;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static bool find_psk(void *arg, const uint8_t id[static SESSION_LEN], uint8_t out[static PSK_LEN])
{
    (void)arg;
    memcpy(out, psk, PSK_LEN);
    return !memcmp(id, session, SESSION_LEN);
}

static size_t local_params(void *arg, uint8_t *out, size_t cap)
{
    (void)arg;
    memset(out, 'p', cap);
    return cap;
}

static int look(void *arg, const uint8_t *p, size_t len)
{
    volatile uint8_t sum = 0;
    (void)arg;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return len && p[0] == 0xff ? -1 : 0;
}

static void take(void *arg, enum quic_level level, const uint8_t *p, size_t len)
{
    struct end *e = arg;
    buf_append(&e->out[level], p, len);
}

static int secrets(void *arg, enum quic_level level, const uint8_t *rx, const uint8_t *tx)
{
    struct end *e = arg;
    must(rx || tx);
    e->reads_data |= level == QUIC_ONE_RTT && rx;
    return 0;
}

static void keylog(void *arg, const char *line)
{
    (void)arg;
    must(strlen(line) > 2 * QUIC_SECRET_LEN);
}

static const struct quic_tls_events events = {.find_psk = find_psk,
                                              .local_params = local_params,
                                              .peer_params = look,
                                              .send = take,
                                              .secrets = secrets,
                                              .keylog = keylog};

static void end_init(struct end *e, bool server)
{
    struct quic_tls_config config = {
        .prefer = QUIC_AES_128_GCM, .session = session, .psk = psk, .events = &events, .arg = e};
    *e = (struct end){.t = server ? quic_tls_server(&config) : quic_tls_client(&config)};
    must(server || quic_tls_start(e->t) == 0);
}

static void end_fini(struct end *e)
{
    quic_tls_free(e->t);
    for (size_t i = 0; i < LEVELS; i++)
        buf_fini(&e->out[i]);
}

/* In memory of its own, so that one byte too far is seen. */
static int tell(struct end *e, enum quic_level level, const uint8_t *p, size_t len)
{
    uint8_t *copy = xmalloc(len ? len : 1);
    if (len)
        memcpy(copy, p, len);
    int status = quic_tls_receive(e->t, level, copy, len);
    free(copy);
    must((status == 0) == (quic_tls_error(e->t) == QUIC_TLS_OK));
    must(quic_tls_done(e->t) == (e->reads_data && !quic_tls_error(e->t)));
    return status;
}

/* Whoever does not know the key gets nobody there. */
static void tell_all(struct end *e, struct reader *r)
{
    while (r->left && !r->bad) {
        enum quic_level level = (enum quic_level)(read_u8(r) % LEVELS);
        size_t len = read_u8(r);
        len = len < r->left ? len : r->left;
        const uint8_t *p = read_bytes(r, len);
        if (p)
            tell(e, level, p, len);
    }
    must(!quic_tls_done(e->t) && !e->reads_data);
}

static void hear_strangers(bool server, struct reader *r)
{
    struct end e;
    end_init(&e, server);
    tell_all(&e, r);
    end_fini(&e);
}

/* What a reader has found lies within the message. */
static void check_within(const struct quic_tls_hello *h, const uint8_t *msg, size_t len)
{
    must(h->random >= msg && h->random + QUIC_TLS_RANDOM_LEN <= msg + len);
    must(!h->share || (h->share >= msg && h->share + QUIC_X25519_LEN <= msg + len));
    must(!h->params_len || (h->params >= msg && h->params + h->params_len <= msg + len));
    must(!h->identity || (h->identity >= msg && h->identity + h->identity_len <= msg + len));
    must(!h->binder ||
         (h->binder >= msg + h->binders_at && h->binder + QUIC_SECRET_LEN <= msg + len));
}

static void bind(uint8_t *msg, const struct quic_tls_hello *h)
{
    uint8_t hash[SHA256_LEN];
    struct quic_tls_keys keys;
    key_sha256(msg, h->binders_at, hash);
    quic_tls_keys_early(&keys, psk);
    quic_tls_keys_binder(&keys, "ext binder", hash, msg + (h->binder - msg));
}

static void hear_hello(struct reader *r)
{
    struct end e;
    struct quic_tls_hello h;
    size_t len = r->left;
    const uint8_t *bytes = read_bytes(r, len);
    if (len < QUIC_TLS_HEADER_LEN || len > 4096)
        return;
    uint8_t *msg = xmalloc(len);
    memcpy(msg, bytes, len);
    msg[0] = QUIC_TLS_CLIENT_HELLO;
    msg[1] = 0;
    msg[2] = (uint8_t)((len - QUIC_TLS_HEADER_LEN) >> 8);
    msg[3] = (uint8_t)(len - QUIC_TLS_HEADER_LEN);
    if (!quic_tls_read_client_hello(&h, msg, len)) {
        check_within(&h, msg, len);
        if (h.binder)
            bind(msg, &h);
    }
    end_init(&e, true);
    tell(&e, QUIC_INITIAL, msg, len);
    must(!quic_tls_done(e.t));
    free(msg);
    end_fini(&e);
}

/* Which way, at which level; in the order of the handshake. */
static const struct leg {
    bool from_server;
    enum quic_level level;
} legs[] = {
    {false, QUIC_INITIAL}, {true, QUIC_INITIAL}, {true, QUIC_HANDSHAKE}, {false, QUIC_HANDSHAKE}};

static void carry(struct end *client, struct end *server, const struct leg *leg)
{
    struct end *from = leg->from_server ? server : client, *to = leg->from_server ? client : server;
    struct buf *b = &from->out[leg->level];
    tell(to, leg->level, buf_front(b), b->len);
    buf_consume(b, b->len);
}

static void hear_extensions(struct reader *r)
{
    struct end client, server;
    end_init(&client, false);
    end_init(&server, true);
    carry(&client, &server, &legs[0]);
    carry(&client, &server, &legs[1]);
    tell_all(&client, r);
    end_fini(&client);
    end_fini(&server);
}

/* Changes that undo each other are none. */
static bool flip(struct buf *b, struct reader r, size_t leg)
{
    uint8_t *was = xmalloc(b->len + 1);
    if (b->len)
        memcpy(was, buf_front(b), b->len);
    while (r.left >= 4) {
        bool here = read_u8(&r) % countof(legs) == leg;
        size_t at = read_u16(&r);
        uint8_t by = read_u8(&r);
        if (here && at < b->len)
            buf_front(b)[at] ^= by;
    }
    bool changed = b->len && memcmp(was, buf_front(b), b->len) != 0;
    free(was);
    return changed;
}

static void hear_flipped(const struct reader *r)
{
    struct end client, server;
    bool changed = false;
    end_init(&client, false);
    end_init(&server, true);
    for (size_t i = 0; i < countof(legs); i++) {
        const struct end *from = legs[i].from_server ? &server : &client;
        struct buf b = from->out[legs[i].level];
        changed |= flip(&b, *r, i);
        carry(&client, &server, &legs[i]);
    }
    must(quic_tls_done(server.t) == !changed);
    must(!changed || !quic_tls_done(client.t) || !server.reads_data);
    end_fini(&client);
    end_fini(&server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(data, size);
    key_init();
    if (!size)
        return 0;
    switch ((enum kind)(read_u8(&r) % KINDS)) {
    case SERVER: hear_strangers(true, &r); break;
    case CLIENT: hear_strangers(false, &r); break;
    case HELLO: hear_hello(&r); break;
    case EXTENSIONS: hear_extensions(&r); break;
    case FLIP: hear_flipped(&r); break;
    case KINDS: break;
    }
    return 0;
}
