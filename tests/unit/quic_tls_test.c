/* The handshake, both ends of it ours. */
#include "net/quic_tls.h"

#include <stdio.h>

#include "core/mem.h"
#include "net/quic_tls_state.h"
#include "tests/unit/quic_tls_rig.h"
#include "tests/unit/test.h"

static const enum quic_cipher AES = QUIC_AES_128_GCM, CHACHA = QUIC_CHACHA20_POLY1305;

static void check_agreed(const struct tls_pair *p, enum quic_cipher cipher)
{
    const struct tls_end *c = &p->client, *s = &p->server;
    CHECK(quic_tls_done(c->t) && quic_tls_done(s->t));
    CHECK(!quic_tls_error(c->t) && !quic_tls_error(s->t));
    CHECK_INT(quic_tls_cipher(c->t), cipher);
    CHECK_INT(quic_tls_cipher(s->t), cipher);
    CHECK(!memcmp(quic_tls_session(s->t), c->session, SESSION_LEN));
    CHECK_STR(c->peer_params, "the server's");
    CHECK_STR(s->peer_params, "the client's");
    for (size_t i = QUIC_HANDSHAKE; i < TLS_LEVELS; i++) {
        CHECK(c->reads[i] && c->writes[i] && s->reads[i] && s->writes[i]);
        CHECK(!memcmp(c->rx[i], s->tx[i], QUIC_SECRET_LEN));
        CHECK(!memcmp(c->tx[i], s->rx[i], QUIC_SECRET_LEN));
        CHECK(memcmp(c->tx[i], c->rx[i], QUIC_SECRET_LEN) != 0);
    }
    CHECK(memcmp(c->tx[QUIC_HANDSHAKE], c->tx[QUIC_ONE_RTT], QUIC_SECRET_LEN) != 0);
}

TEST(quic_tls_agrees)
{
    static const struct {
        enum quic_cipher client, server, agreed;
    } rows[] = {
        {QUIC_AES_128_GCM, QUIC_AES_128_GCM, QUIC_AES_128_GCM},
        {QUIC_AES_128_GCM, QUIC_CHACHA20_POLY1305, QUIC_CHACHA20_POLY1305},
        {QUIC_CHACHA20_POLY1305, QUIC_AES_128_GCM, QUIC_CHACHA20_POLY1305},
        {QUIC_CHACHA20_POLY1305, QUIC_CHACHA20_POLY1305, QUIC_CHACHA20_POLY1305},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct tls_pair p;
        tls_pair_init(&p, rows[i].client, rows[i].server);
        tls_shake(&p, 0);
        check_agreed(&p, rows[i].agreed);
        tls_pair_fini(&p);
    }
}

TEST(quic_tls_agrees_however_messages_are_cut)
{
    for (size_t piece = 1; piece < 50; piece += 3) {
        struct tls_pair p;
        tls_pair_init(&p, AES, AES);
        tls_shake(&p, piece);
        check_agreed(&p, AES);
        tls_pair_fini(&p);
    }
}

TEST(quic_tls_never_repeats_itself)
{
    struct tls_pair p, q;
    tls_pair_init(&p, AES, AES);
    tls_pair_init(&q, AES, AES);
    tls_shake(&p, 0);
    tls_shake(&q, 0);
    CHECK(memcmp(p.client.tx, q.client.tx, sizeof(p.client.tx)) != 0);
    CHECK(memcmp(p.client.rx, q.client.rx, sizeof(p.client.rx)) != 0);
    tls_pair_fini(&p);
    tls_pair_fini(&q);
}

/* The server may write once it has answered, and reads nothing before the client's Finished. */
TEST(quic_tls_server_reads_late)
{
    struct tls_pair p;
    tls_pair_init(&p, AES, AES);
    CHECK_INT(quic_tls_start(p.client.t), 0);
    CHECK(!quic_tls_session(p.server.t));
    tls_carry(&p.client, &p.server, QUIC_INITIAL, 0);
    CHECK(quic_tls_session(p.server.t));
    CHECK(p.server.writes[QUIC_ONE_RTT] && !p.server.reads[QUIC_ONE_RTT]);
    CHECK(!quic_tls_done(p.server.t));
    tls_pair_fini(&p);
}

