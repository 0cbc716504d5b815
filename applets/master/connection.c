/* The session outlives the connections that carry it. One state says what is under way, and
 * the table says what each event means in it; enter() is the only place that changes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/master/master.h"
#include "applets/version.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"

#define BACKOFF_FIRST_MS 500
#define BACKOFF_LAST_MS  30000
#define TRY_LIMIT_MS     40000 /* for a reconnection, ssh and session together */
#define TRY_FRESH_MS     3000  /* a younger one is not begun anew when the network changes */
#define REASON_MS        2000  /* for ssh to end and say why, once its stream has */
#define STOP_LIMIT_MS    1000  /* for the agent's goodbye */
#define ADDRESS_MAX      63    /* bytes of an address that the agent names */

static const char *const state_names[] = {
    [MASTER_FIRST] = "connecting",  [MASTER_UP] = "up",
    [MASTER_WAITING] = "waiting",   [MASTER_AGAIN] = "reconnecting",
    [MASTER_STOPPING] = "stopping",
};
_Static_assert(countof(state_names) == MASTER_STATES, "a name for each state");

enum event {
    EVENT_UP,       /* the session: it flows */
    EVENT_DOWN,     /* the session: nothing works any more */
    EVENT_MOVED,    /* the session: from ssh to QUIC, or back */
    EVENT_LEFT,     /* the session: ssh does not carry it any more, QUIC does */
    EVENT_OVER,     /* the session: nothing can follow in it */
    EVENT_SSH_DOWN, /* `why` is ssh's reason */
    EVENT_LATE,     /* a try, a reason or a goodbye took too long */
    EVENT_CHANGED,  /* the network */
    EVENT_WOKE,     /* the machine */
    EVENT_STOP,
    EVENTS
};

static const char *const event_names[] = {
    [EVENT_UP] = "up",        [EVENT_DOWN] = "down",
    [EVENT_MOVED] = "moved",  [EVENT_LEFT] = "left ssh",
    [EVENT_OVER] = "over",    [EVENT_SSH_DOWN] = "ssh down",
    [EVENT_LATE] = "late",    [EVENT_CHANGED] = "network changed",
    [EVENT_WOKE] = "woke up", [EVENT_STOP] = "stop",
};
_Static_assert(countof(event_names) == EVENTS, "a name for each event");

static void happen(struct master *m, enum event event, const char *why);
static void begin_session(struct master *m);

static void enter(struct master *m, enum master_state state)
{
    log_trace("%s: %s -> %s", m->options->host, state_names[m->state], state_names[state]);
    m->state = state;
}

static void free_ssh(struct master *m)
{
    session_drop_carrier(m->session);
    ssh_free(m->ssh);
    m->ssh = NULL;
}

static void drop_carrier(struct master *m)
{
    loop_timer_del(&m->limit);
    free_ssh(m);
}

static void finish(struct master *m, const char *why)
{
    (void)why;
    loop_stop(m->loop, m->exit_status);
}

static void give_up(struct master *m, const char *why)
{
    log_error("%s: %s", m->options->host, why);
    m->exit_status = 1;
    drop_carrier(m);
    finish(m, why);
}

/* --- trying, and trying again ---------------------------------------------------------------- */

static void wait_for_retry(struct master *m)
{
    uint64_t jitter_ms = key_random_below((uint32_t)m->backoff_ms / 2 + 1);
    drop_carrier(m);
    enter(m, MASTER_WAITING);
    loop_timer_set(&m->retry, m->backoff_ms - jitter_ms / 2);
    m->backoff_ms = m->backoff_ms * 2 < BACKOFF_LAST_MS ? m->backoff_ms * 2 : BACKOFF_LAST_MS;
}

static void on_ssh(void *arg, struct ssh *ssh, enum ssh_event event)
{
    struct master *m = arg;
    uint64_t sent, total;
    switch (event) {
    case SSH_UPLOAD:
        ssh_upload(ssh, &sent, &total);
        progress_show(m->options->host, sent, total);
        /* However slow: it goes on. */
        if (loop_timer_armed(&m->limit))
            loop_timer_set(&m->limit, TRY_LIMIT_MS);
        break;
    case SSH_UP:
        m->carried = true;
        m->carried_ms = loop_now_ms(m->loop);
        session_carry(m->session, ssh_stream(ssh), NULL);
        break;
    case SSH_DOWN: happen(m, EVENT_SSH_DOWN, ssh_error(ssh)); break;
    }
}

