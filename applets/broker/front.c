#include "applets/broker/front.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/broker/call.h"
#include "applets/broker/device_list.h"
#include "applets/broker/peer.h"
#include "applets/broker/terminals.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/http_server.h"
#include "net/sock.h"

#define TOLD_MS 60000 /* how often is said that an address has too many */

static_assert(PEER_ROOM <= PEOPLE_ID_LEN + 1, "an address can be counted as an id is");

/* Silence is that long where nothing is wrong but the way: what an agent takes of a file is known to the
 * 128 KiB (half of yamux's first window), and a link that many share, or a modem's, may take most of a minute
 * to carry so much. It is as long as a client may take nothing (http_server_limits). */
const struct front_patience front_patience = {.silence_ms = 60000, .late_ms = 5000};

/* One of a client's connections. */
struct connection {
    struct front *front;
    struct connection *next, *prev;
    struct http_conn *http;
    bool proxied;               /* each of its requests may be another client's */
    char from[PEER_ROOM];       /* where it comes from */
    char peer[PEER_ROOM];       /* who asks by it: the same, or whom the proxy names */
    struct tally_row *stranger; /* NULL: who asks by it has proven who they are */
};

static void forget(struct connection *k)
{
    if (k->next)
        k->next->prev = k->prev;
    *(k->prev ? &k->prev->next : &k->front->connections) = k->next;
    tally_give(&k->front->strangers, k->stranger);
    loop_reap(k->front->loop, k, free);
}

struct tally_row *front_stranger(struct front *f, const char *peer)
{
    struct tally_row *row = tally_take(&f->strangers, peer, STRANGERS_EACH);
    uint64_t now = loop_now_ms(f->loop);
    if (row || (f->told_ms && now - f->told_ms < TOLD_MS))
        return row;
    f->told_ms = now;
    log_note("%s has %u connections that have proven nothing: no more for now", peer,
             STRANGERS_EACH);
    return NULL;
}

void front_proven(struct front *f, const struct stream *exchange)
{
    struct connection *k = http_request_arg(exchange);
    if (!k)
        return;
    tally_give(&f->strangers, k->stranger);
    k->stranger = NULL;
}

/* False, and it was answered: it asks for one who has too many connections that have proven nothing. */
static bool take_client(struct connection *k, struct stream *exchange)
{
    static const char too_many[] = "Too many connections from there have proven nothing.\n";
    struct front *f = k->front;
    if (!peer_forwarded(k->peer, http_request_head(exchange)))
        memcpy(k->peer, k->from, sizeof k->peer);
    tally_give(&f->strangers, k->stranger);
    k->stranger = front_stranger(f, k->peer);
    if (k->stranger)
        return true;
    http_answer(exchange, 429, "Content-Type: text/plain\r\nRetry-After: 10\r\n", too_many,
                sizeof too_many - 1);
    return false;
}

static void on_request(void *arg, struct stream *exchange)
{
    struct connection *k = arg;
    if (k->proxied && !take_client(k, exchange))
        return;
    call_begin(k->front, exchange, k->peer);
}

static void on_answered(void *arg, const struct stream *exchange, int status)
{
    struct connection *k = arg;
    const struct route *r = exchange ? call_route(http_request_head(exchange)) : NULL;
    metrics_answered(&k->front->metrics, r ? (size_t)(r - routes) : METRICS_NO_ROUTE, status);
}

static void on_ended(void *arg, struct http_conn *http)
{
    (void)http;
    forget(arg);
}

static const struct http_server_events events = {
    .request = on_request, .answered = on_answered, .ended = on_ended};

static void on_connection(void *arg, struct stream *s, const char *peer)
{
    struct front *f = arg;
    struct connection *k = xcalloc(1, sizeof *k);
    k->front = f;
    if (!peer_parse(k->from, peer))
        snprintf(k->from, sizeof k->from, "%s", peer);
    memcpy(k->peer, k->from, sizeof k->peer);
    k->proxied = f->behind_proxy && peer_is_loopback(k->from);
    f->metrics.connections++;
    k->stranger = k->proxied ? NULL : front_stranger(f, k->peer);
    if (!k->stranger && !k->proxied) {
        stream_reset(s);
        free(k);
        return;
    }
    k->next = f->connections;
    if (k->next)
        k->next->prev = k;
    f->connections = k;
    k->http = http_serve(f->tls ? tls_accept(f->tls, s) : s, &http_server_limits, &events, k);
}

int front_listen(struct front *f, const struct target *bind)
{
    f->listener = listener_new(f->loop, bind, on_connection, f);
    return f->listener ? 0 : -1;
}

void front_end(struct front *f)
{
    listener_free(f->listener);
    while (f->calls)
        call_end(f->calls);
    terminals_end(f);
    while (f->connections) {
        http_conn_free(f->connections->http);
        forget(f->connections);
    }
    bridges_end(&f->bridges);
    room_fini(&f->room);
    leases_fini(&f->leases);
}

uint32_t front_limit(struct front *f, enum front_limit kind, const char *name)
{
    struct limit *l = kind < LIMIT_COUNT ? f->limits[kind] : NULL;
    return l ? limit_take(l, name, loop_now_ms(f->loop)) : 0;
}
