/* The session with the agent: its Hello, what is said in it, and what befalls it. */
#include <stdlib.h>
#include <string.h>

#include "applets/master/connection.h"
#include "applets/version.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"

#define ADDRESS_MAX 63 /* bytes of an address that the agent names */

static void on_up(void *arg)
{
    struct master *m = arg;
    udp_flows_moved(&m->flows);
    connection_happen(m, EVENT_UP, NULL);
}

static void on_down(void *arg, int error)
{
    connection_happen(arg, EVENT_DOWN, error ? strerror(error) : NULL);
}

static void on_moved(void *arg)
{
    struct master *m = arg;
    udp_flows_moved(&m->flows);
    connection_happen(m, EVENT_MOVED, NULL);
}

static void on_left(void *arg)
{
    connection_happen(arg, EVENT_LEFT, NULL);
}

static void on_over(void *arg, int error)
{
    connection_happen(arg, EVENT_OVER, error ? strerror(error) : NULL);
}

static void replace(char **text, const char *by)
{
    free(*text);
    *text = by ? xstrndup(by, ADDRESS_MAX) : NULL;
}

static void note_addresses(struct master *m, const struct message *ack)
{
    struct json_iter addresses = json_iter(json_get(ack->body, "addresses"));
    replace(&m->from, json_get_str(ack->body, "peer"));
    replace(&m->to, json_next(&addresses) ? json_str(addresses.value) : NULL);
}

/* It comes again with each new ssh connection, for the agent's addresses may be others by now, and
 * when the agent has lost QUIC. */
static void hello_acknowledged(struct master *m, const struct message *ack)
{
    bool first = !m->greeted, quic = true;
    note_addresses(m, ack);
    m->greeted = true;
    retry_soon(m);
    if (json_get_bool(ack->body, "quic", &quic) == 1 && !quic)
        session_quic_is_lost(m->session);
    promote_learn(m, ack);
    if (!first)
        return;
    remember_save(m);
    if (!m->wants_quic)
        forward_listen_all(m);
}

static void end_by_agent(struct master *m, const struct message *said)
{
    const char *reason = json_get_str(said->body, "reason");
    log_note("%s: the session was ended: %s", m->options->host,
             reason ? reason : "no reason given");
    m->exit_status = 1;
    connection_drop_carrier(m);
    loop_stop(m->loop, 1);
}

static void on_message(void *arg, const struct message *msg)
{
    struct master *m = arg;
    bool in_turn = m->greeted || msg->type == MSG_HELLO_ACK || msg->type == MSG_SHUTDOWN;
    if (!in_turn || m->state == MASTER_STOPPING) {
        log_trace("%s from the agent is passed over", message_name(msg->type));
        return;
    }
    switch (msg->type) {
    case MSG_HELLO_ACK: hello_acknowledged(m, msg); break;
    case MSG_LISTEN_ACK:
    case MSG_OK:
    case MSG_ERROR: forward_answered(m, msg); break;
    case MSG_FORWARD_REQUEST: remote_forward_request(m, msg); break;
    case MSG_CLOSE_REQUEST: remote_close_request(m, msg); break;
    case MSG_SHUTDOWN: end_by_agent(m, msg); break;
    default: log_trace("%s from the agent", message_name(msg->type));
    }
}

static void on_stream(void *arg, struct stream *s)
{
    struct master *m = arg;
    if (m->greeted)
        service_serve(&m->service, s);
    else
        stream_reset(s);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    struct master *m = arg;
    udp_flows_datagram(&m->flows, data, len);
}

static const struct session_events session_events = {.up = on_up,
                                                     .down = on_down,
                                                     .failed = on_down,
                                                     .moved = on_moved,
                                                     .left = on_left,
                                                     .over = on_over,
                                                     .message = on_message,
                                                     .stream = on_stream,
                                                     .datagram = on_datagram};

/* An empty list: none is wanted. */
static void put_udp_ports(struct draft *d, const struct options *o)
{
    struct json_node *list = json_put_array(d->out, d->root, "udp_ports");
    if (o->transport == TRANSPORT_SSH)
        return;
    json_put_int(d->out, list, NULL, o->udp_ports.first);
    json_put_int(d->out, list, NULL, o->udp_ports.last);
}

void conversation_begin(struct master *m)
{
    uint8_t id[SESSION_LEN];
    char hex[2 * PSK_LEN + 1];
    struct draft hello = draft_of(MSG_HELLO);
    key_random(id, sizeof id);
    key_random(m->psk, sizeof m->psk);
    m->session = session_new(m->loop, SESSION_MASTER, id, &session_events, m);
    udp_flows_init(&m->flows, m->session, SESSION_MASTER);
    m->greeted = false;
    m->wants_quic = m->options->transport == TRANSPORT_QUIC;
    draft_str(&hello, "version", berth_version());
    draft_str(&hello, "build", berth_build());
    hex_encode(hex, id, sizeof id);
    draft_str(&hello, "session", hex);
    hex_encode(hex, m->psk, sizeof m->psk);
    draft_str(&hello, "psk", hex);
    draft_str(&hello, "host", m->options->host);
    draft_str(&hello, "takeover", m->takeover);
    draft_int(&hello, "idle_timeout_secs", (int64_t)(m->options->idle_ms / 1000));
    draft_bool(&hello, "requests", !m->options->no_remote_requests);
    draft_bool(&hello, "auto", m->options->automatic);
    put_udp_ports(&hello, m->options);
    session_send(m->session, &hello);
    key_wipe(hex, sizeof hex);
}
