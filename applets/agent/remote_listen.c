#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/agent/client.h"
#include "applets/service/opener.h"
#include "core/log.h"
#include "core/mem.h"

/* --- connections ------------------------------------------------------------------------ */

static void on_connection(void *arg, struct stream *local, const char *peer)
{
    struct remote_listen *l = arg;
    struct stream *remote = session_open(l->client->session);
    if (!remote) {
        stream_reset(local);
        return;
    }
    struct opening o = {.local = local,
                        .remote = remote,
                        .request = draft_of(MSG_ACCEPTED),
                        .count = &l->count,
                        .early = true};
    draft_int(&o.request, "id", l->id);
    draft_str(&o.request, "peer", peer);
    opener_start(&l->client->openers, &o);
}

/* --- datagrams --------------------------------------------------------------------------- */

static struct draft on_sender(void *arg, const char *peer)
{
    const struct remote_listen *l = arg;
    struct draft d = draft_of(MSG_ACCEPTED_UDP);
    draft_int(&d, "id", l->id);
    draft_str(&d, "peer", peer);
    return d;
}

/* --- whose port it is ---------------------------------------------------------------------- */

static uint16_t port_of(const struct remote_listen *l)
{
    return l->udp ? udp_listener_port(l->udp) : listener_port(l->listener);
}

static bool same_bind(const struct remote_listen *l, const struct target *bind)
{
    if (!remote_listen_is_open(l) || l->spec.bind.kind != bind->kind)
        return false;
    return bind->kind == TARGET_UNIX ? target_equal(&l->spec.bind, bind) : port_of(l) == bind->port;
}

/* Connections that are open through it go on, and still count here; flows end. */
static void close_listener(struct remote_listen *l)
{
    listener_free(l->listener);
    l->listener = NULL;
    udp_listener_free(l->udp);
    l->udp = NULL;
}

static void tell_taken(const struct remote_listen *l)
{
    char where[TARGET_TEXT_MAX];
    target_format(&l->spec.bind, where);
    cleanup_free char *text = xasprintf("Remote %s was taken over by a newer session.", where);
    client_send_error(l->client, l->id, ERR_ADDRESS_IN_USE, text);
}

/* A dead session's port goes to whoever asks for it next. */
static bool take_over(struct client *c, const struct target *bind)
{
    bool taken = false;
    for (struct client *other = c->agent->clients; other; other = other->next) {
        if (other == c || session_is_sure(other->session))
            continue;
        for (struct remote_listen *l = other->listens; l; l = l->next) {
            if (!same_bind(l, bind))
                continue;
            close_listener(l);
            tell_taken(l);
            taken = true;
        }
    }
    return taken;
}

static bool held_by_own(const struct client *c, const struct target *bind)
{
    for (const struct client *other = c->agent->clients; other; other = other->next)
        for (const struct remote_listen *l = other->listens; l; l = l->next)
            if (same_bind(l, bind))
                return true;
    return false;
}

/* --- Listen and Unlisten ---------------------------------------------------------------------- */

static void refuse(struct client *c, int64_t id, const struct target *bind, int error)
{
    cleanup_free char *text = NULL;
    char where[TARGET_TEXT_MAX];
    target_format(bind, where);
    if (error != EADDRINUSE)
        text = xasprintf("Remote %s cannot be listened on: %s.", where, strerror(error));
    else if (bind->kind == TARGET_UNIX)
        text = xasprintf("Remote socket %s is already in use.", bind->path);
    else
        text = xasprintf("Remote port %u is already in use by another %s.", bind->port,
                         held_by_own(c, bind) ? "session of yours" : "process");
    client_send_error(c, id, error_code_of_errno(error), text);
}

static struct remote_listen *find(struct client *c, int64_t id)
{
    struct remote_listen *l = c->listens;
    while (l && (l->id != id || !remote_listen_is_open(l)))
        l = l->next;
    return l;
}

/* Closed ones stay while connections count on them; this lets the others go. */
static void sweep(struct client *c)
{
    for (struct remote_listen **at = &c->listens; *at;) {
        struct remote_listen *l = *at;
        if (remote_listen_is_open(l) || l->count.open) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        loop_reap(c->agent->loop, l, free);
    }
}

static bool listen_at(struct client *c, const struct target *bind, struct remote_listen *l)
{
    struct udp_listener_options udp = {
        .bind = bind, .flows = &c->flows, .count = &l->count, .request = on_sender, .arg = l};
    if (bind->kind == TARGET_UDP)
        l->udp = udp_listener_new(c->agent->loop, &udp);
    else
        l->listener = listener_new(c->agent->loop, bind, on_connection, l);
    return remote_listen_is_open(l);
}

static void acknowledge(const struct remote_listen *l)
{
    char bind[TARGET_TEXT_MAX];
    struct draft d = draft_of(MSG_LISTEN_ACK);
    target_format(&l->spec.bind, bind);
    draft_int(&d, "id", l->id);
    draft_str(&d, "bind", bind);
    session_send(l->client->session, &d);
}

static void begin(struct client *c, int64_t id, const struct target *bind)
{
    sweep(c);
    struct remote_listen *l = xcalloc(1, sizeof *l);
    l->client = c;
    l->id = id;
    l->spec = (struct forward_spec){.kind = FORWARD_REMOTE, .bind = *bind};
    if (!listen_at(c, bind, l) &&
        !(errno == EADDRINUSE && take_over(c, bind) && listen_at(c, bind, l))) {
        refuse(c, id, bind, errno);
        free(l);
        return;
    }
    if (bind->kind != TARGET_UNIX)
        l->spec.bind.port = port_of(l);
    l->next = c->listens;
    c->listens = l;
    acknowledge(l);
}

void remote_listen_start(struct client *c, const struct message *m)
{
    const char *text = json_get_str(m->body, "bind"), *why = "no bind";
    struct target bind;
    int64_t id = 0;
    if (json_get_int(m->body, "id", &id) != 1 || !text || target_parse_bind(&bind, text, &why) < 0)
        client_send_error(c, id, ERR_INVALID_REQUEST, why);
    else if (find(c, id))
        client_send_error(c, id, ERR_INVALID_REQUEST, "this id has a listener already");
    else
        begin(c, id, &bind);
}

void remote_listen_stop(struct client *c, const struct message *m)
{
    int64_t id = 0;
    struct remote_listen *l = json_get_int(m->body, "id", &id) == 1 ? find(c, id) : NULL;
    if (!l) {
        client_send_error(c, id, ERR_NOT_FOUND, "no such listener");
        return;
    }
    close_listener(l);
    sweep(c);
    struct draft d = draft_of(MSG_OK);
    draft_int(&d, "id", id);
    session_send(c->session, &d);
}

void remote_listen_free_all(struct client *c)
{
    while (c->listens) {
        struct remote_listen *l = c->listens;
        c->listens = l->next;
        close_listener(l);
        loop_reap(c->agent->loop, l, free);
    }
}
