/* The broker's side of `berth broker user` and `token`. Whoever can connect is who runs the broker. */
#include "applets/broker/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/broker/call.h"
#include "applets/broker/evict.h"
#include "applets/broker/tokens.h"
#include "core/bytes.h"
#include "core/mem.h"

/* One request. It outlives its client: what was asked for happens. */
struct wish {
    struct front *front;
    struct stream *stream;
    enum message_type type;
    struct draft answer;
    struct json_node *rows;
    char token[TOKEN_LEN + 1];
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
    case ENOKEY: control_fail(w->stream, ERR_NOT_FOUND, "the user has no token of that id"); break;
    case ENOTUNIQ:
        control_fail(w->stream, ERR_INVALID_REQUEST,
                     "several of the user's tokens begin so: give more of the id");
        break;
    default: control_fail(w->stream, ERR_INTERNAL, "%s", strerror(error));
    }
}

static void settle(struct wish *w, int error)
{
    if (error)
        refuse(w, error);
    else
        control_ok(w->stream);
    finish(w);
}

/* ---- users ---- */

static void on_evicted(void *arg, int error)
{
    settle(arg, error);
}

static void on_removed(void *arg, int error, const struct principal *who)
{
    struct wish *w = arg;
    if (error)
        settle(w, error);
    else
        evict(w->front, who, on_evicted, w);
}

static void on_added(void *arg, int error, const struct principal *who)
{
    (void)who;
    settle(arg, error);
}

/* Who asks for a list is told it whole, or why not. */
static void on_listed(struct wish *w, int error)
{
    if (error) {
        draft_free(&w->answer);
        refuse(w, error);
    } else {
        control_answer(w->stream, &w->answer);
    }
    finish(w);
}

static void on_user(void *arg, int error, const struct principal *who)
{
    struct wish *w = arg;
    if (who)
        json_put_str(w->answer.out, w->rows, NULL, who->name);
    else
        on_listed(w, error);
}

static void list_users(struct wish *w)
{
    w->answer = draft_of(MSG_USERS);
    w->rows = json_put_array(w->answer.out, w->answer.root, "names");
    people_list(w->front->store, on_user, w);
}

/* ---- tokens ---- */

static void on_granted(void *arg, int error, const struct principal *who, const struct token *token)
{
    struct wish *w = arg;
    (void)who, (void)token;
    if (error) {
        refuse(w, error);
    } else {
        struct draft d = draft_of(MSG_TOKEN);
        draft_str(&d, "token", w->token);
        control_answer(w->stream, &d);
    }
    finish(w);
}

static void grant(struct wish *w, const char *name, const struct json_value *body)
{
    int64_t days = 0;
    (void)json_get_int(body, "days", &days);
    token_new(w->token);
    struct token_grant g = {w->token, days > 0 && days <= TOKEN_DAYS_MAX ? (unsigned)days : 0};
    token_grant(w->front->store, name, &g, on_granted, w);
}

static void put_token(struct wish *w, const struct token *token)
{
    char hex[2 * SHA256_LEN + 1], made[CALL_TIME_LEN + 1], expires[CALL_TIME_LEN + 1];
    struct json_node *row = json_put_object(w->answer.out, w->rows, NULL);
    hex_encode(hex, token->hash, SHA256_LEN);
    hex[TOKEN_ID_LEN] = '\0';
    call_time(made, token->made_s);
    call_time(expires, token->expires_s);
    json_put_str(w->answer.out, row, "id", hex);
    json_put_str(w->answer.out, row, "made", token->made_s ? made : "unknown");
    json_put_str(w->answer.out, row, "expires", expires);
}

static void on_token(void *arg, int error, const struct principal *who, const struct token *token)
{
    struct wish *w = arg;
    (void)who;
    if (token)
        put_token(w, token);
    else
        on_listed(w, error);
}

static void list_tokens(struct wish *w, const char *name)
{
    w->answer = draft_of(MSG_TOKENS);
    w->rows = json_put_array(w->answer.out, w->answer.root, "tokens");
    token_list(w->front->store, name, on_token, w);
}

static void on_revoked(void *arg, int error, const struct principal *who, const struct token *token)
{
    struct wish *w = arg;
    if (!error)
        leases_revoke(&w->front->leases, who, token->hash);
    settle(w, error);
}

static const char *text_of(const struct json_value *body, const char *key)
{
    const char *text = json_get_str(body, key);
    return text ? text : "";
}

static void on_wish(void *arg, struct stream *s, const struct message *m)
{
    struct wish *w = xcalloc(1, sizeof *w);
    const char *name = text_of(m->body, "name");
    w->front = arg;
    w->stream = s;
    w->type = m->type;
    switch (m->type) {
    case MSG_USER_ADD: people_add(w->front->store, name, on_added, w); break;
    case MSG_USER_REMOVE: people_remove(w->front->store, name, on_removed, w); break;
    case MSG_USER_LIST: list_users(w); break;
    case MSG_TOKEN_NEW: grant(w, name, m->body); break;
    case MSG_TOKEN_LIST: list_tokens(w, name); break;
    case MSG_TOKEN_REVOKE:
        token_revoke(w->front->store, name, text_of(m->body, "id"), on_revoked, w);
        break;
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
