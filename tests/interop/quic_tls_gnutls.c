/* quic_tls_gnutls.c: our TLS for QUIC against GnuTLS, in either role, joined by memory.
 *
 *     quic-tls-gnutls [NAME...]
 *
 * runs all cases, or those whose names contain one of the arguments, and ends with
 * "N passed, N failed". */
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "net/quic_tls.h"

#define LEVELS    3
#define TP_TYPE   57 /* quic_transport_parameters */
#define LINES_MAX 2048

static const uint8_t session_id[SESSION_LEN] = {0,   0xff, 'n', 'o', 't', ' ', 't', 'e',
                                                'x', 't',  0,   1,   2,   3,   4,   0x80};
static const uint8_t session_psk[PSK_LEN] = "a pre-shared key of thirty-two b";
static const char our_params[] = "ours", their_params[] = "theirs";

/* What either of them has said. */
struct said {
    struct buf out[LEVELS];
    uint8_t rx[LEVELS][QUIC_SECRET_LEN], tx[LEVELS][QUIC_SECRET_LEN];
    bool reads[LEVELS], writes[LEVELS];
    char peer_params[16];
    char keylog[LINES_MAX];
};

struct ours {
    struct said said;
    struct quic_tls *t;
    const uint8_t *psk;
    bool failed;
};

struct theirs {
    struct said said;
    gnutls_session_t s;
    gnutls_psk_client_credentials_t client_key;
    gnutls_psk_server_credentials_t server_key;
    const uint8_t *psk;
    bool done, failed;
};

struct meeting {
    struct ours ours;
    struct theirs theirs;
    bool we_serve;
};

static const char *wrong; /* of the running case */

static void expect(bool ok, const char *what)
{
    if (!ok && !wrong)
        wrong = what;
}

static void must(int gnutls_status)
{
    if (gnutls_status >= 0)
        return;
    fprintf(stderr, "GnuTLS: %s\n", gnutls_strerror(gnutls_status));
    abort();
}

static void note_secrets(struct said *said, enum quic_level level, const void *rx, const void *tx)
{
    if (rx)
        memcpy(said->rx[level], rx, QUIC_SECRET_LEN);
    if (tx)
        memcpy(said->tx[level], tx, QUIC_SECRET_LEN);
    said->reads[level] |= rx != NULL;
    said->writes[level] |= tx != NULL;
}

static void note_params(struct said *said, const uint8_t *p, size_t len)
{
    len = len < sizeof(said->peer_params) ? len : sizeof(said->peer_params) - 1;
    memcpy(said->peer_params, p, len);
    said->peer_params[len] = '\0';
}

/* ---- ours ---- */

static bool our_find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                         uint8_t psk[static PSK_LEN])
{
    const struct ours *o = arg;
    memcpy(psk, o->psk, PSK_LEN);
    return !memcmp(session, session_id, SESSION_LEN);
}

static size_t our_local_params(void *arg, uint8_t *out, size_t cap)
{
    (void)arg, (void)cap;
    memcpy(out, our_params, strlen(our_params));
    return strlen(our_params);
}

static int our_peer_params(void *arg, const uint8_t *params, size_t len)
{
    struct ours *o = arg;
    note_params(&o->said, params, len);
    return 0;
}

static void our_send(void *arg, enum quic_level level, const uint8_t *p, size_t len)
{
    struct ours *o = arg;
    buf_append(&o->said.out[level], p, len);
}

static int our_secrets(void *arg, enum quic_level level, const uint8_t *rx, const uint8_t *tx)
{
    struct ours *o = arg;
    note_secrets(&o->said, level, rx, tx);
    return 0;
}

static void our_keylog(void *arg, const char *line)
{
    struct ours *o = arg;
    size_t len = strlen(o->said.keylog);
    snprintf(o->said.keylog + len, LINES_MAX - len, "%s\n", line);
}

static const struct quic_tls_events events = {.find_psk = our_find_psk,
                                              .local_params = our_local_params,
                                              .peer_params = our_peer_params,
                                              .send = our_send,
                                              .secrets = our_secrets,
                                              .keylog = our_keylog};