static void check_refused(struct tls_end *e, enum quic_tls_error error)
{
    static const uint8_t more[] = {QUIC_TLS_FINISHED, 0, 0, 32};
    CHECK(!quic_tls_done(e->t));
    CHECK_INT(quic_tls_error(e->t), error);
    CHECK(!e->reads[QUIC_ONE_RTT]);
    CHECK_INT(quic_tls_receive(e->t, QUIC_HANDSHAKE, more, sizeof(more)), -1);
    CHECK_INT(quic_tls_error(e->t), error);
}

TEST(quic_tls_unknown_session)
{
    struct tls_pair p;
    tls_pair_init(&p, AES, AES);
    p.server.session[15] ^= 1;
    tls_shake(&p, 0);
    check_refused(&p.server, QUIC_TLS_UNKNOWN_PSK_IDENTITY);
    CHECK(!quic_tls_session(p.server.t));
    CHECK(!p.server.writes[QUIC_HANDSHAKE] && !p.server.keylog.len);
    CHECK_STR(p.server.peer_params, "");
    tls_pair_fini(&p);
}

TEST(quic_tls_wrong_key)
{
    struct tls_pair p;
    tls_pair_init(&p, AES, AES);
    p.server.psk[0] ^= 1;
    tls_shake(&p, 0);
    check_refused(&p.server, QUIC_TLS_DECRYPT_ERROR);
    CHECK(quic_tls_session(p.server.t));
    CHECK(!p.server.writes[QUIC_HANDSHAKE] && !p.server.keylog.len);
    CHECK_STR(p.server.peer_params, "");
    tls_pair_fini(&p);
}

/* Which message of the handshake, and who hears it. */
struct leg {
    bool from_server;
    enum quic_level level;
};

static const struct leg legs[] = {
    {false, QUIC_INITIAL}, {true, QUIC_INITIAL}, {true, QUIC_HANDSHAKE}, {false, QUIC_HANDSHAKE}};

/* Carries what comes before a leg; returns who speaks in it. */
static struct tls_end *reach(struct tls_pair *p, size_t leg)
{
    tls_pair_init(p, AES, AES);
    CHECK_INT(quic_tls_start(p->client.t), 0);
    for (size_t i = 0; i < leg; i++)
        CHECK_INT(tls_carry(legs[i].from_server ? &p->server : &p->client,
                            legs[i].from_server ? &p->client : &p->server, legs[i].level, 0),
                  0);
    return legs[leg].from_server ? &p->server : &p->client;
}

static struct tls_end *other(struct tls_pair *p, const struct tls_end *e)
{
    return e == &p->client ? &p->server : &p->client;
}

/* Whether a byte of a flight is of a message's length: one that has grown leaves the reader
 * waiting for the rest, for ever. */
static bool in_a_length(const struct buf *b, size_t at)
{
    for (size_t from = 0; from < b->len;) {
        if (at > from && at < from + QUIC_TLS_HEADER_LEN)
            return true;
        from += QUIC_TLS_HEADER_LEN + quic_tls_read_header(buf_front(b) + from).len;
    }
    return false;
}

/* False: the flight has no such byte. */
static bool corrupt_byte(size_t leg, size_t at, uint8_t by)
{
    struct tls_pair p;
    struct tls_end *from = reach(&p, leg), *to = other(&p, from);
    struct buf *b = &from->out[legs[leg].level];
    bool there = at < b->len;
    if (there) {
        bool may_wait = in_a_length(b, at);
        buf_front(b)[at] ^= by;
        tls_carry(from, to, legs[leg].level, 0);
        tls_carry(from, to, QUIC_HANDSHAKE, 0); /* Finished proves what ServerHello said */
        CHECK(!quic_tls_done(to->t) && !to->reads[QUIC_ONE_RTT]);
        CHECK(quic_tls_error(to->t) || may_wait);
    }
    tls_pair_fini(&p);
    return there;
}

TEST(quic_tls_refuses_every_corrupted_byte)
{
    for (size_t leg = 0; leg < countof(legs); leg++)
        for (size_t at = 0; corrupt_byte(leg, at, (uint8_t)(1 << at % 8)); at++)
            ;
}

