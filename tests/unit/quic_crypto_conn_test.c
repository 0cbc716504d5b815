/* ngtcp2 at both ends, joined by memory, with our TLS and packet protection under it. */
#include "net/quic_crypto_conn.h"

#include <netinet/in.h>
#include <ngtcp2/ngtcp2.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "core/mem.h"
#include "tests/unit/quic_vectors.h"
#include "tests/unit/test.h"

#define PACKET_MAX 1452
#define TURNS_MAX  200 /* of a loop that waits for something */

struct end {
    ngtcp2_conn *conn;
    struct quic_crypto_conn *crypto;
    uint8_t session[SESSION_LEN], psk[PSK_LEN];
    struct sockaddr_in address;
    int error;       /* ngtcp2's, of the last packet that was read */
    bool mute;       /* writes nothing more */
    size_t written;  /* packets */
    int64_t stream;  /* that it opened; -1: none */
    const char *say; /* on that stream */
    size_t said;
    char heard[64]; /* on any */
    size_t heard_len;
    size_t spoil; /* a byte of each packet to corrupt, counted from its end; 0: none */
};

struct net {
    struct end client, server;
    ngtcp2_tstamp now;
};

static void on_new_id_bytes(uint8_t *dst, size_t len)
{
    key_random(dst, len);
}

static int on_new_id(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len,
                     void *user_data)
{
    static const uint8_t key[QUIC_SECRET_LEN] = "an endpoint's";
    (void)conn, (void)user_data;
    cid->datalen = len;
    on_new_id_bytes(cid->data, len);
    quic_reset_token(token, key, cid->data, cid->datalen);
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are ngtcp2's */
static int on_data(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset,
                   const uint8_t *data, size_t len, void *user_data, void *stream_user_data)
{
    struct end *e = user_data;
    (void)conn, (void)flags, (void)stream, (void)offset, (void)stream_user_data;
    if (len > sizeof(e->heard) - 1 - e->heard_len)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    if (len)
        memcpy(e->heard + e->heard_len, data, len);
    e->heard_len += len;
    return 0;
}

static bool find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN])
{
    const struct end *e = arg;
    if (memcmp(session, e->session, SESSION_LEN) != 0)
        return false;
    memcpy(psk, e->psk, PSK_LEN);
    return true;
}

static ngtcp2_path path_of(struct end *local, struct end *remote)
{
    return (ngtcp2_path){
        .local = {.addr = (ngtcp2_sockaddr *)&local->address, .addrlen = sizeof(local->address)},
        .remote = {.addr = (ngtcp2_sockaddr *)&remote->address,
                   .addrlen = sizeof(remote->address)}};
}

static ngtcp2_callbacks callbacks_of(void)
{
    ngtcp2_callbacks cb = {.get_new_connection_id = on_new_id, .recv_stream_data = on_data};
    quic_crypto_callbacks(&cb);
    return cb;
}

static void end_init(struct end *e, uint16_t port)
{
    *e = (struct end){.stream = -1};
    e->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(e->session, "0123456789abcdef", SESSION_LEN);
    memcpy(e->psk, "a pre-shared key of thirty-two b", PSK_LEN);
}

static ngtcp2_settings settings_of(const struct net *net)
{
    ngtcp2_settings settings;
    ngtcp2_settings_default(&settings);
    settings.initial_ts = net->now;
    return settings;
}

static ngtcp2_transport_params params_of(void)
{
    ngtcp2_transport_params params;
    ngtcp2_transport_params_default(&params);
    params.initial_max_data = params.initial_max_stream_data_bidi_local =
        params.initial_max_stream_data_bidi_remote = 65536;
    params.initial_max_streams_bidi = 4;
    return params;
}

static void attach(struct end *e, enum quic_cipher prefer)
{
    struct quic_crypto_config config = {
        .prefer = prefer, .session = e->session, .psk = e->psk, .find_psk = find_psk, .arg = e};
    e->crypto = quic_crypto_attach(e->conn, &config);
}

static void net_init(struct net *net, enum quic_cipher prefer)
{
    ngtcp2_cid dcid = {.datalen = 18}, scid = {.datalen = 8};
    end_init(&net->client, 1);
    end_init(&net->server, 2);
    net->now = NGTCP2_SECONDS;
    on_new_id_bytes(dcid.data, dcid.datalen);
    on_new_id_bytes(scid.data, scid.datalen);
    ngtcp2_path path = path_of(&net->client, &net->server);
    ngtcp2_callbacks cb = callbacks_of();
    ngtcp2_settings settings = settings_of(net);
    ngtcp2_transport_params params = params_of();
    CHECK_INT(ngtcp2_conn_client_new(&net->client.conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1,
                                     &cb, &settings, &params, NULL, &net->client),
              0);
    attach(&net->client, prefer);
}