static void ours_init(struct ours *o, bool server, enum quic_cipher prefer)
{
    *o = (struct ours){.psk = session_psk};
    struct quic_tls_config config = {
        .prefer = prefer, .session = session_id, .psk = session_psk, .events = &events, .arg = o};
    o->t = server ? quic_tls_server(&config) : quic_tls_client(&config);
}

/* ---- theirs ---- */

static int their_read(gnutls_session_t s, gnutls_record_encryption_level_t level,
                      gnutls_handshake_description_t type, const void *data, size_t len)
{
    struct theirs *t = gnutls_session_get_ptr(s);
    if (type != GNUTLS_HANDSHAKE_CHANGE_CIPHER_SPEC)
        buf_append(&t->said.out[level == GNUTLS_ENCRYPTION_LEVEL_INITIAL     ? QUIC_INITIAL
                                : level == GNUTLS_ENCRYPTION_LEVEL_HANDSHAKE ? QUIC_HANDSHAKE
                                                                             : QUIC_ONE_RTT],
                   data, len);
    return 0;
}

static int their_secret(gnutls_session_t s, gnutls_record_encryption_level_t level, const void *rx,
                        const void *tx, size_t len)
{
    struct theirs *t = gnutls_session_get_ptr(s);
    expect(len == QUIC_SECRET_LEN, "a secret has another length");
    if (level == GNUTLS_ENCRYPTION_LEVEL_HANDSHAKE)
        note_secrets(&t->said, QUIC_HANDSHAKE, rx, tx);
    if (level == GNUTLS_ENCRYPTION_LEVEL_APPLICATION)
        note_secrets(&t->said, QUIC_ONE_RTT, rx, tx);
    return 0;
}

static int their_alert(gnutls_session_t s, gnutls_record_encryption_level_t level,
                       gnutls_alert_level_t severity, gnutls_alert_description_t alert)
{
    (void)s, (void)level, (void)severity, (void)alert;
    return 0;
}

static int their_tp_recv(gnutls_session_t s, const unsigned char *data, size_t len)
{
    struct theirs *t = gnutls_session_get_ptr(s);
    note_params(&t->said, data, len);
    return 0;
}

static int their_tp_send(gnutls_session_t s, gnutls_buffer_t out)
{
    (void)s;
    return gnutls_buffer_append_data(out, their_params, strlen(their_params));
}

static int their_find_psk(gnutls_session_t s, const gnutls_datum_t *name, gnutls_datum_t *key)
{
    const struct theirs *t = gnutls_session_get_ptr(s);
    if (name->size != SESSION_LEN || memcmp(name->data, session_id, SESSION_LEN) != 0)
        return -1;
    key->data = gnutls_malloc(PSK_LEN);
    key->size = PSK_LEN;
    memcpy(key->data, t->psk, PSK_LEN);
    return 0;
}

static int their_keylog(gnutls_session_t s, const char *label, const gnutls_datum_t *secret)
{
    struct theirs *t = gnutls_session_get_ptr(s);
    size_t len = strlen(t->said.keylog);
    char hex[2 * QUIC_SECRET_LEN + 1] = "", random[65] = "";
    gnutls_datum_t client, server;
    gnutls_session_get_random(s, &client, &server);
    size_t size = sizeof(random);
    gnutls_hex_encode(&client, random, &size);
    size = sizeof(hex);
    gnutls_hex_encode(secret, hex, &size);
    snprintf(t->said.keylog + len, LINES_MAX - len, "%s %s %s\n", label, random, hex);
    return 0;
}

static void give_key(struct theirs *t, bool server)
{
    if (server) {
        must(gnutls_psk_allocate_server_credentials(&t->server_key));
        gnutls_psk_set_server_credentials_function2(t->server_key, their_find_psk);
        must(gnutls_credentials_set(t->s, GNUTLS_CRD_PSK, t->server_key));
        return;
    }
    uint8_t name[SESSION_LEN], psk[PSK_LEN];
    memcpy(name, session_id, sizeof(name));
    memcpy(psk, t->psk, sizeof(psk));
    gnutls_datum_t who = {name, sizeof(name)}, key = {psk, sizeof(psk)};
    must(gnutls_psk_allocate_client_credentials(&t->client_key));
    must(gnutls_psk_set_client_credentials2(t->client_key, &who, &key, GNUTLS_PSK_KEY_RAW));
    must(gnutls_credentials_set(t->s, GNUTLS_CRD_PSK, t->client_key));
}

