/* What the broker counts of itself, as Prometheus reads it (text format 0.0.4): for who is on this machine and came
 * by no proxy, and for users. */
#include <string.h>

#include "applets/broker/activity.h"
#include "applets/broker/auth.h"
#include "applets/broker/peer.h"
#include "applets/broker/terminals.h"
#include "core/mem.h"
#include "net/http_server.h"

#define CLASSES 5

void metrics_answered(struct metrics *m, size_t route, int status)
{
    if (route < METRICS_ROUTES && status >= 100 && status < (CLASSES + 1) * 100)
        m->answers[route][status / 100 - 1]++;
}

static void put_head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP berth_%s %s\n# TYPE berth_%s %s\n", name, help, name, type);
}

static void put_one(struct buf *b, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    put_head(b, name, type, help);
    buf_printf(b, "berth_%s %llu\n", name, (unsigned long long)value);
}

static void put_requests(struct buf *b, const struct metrics *m, size_t at, const char *method,
                         const char *path)
{
    for (int i = 0; i < CLASSES; i++)
        if (m->answers[at][i])
            buf_printf(b, "berth_requests_total{method=\"%s\",path=\"%s\",status=\"%dxx\"} %llu\n",
                       method, path, i + 1, (unsigned long long)m->answers[at][i]);
}

static void put_all_requests(struct buf *b, const struct metrics *m)
{
    put_head(b, "requests_total", "counter", "Requests that were answered.");
    for (size_t i = 0; routes[i].method; i++)
        put_requests(b, m, i, routes[i].method, routes[i].path);
    put_requests(b, m, METRICS_NO_ROUTE, "", "");
}

static void put_outcomes(struct buf *b, const struct activity *a, enum activity_kind kind)
{
    for (int o = ACTIVITY_OK; o < ACTIVITY_OUTCOME_COUNT; o++) {
        uint64_t n = activity_count(a, kind, (enum activity_outcome)o);
        if (n)
            buf_printf(b, "berth_activity_total{kind=\"%s\",outcome=\"%s\"} %llu\n",
                       activity_kind_name(kind), activity_outcome_name((enum activity_outcome)o),
                       (unsigned long long)n);
    }
}

static void put_activity(struct buf *b, const struct activity *a)
{
    put_head(b, "activity_started_total", "counter", "What was begun, by kind.");
    for (int k = 0; k < ACTIVITY_KIND_COUNT; k++)
        buf_printf(b, "berth_activity_started_total{kind=\"%s\"} %llu\n",
                   activity_kind_name((enum activity_kind)k),
                   (unsigned long long)activity_count(a, (enum activity_kind)k, ACTIVITY_RUNNING));
    put_head(b, "activity_total", "counter", "What has ended, by kind and outcome.");
    for (int k = 0; k < ACTIVITY_KIND_COUNT; k++)
        put_outcomes(b, a, (enum activity_kind)k);
    struct activity_wait waited = activity_waited(a);
    put_head(b, "store_seconds", "summary", "How long a row of the audit trail took to be kept.");
    buf_printf(b, "berth_store_seconds_sum %.6f\nberth_store_seconds_count %llu\n",
               (double)waited.us / 1e6, (unsigned long long)waited.n);
}

static void put_bytes(struct buf *b, const struct metrics *m)
{
    static const char *const names[METRICS_BYTES_COUNT] = {"input", "output", "upload", "download"};
    put_head(b, "bytes_total", "counter", "Bytes between users and their machines.");
    for (size_t i = 0; i < METRICS_BYTES_COUNT; i++)
        buf_printf(b, "berth_bytes_total{what=\"%s\"} %llu\n", names[i],
                   (unsigned long long)m->bytes[i]);
}

/* What is bounded, as much of it as there is now. */
static void put_bounded(struct buf *b, const struct front *f)
{
    uint64_t calls = 0;
    for (const struct call *c = f->calls; c; c = c->next)
        calls++;
    put_one(b, "strangers", "gauge", "Connections that have proven nothing.", f->strangers.n);
    put_one(b, "calls", "gauge", "Requests that are being answered.", calls);
    put_one(b, "room_bytes", "gauge", "Memory that large questions and answers hold.",
            f->room.taken);
    put_one(b, "terminals", "gauge", "Terminals, whether anybody looks or not.",
            terminals_count(f));
}

static void tell(struct call *c)
{
    const struct front *f = c->front;
    struct buf b = {0};
    put_one(&b, "connections_total", "counter", "Connections that were accepted.",
            f->metrics.connections);
    put_bounded(&b, f);
    put_one(&b, "agents", "gauge", "Agents that have joined.", registry_count(f->registry));
    put_all_requests(&b, &f->metrics);
    put_activity(&b, f->activity);
    put_bytes(&b, &f->metrics);
    buf_append(&b, "", 1);
    call_text(c, (const char *)buf_front(&b));
    buf_fini(&b);
}

/* A proxy on this machine asks for others: it says so. */
static bool is_here(const struct call *c)
{
    const struct http_head *head = http_request_head(c->exchange);
    return peer_is_loopback(c->peer) && http_field_count(head, "X-Forwarded-For") == 0 &&
           http_field_count(head, "Forwarded") == 0 && http_field_count(head, "Via") == 0;
}

void api_metrics(struct call *c)
{
    if (is_here(c))
        tell(c);
    else
        call_authenticate(c, tell);
}