static void start_ssh(struct master *m)
{
    static char *const agent_args[] = {NULL};
    struct ssh_options o = {.host = m->options->host,
                            .args = m->options->ssh_args,
                            .agent_args = agent_args,
                            .batch = m->state == MASTER_AGAIN,
                            .detached = m->options->background};
    m->carried = false;
    m->tried_ms = loop_now_ms(m->loop);
    m->ssh = ssh_start(m->loop, &o, on_ssh, m);
    if (!m->ssh)
        happen(m, EVENT_SSH_DOWN,
               errno == ENOENT ? "there is no ssh program in PATH" : strerror(errno));
}

static void try_again(struct master *m, const char *why)
{
    (void)why;
    loop_timer_del(&m->retry);
    drop_carrier(m);
    enter(m, MASTER_AGAIN);
    loop_timer_set(&m->limit, TRY_LIMIT_MS);
    start_ssh(m);
}

static void on_retry(void *arg)
{
    try_again(arg, NULL);
}

/* The network is another one: what was tried on the old one tells nothing. */
static void try_at_once(struct master *m, const char *why)
{
    m->backoff_ms = BACKOFF_FIRST_MS;
    try_again(m, why);
}

/* Changes may come in numbers, faster than ssh connects. */
static void try_at_once_if_stale(struct master *m, const char *why)
{
    if (loop_now_ms(m->loop) - m->tried_ms >= TRY_FRESH_MS)
        try_at_once(m, why);
}

/* --- what the events mean ------------------------------------------------------------------------ */

static void ignore(struct master *m, const char *why)
{
    (void)m;
    (void)why;
}

/* Over ssh it took so long to get there; QUIC has measured its round trip. */
static unsigned long long way_ms(const struct master *m)
{
    return session_way(m->session) == SESSION_QUIC ? (session_rtt_us(m->session) + 500) / 1000
                                                   : loop_now_ms(m->loop) - m->carried_ms;
}

static void begin_forwards(struct master *m)
{
    m->wants_quic = false;
    forward_listen_all(m);
    forward_flush(m);
}

static void go_up(struct master *m, const char *why)
{
    bool quic = session_way(m->session) == SESSION_QUIC;
    (void)why;
    log_note("%s: %s (%s, %llu ms)", m->options->host,
             m->state == MASTER_FIRST ? "connected" : "back", session_way_name(m->session),
             way_ms(m));
    loop_timer_del(&m->limit);
    loop_timer_del(&m->retry);
    if (quic)
        free_ssh(m);
    enter(m, MASTER_UP);
    if (m->greeted)
        m->backoff_ms = BACKOFF_FIRST_MS;
    if (!m->wants_quic)
        forward_flush(m);
    else if (quic)
        begin_forwards(m);
}

static void move(struct master *m, const char *why)
{
    bool quic = session_way(m->session) == SESSION_QUIC;
    (void)why;
    if (quic)
        log_note("%s: on quic (%llu ms)", m->options->host, way_ms(m));
    else
        log_note("%s: UDP is silent, going on over ssh", m->options->host);
    if (!session_has_quic(m->session))
        promote_again(m);
    if (quic && m->wants_quic)
        begin_forwards(m);
}

static void leave_ssh(struct master *m, const char *why)
{
    (void)why;
    log_note("%s: the ssh connection is gone, going on over quic", m->options->host);
    free_ssh(m);
}

static void lose(struct master *m, const char *why)
{
    (void)why;
    if (!session_has_quic(m->session))
        promote_again(m);
    log_note("%s: network lost, reconnecting", m->options->host);
    m->told_reason = false;
    wait_for_retry(m);
}

/* Its process may be seen to end before its stream does. */
static void lose_ssh(struct master *m, const char *why)
{
    if (session_way(m->session) == SESSION_QUIC)
        leave_ssh(m, why);
    else
        lose(m, why);
}

