#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/agent/client.h"
#include "applets/agent/hint.h"
#include "applets/agent/udp.h"
#include "applets/service/udp_dial.h"
#include "applets/version.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"

#define END_LIMIT_MS 1000 /* for a Shutdown to arrive */

void client_send_error(struct client *c, int64_t id, enum error_code code, const char *text)
{
    struct draft d = draft_of(MSG_ERROR);
    draft_int(&d, "id", id);
    draft_str(&d, "code", error_code_name(code));
    draft_str(&d, "message", text);
    session_send(c->session, &d);
}

/* --- Hello ------------------------------------------------------------------------------- */

static void take_over(struct client *c, const char *hex)
{
    uint8_t id[SESSION_LEN];
    struct client *old =
        hex && hex_decode(id, sizeof id, hex) == 0 ? client_find(c->agent, id) : NULL;
    if (old && old != c)
        client_free(old);
}

static void acknowledge(struct client *c)
{
    cleanup_free char *home = path_home();
    struct draft d = draft_of(MSG_HELLO_ACK);
    draft_str(&d, "version", berth_version());
    draft_str(&d, "build", berth_build());
    draft_int(&d, "udp_port", udp_port(c->agent));
    draft_bool(&d, "quic", session_has_quic(c->session));
    udp_put_addresses(&d, c->to);
    draft_str(&d, "peer", c->from);
    draft_str(&d, "user", getenv("USER"));
    draft_int(&d, "uid", geteuid());
    draft_str(&d, "home", home);
    session_send(c->session, &d);
}

/* NULL, or what is wrong with it. */
static const char *read_hello(struct client *c, const struct message *m)
{
    const char *id = json_get_str(m->body, "session"), *psk = json_get_str(m->body, "psk");
    uint8_t session[SESSION_LEN];
    int64_t idle_secs = AGENT_IDLE_MS / 1000;
    bool scan = false;
    if (!id || hex_decode(session, sizeof session, id) < 0 ||
        memcmp(session, session_id(c->session), SESSION_LEN) != 0)
        return "Hello names another session than its link";
    if (!psk || hex_decode(c->psk, sizeof c->psk, psk) < 0)
        return "Hello without a key of 32 bytes";
    if (json_get_int(m->body, "idle_timeout_secs", &idle_secs) < 0 || idle_secs < 1 ||
        idle_secs > 365 * 86400)
        return "Hello with a bad idle_timeout_secs";
    c->idle_ms = c->agent->idle_ms = (uint64_t)idle_secs * 1000;
    c->accepts_requests = true;
    (void)json_get_bool(m->body, "requests", &c->accepts_requests);
    (void)json_get_bool(m->body, "auto", &scan);
    c->host = json_get_str(m->body, "host") ? xstrdup(json_get_str(m->body, "host")) : NULL;
    take_over(c, json_get_str(m->body, "takeover"));
    udp_open(c->agent, m);
    c->greeted = true;
    if (scan)
        c->scan = auto_scan_new(c);
    return NULL;
}

static void hello(struct client *c, const struct message *m)
{
    const char *why = c->greeted ? "Hello came before" : read_hello(c, m);
    if (why) {
        client_send_error(c, 0, ERR_INVALID_REQUEST, why);
        client_end(c, why);
        return;
    }
    if (c->end_reason) {
        client_end(c, c->end_reason);
        return;
    }
    acknowledge(c);
    log_note("a session of %s began", c->from ? c->from : "an unknown address");
}

void client_greet_again(struct client *c)
{
    if (c->greeted && !c->end_reason)
        acknowledge(c);
}

/* --- the session's events -------------------------------------------------------------------- */

static void on_message(void *arg, const struct message *m)
{
    struct client *c = arg;
    if (!c->greeted && m->type != MSG_HELLO) {
        client_send_error(c, 0, ERR_INVALID_REQUEST, "Hello comes first");
        return;
    }
    switch (m->type) {
    case MSG_HELLO: hello(c, m); break;
    case MSG_LISTEN: remote_listen_start(c, m); break;
    case MSG_UNLISTEN: remote_listen_stop(c, m); break;
    case MSG_OK:
    case MSG_FORWARD_ACK:
    case MSG_ERROR: ask_answered(c, m); break;
    case MSG_SHUTDOWN: client_free(c); break;
    default: client_send_error(c, 0, ERR_INVALID_REQUEST, "not a message for an agent");
    }
}

static void on_stream(void *arg, struct stream *s)
{
    struct client *c = arg;
    service_serve(&c->service, s);
}

/* The session itself goes on over a stream of QUIC. */
static void serve_attach(struct request *r)
{
    struct client *c = r->service->owner;
    if (session_attach(c->session, r->stream)) {
        request_detach(r);
        request_end(r);
    } else {
        request_fail(r, ERR_INVALID_REQUEST, "not a stream that can carry the session");
    }
}

