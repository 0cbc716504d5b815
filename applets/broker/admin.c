/* The broker's side of `berth broker user` and `token`. Whoever can connect is who runs the broker. */
#include "applets/broker/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/broker/evict.h"
#include "core/key.h"
#include "core/mem.h"

/* One request. It outlives its client: what was asked for happens. */
struct wish {
    struct front *front;
    struct stream *stream;
    struct people_call *asked;
    enum message_type type;
    struct draft answer;
    struct json_node *names;
    char token[PEOPLE_TOKEN_LEN + 1];
};

static void finish(struct wish *w)
{
    key_wipe(w->token, sizeof w->token);
    loop_reap(w->front->loop, w, free);
}

static void refuse(struct wish *w, int error)
{
    static const char is_name[] = "a user's name has 1 to 64 letters, digits, dots, dashes and "
                                  "underscores";
    switch (error) {
    case EINVAL: control_fail(w->stream, ERR_INVALID_REQUEST, "%s", is_name); break;
    case EEXIST:
        control_fail(w->stream, ERR_INVALID_REQUEST, "there is a user of that name");
        break;
    case ENOENT: control_fail(w->stream, ERR_NOT_FOUND, "there is no such user"); break;
    default: control_fail(w->stream, ERR_INTERNAL, "%s", strerror(error));
    }
}

static void on_evicted(void *arg, int error)
{
    struct wish *w = arg;
    if (error)
        refuse(w, error);
    else
        control_ok(w->stream);
    finish(w);
}

static void on_done(void *arg, int error, const struct principal *who)
{
    struct wish *w = arg;
    if (!error && w->type == MSG_USER_REMOVE) {
        evict(w->front, who, on_evicted, w);
        return;
    }
    if (error) {
        refuse(w, error);
    } else if (w->type == MSG_TOKEN_NEW) {
        struct draft d = draft_of(MSG_TOKEN);
        draft_str(&d, "token", w->token);
        control_answer(w->stream, &d);
    } else {
        control_ok(w->stream);
    }
    finish(w);
}

static void on_user(void *arg, int error, const struct principal *who)
{
    struct wish *w = arg;
    if (who) {
        json_put_str(w->answer.out, w->names, NULL, who->name);
        return;
    }
    if (error) {
        draft_free(&w->answer);
        refuse(w, error);
    } else {
        control_answer(w->stream, &w->answer);
    }
    finish(w);
}

static void list(struct wish *w)
{
    w->answer = draft_of(MSG_USERS);
    w->names = json_put_array(w->answer.out, w->answer.root, "names");
    people_list(w->front->store, on_user, w);
}

static void grant(struct wish *w, const char *name, const struct json_value *body)
{
    int64_t days = 0;
    (void)json_get_int(body, "days", &days);
    people_new_token(w->token);
    struct people_grant g = {w->token, days > 0 && days <= PEOPLE_DAYS_MAX ? (unsigned)days : 0};
    people_grant(w->front->store, name, &g, on_done, w);
}

static void on_wish(void *arg, struct stream *s, const struct message *m)
{
    struct wish *w = xcalloc(1, sizeof *w);
    const char *name = json_get_str(m->body, "name");
    w->front = arg;
    w->stream = s;
    w->type = m->type;
    if (!name)
        name = "";
    switch (m->type) {
    case MSG_USER_ADD: people_add(w->front->store, name, on_done, w); break;
    case MSG_USER_REMOVE: people_remove(w->front->store, name, on_done, w); break;
    case MSG_USER_LIST: list(w); break;
    case MSG_TOKEN_NEW: grant(w, name, m->body); break;
    default: control_fail(s, ERR_INVALID_REQUEST, "not a request for a broker"); finish(w);
    }
}

char *admin_socket(const char *state)
{
    return xasprintf("%s/control.sock", state);
}

struct control *admin_serve(struct front *f, const char *path)
{
    return control_new(f->loop, path, on_wish, f);
}
