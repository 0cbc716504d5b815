/* The session outlives the connections that carry it. One state says what is under way, and
 * the table says what each event means in it; connection_enter() is the only place that changes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/master/connection.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"

#define REASON_MS     2000 /* for ssh to end and say why, once its stream has */
#define STOP_LIMIT_MS 1000 /* for the agent's goodbye */

static const char *const state_names[] = {
    [MASTER_FIRST] = "connecting",  [MASTER_UP] = "up",
    [MASTER_WAITING] = "waiting",   [MASTER_AGAIN] = "reconnecting",
    [MASTER_STOPPING] = "stopping",
};
_Static_assert(countof(state_names) == MASTER_STATES, "a name for each state");

static const char *const event_names[] = {
    [EVENT_UP] = "up",        [EVENT_DOWN] = "down",
    [EVENT_MOVED] = "moved",  [EVENT_LEFT] = "left ssh",
    [EVENT_OVER] = "over",    [EVENT_SSH_DOWN] = "ssh down",
    [EVENT_LATE] = "late",    [EVENT_CHANGED] = "network changed",
    [EVENT_WOKE] = "woke up", [EVENT_STOP] = "stop",
};
_Static_assert(countof(event_names) == CONNECTION_EVENTS, "a name for each event");

void connection_enter(struct master *m, enum master_state state)
{
    log_trace("%s: %s -> %s", m->options->host, state_names[m->state], state_names[state]);
    m->state = state;
}

void connection_free_ssh(struct master *m)
{
    session_drop_carrier(m->session);
    ssh_free(m->ssh);
    m->ssh = NULL;
}

void connection_drop_carrier(struct master *m)
{
    loop_timer_del(&m->limit);
    connection_free_ssh(m);
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
    connection_drop_carrier(m);
    finish(m, why);
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
        connection_free_ssh(m);
    connection_enter(m, MASTER_UP);
    if (m->greeted)
        retry_soon(m);
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
    connection_free_ssh(m);
}

static void lose(struct master *m, const char *why)
{
    (void)why;
    if (!session_has_quic(m->session))
        promote_again(m);
    log_note("%s: network lost, reconnecting", m->options->host);
    m->told_reason = false;
    retry_later(m);
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
    retry_later(m);
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
    connection_drop_carrier(m);
    forward_close_automatic(m);
    udp_flows_fini(&m->flows);
    session_free(m->session);
    conversation_begin(m);
    retry_later(m);
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
    connection_enter(m, MASTER_STOPPING);
    loop_timer_set(&m->limit, STOP_LIMIT_MS);
}

typedef void action(struct master *m, const char *why);

static action *const actions[MASTER_STATES][CONNECTION_EVENTS] = {
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
            [EVENT_CHANGED] = retry_at_once,
            [EVENT_WOKE] = retry_at_once,
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
            [EVENT_CHANGED] = retry_if_stale,
            [EVENT_WOKE] = retry_at_once,
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

void connection_happen(struct master *m, enum connection_event event, const char *why)
{
    log_trace("%s: %s while %s%s%s", m->options->host, event_names[event], state_names[m->state],
              why ? ": " : "", why ? why : "");
    actions[m->state][event](m, why);
}

static void on_limit(void *arg)
{
    connection_happen(arg, EVENT_LATE, NULL);
}

static void on_network(void *arg, enum netwatch_event event)
{
    struct master *m = arg;
    session_network_changed(m->session, event == NETWATCH_WOKE);
    if (event == NETWATCH_STIRRED)
        return;
    promote_try(m);
    connection_happen(arg, event == NETWATCH_WOKE ? EVENT_WOKE : EVENT_CHANGED, NULL);
}

void connection_give_up(struct master *m, const char *why)
{
    if (m->state == MASTER_STOPPING)
        return;
    log_error("%s: %s", m->options->host, why);
    connection_stop(m, 1);
}

/* --- its life ------------------------------------------------------------------------------------------ */

void connection_start(struct master *m)
{
    retry_init(m);
    loop_timer_init(m->loop, &m->limit, on_limit, m);
    m->watch = netwatch_new(m->loop, on_network, m);
    if (!m->watch)
        log_note("changes of the network cannot be watched (%s): reconnects go by the clock",
                 strerror(errno));
    conversation_begin(m);
    promote_init(m);
    retry_start_ssh(m);
}

void connection_stop(struct master *m, int exit_status)
{
    if (m->state == MASTER_STOPPING)
        return;
    m->exit_status = exit_status;
    loop_timer_del(&m->retry);
    connection_happen(m, EVENT_STOP, "the master ends");
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