/* The carrier's end is seen before the reason that ssh prints. */
static void await_reason(struct master *m, const char *why)
{
    (void)why;
    loop_timer_set(&m->limit, REASON_MS);
}

static void give_up_late(struct master *m, const char *why)
{
    (void)why;
    give_up(m, "the agent closed the connection before it answered");
}

static void give_up_foreign(struct master *m, const char *why)
{
    (void)why;
    give_up(m, "the agent speaks another protocol");
}

/* A reason is told where the network is not to blame: once for each outage. */
static void fail_again(struct master *m, const char *why)
{
    if (why && m->ssh && !m->told_reason && (m->carried || ssh_is_hopeless(m->ssh))) {
        log_note("%s: %s", m->options->host, why);
        m->told_reason = true;
    }
    wait_for_retry(m);
}

/* The agent may still hold the old session, and the ports that it listens on. */
static void renew(struct master *m, const char *why)
{
    char hex[2 * SESSION_LEN + 1];
    log_note("%s: the agent has lost the session%s%s: open connections are reset", m->options->host,
             why ? ": " : "", why ? why : "");
    hex_encode(hex, session_id(m->session), SESSION_LEN);
    free(m->takeover);
    m->takeover = xstrdup(hex);
    m->greeted = false;
    promote_stop(m);
    hint_forget(m);
    drop_carrier(m);
    forward_close_automatic(m);
    udp_flows_fini(&m->flows);
    session_free(m->session);
    begin_session(m);
    wait_for_retry(m);
}

static void probe(struct master *m, const char *why)
{
    (void)why;
    session_probe(m->session);
}

static void say_goodbye(struct master *m, const char *why)
{
    struct draft d = draft_of(MSG_SHUTDOWN);
    draft_str(&d, "reason", why);
    session_send(m->session, &d);
    enter(m, MASTER_STOPPING);
    loop_timer_set(&m->limit, STOP_LIMIT_MS);
}

typedef void action(struct master *m, const char *why);

static action *const actions[MASTER_STATES][EVENTS] = {
    [MASTER_FIRST] =
        {
            [EVENT_UP] = go_up,
            [EVENT_DOWN] = await_reason,
            [EVENT_MOVED] = ignore,
            [EVENT_LEFT] = ignore,
            [EVENT_OVER] = give_up_foreign,
            [EVENT_SSH_DOWN] = give_up,
            [EVENT_LATE] = give_up_late,
            [EVENT_CHANGED] = ignore,
            [EVENT_WOKE] = ignore,
            [EVENT_STOP] = finish,
        },
    [MASTER_UP] =
        {
            [EVENT_UP] = ignore,
            [EVENT_DOWN] = lose,
            [EVENT_MOVED] = move,
            [EVENT_LEFT] = leave_ssh,
            [EVENT_OVER] = renew,
            [EVENT_SSH_DOWN] = lose_ssh,
            [EVENT_LATE] = ignore,
            [EVENT_CHANGED] = probe,
            [EVENT_WOKE] = probe,
            [EVENT_STOP] = say_goodbye,
        },
    [MASTER_WAITING] =
        {
            [EVENT_UP] = go_up, /* QUIC answers again */
            [EVENT_DOWN] = ignore,
            [EVENT_MOVED] = ignore,
            [EVENT_LEFT] = ignore,
            [EVENT_OVER] = renew, /* what was on its way when the carrier went */
            [EVENT_SSH_DOWN] = ignore,
            [EVENT_LATE] = ignore,
            [EVENT_CHANGED] = try_at_once,
            [EVENT_WOKE] = try_at_once,
            [EVENT_STOP] = finish,
        },
    [MASTER_AGAIN] =
        {
            [EVENT_UP] = go_up,
            [EVENT_DOWN] = await_reason,
            [EVENT_MOVED] = ignore,
            [EVENT_LEFT] = ignore,
            [EVENT_OVER] = renew,
            [EVENT_SSH_DOWN] = fail_again,
            [EVENT_LATE] = fail_again,
            [EVENT_CHANGED] = try_at_once_if_stale,
            [EVENT_WOKE] = try_at_once,
            [EVENT_STOP] = finish,
        },
    [MASTER_STOPPING] =
        {
            [EVENT_UP] = ignore,
            [EVENT_DOWN] = finish,
            [EVENT_MOVED] = ignore,
            [EVENT_LEFT] = ignore,
            [EVENT_OVER] = finish,
            [EVENT_SSH_DOWN] = finish,
            [EVENT_LATE] = finish,
            [EVENT_CHANGED] = ignore,
            [EVENT_WOKE] = ignore,
            [EVENT_STOP] = ignore,
        },
};

