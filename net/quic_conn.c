/* quic_conn.c: a QUIC connection as a mux: its life. */
#include "net/quic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/quic_internal.h"

#define STREAM_WINDOW_FIRST (256u * 1024)
#define WINDOW_FIRST        (1024u * 1024)
#define HANDSHAKE_MS        10000
#define SWEEP_MS            15000
#define SILENCE_MS          1000 /* after which the other side may have given up probing */

static const uint16_t payloads[] = {1252, 1392, 1452, 1472, 8952, 16336};

uint64_t quic_clock_ahead_ns;

uint64_t quic_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NGTCP2_SECONDS + (uint64_t)ts.tv_nsec + quic_clock_ahead_ns;
}

/* One open file an agent would be one too many for most; lines are few. */
void quic_keylog(void *arg, const char *line)
{
    const char *path = getenv("SSLKEYLOGFILE");
    int fd = path && *path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    (void)arg;
    if (fd < 0)
        return;
    dprintf(fd, "%s\n", line);
    close(fd);
}

/* ---- going down ---- */

static void lose_streams(struct quic_conn *m)
{
    while (!list_empty(&m->streams))
        quic_stream_retire(container_of(m->streams.next, struct quic_stream, all), ECONNRESET);
}

static void say_goodbye(struct quic_conn *m)
{
    ngtcp2_ccerr why;
    ngtcp2_ccerr_default(&why);
    ngtcp2_ccerr_set_application_error(&why, 0, NULL, 0);
    if (!m->server || quic_crypto_session(m->crypto))
        quic_conn_say_close(m, &why);
}

static void leave(struct quic_conn *m)
{
    loop_task_del(&m->flush);
    loop_task_del(&m->tell_down);
    loop_task_del(&m->tell_drained);
    loop_timer_del(&m->expiry);
    loop_timer_del(&m->sweep);
    if (m->say_close)
        say_goodbye(m);
    m->link->gone(m);
    ngtcp2_conn_del(m->conn);
    quic_crypto_free(m->crypto);
    buf_fini(&m->notes);
    free(m->pending_data);
    loop_reap(m->loop, m, free);
}

/* A server's that nobody owns yet goes by itself. */
void quic_conn_down(struct quic_conn *m, int error)
{
    if (m->state >= QUIC_DOWN)
        return;
    m->state = QUIC_DOWN;
    m->error = error;
    loop_timer_del(&m->expiry);
    loop_timer_del(&m->sweep);
    lose_streams(m);
    if (m->mux.events) {
        loop_task_post(&m->tell_down);
        return;
    }
    m->state = QUIC_FREED;
    if (!m->busy)
        leave(m);
}

static void tell_down(void *arg)
{
    struct quic_conn *m = arg;
    m->mux.events->down(m->mux.arg, m->error);
}

static int error_of_peer(const struct quic_conn *m)
{
    const ngtcp2_ccerr *why = ngtcp2_conn_get_ccerr(m->conn);
    log_trace("quic: the peer ends it: type %d, code 0x%llx", (int)why->type,
              (unsigned long long)why->error_code);
    if (why->type == NGTCP2_CCERR_TYPE_APPLICATION)
        return why->error_code ? ECONNRESET : 0;
    return why->error_code >= 0x100 && why->error_code < 0x200 ? EACCES : ECONNRESET;
}

static int errno_of(int error)
{
    switch (error) {
    case NGTCP2_ERR_CRYPTO: return EACCES;
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT: return ETIMEDOUT;
    case NGTCP2_ERR_IDLE_CLOSE: return ETIMEDOUT;
    default: return EPROTO;
    }
}

