/* What the agent asks of its master. It can have a port opened on this machine's loopback that
 * leads back to its own side; it can name a connection to a -R that this user asked for. It can
 * never name a target on this side. */
#include <stdlib.h>
#include <string.h>

#include "applets/master/master.h"
#include "core/log.h"
#include "core/mem.h"

#define PORT_MIN     1024 /* what is below is not opened because somebody else asked */
#define FORWARDS_MAX 256  /* open at once because it asked */
#define ASKS_AT_ONCE 512  /* requests, of which one more is allowed each … */
#define ASK_EVERY_MS 100
#define PROCESS_MAX  64 /* bytes of a process's name */

/* --- how much it may ask ---------------------------------------------------------------------- */

static bool may_ask(struct master *m)
{
    uint64_t now_ms = loop_now_ms(m->loop), earned = (now_ms - m->asked_ms) / ASK_EVERY_MS;
    if (!m->asked_ms || earned > ASKS_AT_ONCE - m->asks_left) {
        m->asks_left = ASKS_AT_ONCE;
        m->asked_ms = now_ms;
    } else {
        m->asks_left += (unsigned)earned;
        m->asked_ms += earned * ASK_EVERY_MS;
    }
    if (!m->asks_left)
        return false;
    m->asks_left--;
    return true;
}

/* --- streams ---------------------------------------------------------------------------------- */

static void serve_accepted(struct request *r)
{
    struct master *m = r->service->owner;
    int64_t id = 0;
    struct forward *f = json_get_int(r->message.body, "id", &id) == 1 ? forward_by_id(m, id) : NULL;
    if (!f || f->spec.kind != FORWARD_REMOTE || f->spec.target.kind == TARGET_UDP)
        request_fail(r, ERR_NOT_FOUND, "no forward %lld", (long long)id);
    else
        service_dial(r, &f->spec.target, &f->count);
}

static void serve_list(struct request *r)
{
    if (!may_ask(r->service->owner)) {
        request_fail(r, ERR_RATE_LIMITED, "too many requests");
        return;
    }
    struct draft d = local_listing(r->service->owner);
    draft_send(&d, r->stream);
    request_end(r);
}

const struct service_row remote_rows[] = {
    {MSG_ACCEPTED, serve_accepted},
    {MSG_ACCEPTED_UDP, forward_serve_udp},
    {MSG_LIST, serve_list},
    {MSG_COUNT, NULL},
};

/* --- its forwards -------------------------------------------------------------------------------- */

static bool has_asked_for_enough(const struct master *m)
{
    unsigned n = 0;
    for (const struct forward *f = m->forwards.first; f; f = f->next)
        n += f->by_agent && !f->gone;
    return n >= FORWARDS_MAX;
}

static void refuse(struct master *m, int64_t id, enum error_code code, const char *text)
{
    struct draft d = draft_of(MSG_ERROR);
    draft_int(&d, "id", id);
    draft_str(&d, "code", error_code_name(code));
    draft_str(&d, "message", text);
    session_send(m->session, &d);
}

static void refuse_requests(struct master *m, int64_t id)
{
    refuse(m, id, ERR_PERMISSION_DENIED, "the master takes no requests (--no-remote-requests)");
}

/* --- ForwardRequest ------------------------------------------------------------------------------- */

static void accept_forward(struct master *m, int64_t id, const struct forward *f)
{
    char local[TARGET_TEXT_MAX];
    struct draft d = draft_of(MSG_FORWARD_ACK);
    target_format(&f->spec.bind, local);
    draft_int(&d, "id", id);
    draft_str(&d, "local", local);
    session_send(m->session, &d);
}

static bool leads_to(const struct forward *f, const struct target *target)
{
    if (f->gone || f->spec.kind != FORWARD_LOCAL)
        return false;
    return target_equal(&f->spec.target, target) ||
           (target->kind == TARGET_TCP && f->spec.target.kind == TARGET_TCP &&
            f->spec.target.port == target->port && target_is_loopback(&f->spec.target) &&
            target_is_loopback(target));
}

/* Wanted here, and nobody's yet: one that the user made is never replaced. */
static bool wants_auto(const struct master *m, const struct target *target)
{
    if (!m->options->automatic || target->kind != TARGET_TCP ||
        !port_set_has(&m->options->auto_ports, target->port) ||
        remember_is_closed(m, target->port) || has_asked_for_enough(m))
        return false;
    for (const struct forward *f = m->forwards.first; f; f = f->next)
        if (leads_to(f, target))
            return false;
    return true;
}

static void note_process(struct forward *f, const struct message *request)
{
    const char *process = json_get_str(request->body, "process");
    f->process = process ? xstrndup(process, PROCESS_MAX) : NULL;
    (void)json_get_int(request->body, "pid", &f->pid);
}