static void end_fini(struct end *e)
{
    ngtcp2_conn_del(e->conn);
    quic_crypto_free(e->crypto);
}

static void net_fini(struct net *net)
{
    end_fini(&net->client);
    end_fini(&net->server);
}

/* The server begins with the client's first packet. */
static void accept_client(struct net *net, const uint8_t *packet, size_t len)
{
    ngtcp2_pkt_hd hd;
    ngtcp2_cid scid = {.datalen = 8};
    CHECK_INT(ngtcp2_accept(&hd, packet, len), 0);
    on_new_id_bytes(scid.data, scid.datalen);
    ngtcp2_path path = path_of(&net->server, &net->client);
    ngtcp2_callbacks cb = callbacks_of();
    ngtcp2_settings settings = settings_of(net);
    ngtcp2_transport_params params = params_of();
    params.original_dcid = hd.dcid;
    params.original_dcid_present = 1;
    CHECK_INT(ngtcp2_conn_server_new(&net->server.conn, &hd.scid, &scid, &path, hd.version, &cb,
                                     &settings, &params, NULL, &net->server),
              0);
    attach(&net->server, quic_cipher_preferred());
}

static void deliver(struct net *net, struct end *from, uint8_t *packet, size_t len)
{
    struct end *to = from == &net->client ? &net->server : &net->client;
    if (!to->conn)
        accept_client(net, packet, len);
    if (from->spoil && from->spoil <= len)
        packet[len - from->spoil] ^= 1;
    ngtcp2_path path = path_of(to, from);
    to->error = ngtcp2_conn_read_pkt(to->conn, &path, NULL, packet, len, net->now);
    to->mute |= to->error != 0;
}

static ngtcp2_ssize write_packet(struct net *net, struct end *e, uint8_t *packet)
{
    ngtcp2_ssize took = 0;
    size_t left = e->say && e->stream >= 0 ? strlen(e->say) - e->said : 0;
    uintptr_t text = (uintptr_t)(e->say ? e->say + e->said : "");
    ngtcp2_vec vec = {.base = (uint8_t *)text, .len = left};
    ngtcp2_ssize n = ngtcp2_conn_writev_stream(e->conn, NULL, NULL, packet, PACKET_MAX, &took,
                                               NGTCP2_WRITE_STREAM_FLAG_NONE, left ? e->stream : -1,
                                               left ? &vec : NULL, left ? 1 : 0, net->now);
    if (n > 0 && took > 0)
        e->said += (size_t)took;
    return n;
}

/* All that an end has to send now; true when it sent something. */
static bool flush(struct net *net, struct end *e)
{
    uint8_t packet[PACKET_MAX];
    bool any = false;
    while (e->conn && !e->mute) {
        ngtcp2_ssize n = write_packet(net, e, packet);
        CHECK(n >= 0);
        if (n <= 0)
            break;
        any = true;
        e->written++;
        ngtcp2_conn_update_pkt_tx_time(e->conn, net->now);
        deliver(net, e, packet, (size_t)n);
    }
    return any;
}

static void expire(struct net *net, struct end *e)
{
    if (e->conn && !e->mute && ngtcp2_conn_get_expiry(e->conn) <= net->now)
        ngtcp2_conn_handle_expiry(e->conn, net->now);
}

static bool completed(const struct end *e)
{
    return e->conn && ngtcp2_conn_get_handshake_completed(e->conn);
}

/* A while of back and forth, in which time goes on. */
static void run(struct net *net)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        flush(net, &net->client);
        flush(net, &net->server);
        net->now += NGTCP2_MILLISECONDS;
        expire(net, &net->client);
        expire(net, &net->server);
    }
}

static void say(struct net *net, struct end *e, const char *text)
{
    if (e->stream < 0)
        CHECK_INT(ngtcp2_conn_open_bidi_stream(e->conn, &e->stream, NULL), 0);
    e->say = text;
    e->said = 0;
    run(net);
    CHECK_INT(e->said, strlen(text));
}