void quic_conn_fail(struct quic_conn *m, int error)
{
    ngtcp2_ccerr why;
    if (m->state >= QUIC_DOWN)
        return;
    if (error == NGTCP2_ERR_DRAINING || error == NGTCP2_ERR_CLOSING) {
        quic_conn_down(m, error_of_peer(m));
        return;
    }
    log_trace("quic: %s", ngtcp2_strerror(error));
    ngtcp2_ccerr_default(&why);
    if (error == NGTCP2_ERR_CRYPTO)
        ngtcp2_ccerr_set_tls_alert(&why, ngtcp2_conn_get_tls_alert(m->conn), NULL, 0);
    else
        ngtcp2_ccerr_set_liberr(&why, error, NULL, 0);
    if (error != NGTCP2_ERR_HANDSHAKE_TIMEOUT && error != NGTCP2_ERR_DROP_CONN)
        quic_conn_say_close(m, &why);
    quic_conn_down(m, errno_of(error));
}

/* ---- what comes in ---- */

static ngtcp2_addr name_of(const struct quic_addr *a)
{
    return (ngtcp2_addr){.addr = (struct sockaddr *)(uintptr_t)&a->sa, .addrlen = a->len};
}

/* True when something awaits an answer, and nothing did. */
static bool note_asked(struct quic_conn *m, bool answered)
{
    bool waits = quic_waiting(&m->mux), did = m->asked;
    if (!waits)
        m->asked = 0;
    else if (!did || answered)
        m->asked = quic_now();
    return waits && !did;
}

static void answered(struct quic_conn *m)
{
    (void)note_asked(m, true);
    if (!m->tell_answer)
        return;
    m->tell_answer = false;
    if (m->mux.events && m->events->answered)
        m->events->answered(m->mux.arg); /* which may free it */
}

static void heard(struct quic_conn *m, bool current)
{
    uint64_t silence = quic_silence_ms(&m->mux);
    m->heard = quic_now();
    m->path_good |= current;
    quic_conn_wake(m);
    if (silence >= SILENCE_MS && m->state == QUIC_UP && quic_waiting(&m->mux))
        quic_probe(&m->mux);
}

/* What has become of it after a packet that ngtcp2 took, or not. */
static void judge(struct quic_conn *m, int error, bool current)
{
    if (m->state == QUIC_FREED) {
        if (!m->busy)
            leave(m);
    } else if (m->state == QUIC_DOWN) {
        return;
    } else if (m->server && !quic_crypto_session(m->crypto)) {
        quic_conn_down(m, EACCES); /* a stranger, who hears nothing */
    } else if (error) {
        quic_conn_fail(m, error);
    } else if (quic_authentic) {
        heard(m, current);
    } else {
        quic_conn_wake(m);
    }
}

/* What ngtcp2 counts as in flight falls by acknowledgements, and when the peer's address is another
 * one, which is no answer. */
struct flight {
    uint64_t bytes;
    struct quic_addr peer;
};

static struct flight flight_of(const struct quic_conn *m)
{
    ngtcp2_conn_info info;
    const ngtcp2_addr *peer = &ngtcp2_conn_get_path(m->conn)->remote;
    struct flight f = {.peer.len = (socklen_t)peer->addrlen};
    ngtcp2_conn_get_conn_info(m->conn, &info);
    f.bytes = info.bytes_in_flight;
    memcpy(&f.peer.in6, peer->addr, peer->addrlen);
    return f;
}

static bool has_landed(const struct flight *before, const struct flight *now)
{
    return now->bytes < before->bytes && quic_addr_equal(&before->peer, &now->peer);
}

bool quic_conn_read(struct quic_conn *m, const struct quic_batch *in, bool current)
{
    ngtcp2_path path = {.local = name_of(&in->local), .remote = name_of(&in->remote)};
    ngtcp2_pkt_info info = {.ecn = (uint8_t)in->ecn};
    if (m->state > QUIC_UP)
        return false;
    struct flight before = flight_of(m);
    quic_authentic = false;
    m->busy++;
    int error = ngtcp2_conn_read_pkt(m->conn, &path, &info, in->data, in->len, quic_now());
    m->busy--;
    bool authentic = quic_authentic;
    judge(m, error, current);
    if (authentic && m->state == QUIC_UP) {
        struct flight now = flight_of(m);
        if (has_landed(&before, &now))
            answered(m);
    }
    return authentic;
}

