#include "tests/unit/quic_tls_rig.h"

#include <string.h>

#include "tests/unit/test.h"

static bool find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN])
{
    const struct tls_end *e = arg;
    if (memcmp(session, e->session, SESSION_LEN) != 0)
        return false;
    memcpy(psk, e->psk, PSK_LEN);
    return true;
}

static size_t local_params(void *arg, uint8_t *out, size_t cap)
{
    const struct tls_end *e = arg;
    CHECK(strlen(e->params) <= cap);
    memcpy(out, e->params, strlen(e->params));
    return strlen(e->params);
}

static int peer_params(void *arg, const uint8_t *params, size_t len)
{
    struct tls_end *e = arg;
    if (len >= sizeof(e->peer_params))
        return -1;
    if (len)
        memcpy(e->peer_params, params, len);
    e->peer_params[len] = '\0';
    return e->refuses_params ? -1 : 0;
}

static void take(void *arg, enum quic_level level, const uint8_t *p, size_t len)
{
    struct tls_end *e = arg;
    buf_append(&e->out[level], p, len);
}

static int secrets(void *arg, enum quic_level level, const uint8_t *rx, const uint8_t *tx)
{
    struct tls_end *e = arg;
    CHECK(!(rx && e->reads[level]) && !(tx && e->writes[level]));
    if (rx)
        memcpy(e->rx[level], rx, QUIC_SECRET_LEN);
    if (tx)
        memcpy(e->tx[level], tx, QUIC_SECRET_LEN);
    e->reads[level] |= rx != NULL;
    e->writes[level] |= tx != NULL;
    return e->refuses_secrets ? -1 : 0;
}

static void keylog(void *arg, const char *line)
{
    struct tls_end *e = arg;
    buf_append(&e->keylog, line, strlen(line));
    buf_append(&e->keylog, "\n", 1);
}

static const struct quic_tls_events events = {.find_psk = find_psk,
                                              .local_params = local_params,
                                              .peer_params = peer_params,
                                              .send = take,
                                              .secrets = secrets,
                                              .keylog = keylog};

static void end_init(struct tls_end *e)
{
    *e = (struct tls_end){0};
    memcpy(e->session, "0123456789abcdef", SESSION_LEN);
    memcpy(e->psk, "a pre-shared key of thirty-two b", PSK_LEN);
}

void tls_pair_init(struct tls_pair *p, enum quic_cipher client, enum quic_cipher server)
{
    end_init(&p->client);
    end_init(&p->server);
    p->client.params = "the client's";
    p->server.params = "the server's";
    struct quic_tls_config config = {.prefer = client,
                                     .session = p->client.session,
                                     .psk = p->client.psk,
                                     .events = &events,
                                     .arg = &p->client};
    p->client.t = quic_tls_client(&config);
    config = (struct quic_tls_config){.prefer = server, .events = &events, .arg = &p->server};
    p->server.t = quic_tls_server(&config);
}

static void end_fini(struct tls_end *e)
{
    quic_tls_free(e->t);
    buf_fini(&e->keylog);
    for (size_t i = 0; i < TLS_LEVELS; i++)
        buf_fini(&e->out[i]);
}

void tls_pair_fini(struct tls_pair *p)
{
    end_fini(&p->client);
    end_fini(&p->server);
}

int tls_carry(struct tls_end *from, struct tls_end *to, enum quic_level level, size_t piece)
{
    struct buf *b = &from->out[level];
    int status = 0;
    while (b->len && !status) {
        size_t len = piece && piece < b->len ? piece : b->len;
        status = quic_tls_receive(to->t, level, buf_front(b), len);
        buf_consume(b, len);
    }
    return status;
}

void tls_shake(struct tls_pair *p, size_t piece)
{
    CHECK_INT(quic_tls_start(p->client.t), 0);
    tls_carry(&p->client, &p->server, QUIC_INITIAL, piece);
    tls_carry(&p->server, &p->client, QUIC_INITIAL, piece);
    tls_carry(&p->server, &p->client, QUIC_HANDSHAKE, piece);
    tls_carry(&p->client, &p->server, QUIC_HANDSHAKE, piece);
}
