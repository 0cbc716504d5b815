/* quic_send.c: what goes out, and in which order.
 *
 * Packets are made only when the socket takes them: what waits, waits in the streams. Datagrams
 * go first, then streams with little to say, then the others, a slice of each in turn; ngtcp2
 * puts acknowledgements and what was lost in front. Packets of one size leave in one call. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/quic_internal.h"

#define SLICE       (16u * 1024) /* bytes of one stream in one round */
#define SLICE_ALONE (64u * 1024)
#define BATCHES     8 /* in one turn of the loop */
#define SPANS       16
#define NOTES_LIMIT (256u * 1024) /* bytes of datagrams that wait */

/* ---- what streams have to say ---- */

static void begin_held(struct quic_conn *m)
{
    while (!list_empty(&m->held)) {
        struct quic_stream *s = container_of(m->held.next, struct quic_stream, ready);
        int64_t id;
        if (ngtcp2_conn_open_bidi_stream(m->conn, &id, s))
            return;
        quic_stream_begin(s, id);
    }
}

static void say_aborts(struct quic_conn *m)
{
    for (struct list_node *at = m->aborts.next, *next; at != &m->aborts; at = next) {
        next = at->next;
        quic_stream_abort_due(container_of(at, struct quic_stream, aborting));
    }
}

static struct quic_stream *next_stream(struct quic_conn *m)
{
    struct list_node *rings[] = {&m->prompt, &m->ready};
    for (size_t i = 0; i < countof(rings); i++) {
        while (!list_empty(rings[i])) {
            struct quic_stream *s = container_of(rings[i]->next, struct quic_stream, ready);
            if (quic_stream_sendable(s))
                return s;
            list_unlink(&s->ready);
        }
    }
    return NULL;
}

/* ---- packets ---- */

struct maker {
    struct quic_conn *m;
    ngtcp2_path_storage path;
    ngtcp2_pkt_info info;
    uint8_t *dest;
    size_t cap;
    ngtcp2_tstamp ts;
    struct quic_stream *turn; /* whose slice it is */
    size_t left;              /* of the slice */
};

static uint32_t note_len(const struct quic_conn *m)
{
    uint32_t len;
    memcpy(&len, buf_front(&m->notes), sizeof(len));
    return len;
}

static void drop_note(struct quic_conn *m)
{
    buf_consume(&m->notes, sizeof(uint32_t) + note_len(m));
}

/* One that became too long with another path would never go, and nothing after it. */
static ngtcp2_ssize write_note(struct maker *k)
{
    struct quic_conn *m = k->m;
    ngtcp2_vec vec = {buf_front(&m->notes) + sizeof(uint32_t), note_len(m)};
    int accepted = 0;
    if (vec.len > quic_datagram_max(&m->mux)) {
        drop_note(m);
        return NGTCP2_ERR_WRITE_MORE;
    }
    ngtcp2_ssize n =
        ngtcp2_conn_writev_datagram(m->conn, &k->path.path, &k->info, k->dest, k->cap, &accepted,
                                    NGTCP2_WRITE_DATAGRAM_FLAG_MORE, 0, &vec, vec.len != 0, k->ts);
    if (accepted)
        drop_note(m);
    return n;
}

static size_t vectors_of(const struct quic_stream *s, ngtcp2_vec *vec, size_t max)
{
    struct quic_span spans[SPANS];
    size_t n = quic_queue_unsent(&s->out, spans, SPANS, max);
    for (size_t i = 0; i < n; i++)
        vec[i] = (ngtcp2_vec){(uint8_t *)(uintptr_t)spans[i].data, spans[i].len};
    return n;
}

/* The next stream of the same ring gets its turn when the slice is used up. */
static void count_slice(struct maker *k, struct quic_stream *s, size_t len)
{
    if (len < k->left) {
        k->left -= len;
        return;
    }
    k->turn = NULL;
    if (list_linked(&s->ready)) {
        list_unlink(&s->ready);
        quic_stream_schedule(s);
    }
}