TEST(quic_crypto_conn_shakes_hands)
{
    for (enum quic_cipher c = QUIC_AES_128_GCM; c <= QUIC_CHACHA20_POLY1305; c++) {
        struct net net;
        net_init(&net, c);
        run(&net);
        CHECK(completed(&net.client) && completed(&net.server));
        CHECK(!memcmp(quic_crypto_session(net.server.crypto), net.client.session, SESSION_LEN));
        say(&net, &net.client, "hello from the client");
        say(&net, &net.server, "hello from the server");
        CHECK_STR(net.server.heard, "hello from the client");
        CHECK_STR(net.client.heard, "hello from the server");
        net_fini(&net);
    }
}

TEST(quic_crypto_conn_updates_keys)
{
    struct net net;
    net_init(&net, QUIC_AES_128_GCM);
    run(&net);
    say(&net, &net.client, "a");
    for (int i = 0; i < 4; i++) {
        struct end *e = i % 2 ? &net.client : &net.server;
        run(&net); /* RFC 9001 §6.5: three PTO between two of them */
        CHECK_INT(ngtcp2_conn_initiate_key_update(e->conn, net.now), 0);
        say(&net, e, "b");
    }
    CHECK_STR(net.server.heard, "abb");
    CHECK_STR(net.client.heard, "bb");
    CHECK_INT(net.client.error, 0);
    CHECK_INT(net.server.error, 0);
    net_fini(&net);
}

TEST(quic_crypto_conn_unknown_session)
{
    struct net net;
    net_init(&net, QUIC_AES_128_GCM);
    net.server.session[0] ^= 1;
    flush(&net, &net.client);
    CHECK(!completed(&net.server));
    CHECK(net.server.error != 0);
    CHECK_INT(net.server.written, 0);
    CHECK(!quic_crypto_session(net.server.crypto));
    CHECK_INT(quic_crypto_error(net.server.crypto), QUIC_TLS_UNKNOWN_PSK_IDENTITY);
    net_fini(&net);
}

/* What ngtcp2 would tell the peer. */
static void check_close(struct end *e, uint64_t code)
{
    ngtcp2_ccerr err;
    ngtcp2_ccerr_default(&err);
    if (e->error == NGTCP2_ERR_CRYPTO)
        ngtcp2_ccerr_set_tls_alert(&err, ngtcp2_conn_get_tls_alert(e->conn), NULL, 0);
    else
        ngtcp2_ccerr_set_liberr(&err, e->error, NULL, 0);
    CHECK_INT(err.error_code, code);
}

TEST(quic_crypto_conn_wrong_key)
{
    struct net net;
    net_init(&net, QUIC_AES_128_GCM);
    net.server.psk[31] ^= 1;
    flush(&net, &net.client);
    CHECK_INT(net.server.error, NGTCP2_ERR_CRYPTO);
    CHECK(quic_crypto_session(net.server.crypto) != NULL);
    check_close(&net.server, QUIC_TLS_DECRYPT_ERROR);
    net_fini(&net);
}

/* The Initial keys are the published ones: another client's packet is opened, and it is its
 * ClientHello that has no place here. */
TEST(quic_crypto_conn_published_initial)
{
    struct net net;
    uint8_t packet[PACKET_MAX];
    size_t len = strlen(quic_client_initial) / 2;
    net_init(&net, QUIC_AES_128_GCM);
    CHECK_INT(hex_decode(packet, len, quic_client_initial), 0);
    deliver(&net, &net.client, packet, len);
    CHECK_INT(net.server.error, NGTCP2_ERR_CRYPTO);
    check_close(&net.server, QUIC_TLS_MISSING_EXTENSION);
    CHECK(!quic_crypto_session(net.server.crypto));
    net_fini(&net);
}

/* Our hello comes whole in the first packet, by which a server tells a stranger. */
TEST(quic_crypto_conn_first_packet_says_who)
{
    struct net net;
    uint8_t packet[PACKET_MAX];
    net_init(&net, QUIC_AES_128_GCM);
    ngtcp2_ssize n = write_packet(&net, &net.client, packet);
    CHECK(n >= 1200); /* RFC 9000 §14.1 */
    if (n > 0)
        deliver(&net, &net.client, packet, (size_t)n);
    CHECK(net.server.crypto && quic_crypto_session(net.server.crypto));
    net_fini(&net);
}