/* ---- timers ---- */

void quic_conn_wake(struct quic_conn *m)
{
    if (m->state <= QUIC_UP)
        loop_task_post(&m->flush);
}

static void flush(void *arg)
{
    struct quic_conn *m = arg;
    quic_conn_flush(m);
    if (m->state == QUIC_UP && note_asked(m, false) && m->mux.events && m->events->asked)
        m->events->asked(m->mux.arg); /* which may free it */
}

/* As long as ngtcp2 has a plan, something may be unsaid that is not in flight just now. */
static void see_drained(struct quic_conn *m, bool plans)
{
    if (!m->away || m->drained || m->count || m->notes.len || plans || m->state != QUIC_UP)
        return;
    m->drained = true;
    loop_task_post(&m->tell_drained);
}

static void tell_drained(void *arg)
{
    const struct quic_conn *m = arg;
    if (m->state == QUIC_UP && m->mux.events && m->events->drained)
        m->events->drained(m->mux.arg);
}

void quic_conn_schedule_expiry(struct quic_conn *m)
{
    ngtcp2_tstamp at = ngtcp2_conn_get_expiry(m->conn), now = quic_now();
    see_drained(m, at != UINT64_MAX);
    if (at == UINT64_MAX) {
        loop_timer_del(&m->expiry);
        return;
    }
    uint64_t ns = at > now ? at - now : 0;
    uint64_t ms = (ns + NGTCP2_MILLISECONDS - 1) / NGTCP2_MILLISECONDS;
    loop_timer_set(&m->expiry, ms < 3600000 ? ms : 3600000);
}

static void expire(void *arg)
{
    struct quic_conn *m = arg;
    ngtcp2_tstamp now = quic_now();
    int error =
        ngtcp2_conn_get_expiry(m->conn) <= now ? ngtcp2_conn_handle_expiry(m->conn, now) : 0;
    if (error)
        quic_conn_fail(m, error);
    else
        flush(m);
}

/* While nobody answers nothing is given up: the path may come back. */
static void sweep(void *arg)
{
    struct quic_conn *m = arg;
    if (quic_silence_ms(&m->mux) < SWEEP_MS)
        quic_stream_sweep(m);
    quic_queue_trim();
    loop_timer_set(&m->sweep, SWEEP_MS);
}

/* ---- the owner's calls ---- */

static struct stream *open_stream(struct mux *mux)
{
    struct quic_conn *m = quic_conn_of(mux);
    if (m->state > QUIC_UP || m->away) {
        errno = ECONNABORTED;
        return NULL;
    }
    if (m->count >= 65536) {
        errno = EMFILE;
        return NULL;
    }
    return &quic_stream_new(m, -1)->base;
}

static void go_away(struct mux *mux)
{
    struct quic_conn *m = quic_conn_of(mux);
    m->away = true;
    quic_conn_wake(m);
}

static size_t count(const struct mux *mux)
{
    return ((const struct quic_conn *)(const void *)mux)->count;
}

/* What was written to streams that were closed before is still in the flush. */
static void free_mux(struct mux *mux)
{
    struct quic_conn *m = quic_conn_of(mux);
    enum quic_state was = m->state;
    if (was == QUIC_FREED)
        return;
    if (was <= QUIC_UP && !m->busy)
        quic_conn_flush(m);
    m->say_close = m->state <= QUIC_UP;
    m->state = QUIC_FREED;
    lose_streams(m);
    if (!m->busy)
        leave(m);
}

static const struct mux_ops ops = {
    .open = open_stream,
    .go_away = go_away,
    .count = count,
    .free = free_mux,
};

void quic_own(struct mux *mux, const struct quic_events *events, void *arg)
{
    quic_conn_of(mux)->events = events;
    mux->events = &events->mux;
    mux->arg = arg;
}

/* ---- making one ---- */