static ngtcp2_ssize write_stream(struct maker *k, struct quic_stream *s)
{
    ngtcp2_vec vec[SPANS];
    ngtcp2_ssize took = -1;
    if (k->turn != s) {
        k->turn = s;
        k->left = s->ready.next == s->ready.prev ? SLICE_ALONE : SLICE;
    }
    size_t n = vectors_of(s, vec, k->cap), len = 0;
    for (size_t i = 0; i < n; i++)
        len += vec[i].len;
    bool fin = s->sending == QUIC_SEND_FIN && len == s->out.unsent;
    uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
    if (fin)
        flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
    ngtcp2_ssize written =
        ngtcp2_conn_writev_stream(k->m->conn, &k->path.path, &k->info, k->dest, k->cap, &took,
                                  flags, s->id, n ? vec : NULL, n, k->ts);
    if (took >= 0) {
        quic_stream_sent(s, (size_t)took, fin && (size_t)took == len);
        count_slice(k, s, (size_t)took);
    } else if (written == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
        s->blocked = true;
    }
    return written;
}

static bool goes_on(ngtcp2_ssize n)
{
    return n == NGTCP2_ERR_WRITE_MORE || n == NGTCP2_ERR_STREAM_DATA_BLOCKED ||
           n == NGTCP2_ERR_STREAM_NOT_FOUND || n == NGTCP2_ERR_STREAM_SHUT_WR;
}

/* A whole packet: its length; 0: none can be made now; or ngtcp2's error. */
static ngtcp2_ssize make_packet(struct maker *k)
{
    ngtcp2_ssize n = NGTCP2_ERR_WRITE_MORE;
    while (k->m->notes.len && goes_on(n))
        n = write_note(k);
    while (goes_on(n)) {
        struct quic_stream *s =
            ngtcp2_conn_get_max_data_left(k->m->conn) ? next_stream(k->m) : NULL;
        if (!s)
            return ngtcp2_conn_writev_stream(k->m->conn, &k->path.path, &k->info, k->dest, k->cap,
                                             NULL, NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0,
                                             k->ts);
        n = write_stream(k, s);
        if (n == NGTCP2_ERR_STREAM_NOT_FOUND || n == NGTCP2_ERR_STREAM_SHUT_WR)
            list_unlink(&s->ready);
    }
    return n;
}

/* ---- batches ---- */

static struct quic_addr addr_of(const ngtcp2_addr *a)
{
    struct quic_addr out = {.len = (socklen_t)a->addrlen};
    memcpy(&out.in6, a->addr, a->addrlen);
    return out;
}

static bool same_way(const ngtcp2_path_storage *a, const ngtcp2_path_storage *b)
{
    return ngtcp2_path_eq(&a->path, &b->path);
}

struct batch {
    struct quic_batch out;
    ngtcp2_path_storage path;
    size_t n;
};

static bool fits(const struct batch *b, const struct maker *k, size_t len)
{
    return !b->n ||
           (len <= b->out.segment && k->info.ecn == b->out.ecn && same_way(&b->path, &k->path));
}

static void add(struct batch *b, const struct maker *k, size_t len)
{
    if (!b->n++) {
        b->out.segment = len;
        b->out.ecn = k->info.ecn;
        ngtcp2_path_storage_zero(&b->path);
        ngtcp2_path_copy(&b->path.path, &k->path.path);
    }
    b->out.len += len;
}

/* False: the socket is full; what is left of the batch waits for it. */
static bool send_batch(struct quic_conn *m, struct batch *b)
{
    if (!b->n)
        return true;
    b->out.local = addr_of(&b->path.path.local);
    b->out.remote = addr_of(&b->path.path.remote);
    b->n = 0;
    struct quic_udp *u = m->link->route(m, &b->out);
    if (!u || !quic_udp_send(u, &b->out))
        return true;
    m->pending = b->out;
    m->pending_data = xmalloc(b->out.len);
    memcpy(m->pending_data, b->out.data, b->out.len);
    m->pending.data = m->pending_data;
    return false;
}

static bool send_pending(struct quic_conn *m)
{
    if (!m->pending_data)
        return true;
    struct quic_udp *u = m->link->route(m, &m->pending);
    if (u && quic_udp_send(u, &m->pending))
        return false;
    free(m->pending_data);
    m->pending_data = NULL;
    return true;
}

enum made { MADE_ALL, MADE_MORE, MADE_FULL, MADE_ERROR };

