/* The master's control socket: in a directory of this user's own, one for each master. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/master/master.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"

static const char *state_word(const struct master *m)
{
    if (m->state == MASTER_FIRST)
        return "connecting";
    return m->state == MASTER_UP ? "up" : "reconnecting";
}

struct draft local_listing(struct master *m)
{
    struct json_node *sessions;
    uint64_t now_ms = loop_now_ms(m->loop);
    struct draft d = listing_draft("master", &sessions);
    struct listed_session session = {.host = m->options->host,
                                     .from = m->from,
                                     .to = m->to,
                                     .state = state_word(m),
                                     .transport = session_way_name(m->session),
                                     .id = session_id(m->session),
                                     .up_ms = now_ms - session_up_since_ms(m->session),
                                     .rtt_us = session_rtt_us(m->session)};
    struct json_node *forwards = listing_session(&d, sessions, &session);
    for (struct forward *f = m->forwards.first; f; f = f->next) {
        if (f->gone)
            continue;
        meter_update(&f->meter, &f->count, now_ms);
        struct listed_forward row = {.spec = &f->spec,
                                     .state = forward_state_name(f),
                                     .automatic = f->automatic,
                                     .count = &f->count,
                                     .meter = &f->meter,
                                     .process = f->process,
                                     .pid = f->pid};
        listing_forward(&d, forwards, &row);
    }
    return d;
}

static void answer_close(struct master *m, struct stream *s, const struct message *request)
{
    int64_t port = 0;
    bool udp = false;
    (void)json_get_bool(request->body, "udp", &udp);
    struct forward *f =
        json_get_int(request->body, "port", &port) == 1 && port > 0 && port <= UINT16_MAX
            ? forward_by_port(m, (uint16_t)port, udp)
            : NULL;
    if (!f) {
        control_fail(s, ERR_NOT_FOUND, "no forward has %sport %lld", udp ? "UDP " : "",
                     (long long)port);
        return;
    }
    forward_close_by_hand(f);
    control_ok(s);
}

static bool is_named(const struct master *m, const char *name)
{
    char id[2 * SESSION_LEN + 1];
    hex_encode(id, session_id(m->session), SESSION_LEN);
    return !name || strcmp(name, m->options->host) == 0 ||
           (*name && strncmp(id, name, strlen(name)) == 0);
}

static void answer_stop(struct master *m, struct stream *s, const struct message *request)
{
    const char *name = json_get_str(request->body, "session");
    if (!is_named(m, name)) {
        control_fail(s, ERR_NOT_FOUND, "no session %s here", name);
        return;
    }
    control_ok_until_exit(s);
    log_note("%s: stopped", m->options->host);
    connection_stop(m, 0);
}

static void on_request(void *arg, struct stream *s, const struct message *request)
{
    struct master *m = arg;
    struct draft d;
    switch (request->type) {
    case MSG_LIST:
        d = local_listing(m);
        control_answer(s, &d);
        break;
    case MSG_CLOSE: answer_close(m, s, request); break;
    case MSG_STOP: answer_stop(m, s, request); break;
    default: control_fail(s, ERR_INVALID_REQUEST, "not a request for a master");
    }
}

void local_start(struct master *m)
{
    uint8_t name[4];
    char hex[2 * sizeof name + 1];
    key_random(name, sizeof name);
    hex_encode(hex, name, sizeof name);
    cleanup_free char *file = xasprintf("master-%s.sock", hex);
    /* Twice: whoever lists removes the directory when it is empty, between our two steps too. */
    for (int i = 0; i < 2 && !m->control; i++) {
        free(m->control_path);
        m->control_path = path_runtime(file);
        if (m->control_path)
            m->control = control_new(m->loop, m->control_path, on_request, m);
    }
    if (!m->control)
        log_note("list and stop cannot reach this master: %s: %s",
                 m->control_path ? m->control_path : "no directory for sockets", strerror(errno));
}