static ngtcp2_settings settings_of(const struct quic_conn_config *config)
{
    ngtcp2_settings s;
    ngtcp2_settings_default(&s);
    s.initial_ts = quic_now();
    s.cc_algo = config->cubic ? NGTCP2_CC_ALGO_CUBIC : NGTCP2_CC_ALGO_BBR;
    s.initial_rtt = 100 * NGTCP2_MILLISECONDS;
    s.max_window = QUIC_WINDOW;
    s.max_stream_window = QUIC_STREAM_WINDOW;
    s.max_tx_udp_payload_size = payloads[countof(payloads) - 1];
    s.pmtud_probes = payloads;
    s.pmtud_probeslen = countof(payloads);
    s.handshake_timeout =
        (config->handshake_timeout_ms ? config->handshake_timeout_ms : HANDSHAKE_MS) *
        NGTCP2_MILLISECONDS;
    return s;
}

static ngtcp2_transport_params params_of(void)
{
    ngtcp2_transport_params p;
    ngtcp2_transport_params_default(&p);
    p.initial_max_data = WINDOW_FIRST;
    p.initial_max_stream_data_bidi_local = p.initial_max_stream_data_bidi_remote =
        STREAM_WINDOW_FIRST;
    p.initial_max_streams_bidi = QUIC_STREAMS_MAX;
    p.max_datagram_frame_size = 65535;
    p.active_connection_id_limit = 8;
    p.max_idle_timeout = 0;
    return p;
}

static void new_cid(ngtcp2_cid *cid, size_t len)
{
    cid->datalen = len;
    key_random(cid->data, len);
}

static int new_conn(struct quic_conn *m, const struct quic_conn_config *config, ngtcp2_cid *scid)
{
    ngtcp2_callbacks cb;
    ngtcp2_settings settings = settings_of(config);
    ngtcp2_transport_params params = params_of();
    ngtcp2_path path = {.local = name_of(&config->local), .remote = name_of(&config->remote)};
    ngtcp2_cid dcid;
    quic_conn_callbacks(&cb);
    new_cid(scid, QUIC_CID_LEN);
    if (!config->header) {
        new_cid(&dcid, 18);
        return ngtcp2_conn_client_new(&m->conn, &dcid, scid, &path, NGTCP2_PROTO_VER_V1, &cb,
                                      &settings, &params, NULL, m);
    }
    params.original_dcid = config->header->dcid;
    params.original_dcid_present = 1;
    params.stateless_reset_token_present = 1;
    quic_reset_token(params.stateless_reset_token, config->token_key, scid->data, scid->datalen);
    return ngtcp2_conn_server_new(&m->conn, &config->header->scid, scid, &path, NGTCP2_PROTO_VER_V1,
                                  &cb, &settings, &params, NULL, m);
}

struct quic_conn *quic_conn_new(struct loop *loop, const struct quic_conn_config *config,
                                struct quic_crypto_config *crypto)
{
    struct quic_conn *m = xcalloc(1, sizeof(*m));
    ngtcp2_cid scid;
    m->mux.ops = &ops;
    m->loop = loop;
    m->link = config->link;
    m->over = config->over;
    m->server = config->header != NULL;
    m->next_remote = m->server ? 0 : 1;
    m->heard = quic_now();
    memcpy(m->token_key, config->token_key, sizeof(m->token_key));
    list_init(&m->streams);
    list_init(&m->ready);
    list_init(&m->prompt);
    list_init(&m->held);
    list_init(&m->aborts);
    loop_task_init(loop, &m->flush, flush, m);
    loop_task_init(loop, &m->tell_down, tell_down, m);
    loop_task_init(loop, &m->tell_drained, tell_drained, m);
    loop_timer_init(loop, &m->expiry, expire, m);
    loop_timer_init(loop, &m->sweep, sweep, m);
    if (new_conn(m, config, &scid))
        abort();
    m->crypto = quic_crypto_attach(m->conn, crypto);
    m->link->cid_added(m, &scid);
    loop_timer_set(&m->sweep, SWEEP_MS);
    return m;
}
