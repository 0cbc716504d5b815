/* quic_callbacks.c: what ngtcp2 asks and tells.
 *
 * All of them run with m->busy set. Once the owner has freed the connection in one, the others
 * fail, which ends ngtcp2's call. The parameters are ngtcp2's.
 * NOLINTBEGIN(readability-function-size) */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/quic_internal.h"

#define LOST  1 /* application error code of what nobody reads */
#define EARLY 4 /* between the ids of one side's streams */

bool quic_authentic;
static ngtcp2_decrypt crypto_decrypt;

static int verdict(const struct quic_conn *m)
{
    return m->state <= QUIC_UP ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *sealed, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    int error = crypto_decrypt(dest, aead, ctx, sealed, len, nonce, nonce_len, aad, aad_len);
    if (!error)
        quic_authentic = true;
    return error;
}

static struct quic_stream *early_of(const struct quic_conn *m, int64_t id)
{
    for (struct list_node *at = m->streams.prev; at != &m->streams; at = at->prev) {
        struct quic_stream *s = container_of(at, struct quic_stream, all);
        if (s->id == id)
            return s->early ? s : NULL;
    }
    return NULL;
}

static void accept_stream(struct quic_conn *m, int64_t id, bool early)
{
    struct quic_stream *s = quic_stream_new(m, id);
    s->early = early;
    if (!early)
        ngtcp2_conn_set_stream_user_data(m->conn, id, s);
    m->mux.events->accepted(m->mux.arg, &s->base);
}

/* RFC 9000 §3.2: a stream opens those before it. */
static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *user_data)
{
    struct quic_conn *m = user_data;
    struct quic_stream *s = id < m->next_remote ? early_of(m, id) : NULL;
    if (s) {
        s->early = false;
        ngtcp2_conn_set_stream_user_data(conn, id, s);
        quic_stream_schedule(s);
        quic_conn_wake(m);
    }
    if (m->away || !m->mux.events)
        return ngtcp2_conn_shutdown_stream(conn, 0, id, LOST);
    while (m->next_remote <= id && m->state <= QUIC_UP) {
        int64_t next = m->next_remote;
        m->next_remote += EARLY;
        accept_stream(m, next, next < id);
    }
    return verdict(m);
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *data, size_t len, void *user_data, void *stream)
{
    struct quic_conn *m = user_data;
    (void)offset;
    if (stream) {
        quic_stream_received(stream, data, len, flags & NGTCP2_STREAM_DATA_FLAG_FIN);
        return verdict(m);
    }
    ngtcp2_conn_extend_max_offset(conn, len);
    return len ? ngtcp2_conn_shutdown_stream(conn, 0, id, LOST) : 0;
}

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t len, void *user_data,
                    void *stream)
{
    (void)conn, (void)id, (void)offset, (void)user_data;
    if (stream)
        quic_stream_acked(stream, (size_t)len);
    return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code,
                           void *user_data, void *stream)
{
    const struct quic_conn *m = user_data;
    bool refused = (flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET) && code;
    if (stream) /* one that had ended hears of STOP_SENDING only here */
        quic_stream_retire(stream, refused ? ECONNRESET : 0);
    if (!ngtcp2_conn_is_local_stream(conn, id))
        ngtcp2_conn_extend_max_streams_bidi(conn, 1);
    return verdict(m);
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t size, uint64_t code,
                           void *user_data, void *stream)
{
    (void)conn, (void)id, (void)size, (void)code, (void)user_data;
    if (stream)
        quic_stream_was_reset(stream);
    return 0;
}

static int on_stop_sending(ngtcp2_conn *conn, int64_t id, uint64_t code, void *user_data,
                           void *stream)
{
    return on_stream_reset(conn, id, 0, code, user_data, stream);
}

static int on_more_streams(ngtcp2_conn *conn, uint64_t max, void *user_data)
{
    struct quic_conn *m = user_data;
    (void)conn, (void)max;
    quic_conn_wake(m);
    return 0;
}

static int on_more_data(ngtcp2_conn *conn, int64_t id, uint64_t max, void *user_data, void *stream)
{
    struct quic_stream *s = stream;
    (void)conn, (void)id, (void)max, (void)user_data;
    if (s && s->blocked) {
        s->blocked = false;
        quic_stream_schedule(s);
    }
    return 0;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t len,
                       void *user_data)
{
    struct quic_conn *m = user_data;
    (void)conn, (void)flags;
    if (m->events && m->events->datagram)
        m->events->datagram(m->mux.arg, data, len);
    return verdict(m);
}

static int on_new_id(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len,
                     void *user_data)
{
    struct quic_conn *m = user_data;
    (void)conn;
    cid->datalen = len;
    key_random(cid->data, len);
    quic_reset_token(token, m->token_key, cid->data, len);
    m->link->cid_added(m, cid);
    return 0;
}

static int on_old_id(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *user_data)
{
    struct quic_conn *m = user_data;
    (void)conn;
    m->link->cid_removed(m, cid);
    return 0;
}

/* The client's Finished, or the server's: both have the key. */
static int on_done(ngtcp2_conn *conn, void *user_data)
{
    struct quic_conn *m = user_data;
    (void)conn;
    m->state = QUIC_UP;
    m->link->up(m);
    quic_conn_wake(m);
    return verdict(m);
}

void quic_conn_callbacks(ngtcp2_callbacks *cb)
{
    *cb = (ngtcp2_callbacks){.stream_open = on_stream_open,
                             .recv_stream_data = on_stream_data,
                             .acked_stream_data_offset = on_acked,
                             .stream_close = on_stream_close,
                             .stream_reset = on_stream_reset,
                             .stream_stop_sending = on_stop_sending,
                             .extend_max_local_streams_bidi = on_more_streams,
                             .extend_max_stream_data = on_more_data,
                             .recv_datagram = on_datagram,
                             .get_new_connection_id = on_new_id,
                             .remove_connection_id = on_old_id,
                             .handshake_completed = on_done};
    quic_crypto_callbacks(cb);
    crypto_decrypt = cb->decrypt;
    cb->decrypt = on_decrypt;
}
/* NOLINTEND(readability-function-size) */