TEST(quic_tls_refuses_inverted_bytes)
{
    for (size_t leg = 0; leg < countof(legs); leg++)
        for (size_t at = 0; corrupt_byte(leg, at, 0xff); at += 4)
            ;
}

/* One byte gone or one too many, with the message's length put right. */
static void check_resized(size_t leg, int by)
{
    struct tls_pair p;
    struct tls_end *from = reach(&p, leg), *to = other(&p, from);
    struct buf *b = &from->out[legs[leg].level];
    uint8_t msg[QUIC_TLS_MESSAGE_MAX] = {0};
    size_t len = QUIC_TLS_HEADER_LEN + quic_tls_read_header(buf_front(b)).len;
    memcpy(msg, buf_front(b), len);
    size_t body = len - QUIC_TLS_HEADER_LEN + (size_t)by;
    msg[2] = (uint8_t)(body >> 8);
    msg[3] = (uint8_t)body;
    CHECK_INT(quic_tls_receive(to->t, legs[leg].level, msg, body + QUIC_TLS_HEADER_LEN), -1);
    CHECK_INT(quic_tls_error(to->t), QUIC_TLS_DECODE_ERROR);
    tls_pair_fini(&p);
}

TEST(quic_tls_refuses_what_does_not_end_where_it_says)
{
    for (size_t leg = 0; leg < countof(legs); leg++) {
        check_resized(leg, 1);
        check_resized(leg, -1);
    }
}

/* What is not due, at every step: another type, another level. */
TEST(quic_tls_refuses_what_is_not_due)
{
    static const uint8_t types[] = {0, 1, 2, 4, 5, 8, 11, 13, 15, 20, 24, 254};
    for (size_t leg = 0; leg < countof(legs); leg++)
        for (size_t level = 0; level < TLS_LEVELS; level++)
            for (size_t i = 0; i < countof(types); i++) {
                struct tls_pair p;
                struct tls_end *from = reach(&p, leg), *to = other(&p, from);
                bool due =
                    level == legs[leg].level && types[i] == *buf_front(&from->out[legs[leg].level]);
                CHECK_INT(quic_tls_receive(to->t, (enum quic_level)level, &types[i], 1),
                          due ? 0 : -1);
                CHECK_INT(quic_tls_error(to->t), due ? 0 : QUIC_TLS_UNEXPECTED_MESSAGE);
                tls_pair_fini(&p);
            }
}

TEST(quic_tls_refuses_what_follows_at_the_old_level)
{
    for (size_t leg = 0; leg < countof(legs); leg++) {
        struct tls_pair p;
        struct tls_end *from = reach(&p, leg), *to = other(&p, from);
        buf_append(&from->out[legs[leg].level], "\x14", 1);
        CHECK_INT(tls_carry(from, to, legs[leg].level, 0), -1);
        CHECK_INT(quic_tls_error(to->t), QUIC_TLS_UNEXPECTED_MESSAGE);
        tls_pair_fini(&p);
    }
}

TEST(quic_tls_waits_for_no_more_than_it_takes)
{
    static const uint8_t heads[][4] = {{1, 0, 0x0f, 0xfd}, {1, 1, 0, 0}, {1, 0xff, 0xff, 0xff}};
    for (size_t i = 0; i < countof(heads); i++) {
        struct tls_pair p;
        tls_pair_init(&p, AES, AES);
        CHECK_INT(quic_tls_receive(p.server.t, QUIC_INITIAL, heads[i], 4), -1);
        CHECK_INT(quic_tls_error(p.server.t), QUIC_TLS_DECODE_ERROR);
        tls_pair_fini(&p);
    }
}

TEST(quic_tls_after_the_handshake)
{
    static const uint8_t ticket[] = {QUIC_TLS_NEW_SESSION_TICKET, 0, 0, 2, 1, 2};
    static const uint8_t key_update[] = {24, 0, 0, 1, 0};
    struct tls_pair p;
    tls_pair_init(&p, AES, CHACHA);
    tls_shake(&p, 0);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(quic_tls_receive(p.client.t, QUIC_ONE_RTT, ticket, sizeof(ticket)), 0);
    CHECK(quic_tls_done(p.client.t));
    CHECK_INT(quic_tls_receive(p.client.t, QUIC_ONE_RTT, key_update, sizeof(key_update)), -1);
    CHECK_INT(quic_tls_error(p.client.t), QUIC_TLS_UNEXPECTED_MESSAGE);
    CHECK_INT(quic_tls_receive(p.server.t, QUIC_ONE_RTT, ticket, sizeof(ticket)), -1);
    CHECK_INT(quic_tls_error(p.server.t), QUIC_TLS_UNEXPECTED_MESSAGE);
    tls_pair_fini(&p);
}

