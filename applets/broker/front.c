#include "applets/broker/front.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "applets/broker/call.h"
#include "applets/broker/device_list.h"
#include "applets/broker/terminals.h"
#include "core/mem.h"
#include "net/http_server.h"
#include "net/sock.h"

/* One of a client's connections. */
struct connection {
    struct front *front;
    struct connection *next, *prev;
    struct http_conn *http;
    char peer[TARGET_TEXT_MAX]; /* its address, without the port; of v6, its network's */
};

static void forget(struct connection *k)
{
    if (k->next)
        k->next->prev = k->prev;
    *(k->prev ? &k->prev->next : &k->front->connections) = k->next;
    loop_reap(k->front->loop, k, free);
}

static void on_request(void *arg, struct stream *exchange)
{
    struct connection *k = arg;
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

/* Who has one IPv6 address has all of its network's: 2^64 of them. */
static void take_network(char peer[static TARGET_TEXT_MAX])
{
    struct in6_addr addr;
    char text[INET6_ADDRSTRLEN];
    size_t len = strcspn(peer + 1, "]");
    if (peer[0] != '[' || len >= sizeof text)
        return;
    memcpy(text, peer + 1, len);
    text[len] = '\0';
    if (inet_pton(AF_INET6, text, &addr) != 1)
        return;
    memset(addr.s6_addr + 8, 0, 8);
    inet_ntop(AF_INET6, &addr, peer, TARGET_TEXT_MAX);
}

/* The port says nothing of who it is. */
static void take_peer(struct connection *k, const char *peer)
{
    const char *colon = strrchr(peer, ':');
    size_t len = colon ? (size_t)(colon - peer) : strlen(peer);
    memcpy(k->peer, peer, len < sizeof k->peer ? len : sizeof k->peer - 1);
    take_network(k->peer);
}

static void on_connection(void *arg, struct stream *s, const char *peer)
{
    struct front *f = arg;
    struct connection *k = xcalloc(1, sizeof *k);
    k->front = f;
    take_peer(k, peer);
    f->metrics.connections++;
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