/* One batch, and the packet that did not fit it by itself. */
static enum made send_some(struct quic_conn *m, ngtcp2_tstamp now, int *error)
{
    static uint8_t bytes[QUIC_UDP_MAX + 1];
    struct maker k = {.m = m, .ts = now};
    struct batch b = {.out = {.data = bytes}};
    size_t quantum = ngtcp2_conn_get_send_quantum(m->conn);
    size_t longest = ngtcp2_conn_get_path_max_tx_udp_payload_size(m->conn);
    if (quantum > QUIC_UDP_MAX)
        quantum = QUIC_UDP_MAX;
    ngtcp2_path_storage_zero(&k.path);
    for (;;) {
        k.dest = bytes + b.out.len;
        k.cap = sizeof(bytes) - b.out.len;
        ngtcp2_ssize n = make_packet(&k);
        if (n < 0)
            *error = (int)n;
        if (n <= 0)
            return !send_batch(m, &b) ? MADE_FULL : n < 0 ? MADE_ERROR : MADE_ALL;
        size_t len = (size_t)n;
        if (!fits(&b, &k, len)) {
            struct batch apart = {.out = {.data = k.dest}};
            add(&apart, &k, len);
            if (!send_batch(m, &b))
                return MADE_FULL; /* that one packet is lost */
            return send_batch(m, &apart) ? MADE_MORE : MADE_FULL;
        }
        add(&b, &k, len);
        if (len < b.out.segment || b.n == QUIC_UDP_SEGMENTS || b.out.len + longest > quantum)
            return send_batch(m, &b) ? MADE_MORE : MADE_FULL;
    }
}

/* What is in flight goes again, whatever the probe timer and the congestion window say; if nothing
 * is, a keep-alive that is due. */
static enum made send_probe(struct quic_conn *m, ngtcp2_tstamp now, int *error)
{
    m->probe_due = false;
    ngtcp2_conn_probe(m->conn);
    ngtcp2_conn_set_keep_alive_timeout(m->conn, 1);
    enum made made = send_some(m, now, error);
    ngtcp2_conn_set_keep_alive_timeout(m->conn, UINT64_MAX);
    return made;
}

void quic_conn_flush(struct quic_conn *m)
{
    enum made made = MADE_MORE;
    int error = 0;
    if (m->state > QUIC_UP || m->busy || !send_pending(m))
        return;
    m->link->before(m);
    begin_held(m);
    say_aborts(m);
    ngtcp2_tstamp now = quic_now(); /* pacing counts from here, or sending takes its time twice */
    m->busy++;
    if (m->moved)
        made = send_some(m, now, &error);
    m->moved = false;
    if (m->probe_due && (made == MADE_MORE || made == MADE_ALL))
        made = send_probe(m, now, &error);
    for (int i = 0; i < BATCHES && made == MADE_MORE; i++)
        made = send_some(m, now, &error);
    ngtcp2_conn_update_pkt_tx_time(m->conn, now);
    m->busy--;
    if (made == MADE_ERROR)
        quic_conn_fail(m, error);
    else if (made == MADE_MORE)
        quic_conn_wake(m);
    if (m->state <= QUIC_UP)
        quic_conn_schedule_expiry(m);
}

void quic_conn_writable(struct quic_conn *m)
{
    if (m->pending_data)
        quic_conn_wake(m);
}

void quic_conn_say_close(struct quic_conn *m, const ngtcp2_ccerr *why)
{
    uint8_t packet[NGTCP2_MAX_UDP_PAYLOAD_SIZE];
    struct maker k = {.m = m};
    struct batch b = {.out = {.data = packet}};
    ngtcp2_path_storage_zero(&k.path);
    ngtcp2_ssize n = ngtcp2_conn_write_connection_close(m->conn, &k.path.path, &k.info, packet,
                                                        sizeof(packet), why, quic_now());
    if (n <= 0)
        return;
    add(&b, &k, (size_t)n);
    free(m->pending_data);
    m->pending_data = NULL;
    if (!send_batch(m, &b)) {
        free(m->pending_data);
        m->pending_data = NULL;
    }
}

void quic_datagram_drop(struct mux *mux)
{
    struct quic_conn *m = quic_conn_of(mux);
    buf_consume(&m->notes, m->notes.len);
}

int quic_datagram_send(struct mux *mux, const void *data, size_t len)
{
    struct quic_conn *m = quic_conn_of(mux);
    size_t max = quic_datagram_max(mux);
    uint32_t head = (uint32_t)len;
    if (len > max || m->notes.len + sizeof(head) + len > NOTES_LIMIT) {
        errno = len > max ? EMSGSIZE : EAGAIN;
        return -1;
    }
    buf_append(&m->notes, &head, sizeof(head));
    buf_append(&m->notes, data, len);
    quic_conn_wake(m);
    return 0;
}