static void happen(struct master *m, enum event event, const char *why)
{
    log_trace("%s: %s while %s%s%s", m->options->host, event_names[event], state_names[m->state],
              why ? ": " : "", why ? why : "");
    actions[m->state][event](m, why);
}

static void on_limit(void *arg)
{
    happen(arg, EVENT_LATE, NULL);
}

static void on_network(void *arg, enum netwatch_event event)
{
    struct master *m = arg;
    session_network_changed(m->session, event == NETWATCH_WOKE);
    if (event == NETWATCH_STIRRED)
        return;
    promote_try(m);
    happen(arg, event == NETWATCH_WOKE ? EVENT_WOKE : EVENT_CHANGED, NULL);
}

/* --- the session's events -------------------------------------------------------------------------- */

static void on_up(void *arg)
{
    struct master *m = arg;
    udp_flows_moved(&m->flows);
    happen(m, EVENT_UP, NULL);
}

static void on_down(void *arg, int error)
{
    happen(arg, EVENT_DOWN, error ? strerror(error) : NULL);
}

static void on_moved(void *arg)
{
    struct master *m = arg;
    udp_flows_moved(&m->flows);
    happen(m, EVENT_MOVED, NULL);
}

static void on_left(void *arg)
{
    happen(arg, EVENT_LEFT, NULL);
}

static void on_over(void *arg, int error)
{
    happen(arg, EVENT_OVER, error ? strerror(error) : NULL);
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

/* It comes again with each new ssh connection: the agent's addresses may be others by now. */
static void hello_acknowledged(struct master *m, const struct message *ack)
{
    bool first = !m->greeted;
    note_addresses(m, ack);
    m->greeted = true;
    m->backoff_ms = BACKOFF_FIRST_MS;
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
    drop_carrier(m);
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

void connection_give_up(struct master *m, const char *why)
{
    if (m->state == MASTER_STOPPING)
        return;
    log_error("%s: %s", m->options->host, why);
    connection_stop(m, 1);
}

/* --- its life ------------------------------------------------------------------------------------------ */

/* An empty list: none is wanted. */
static void put_udp_ports(struct draft *d, const struct options *o)
{
    struct json_node *list = json_put_array(d->out, d->root, "udp_ports");
    if (o->transport == TRANSPORT_SSH)
        return;
    json_put_int(d->out, list, NULL, o->udp_ports.first);
    json_put_int(d->out, list, NULL, o->udp_ports.last);
}

static void begin_session(struct master *m)
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

void connection_start(struct master *m)
{
    loop_timer_init(m->loop, &m->retry, on_retry, m);
    loop_timer_init(m->loop, &m->limit, on_limit, m);
    m->backoff_ms = BACKOFF_FIRST_MS;
    m->watch = netwatch_new(m->loop, on_network, m);
    if (!m->watch)
        log_note("changes of the network cannot be watched (%s): reconnects go by the clock",
                 strerror(errno));
    begin_session(m);
    promote_init(m);
    start_ssh(m);
}

void connection_stop(struct master *m, int exit_status)
{
    if (m->state == MASTER_STOPPING)
        return;
    m->exit_status = exit_status;
    loop_timer_del(&m->retry);
    happen(m, EVENT_STOP, "the master ends");
}

void connection_fini(struct master *m)
{
    loop_timer_del(&m->retry);
    loop_timer_del(&m->limit);
    netwatch_free(m->watch);
    promote_fini(m);
    hint_forget(m);
    udp_flows_fini(&m->flows);
    session_free(m->session);
    key_wipe(m->psk, sizeof m->psk);
    ssh_free(m->ssh);
    free(m->takeover);
    free(m->from);
    free(m->to);
}
