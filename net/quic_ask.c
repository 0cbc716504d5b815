/* quic_ask.c: what the owner of a QUIC connection asks of it, besides streams. */
#include <string.h>

#include "core/mem.h"
#include "net/quic_internal.h"

#define NOTE_OVERHEAD 64 /* bytes of a packet around a datagram, at most */

static const struct quic_conn *look(const struct mux *mux)
{
    return (const struct quic_conn *)(const void *)mux;
}

bool quic_is_up(const struct mux *mux)
{
    return look(mux)->state == QUIC_UP;
}

bool quic_is_needed(struct mux *mux)
{
    struct list_node *all = &quic_conn_of(mux)->streams;
    for (struct list_node *at = all->next; at != all; at = at->next) {
        const struct quic_stream *s = container_of(at, struct quic_stream, all);
        if (!s->base.closed || s->sending != QUIC_SEND_RESET)
            return true;
    }
    return false;
}

static ngtcp2_conn_info info_of(const struct mux *mux)
{
    ngtcp2_conn_info info;
    ngtcp2_conn_get_conn_info(look(mux)->conn, &info);
    return info;
}

uint64_t quic_rtt_us(const struct mux *mux)
{
    ngtcp2_conn_info info = info_of(mux);
    return info.latest_rtt ? info.smoothed_rtt / NGTCP2_MICROSECONDS : 0;
}

uint64_t quic_silence_ms(const struct mux *mux)
{
    return (quic_now() - look(mux)->heard) / NGTCP2_MILLISECONDS;
}

uint64_t quic_unanswered_ms(const struct mux *mux)
{
    const struct quic_conn *m = look(mux);
    return m->asked ? (quic_now() - m->asked) / NGTCP2_MILLISECONDS + 1 : 0;
}

void quic_await_answer(struct mux *mux)
{
    quic_conn_of(mux)->tell_answer = true;
}

bool quic_waiting(const struct mux *mux)
{
    return info_of(mux).bytes_in_flight > 0;
}

bool quic_path_good(const struct mux *mux)
{
    return look(mux)->path_good;
}

struct quic_addr quic_peer(const struct mux *mux)
{
    const struct quic_conn *m = look(mux);
    const ngtcp2_path *path = ngtcp2_conn_get_path(m->conn);
    struct quic_batch way = {.remote.len = (socklen_t)path->remote.addrlen};
    memcpy(&way.remote.in6, path->remote.addr, path->remote.addrlen);
    m->link->route(m, &way);
    return way.remote;
}

size_t quic_datagram_max(const struct mux *mux)
{
    const struct quic_conn *m = look(mux);
    const ngtcp2_transport_params *p = ngtcp2_conn_get_remote_transport_params(m->conn);
    if (m->state != QUIC_UP || !p || !p->max_datagram_frame_size)
        return 0;
    size_t most = ngtcp2_conn_get_path_max_tx_udp_payload_size(m->conn) - NOTE_OVERHEAD;
    return most < p->max_datagram_frame_size ? most : (size_t)p->max_datagram_frame_size;
}

bool quic_update_keys(struct mux *mux)
{
    struct quic_conn *m = quic_conn_of(mux);
    if (m->state != QUIC_UP || ngtcp2_conn_initiate_key_update(m->conn, quic_now()))
        return false;
    quic_conn_wake(m);
    return true;
}

void quic_probe(struct mux *mux)
{
    struct quic_conn *m = quic_conn_of(mux);
    if (m->state != QUIC_UP)
        return;
    m->probe_due = true;
    quic_conn_wake(m);
}