static void theirs_init(struct theirs *t, bool server, const char *ciphers)
{
    char priority[256];
    unsigned char alpn[] = QUIC_TLS_ALPN;
    gnutls_datum_t name = {alpn, sizeof(alpn) - 1};
    *t = (struct theirs){.psk = session_psk};
    must(gnutls_init(&t->s, server ? GNUTLS_SERVER : GNUTLS_CLIENT));
    gnutls_session_set_ptr(t->s, t);
    snprintf(priority, sizeof(priority),
             "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:%s:-KX-ALL:+DHE-PSK:-GROUP-ALL:"
             "+GROUP-X25519:%%DISABLE_TLS13_COMPAT_MODE",
             ciphers);
    must(gnutls_priority_set_direct(t->s, priority, NULL));
    must(gnutls_alpn_set_protocols(t->s, &name, 1, GNUTLS_ALPN_MANDATORY));
    must(gnutls_session_ext_register(
        t->s, "quic_transport_parameters", TP_TYPE, GNUTLS_EXT_TLS, their_tp_recv, their_tp_send,
        NULL, NULL, NULL, GNUTLS_EXT_FLAG_TLS | GNUTLS_EXT_FLAG_CLIENT_HELLO | GNUTLS_EXT_FLAG_EE));
    gnutls_handshake_set_read_function(t->s, their_read);
    gnutls_handshake_set_secret_function(t->s, their_secret);
    gnutls_alert_set_read_function(t->s, their_alert);
    gnutls_session_set_keylog_function(t->s, their_keylog);
    give_key(t, server);
}

/* ---- the meeting ---- */

static void their_turn(struct theirs *t)
{
    if (t->done || t->failed)
        return;
    int status = gnutls_handshake(t->s);
    t->done = status == 0;
    t->failed = status < 0 && gnutls_error_is_fatal(status);
}

static void tell_them(struct theirs *t, enum quic_level level, const uint8_t *p, size_t len)
{
    static const gnutls_record_encryption_level_t levels[] = {GNUTLS_ENCRYPTION_LEVEL_INITIAL,
                                                              GNUTLS_ENCRYPTION_LEVEL_HANDSHAKE,
                                                              GNUTLS_ENCRYPTION_LEVEL_APPLICATION};
    if (t->failed)
        return;
    int status = gnutls_handshake_write(t->s, levels[level], p, len);
    if (status < 0 && gnutls_error_is_fatal(status))
        t->failed = true;
    their_turn(t);
}

static void tell_us(struct ours *o, enum quic_level level, const uint8_t *p, size_t len)
{
    if (quic_tls_receive(o->t, level, p, len))
        o->failed = true;
}

static void meet(struct meeting *m, bool we_serve, enum quic_cipher prefer, const char *ciphers)
{
    m->we_serve = we_serve;
    ours_init(&m->ours, we_serve, prefer);
    theirs_init(&m->theirs, !we_serve, ciphers);
}

static void part(struct meeting *m)
{
    for (size_t i = 0; i < LEVELS; i++) {
        buf_fini(&m->ours.said.out[i]);
        buf_fini(&m->theirs.said.out[i]);
    }
    quic_tls_free(m->ours.t);
    gnutls_deinit(m->theirs.s);
    if (m->theirs.client_key)
        gnutls_psk_free_client_credentials(m->theirs.client_key);
    if (m->theirs.server_key)
        gnutls_psk_free_server_credentials(m->theirs.server_key);
}

/* The next byte of a level that is to be changed on its way; none when `by` is 0. */
struct fault {
    bool ours; /* of what we say */
    enum quic_level level;
    size_t at;
    uint8_t by;
    bool happened;
};

/* Carries what one of them has said at one level; `piece` as in the unit tests' rig. */
static bool carry(struct meeting *m, bool ours, enum quic_level level, size_t piece,
                  struct fault *fault)
{
    struct buf *b = ours ? &m->ours.said.out[level] : &m->theirs.said.out[level];
    if (!b->len)
        return false;
    if (fault && fault->ours == ours && fault->level == level && fault->at < b->len) {
        buf_front(b)[fault->at] ^= fault->by;
        fault->happened = true;
    }
    while (b->len) {
        size_t len = piece && piece < b->len ? piece : b->len;
        if (ours)
            tell_them(&m->theirs, level, buf_front(b), len);
        else
            tell_us(&m->ours, level, buf_front(b), len);
        buf_consume(b, len);
    }
    return true;
}

