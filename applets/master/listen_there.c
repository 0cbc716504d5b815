/* -R: the agent listens. Whatever it answers changes what is shown of a forward, and never
 * what was asked for. */
#include <errno.h>
#include <string.h>

#include "applets/master/master.h"
#include "core/log.h"

void forward_listen_there(struct forward *f)
{
    char bind[TARGET_TEXT_MAX];
    struct draft d = draft_of(MSG_LISTEN);
    target_format(&f->spec.bind, bind);
    draft_int(&d, "id", f->id);
    draft_str(&d, "bind", bind);
    f->state = FORWARD_WAITING;
    session_send(f->master->session, &d);
}

void forward_unlisten_there(struct forward *f)
{
    struct draft d = draft_of(MSG_UNLISTEN);
    draft_int(&d, "id", f->id);
    session_send(f->master->session, &d);
}

void forward_check_ready(struct master *m)
{
    if (m->forwards.ready || !m->greeted || m->state == MASTER_STOPPING)
        return;
    for (const struct forward *f = m->forwards.first; f; f = f->next)
        if (f->spec.kind == FORWARD_REMOTE && !f->gone && f->state == FORWARD_WAITING)
            return;
    m->forwards.ready = true;
    command_ready(m);
}

void forward_listen_all(struct master *m)
{
    for (struct forward *f = m->forwards.first; f; f = f->next)
        if (f->spec.kind == FORWARD_REMOTE && !f->gone)
            forward_listen_there(f);
    forward_check_ready(m);
}

/* A port is believed only where none was asked for. */
static void bound(struct forward *f, const struct message *ack)
{
    const char *text = json_get_str(ack->body, "bind"), *why;
    struct target bind;
    if (f->asked.bind.kind != TARGET_UNIX && !f->asked.bind.port && text &&
        target_parse_bind(&bind, text, &why) == 0 && bind.kind == f->asked.bind.kind)
        f->spec.bind.port = bind.port;
    f->state = FORWARD_OK;
}

static void not_bound(struct forward *f, const struct message *error)
{
    const char *code = json_get_str(error->body, "code"),
               *text = json_get_str(error->body, "message");
    bool in_use = code && errno_of_error_code(code) == EADDRINUSE;
    f->state = in_use ? FORWARD_IN_USE : FORWARD_FAILED;
    log_plain("Error: %s", text ? text : "the agent cannot listen");
}

void forward_answered(struct master *m, const struct message *answer)
{
    int64_t id = 0;
    struct forward *f = json_get_int(answer->body, "id", &id) == 1 ? forward_by_id(m, id) : NULL;
    /* A port may be lost after it was had; what was lost or refused stays so. */
    bool open = f && f->spec.kind == FORWARD_REMOTE &&
                (f->state == FORWARD_WAITING || f->state == FORWARD_OK);
    if (open && answer->type == MSG_LISTEN_ACK)
        bound(f, answer);
    else if (open && answer->type == MSG_ERROR)
        not_bound(f, answer);
    else
        log_trace("%s without a question", message_name(answer->type));
    forward_check_ready(m);
}