TEST(quic_tls_owner_refuses)
{
    for (size_t i = 0; i < 4; i++) {
        struct tls_pair p;
        tls_pair_init(&p, AES, AES);
        struct tls_end *e = i % 2 ? &p.server : &p.client;
        e->refuses_params = i < 2;
        e->refuses_secrets = i >= 2;
        tls_shake(&p, 0);
        CHECK(!quic_tls_done(e->t));
        CHECK_INT(quic_tls_error(e->t),
                  i < 2 ? QUIC_TRANSPORT_PARAMETER_ERROR : QUIC_INTERNAL_ERROR);
        tls_pair_fini(&p);
    }
}

static void check_forgotten(const struct quic_tls *t)
{
    static const struct quic_tls_keys no_keys;
    static const uint8_t zeros[QUIC_SECRET_LEN];
    CHECK(!memcmp(t->psk, zeros, sizeof(t->psk)));
    CHECK(!memcmp(t->ephemeral, zeros, sizeof(t->ephemeral)));
    CHECK(!memcmp(&t->keys, &no_keys, sizeof(no_keys)));
    CHECK(!memcmp(t->client_verify, zeros, sizeof(t->client_verify)));
    CHECK(!t->transcript.data && !t->received.data);
}

TEST(quic_tls_keeps_no_secret)
{
    for (int wrong_key = 0; wrong_key < 2; wrong_key++) {
        struct tls_pair p;
        tls_pair_init(&p, AES, AES);
        p.server.psk[0] ^= (uint8_t)wrong_key;
        tls_shake(&p, 0);
        check_forgotten(p.server.t);
        if (!wrong_key)
            check_forgotten(p.client.t);
        tls_pair_fini(&p);
    }
}

static void check_line(const char **at, const char *label, const uint8_t *random,
                       const uint8_t *secret)
{
    char line[192], hex[65];
    hex_encode(hex, random, QUIC_TLS_RANDOM_LEN);
    size_t len = (size_t)snprintf(line, sizeof(line), "%s %s ", label, hex);
    hex_encode(line + len, secret, QUIC_SECRET_LEN);
    size_t end = strlen(line);
    CHECK(!strncmp(*at, line, end) && (*at)[end] == '\n');
    *at += end + 1;
}

/* Both ends write the same four lines, and name the handshake by the client's random. */
TEST(quic_tls_keylog)
{
    struct tls_pair p;
    uint8_t random[QUIC_TLS_RANDOM_LEN];
    reach(&p, 0);
    memcpy(random, buf_front(&p.client.out[QUIC_INITIAL]) + 6, sizeof(random));
    for (size_t i = 0; i < countof(legs); i++)
        tls_carry(legs[i].from_server ? &p.server : &p.client,
                  legs[i].from_server ? &p.client : &p.server, legs[i].level, 0);
    for (size_t i = 0; i < 2; i++) {
        struct tls_end *e = i ? &p.server : &p.client;
        const struct tls_end *c = &p.client;
        buf_append(&e->keylog, "", 1);
        const char *at = (const char *)buf_front(&e->keylog);
        check_line(&at, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", random, c->tx[QUIC_HANDSHAKE]);
        check_line(&at, "SERVER_HANDSHAKE_TRAFFIC_SECRET", random, c->rx[QUIC_HANDSHAKE]);
        check_line(&at, "CLIENT_TRAFFIC_SECRET_0", random, c->tx[QUIC_ONE_RTT]);
        check_line(&at, "SERVER_TRAFFIC_SECRET_0", random, c->rx[QUIC_ONE_RTT]);
        CHECK_STR(at, "");
    }
    tls_pair_fini(&p);
}
