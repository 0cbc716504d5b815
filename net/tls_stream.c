/* tls_stream.c: the stream itself: what the owner asks of it, and what the carrier brings.
 *
 * A record is gathered in t->record, opened where it stands, and lent upward from there. The next
 * one is not looked at before the owner has consumed all of it. */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/tls_reason.h"
#include "net/tls_state.h"

#define EARLY_MAX    (16u * 1024) /* room before there are keys */
#define CARRIER_WANT (64u * 1024)
#define WARNINGS_MAX 8u

static struct tls *tls_of(struct stream *s)
{
    return container_of(s, struct tls, s);
}

static void free_tls(void *p)
{
    struct tls *t = p;
    tls_handshake_free(t->handshake);
    buf_fini(&t->record);
    buf_fini(&t->early);
    free(t->server_name);
    key_wipe(t, sizeof(*t));
    free(t);
}

static void finish(struct tls *t, void (*leave)(struct stream *carrier))
{
    if (!t->carrier)
        return;
    leave(t->carrier);
    t->carrier = NULL;
    if (t->handshake)
        loop_timer_del(&t->handshake->deadline);
    loop_task_del(&t->resume);
    loop_task_del(&t->give_up);
    stream_fini(&t->s);
    loop_reap(t->s.loop, t, free_tls);
}

/* Both directions are over. */
static void fail(struct tls *t, int error, const char *reason)
{
    if (t->s.error)
        return;
    if (t->s.closed) {
        finish(t, stream_close);
        return;
    }
    t->reason = reason;
    if (t->handshake)
        loop_timer_del(&t->handshake->deadline);
    stream_want(t->carrier, 0);
    stream_deliver_error(&t->s, error);
}

static void fail_loudly(struct tls *t, struct tls_reason why)
{
    tls_seal_one(&t->out.keys.table, t->carrier, TLS_ALERT,
                 (const uint8_t[]){2, (uint8_t)why.alert});
    t->notified = true;
    fail(t, why.error, why.text);
}

static void say_close_notify(struct tls *t)
{
    if (t->notified || t->s.error)
        return;
    t->notified = true;
    tls_seal_one(&t->out.keys.table, t->carrier, TLS_ALERT, (const uint8_t[]){1, TLS_CLOSE_NOTIFY});
}

/* ---- the handshake ---- */

static void established(struct tls *t)
{
    const struct iovec early = {buf_front(&t->early), t->early.len};
    tls_handshake_finish(t);
    tls_seal(&t->out, t->carrier, &early, 1);
    buf_fini(&t->early);
    if (t->s.shut || t->s.closed)
        say_close_notify(t);
    if (t->s.closed) {
        finish(t, stream_close);
        return;
    }
    stream_deliver_open(&t->s);
    if (t->full && stream_room(t->carrier)) {
        t->full = false;
        stream_deliver_drained(&t->s);
    }
}

static void shake_hands(struct tls *t)
{
    int done = tls_handshake_run(t);
    if (done < 0) {
        struct tls_reason why = tls_reason_of(tls_handshake_error(t));
        fail(t, why.error, why.text);
    } else if (done > 0) {
        established(t);
    }
}

static void too_late(void *arg)
{
    fail(arg, ETIMEDOUT, "the handshake has taken too long");
}

/* ---- what arrives ---- */

static bool reads(const struct tls *t)
{
    const struct stream *s = &t->s;
    return t->carrier && !t->handshake && !s->closed && !s->error && !s->eof && s->want &&
           !stream_held(s);
}

/* Until t->record holds `len` bytes; false when there are not that many. */
static bool gather(struct tls *t, size_t len)
{
    size_t have;
    const uint8_t *p;
    while (t->record.len < len && (p = stream_peek(t->carrier, &have))) {
        size_t need = len - t->record.len;
        need = need < have ? need : have;
        buf_append(&t->record, p, need);
        stream_consume(t->carrier, need);
    }
    return t->record.len >= len;
}

static void on_alert(struct tls *t, const uint8_t *p, size_t len)
{
    if (len != 2)
        fail_loudly(t, tls_reason_of(BR_ERR_BAD_ALERT));
    else if (p[1] == TLS_CLOSE_NOTIFY)
        stream_deliver_eof(&t->s);
    else if (p[0] != 1 || ++t->warnings > WARNINGS_MAX)
        fail(t, ECONNRESET, tls_alert_text(p[1]));
}

/* A renegotiation is refused and not just declined: nobody needs one here. */
static void on_handshake(struct tls *t)
{
    fail_loudly(t, (struct tls_reason){"it wants to renegotiate", EPROTO, TLS_NO_RENEGOTIATION});
}

static void open_record(struct tls *t)
{
    uint8_t *record = buf_front(&t->record), type = record[0];
    size_t len;
    const uint8_t *p = tls_open(&t->in, record, &len);
    if (!p)
        fail_loudly(t, tls_reason_of(BR_ERR_BAD_MAC));
    else if (type == TLS_DATA)
        stream_deliver(&t->s, p, len);
    else if (type == TLS_ALERT)
        on_alert(t, p, len);
    else if (type == TLS_HANDSHAKE)
        on_handshake(t);
    else
        fail_loudly(t, tls_reason_of(BR_ERR_UNEXPECTED));
    /* It stays where it is until the turn ends when the owner has let go of the stream. */
    if (t->carrier && !t->s.error)
        buf_fini(&t->record);
}