static void shake(struct meeting *m, size_t piece, struct fault *fault)
{
    if (!m->we_serve)
        expect(quic_tls_start(m->ours.t) == 0, "our client cannot begin");
    their_turn(&m->theirs);
    /* What was said at a lower level is heard first. */
    for (size_t i = 0; i < LEVELS;) {
        enum quic_level level = (enum quic_level)i;
        bool any = carry(m, true, level, piece, fault);
        any |= carry(m, false, level, piece, fault);
        i = any ? 0 : i + 1;
    }
}

static bool we_are_done(const struct meeting *m)
{
    return quic_tls_done(m->ours.t) && !m->ours.failed;
}

/* Each of our lines is one of theirs; they log some of other secrets too. */
static void check_keylogs(const struct meeting *m)
{
    char lines[LINES_MAX], *save = NULL;
    size_t n = 0;
    snprintf(lines, sizeof(lines), "%s", m->ours.said.keylog);
    for (char *l = strtok_r(lines, "\n", &save); l; l = strtok_r(NULL, "\n", &save), n++)
        expect(strstr(m->theirs.said.keylog, l) != NULL, "a line of the key log differs");
    expect(n == 4, "the key log has not four lines");
}

static void check_agreed(const struct meeting *m, enum quic_cipher cipher)
{
    const struct said *a = &m->ours.said, *b = &m->theirs.said;
    expect(we_are_done(m) && m->theirs.done, "no handshake");
    expect(quic_tls_cipher(m->ours.t) == cipher, "another cipher");
    expect(!strcmp(a->peer_params, their_params), "their parameters did not come");
    expect(!strcmp(b->peer_params, our_params), "our parameters did not come");
    for (size_t i = QUIC_HANDSHAKE; i < LEVELS; i++) {
        expect(a->reads[i] && a->writes[i] && b->reads[i] && b->writes[i], "a secret is missing");
        expect(!memcmp(a->rx[i], b->tx[i], QUIC_SECRET_LEN), "they write with another secret");
        expect(!memcmp(a->tx[i], b->rx[i], QUIC_SECRET_LEN), "they read with another secret");
    }
    check_keylogs(m);
}

/* ---- the cases ---- */

static const char both[] = "+AES-128-GCM:+CHACHA20-POLY1305", only_aes[] = "+AES-128-GCM",
                  only_chacha[] = "+CHACHA20-POLY1305";

static void agree(bool we_serve, enum quic_cipher prefer, const char *ciphers,
                  enum quic_cipher cipher)
{
    for (size_t piece = 0; piece < 60; piece += 7) {
        struct meeting m;
        meet(&m, we_serve, prefer, ciphers);
        shake(&m, piece, NULL);
        check_agreed(&m, cipher);
        part(&m);
    }
}

static void aes(bool we_serve)
{
    agree(we_serve, QUIC_AES_128_GCM, both, QUIC_AES_128_GCM);
}

static void chacha(bool we_serve)
{
    agree(we_serve, QUIC_CHACHA20_POLY1305, only_chacha, QUIC_CHACHA20_POLY1305);
}

static void only_one(bool we_serve)
{
    agree(we_serve, QUIC_CHACHA20_POLY1305, only_aes, QUIC_AES_128_GCM);
    agree(we_serve, QUIC_AES_128_GCM, only_chacha, QUIC_CHACHA20_POLY1305);
}

static void wrong_key(bool we_serve)
{
    static const uint8_t another[PSK_LEN] = "another";
    struct meeting m;
    meet(&m, we_serve, QUIC_AES_128_GCM, both);
    m.theirs.psk = another; /* a server looks it up when it is asked */
    m.ours.psk = another;
    if (!we_serve)
        m.ours.psk = session_psk;
    shake(&m, 0, NULL);
    expect(!we_are_done(&m) && !m.theirs.done, "a handshake with another key");
    if (we_serve)
        expect(quic_tls_error(m.ours.t) == QUIC_TLS_DECRYPT_ERROR, "another error");
    else
        expect(m.theirs.failed, "they did not refuse");
    part(&m);
}

