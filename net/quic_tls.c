/* quic_tls.c: which message of the handshake is due. */
#include "net/quic_tls.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/quic_tls_state.h"

#define RECEIVED_MAX 4096 /* bytes of a message of the peer's; another TLS' ClientHello has 500 */

/* What is due next. A message is due at one level only, so one that spans two levels, or that
 * leaves bytes behind it when the keys change, is met by a row that does not expect it. */
enum state {
    CLIENT_IDLE,
    CLIENT_AWAITS_HELLO,
    CLIENT_AWAITS_EXTENSIONS,
    CLIENT_AWAITS_FINISHED,
    CLIENT_DONE,
    SERVER_AWAITS_HELLO,
    SERVER_AWAITS_FINISHED,
    SERVER_DONE,
    FAILED,
    STATES
};

static const char *const state_names[] = {
    [CLIENT_IDLE] = "client, idle",
    [CLIENT_AWAITS_HELLO] = "client, awaits ServerHello",
    [CLIENT_AWAITS_EXTENSIONS] = "client, awaits EncryptedExtensions",
    [CLIENT_AWAITS_FINISHED] = "client, awaits Finished",
    [CLIENT_DONE] = "client, done",
    [SERVER_AWAITS_HELLO] = "server, awaits ClientHello",
    [SERVER_AWAITS_FINISHED] = "server, awaits Finished",
    [SERVER_DONE] = "server, done",
    [FAILED] = "failed",
};
static_assert(countof(state_names) == STATES, "every state has a name");

static void enter(struct quic_tls *t, enum state state)
{
    log_trace("tls: %s -> %s", state_names[t->state], state_names[state]);
    t->state = state;
}

static void forget(struct quic_tls *t)
{
    key_wipe(t->psk, sizeof(t->psk));
    key_wipe(t->ephemeral, sizeof(t->ephemeral));
    key_wipe(&t->keys, sizeof(t->keys));
    key_wipe(t->client_verify, sizeof(t->client_verify));
    buf_fini(&t->transcript);
}

static int on_ticket(struct quic_tls *t, const uint8_t *msg, size_t len)
{
    (void)t, (void)msg, (void)len;
    return QUIC_TLS_OK;
}

static const struct step {
    int (*act)(struct quic_tls *t, const uint8_t *msg, size_t len); /* NULL: nothing is due */
    enum quic_level level;
    enum quic_tls_type type;
    enum state next;
} steps[STATES] = {
    [CLIENT_AWAITS_HELLO] = {quic_tls_on_server_hello, QUIC_INITIAL, QUIC_TLS_SERVER_HELLO,
                             CLIENT_AWAITS_EXTENSIONS},
    [CLIENT_AWAITS_EXTENSIONS] = {quic_tls_on_extensions, QUIC_HANDSHAKE,
                                  QUIC_TLS_ENCRYPTED_EXTENSIONS, CLIENT_AWAITS_FINISHED},
    [CLIENT_AWAITS_FINISHED] = {quic_tls_on_server_finished, QUIC_HANDSHAKE, QUIC_TLS_FINISHED,
                                CLIENT_DONE},
    [CLIENT_DONE] = {on_ticket, QUIC_ONE_RTT, QUIC_TLS_NEW_SESSION_TICKET, CLIENT_DONE},
    [SERVER_AWAITS_HELLO] = {quic_tls_on_client_hello, QUIC_INITIAL, QUIC_TLS_CLIENT_HELLO,
                             SERVER_AWAITS_FINISHED},
    [SERVER_AWAITS_FINISHED] = {quic_tls_on_client_finished, QUIC_HANDSHAKE, QUIC_TLS_FINISHED,
                                SERVER_DONE},
};

static int fail(struct quic_tls *t, enum quic_tls_error error)
{
    log_trace("tls: error 0x%x", (unsigned)error);
    t->error = error;
    forget(t);
    buf_fini(&t->received);
    enter(t, FAILED);
    return -1;
}

/* The message at the front of `received`, if it is whole: how long, else 0. What is not due is
 * refused by its first bytes, before any of it is waited for. */
static int next_message(const struct quic_tls *t, enum quic_level level, size_t *len)
{
    const struct step *due = &steps[t->state];
    *len = 0;
    if (!t->received.len)
        return QUIC_TLS_OK;
    const uint8_t *p = buf_front(&t->received);
    if (!due->act || level != due->level || *p != due->type)
        return QUIC_TLS_UNEXPECTED_MESSAGE;
    if (t->received.len < QUIC_TLS_HEADER_LEN)
        return QUIC_TLS_OK;
    size_t whole = QUIC_TLS_HEADER_LEN + quic_tls_read_header(p).len;
    if (whole > RECEIVED_MAX)
        return QUIC_TLS_DECODE_ERROR;
    *len = whole <= t->received.len ? whole : 0;
    return QUIC_TLS_OK;
}

int quic_tls_receive(struct quic_tls *t, enum quic_level level, const uint8_t *p, size_t len)
{
    if (t->state == FAILED)
        return -1;
    buf_append(&t->received, p, len);
    for (;;) {
        const struct step *due = &steps[t->state];
        size_t whole;
        int error = next_message(t, level, &whole);
        if (!error && !whole)
            break;
        if (!error)
            error = due->act(t, buf_front(&t->received), whole);
        if (error)
            return fail(t, (enum quic_tls_error)error);
        buf_consume(&t->received, whole);
        enter(t, due->next);
        if (quic_tls_done(t))
            forget(t);
    }
    if (!t->received.len)
        buf_fini(&t->received); /* most never get more */
    return 0;
}

int quic_tls_start(struct quic_tls *t)
{
    assert(t->state == CLIENT_IDLE);
    int error = quic_tls_send_hello(t);
    if (error)
        return fail(t, (enum quic_tls_error)error);
    enter(t, CLIENT_AWAITS_HELLO);
    return 0;
}

static struct quic_tls *tls_new(const struct quic_tls_config *config, enum state state)
{
    struct quic_tls *t = xcalloc(1, sizeof(*t));
    t->events = config->events;
    t->arg = config->arg;
    t->cipher = config->prefer;
    t->state = state;
    return t;
}

struct quic_tls *quic_tls_client(const struct quic_tls_config *config)
{
    struct quic_tls *t = tls_new(config, CLIENT_IDLE);
    memcpy(t->session, config->session, SESSION_LEN);
    memcpy(t->psk, config->psk, PSK_LEN);
    t->recognised = true;
    return t;
}

struct quic_tls *quic_tls_server(const struct quic_tls_config *config)
{
    return tls_new(config, SERVER_AWAITS_HELLO);
}

void quic_tls_free(struct quic_tls *t)
{
    if (!t)
        return;
    forget(t);
    buf_fini(&t->received);
    free(t);
}

enum quic_tls_error quic_tls_error(const struct quic_tls *t)
{
    return t->error;
}

bool quic_tls_done(const struct quic_tls *t)
{
    return t->state == CLIENT_DONE || t->state == SERVER_DONE;
}

enum quic_cipher quic_tls_cipher(const struct quic_tls *t)
{
    return t->cipher;
}

const uint8_t *quic_tls_session(const struct quic_tls *t)
{
    return t->recognised ? t->session : NULL;
}

const uint8_t *quic_tls_random(const struct quic_tls *t)
{
    return t->random;
}
