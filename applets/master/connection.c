/* The session outlives the connections that carry it. One state says what is under way;
 * enter() is the only place that changes it. */
#include <errno.h>
#include <signal.h>
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
#define REASON_MS        2000  /* for ssh to end and say why, once its stream has */
#define STOP_LIMIT_MS    1000  /* for the agent's goodbye */

static const char *const state_names[] = {
    [MASTER_CONNECTING] = "connecting",
    [MASTER_UP] = "up",
    [MASTER_WAITING] = "waiting",
    [MASTER_STOPPING] = "stopping",
};
_Static_assert(countof(state_names) == MASTER_STATES, "a name for each state");

static void begin_session(struct master *m);

static void enter(struct master *m, enum master_state state)
{
    log_trace("%s: %s -> %s", m->options->host, state_names[m->state], state_names[state]);
    m->state = state;
}

static void drop_carrier(struct master *m)
{
    loop_timer_del(&m->limit);
    session_drop_carrier(m->session);
    ssh_free(m->ssh);
    m->ssh = NULL;
}

static void give_up(struct master *m, const char *why)
{
    log_error("%s: %s", m->options->host, why);
    m->exit_status = 1;
    drop_carrier(m);
    loop_stop(m->loop, 1);
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

static void lost(struct master *m, const char *why)
{
    if (m->state == MASTER_UP) {
        log_note("%s: network lost, reconnecting", m->options->host);
        m->told_reason = false;
        m->backoff_ms = BACKOFF_FIRST_MS;
    } else if (m->ssh && ssh_is_hopeless(m->ssh) && !m->told_reason) {
        log_note("%s: %s", m->options->host, why);
        m->told_reason = true;
    }
    wait_for_retry(m);
}

static void on_ssh(void *arg, struct ssh *ssh, enum ssh_event event)
{
    struct master *m = arg;
    uint64_t sent, total;
    switch (event) {
    case SSH_UPLOAD:
        ssh_upload(ssh, &sent, &total);
        progress_show(m->options->host, sent, total);
        break;
    case SSH_UP:
        m->carried_ms = loop_now_ms(m->loop);
        session_carry(m->session, ssh_stream(ssh), NULL);
        break;
    case SSH_DOWN:
        if (m->state == MASTER_STOPPING)
            loop_stop(m->loop, m->exit_status);
        else if (m->was_up)
            lost(m, ssh_error(ssh));
        else
            give_up(m, ssh_error(ssh));
    }
}

static void try_now(struct master *m)
{
    static char *const agent_args[] = {NULL};
    struct ssh_options o = {.host = m->options->host,
                            .args = m->options->ssh_args,
                            .agent_args = agent_args,
                            .batch = m->was_up,
                            .detached = m->options->background};
    loop_timer_del(&m->retry);
    enter(m, MASTER_CONNECTING);
    m->tried_ms = loop_now_ms(m->loop);
    m->ssh = ssh_start(m->loop, &o, on_ssh, m);
    if (!m->ssh && !m->was_up) {
        give_up(m, errno == ENOENT ? "there is no ssh program in PATH" : strerror(errno));
        return;
    }
    if (!m->ssh)
        wait_for_retry(m);
    else if (m->was_up)
        loop_timer_set(&m->limit, TRY_LIMIT_MS);
}

static void on_retry(void *arg)
{
    try_now(arg);
}

/* A try, a reason or a goodbye took too long. */
static void on_limit(void *arg)
{
    struct master *m = arg;
    if (m->state == MASTER_STOPPING)
        loop_stop(m->loop, m->exit_status);
    else if (m->was_up)
        lost(m, "no answer");
    else
        give_up(m, "the agent closed the connection before it answered");
}

static void on_network(void *arg, enum netwatch_event event)
{
    struct master *m = arg;
    log_trace("%s", event == NETWATCH_WOKE ? "woke up" : "the network changed");
    if (m->state == MASTER_UP) {
        session_probe(m->session);
    } else if (m->was_up && m->state != MASTER_STOPPING) {
        drop_carrier(m);
        m->backoff_ms = BACKOFF_FIRST_MS;
        try_now(m);
    }
}

/* --- the session's events -------------------------------------------------------------------------- */

static void on_up(void *arg)
{
    struct master *m = arg;
    unsigned long long ms = loop_now_ms(m->loop) - m->carried_ms;
    loop_timer_del(&m->limit);
    if (m->state == MASTER_STOPPING)
        return;
    log_note("%s: %s (ssh, %llu ms)", m->options->host, m->was_up ? "back" : "connected", ms);
    enter(m, MASTER_UP);
    m->was_up = true;
    m->backoff_ms = BACKOFF_FIRST_MS;
    forward_flush(m);
}

static void on_down(void *arg, int error)
{
    struct master *m = arg;
    log_trace("the carrier is gone: %s", error ? strerror(error) : "closed");
    if (m->state == MASTER_STOPPING)
        loop_stop(m->loop, m->exit_status);
    else if (m->was_up)
        lost(m, "no answer");
    else
        loop_timer_set(&m->limit, REASON_MS); /* ssh will say more */
}

static void on_over(void *arg, int error)
{
    struct master *m = arg;
    if (m->state == MASTER_STOPPING) {
        loop_stop(m->loop, m->exit_status);
        return;
    }
    if (!m->was_up) {
        give_up(m, "the agent speaks another protocol");
        return;
    }
    log_note("%s: the agent has lost the session%s%s: open connections are reset", m->options->host,
             error ? ": " : "", error ? strerror(error) : "");
    drop_carrier(m);
    session_free(m->session);
    begin_session(m);
    wait_for_retry(m);
}

static void note_addresses(struct master *m, const struct message *ack)
{
    char **to[] = {&m->from, &m->to};
    size_t i = 0;
    for (struct json_iter it = json_iter(json_get(ack->body, "addresses"));
         i < countof(to) && json_next(&it); i++) {
        free(*to[i]);
        *to[i] = json_str(it.value) ? xstrdup(json_str(it.value)) : NULL;
    }
}

static void hello_acknowledged(struct master *m, const struct message *ack)
{
    note_addresses(m, ack);
    m->greeted = true;
    remember_save(m);
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
    service_serve(&m->service, s);
}

static const struct session_events session_events = {
    .up = on_up, .down = on_down, .over = on_over, .message = on_message, .stream = on_stream};

/* --- its life ------------------------------------------------------------------------------------------ */

static void begin_session(struct master *m)
{
    uint8_t id[SESSION_LEN], psk[PSK_LEN];
    char hex[2 * PSK_LEN + 1];
    struct draft hello = draft_of(MSG_HELLO);
    key_random(id, sizeof id);
    key_random(psk, sizeof psk);
    m->session = session_new(m->loop, SESSION_MASTER, id, &session_events, m);
    m->greeted = false;
    draft_str(&hello, "version", berth_version());
    draft_str(&hello, "build", berth_build());
    hex_encode(hex, id, sizeof id);
    draft_str(&hello, "session", hex);
    hex_encode(hex, psk, sizeof psk);
    draft_str(&hello, "psk", hex);
    draft_str(&hello, "host", m->options->host);
    draft_str(&hello, "takeover", m->takeover);
    draft_int(&hello, "idle_timeout_secs", (int64_t)(m->options->idle_ms / 1000));
    draft_bool(&hello, "requests", !m->options->no_remote_requests);
    draft_bool(&hello, "auto", m->options->automatic);
    session_send(m->session, &hello);
    key_wipe(psk, sizeof psk);
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
    try_now(m);
}

void connection_stop(struct master *m, int exit_status)
{
    struct draft d;
    if (m->state == MASTER_STOPPING)
        return;
    bool up = m->state == MASTER_UP;
    m->exit_status = exit_status;
    enter(m, MASTER_STOPPING);
    loop_timer_del(&m->retry);
    if (!up) {
        loop_stop(m->loop, exit_status);
        return;
    }
    d = draft_of(MSG_SHUTDOWN);
    draft_str(&d, "reason", "the master ends");
    session_send(m->session, &d);
    loop_timer_set(&m->limit, STOP_LIMIT_MS);
}

void connection_fini(struct master *m)
{
    loop_timer_del(&m->retry);
    loop_timer_del(&m->limit);
    netwatch_free(m->watch);
    session_free(m->session);
    ssh_free(m->ssh);
    free(m->takeover);
    free(m->from);
    free(m->to);
}