/* The same port if it is free here, else any. */
static void open_auto(struct master *m, struct forward_spec *spec, const struct message *request)
{
    uint16_t port = spec->target.port;
    if (!wants_auto(m, &spec->target))
        return;
    spec->bind.port = port;
    struct forward *f = forward_add(m, spec, true);
    if (f->error) {
        forward_close(f);
        spec->bind.port = 0;
        f = forward_add(m, spec, true);
    }
    if (f->error) {
        log_error("%s: port %u cannot be forwarded: %s", m->options->host, port,
                  strerror(f->error));
        forward_close(f);
        return;
    }
    f->by_agent = true;
    note_process(f, request);
    log_note("%s: port %u is forwarded from 127.0.0.1:%u%s%s%s", m->options->host, port,
             f->spec.bind.port, f->process ? " (" : "", f->process ? f->process : "",
             f->process ? ")" : "");
}

static void open_asked(struct master *m, int64_t id, const struct forward_spec *spec)
{
    if (m->options->no_remote_requests) {
        refuse_requests(m, id);
        return;
    }
    if (has_asked_for_enough(m)) {
        refuse(m, id, ERR_QUOTA_EXCEEDED, "the master has no more forwards for this side");
        return;
    }
    struct forward *f = forward_add(m, spec, false);
    if (f->error) {
        refuse(m, id, error_code_of_errno(f->error), strerror(f->error));
        forward_close(f);
        return;
    }
    f->by_agent = true;
    log_note("%s: asked to forward 127.0.0.1:%u", m->options->host, f->spec.bind.port);
    remember_opened(m, spec->target.port);
    remember_save(m);
    accept_forward(m, id, f);
}

/* NULL, or what is wrong with it. */
static const char *read_request(struct forward_spec *spec, const struct message *request)
{
    const char *target = json_get_str(request->body, "target"), *why = "no target";
    int64_t port = 0;
    *spec = (struct forward_spec){.kind = FORWARD_LOCAL, .bind = {.host = "127.0.0.1"}};
    if (!target || target_parse(&spec->target, target, &why) < 0)
        return why;
    if (spec->target.kind == TARGET_UDP)
        return "UDP is forwarded with berth master -L udp:… alone";
    if (json_get_int(request->body, "local_port", &port) != 1 || port > UINT16_MAX ||
        (port && port < PORT_MIN))
        return "the local port must be 0, or 1024 to 65535";
    spec->bind.port = (uint16_t)port;
    return NULL;
}

void remote_forward_request(struct master *m, const struct message *request)
{
    struct forward_spec spec;
    int64_t id = 0;
    bool automatic = false;
    const char *why = read_request(&spec, request);
    (void)json_get_int(request->body, "id", &id);
    (void)json_get_bool(request->body, "auto", &automatic);
    if (why)
        refuse(m, id, ERR_INVALID_REQUEST, why);
    else if (!may_ask(m))
        refuse(m, id, ERR_RATE_LIMITED, "too many requests");
    else if (automatic)
        open_auto(m, &spec, request);
    else
        open_asked(m, id, &spec);
}

/* --- CloseRequest ------------------------------------------------------------------------------------ */

static void close_auto(struct master *m, int64_t port)
{
    for (struct forward *f = m->forwards.first; f; f = f->next) {
        if (f->gone || !f->automatic || f->spec.target.port != port)
            continue;
        log_note("%s: port %u is not listened on any more: its forward goes", m->options->host,
                 f->spec.target.port);
        forward_close(f);
        return;
    }
}

static void close_asked(struct master *m, int64_t id, int64_t port, bool udp)
{
    struct forward *f =
        port > 0 && port <= UINT16_MAX ? forward_by_port(m, (uint16_t)port, udp) : NULL;
    if (!f) {
        refuse(m, id, ERR_NOT_FOUND, "no forward has that port");
        return;
    }
    struct draft d = draft_of(MSG_OK);
    forward_close_by_hand(f);
    draft_int(&d, "id", id);
    session_send(m->session, &d);
}

void remote_close_request(struct master *m, const struct message *request)
{
    int64_t id = 0, port = 0;
    bool automatic = false, udp = false;
    (void)json_get_int(request->body, "id", &id);
    (void)json_get_int(request->body, "port", &port);
    (void)json_get_bool(request->body, "auto", &automatic);
    (void)json_get_bool(request->body, "udp", &udp);
    if (automatic)
        close_auto(m, port);
    else if (m->options->no_remote_requests)
        refuse_requests(m, id);
    else if (!may_ask(m))
        refuse(m, id, ERR_RATE_LIMITED, "too many requests");
    else
        close_asked(m, id, port, udp);
}
