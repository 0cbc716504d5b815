/* ssh connections: one, and after a while the next. */
#include <errno.h>
#include <string.h>

#include "applets/master/connection.h"
#include "core/log.h"

#define BACKOFF_FIRST_MS 500
#define BACKOFF_LAST_MS  30000
#define TRY_LIMIT_MS     40000 /* for a reconnection, ssh and session together */
#define TRY_FRESH_MS     3000  /* a younger one is not begun anew when the network changes */

void retry_soon(struct master *m)
{
    m->backoff_ms = BACKOFF_FIRST_MS;
}

void retry_later(struct master *m)
{
    uint64_t jitter_ms = key_random_below((uint32_t)m->backoff_ms / 2 + 1);
    connection_drop_carrier(m);
    connection_enter(m, MASTER_WAITING);
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
    case SSH_DOWN: connection_happen(m, EVENT_SSH_DOWN, ssh_error(ssh)); break;
    }
}

void retry_start_ssh(struct master *m)
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
        connection_happen(m, EVENT_SSH_DOWN,
                          errno == ENOENT ? "there is no ssh program in PATH" : strerror(errno));
}

void retry_now(struct master *m, const char *why)
{
    (void)why;
    loop_timer_del(&m->retry);
    connection_drop_carrier(m);
    connection_enter(m, MASTER_AGAIN);
    loop_timer_set(&m->limit, TRY_LIMIT_MS);
    retry_start_ssh(m);
}

static void on_retry(void *arg)
{
    retry_now(arg, NULL);
}

void retry_at_once(struct master *m, const char *why)
{
    retry_soon(m);
    retry_now(m, why);
}

void retry_if_stale(struct master *m, const char *why)
{
    if (loop_now_ms(m->loop) - m->tried_ms >= TRY_FRESH_MS)
        retry_at_once(m, why);
}

void retry_init(struct master *m)
{
    loop_timer_init(m->loop, &m->retry, on_retry, m);
    retry_soon(m);
}