static void serve_dial_udp(struct request *r)
{
    struct client *c = r->service->owner;
    struct target target;
    const char *why = "missing", *text = json_get_str(r->message.body, "target");
    struct udp_dialling d = {.flows = &c->flows, .target = &target};
    if (!text || target_parse(&target, text, &why) != 0)
        request_fail(r, ERR_INVALID_REQUEST, "target: %s", why);
    else if (target.kind != TARGET_UDP)
        request_fail(r, ERR_INVALID_REQUEST, "target: it must be udp:host:port");
    else
        service_dial_udp(r, &d);
}

const struct service_row agent_rows[] = {
    SERVICE_ROWS,
    {MSG_DIAL_UDP, serve_dial_udp},
    {MSG_ATTACH, serve_attach},
    {MSG_FIREWALL_HINT, serve_firewall_hint},
    {MSG_COUNT, NULL},
};

static void on_up(void *arg)
{
    struct client *c = arg;
    loop_timer_del(&c->grace);
    udp_flows_moved(&c->flows);
    agent_count_masters(c->agent);
}

/* A master that was not told of QUIC's end would look for it for as long as something is open on it. */
static void on_moved(void *arg)
{
    struct client *c = arg;
    udp_flows_moved(&c->flows);
    if (!session_has_quic(c->session))
        client_greet_again(c);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    struct client *c = arg;
    udp_flows_datagram(&c->flows, data, len);
}

static void on_down(void *arg, int error)
{
    struct client *c = arg;
    log_note("a session's master is gone: %s", error ? strerror(error) : "closed");
    loop_timer_set(&c->grace, c->idle_ms);
    agent_count_masters(c->agent);
}

static void on_over(void *arg, int error)
{
    log_note("a session is over: %s", error ? strerror(error) : "closed");
    client_free(arg);
}

static const struct session_events session_events = {.up = on_up,
                                                     .down = on_down,
                                                     .moved = on_moved,
                                                     .over = on_over,
                                                     .message = on_message,
                                                     .stream = on_stream,
                                                     .datagram = on_datagram};

static void on_grace(void *arg)
{
    log_note("a session was given up: its master did not come back");
    client_free(arg);
}

/* --- its life ---------------------------------------------------------------------------------- */

struct client *client_new(struct agent *agent, const uint8_t id[static SESSION_LEN])
{
    struct client *c = xcalloc(1, sizeof *c);
    c->agent = agent;
    c->idle_ms = agent->idle_ms;
    c->session = session_new(agent->loop, SESSION_AGENT, id, &session_events, c);
    udp_flows_init(&c->flows, c->session, SESSION_AGENT);
    service_init(&c->service, agent->loop);
    c->service.rows = agent_rows;
    c->service.owner = c;
    c->service.version = berth_version();
    c->service.workload = &agent->workload;
    loop_timer_init(agent->loop, &c->grace, on_grace, c);
    loop_timer_set(&c->grace, c->idle_ms);
    c->next = agent->clients;
    if (c->next)
        c->next->prev = c;
    agent->clients = c;
    return c;
}

static void release(void *p)
{
    struct client *c = p;
    free(c->host);
    free(c->from);
    free(c->to);
    key_wipe(c->psk, sizeof c->psk);
    free(c);
}

void client_free(struct client *c)
{
    struct agent *agent = c->agent;
    if (c->next)
        c->next->prev = c->prev;
    *(c->prev ? &c->prev->next : &agent->clients) = c->next;
    loop_timer_del(&c->grace);
    auto_scan_free(c->scan);
    ask_forget_all(c);
    openers_abort(&c->openers);
    remote_listen_free_all(c);
    service_fini(&c->service);
    udp_flows_fini(&c->flows);
    session_free(c->session);
    loop_reap(agent->loop, c, release);
    agent_count_masters(agent);
}

void client_end(struct client *c, const char *reason)
{
    struct draft d = draft_of(MSG_SHUTDOWN);
    if (!session_is_up(c->session)) {
        draft_free(&d);
        client_free(c);
        return;
    }
    /* The master closes its carrier when it has heard; that ends the wait. */
    c->end_reason = reason;
    c->idle_ms = 0;
    loop_timer_set(&c->grace, END_LIMIT_MS);
    draft_str(&d, "reason", reason);
    session_send(c->session, &d);
}

struct client *client_find(struct agent *agent, const uint8_t id[static SESSION_LEN])
{
    for (struct client *c = agent->clients; c; c = c->next)
        if (memcmp(session_id(c->session), id, SESSION_LEN) == 0)
            return c;
    return NULL;
}