/* Groups and lengths of the peer's that are no part of this: a hello without our ALPN. */
static void no_common_protocol(bool we_serve)
{
    struct meeting m;
    unsigned char alpn[] = "h3";
    gnutls_datum_t name = {alpn, 2};
    meet(&m, we_serve, QUIC_AES_128_GCM, both);
    must(gnutls_alpn_set_protocols(m.theirs.s, &name, 1, GNUTLS_ALPN_MANDATORY));
    shake(&m, 0, NULL);
    expect(!we_are_done(&m) && !m.theirs.done, "a handshake for another protocol");
    if (we_serve)
        expect(quic_tls_error(m.ours.t) == QUIC_TLS_NO_APPLICATION_PROTOCOL, "another error");
    part(&m);
}

static void other_group(bool we_serve)
{
    struct meeting m;
    meet(&m, we_serve, QUIC_AES_128_GCM, both);
    must(gnutls_priority_set_direct(
        m.theirs.s,
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+DHE-PSK:-GROUP-ALL:+GROUP-SECP256R1:"
        "%DISABLE_TLS13_COMPAT_MODE",
        NULL));
    shake(&m, 0, NULL);
    expect(!we_are_done(&m) && !m.theirs.done, "a handshake without X25519");
    if (we_serve)
        expect(quic_tls_error(m.ours.t) == QUIC_TLS_HANDSHAKE_FAILURE, "another error");
    part(&m);
}

/* GnuTLS' compatibility mode sends a session id of the old kind, which QUIC forbids. */
static void compatibility_mode(bool we_serve)
{
    struct meeting m;
    if (!we_serve)
        return;
    meet(&m, we_serve, QUIC_AES_128_GCM, both);
    must(gnutls_priority_set_direct(
        m.theirs.s, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+DHE-PSK:-GROUP-ALL:+GROUP-X25519",
        NULL));
    shake(&m, 0, NULL);
    expect(!we_are_done(&m), "a handshake in the compatibility mode");
    expect(quic_tls_error(m.ours.t) == QUIC_PROTOCOL_VIOLATION, "another error");
    part(&m);
}

static bool corrupt(bool we_serve, struct fault fault)
{
    struct meeting m;
    meet(&m, we_serve, QUIC_AES_128_GCM, both);
    shake(&m, 0, &fault);
    if (fault.happened)
        expect(!(we_are_done(&m) && m.theirs.done) &&
                   !(fault.ours ? m.theirs.done : we_are_done(&m)),
               "a corrupted message was taken");
    part(&m);
    return fault.happened;
}

/* Every byte of every message of the handshake in turn, in both directions. */
static void corrupted(bool we_serve)
{
    static const enum quic_level levels[] = {QUIC_INITIAL, QUIC_HANDSHAKE};
    for (int ours = 0; ours < 2; ours++)
        for (size_t i = 0; i < countof(levels); i++) {
            struct fault f = {.ours = ours, .level = levels[i], .by = 1};
            while (corrupt(we_serve, f)) {
                f.at++;
                f.by = (uint8_t)(1 << f.at % 8);
            }
            expect(f.at >= QUIC_SECRET_LEN, "fewer bytes than the least message has");
        }
}

static const struct test {
    const char *name;
    void (*run)(bool we_serve);
} tests[] = {
    {"aes", aes},
    {"chacha", chacha},
    {"only one cipher", only_one},
    {"wrong key", wrong_key},
    {"no common protocol", no_common_protocol},
    {"other group", other_group},
    {"compatibility mode", compatibility_mode},
    {"corrupted", corrupted},
};

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    key_init();
    must(gnutls_global_init());
    for (size_t i = 0; i < 2 * countof(tests); i++) {
        bool we_serve = i % 2;
        char name[64];
        snprintf(name, sizeof(name), "%s, our %s", tests[i / 2].name,
                 we_serve ? "server" : "client");
        if (!wanted(name, argc, argv))
            continue;
        wrong = NULL;
        tests[i / 2].run(we_serve);
        if (wrong)
            printf("FAILED %s: %s\n", name, wrong);
        else
            printf("ok     %s\n", name);
        fflush(stdout);
        *(wrong ? &failed : &passed) += 1;
    }
    gnutls_global_deinit();
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed;
}