static void read_records(struct tls *t)
{
    while (reads(t) && gather(t, TLS_HEADER_LEN)) {
        size_t len = tls_body_len(&t->in, buf_front(&t->record));
        if (!len)
            fail_loudly(t, tls_reason_of(BR_ERR_UNEXPECTED));
        else if (gather(t, TLS_HEADER_LEN + len))
            open_record(t);
        else
            return;
    }
}

/* Behind close_notify nothing counts. */
static void drop_rest(struct tls *t)
{
    size_t len;
    stream_peek(t->carrier, &len);
    stream_consume(t->carrier, len);
}

static void advance(void *arg)
{
    struct tls *t = arg;
    if (t->carrier && !t->s.error && t->handshake)
        shake_hands(t);
    read_records(t);
    if (t->carrier && t->s.eof)
        drop_rest(t);
}

static void carrier_drained(struct tls *t)
{
    if (t->handshake || !t->full)
        return;
    t->full = false;
    stream_deliver_drained(&t->s);
}

static void carrier_ended(struct tls *t)
{
    if (!t->s.eof)
        fail(t, ECONNRESET, "it was cut off");
}

static void on_carrier(void *arg, struct stream *s, enum stream_event event)
{
    struct tls *t = arg;
    switch (event) {
    case STREAM_OPEN:
    case STREAM_DATA: advance(t); break;
    case STREAM_DRAINED: carrier_drained(t); break;
    case STREAM_EOF: carrier_ended(t); break;
    case STREAM_ERROR: fail(t, stream_error(s), "the connection was lost"); break;
    }
}

/* ---- the owner's calls ---- */

static size_t room_of(const struct tls *t)
{
    if (t->handshake)
        return t->early.len < EARLY_MAX ? EARLY_MAX - t->early.len : 0;
    return t->notified ? 0 : stream_room(t->carrier);
}

static size_t room(const struct stream *s)
{
    return room_of((const struct tls *)(const void *)s);
}

static void put(struct stream *s, const struct iovec *iov, int n)
{
    struct tls *t = tls_of(s);
    if (!t->handshake)
        tls_seal(&t->out, t->carrier, iov, n);
    else
        for (int i = 0; i < n; i++)
            buf_append(&t->early, iov[i].iov_base, iov[i].iov_len);
    t->full |= !room_of(t);
}

static void consumed(struct stream *s, size_t len)
{
    struct tls *t = tls_of(s);
    (void)len;
    if (t->carrier->needs_reader != s->needs_reader)
        stream_need_reader(t->carrier, s->needs_reader);
    if (t->carrier->stall_ms != s->stall_ms)
        stream_limit_stall(t->carrier, s->stall_ms);
    if (reads(t))
        loop_task_post(&t->resume);
}

static void shut(struct stream *s)
{
    struct tls *t = tls_of(s);
    if (!t->handshake)
        say_close_notify(t);
}

static void give_up(void *arg)
{
    finish(arg, stream_close);
}

static void close_tls(struct stream *s)
{
    struct tls *t = tls_of(s);
    if (t->handshake && t->early.len && !s->error) {
        loop_task_at_end(&t->give_up);
        return;
    }
    if (!t->handshake)
        say_close_notify(t);
    finish(t, stream_close);
}

static void reset_tls(struct stream *s)
{
    finish(tls_of(s), stream_reset);
}

static const struct stream_ops ops = {
    .room = room,
    .writev = put,
    .consumed = consumed,
    .shutdown = shut,
    .close = close_tls,
    .reset = reset_tls,
};

struct tls *tls_new(struct stream *carrier)
{
    struct tls *t = xcalloc(1, sizeof(*t));
    stream_init(&t->s, &ops, carrier->loop);
    t->carrier = carrier;
    t->handshake = xcalloc(1, sizeof(*t->handshake));
    loop_timer_init(carrier->loop, &t->handshake->deadline, too_late, t);
    loop_task_init(carrier->loop, &t->resume, advance, t);
    loop_task_init(carrier->loop, &t->give_up, give_up, t);
    return t;
}

void tls_begin(struct tls *t)
{
    loop_timer_set(&t->handshake->deadline, TLS_HANDSHAKE_MS);
    stream_own(t->carrier, on_carrier, t);
    stream_want(t->carrier, CARRIER_WANT);
    loop_task_post(&t->resume);
}

/* ---- what is known of it ---- */

static const struct tls *known(const struct stream *s)
{
    return tls_is(s) ? (const struct tls *)(const void *)s : NULL;
}

bool tls_is(const struct stream *s)
{
    return s && s->ops == &ops;
}

const char *tls_reason(const struct stream *s)
{
    return known(s) ? known(s)->reason : NULL;
}

const char *tls_server_name(const struct stream *s)
{
    return known(s) ? known(s)->server_name : NULL;
}

const char *tls_protocol(const struct stream *s)
{
    return known(s) ? known(s)->protocol : NULL;
}

const char *tls_suite(const struct stream *s)
{
    switch (known(s) ? known(s)->suite : 0) {
    case BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
        return "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    case BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
        return "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    case BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: return "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    case BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: return "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    case BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
        return "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    case BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
        return "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
    default: return NULL;
    }
}