TEST(quic_crypto_conn_no_other_version)
{
    struct net net;
    uint8_t packet[PACKET_MAX];
    ngtcp2_cid cid = {.datalen = 8};
    net_init(&net, QUIC_AES_128_GCM);
    end_fini(&net.client);
    ngtcp2_path path = path_of(&net.client, &net.server);
    ngtcp2_callbacks cb = callbacks_of();
    ngtcp2_settings settings = settings_of(&net);
    ngtcp2_transport_params params = params_of();
    CHECK_INT(ngtcp2_conn_client_new(&net.client.conn, &cid, &cid, &path, NGTCP2_PROTO_VER_V2, &cb,
                                     &settings, &params, NULL, &net.client),
              0);
    attach(&net.client, QUIC_AES_128_GCM);
    CHECK_INT(write_packet(&net, &net.client, packet), NGTCP2_ERR_CALLBACK_FAILURE);
    net_fini(&net);
}

/* A packet that was touched on its way is not there. */
TEST(quic_crypto_conn_forged_packets)
{
    static const size_t at[] = {1, 16, 17, 100};
    for (size_t i = 0; i < countof(at); i++) {
        struct net net;
        net_init(&net, QUIC_AES_128_GCM);
        run(&net);
        say(&net, &net.client, "before ");
        net.client.spoil = at[i] < 30 ? at[i] : 30;
        CHECK_INT(net.server.error, 0);
        net.client.say = "lost ";
        net.client.said = 0;
        flush(&net, &net.client);
        CHECK_INT(net.server.error, 0);
        CHECK_STR(net.server.heard, "before ");
        net.client.spoil = 0;
        for (int turn = 0; turn < 20 && net.server.heard_len < 12; turn++)
            run(&net); /* it is sent again when the probe timer fires */
        CHECK_STR(net.server.heard, "before lost ");
        net_fini(&net);
    }
}

/* RFC 9001 A.4's tag is made with the same key, so a Retry that ngtcp2 has built with it is
 * taken, and one whose tag is wrong is passed over. */
static void retry(struct net *net, bool forged)
{
    uint8_t packet[PACKET_MAX], answer[PACKET_MAX];
    static const uint8_t token[] = "token";
    ngtcp2_ssize n = write_packet(net, &net->client, packet);
    ngtcp2_pkt_hd hd;
    CHECK_INT(ngtcp2_accept(&hd, packet, (size_t)n), 0);
    ngtcp2_cid scid = {.datalen = 8, .data = "retried"};
    ngtcp2_crypto_aead aead = {.max_overhead = QUIC_TAG_LEN};
    const void *key = NGTCP2_RETRY_KEY_V1;
    ngtcp2_crypto_aead_ctx ctx = {.native_handle = quic_aead_new(QUIC_AES_128_GCM, key)};
    n = ngtcp2_pkt_write_retry(answer, sizeof(answer), hd.version, &hd.scid, &scid, &hd.dcid, token,
                               sizeof(token) - 1, callbacks_of().encrypt, &aead, &ctx);
    quic_aead_free(ctx.native_handle);
    CHECK(n > 0);
    if (n <= 0)
        return;
    answer[n - 1] ^= forged;
    ngtcp2_path path = path_of(&net->client, &net->server);
    CHECK_INT(ngtcp2_conn_read_pkt(net->client.conn, &path, NULL, answer, (size_t)n, net->now), 0);
    n = write_packet(net, &net->client, packet);
    if (forged) {
        CHECK_INT(n, 0);
        return;
    }
    CHECK(n > 0);
    CHECK_INT(ngtcp2_accept(&hd, packet, (size_t)n), 0);
    CHECK_INT(hd.tokenlen, sizeof(token) - 1);
    CHECK(ngtcp2_cid_eq(&hd.dcid, &scid));
}

TEST(quic_crypto_conn_retry)
{
    for (int forged = 0; forged < 2; forged++) {
        struct net net;
        net_init(&net, QUIC_AES_128_GCM);
        retry(&net, forged);
        net_fini(&net);
    }
}

TEST(quic_crypto_conn_reset_tokens)
{
    static const uint8_t key[QUIC_SECRET_LEN] = "key", other[QUIC_SECRET_LEN] = "kez";
    uint8_t a[QUIC_RESET_TOKEN_LEN], b[QUIC_RESET_TOKEN_LEN];
    quic_reset_token(a, key, (const uint8_t *)"12345678", 8);
    quic_reset_token(b, key, (const uint8_t *)"12345678", 8);
    CHECK(!memcmp(a, b, sizeof(a)));
    quic_reset_token(b, key, (const uint8_t *)"12345679", 8);
    CHECK(memcmp(a, b, sizeof(a)) != 0);
    quic_reset_token(b, other, (const uint8_t *)"12345678", 8);
    CHECK(memcmp(a, b, sizeof(a)) != 0);
}
