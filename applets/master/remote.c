/* What the agent asks of its master. It can have a port opened on this machine's loopback that
 * leads back to its own side; it can name a connection to a -R that this user asked for. It can
 * never name a target on this side. */
#include <stdlib.h>
#include <string.h>

#include "applets/master/master.h"
#include "core/log.h"
#include "core/mem.h"

#define PORT_MIN 1024 /* what is below is not opened because somebody else asked */

/* --- streams ---------------------------------------------------------------------------------- */

static void serve_accepted(struct request *r)
{
    struct master *m = r->service->owner;
    int64_t id = 0;
    struct forward *f = json_get_int(r->message.body, "id", &id) == 1 ? forward_by_id(m, id) : NULL;
    if (!f || f->spec.kind != FORWARD_REMOTE)
        request_fail(r, ERR_NOT_FOUND, "no forward %lld", (long long)id);
    else
        service_dial(r, &f->spec.target, &f->count);
}

static void serve_list(struct request *r)
{
    struct draft d = local_listing(r->service->owner);
    draft_send(&d, r->stream);
    request_end(r);
}

const struct service_row remote_rows[] = {
    {MSG_ACCEPTED, serve_accepted},
    {MSG_LIST, serve_list},
    {MSG_COUNT, NULL},
};

/* --- ForwardRequest ------------------------------------------------------------------------------- */

static void refuse(struct master *m, int64_t id, enum error_code code, const char *text)
{
    struct draft d = draft_of(MSG_ERROR);
    draft_int(&d, "id", id);
    draft_str(&d, "code", error_code_name(code));
    draft_str(&d, "message", text);
    session_send(m->session, &d);
}

static void accept_forward(struct master *m, int64_t id, const struct forward *f)
{
    char local[TARGET_TEXT_MAX];
    struct draft d = draft_of(MSG_FORWARD_ACK);
    target_format(&f->spec.bind, local);
    draft_int(&d, "id", id);
    draft_str(&d, "local", local);
    session_send(m->session, &d);
}

/* An auto forward takes the same port, else any; it is nobody's if the user made one already. */
static void open_auto(struct master *m, struct forward_spec *spec, const struct message *request)
{
    const char *process = json_get_str(request->body, "process");
    uint16_t port = spec->target.port;
    if (!m->options->automatic || !port_set_has(&m->options->auto_ports, port) ||
        remember_is_closed(m, port))
        return;
    for (struct forward *f = m->forwards; f; f = f->next)
        if (!f->gone && f->spec.kind == FORWARD_LOCAL && f->spec.target.port == port &&
            target_is_loopback(&f->spec.target))
            return;
    struct forward *f = forward_add(m, spec, true);
    if (f->error) {
        forward_close(f);
        spec->bind.port = 0;
        f = forward_add(m, spec, true);
    }
    f->process = process ? xstrdup(process) : NULL;
    (void)json_get_int(request->body, "pid", &f->pid);
    log_note("%s: port %u is forwarded from 127.0.0.1:%u%s%s%s", m->options->host, port,
             f->spec.bind.port, process ? " (" : "", process ? process : "", process ? ")" : "");
}

static void open_asked(struct master *m, int64_t id, const struct forward_spec *spec)
{
    if (m->options->no_remote_requests) {
        refuse(m, id, ERR_PERMISSION_DENIED, "the master takes no requests (--no-remote-requests)");
        return;
    }
    struct forward *f = forward_add(m, spec, false);
    if (f->error) {
        refuse(m, id, error_code_of_errno(f->error), strerror(f->error));
        forward_close(f);
        return;
    }
    log_note("%s: asked to forward 127.0.0.1:%u", m->options->host, f->spec.bind.port);
    remember_opened(m, spec->target.port);
    remember_save(m);
    accept_forward(m, id, f);
}

void remote_forward_request(struct master *m, const struct message *request)
{
    struct forward_spec spec = {.kind = FORWARD_LOCAL, .bind = {.host = "127.0.0.1"}};
    const char *target = json_get_str(request->body, "target"), *why = "no target";
    int64_t id = 0, port = 0;
    bool automatic = false;
    (void)json_get_int(request->body, "id", &id);
    (void)json_get_bool(request->body, "auto", &automatic);
    if (!target || target_parse(&spec.target, target, &why) < 0) {
        refuse(m, id, ERR_INVALID_REQUEST, why);
        return;
    }
    if (json_get_int(request->body, "local_port", &port) != 1 || port > UINT16_MAX ||
        (port && port < PORT_MIN) || port < 0) {
        refuse(m, id, ERR_INVALID_REQUEST, "the local port must be 0, or 1024 to 65535");
        return;
    }
    spec.bind.port = (uint16_t)port;
    if (automatic)
        open_auto(m, &spec, request);
    else
        open_asked(m, id, &spec);
}

/* --- CloseRequest ------------------------------------------------------------------------------------ */

static void close_auto(struct master *m, int64_t port)
{
    for (struct forward *f = m->forwards; f; f = f->next) {
        if (f->gone || !f->automatic || f->spec.target.port != port)
            continue;
        log_note("%s: port %u is not listened on any more: its forward goes", m->options->host,
                 f->spec.target.port);
        forward_close(f);
        return;
    }
}

void remote_close_request(struct master *m, const struct message *request)
{
    int64_t id = 0, port = 0;
    bool automatic = false;
    (void)json_get_int(request->body, "id", &id);
    (void)json_get_int(request->body, "port", &port);
    (void)json_get_bool(request->body, "auto", &automatic);
    if (automatic) {
        close_auto(m, port);
        return;
    }
    struct forward *f = port > 0 && port <= UINT16_MAX ? forward_by_port(m, (uint16_t)port) : NULL;
    if (m->options->no_remote_requests) {
        refuse(m, id, ERR_PERMISSION_DENIED, "the master takes no requests (--no-remote-requests)");
    } else if (!f) {
        refuse(m, id, ERR_NOT_FOUND, "no forward has that port");
    } else {
        struct draft d = draft_of(MSG_OK);
        remember_closed(m, f->automatic ? f->spec.target.port : (uint16_t)port);
        forward_close(f);
        remember_save(m);
        draft_int(&d, "id", id);
        session_send(m->session, &d);
    }
}
