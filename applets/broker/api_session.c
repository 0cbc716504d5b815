/* A browser's session: the token that its user has typed, in a cookie that no script can read. It lasts as
 * long as the token does. */
#include "applets/applets.h"
#include "applets/broker/auth.h"
#include "applets/version.h"
#include "core/mem.h"

#define COOKIE_S (30 * 86400)

static char *cookie_field(const struct call *c, const char *value, int seconds)
{
    return xasprintf("Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s\r\n",
                     call_cookie_name(c), value, seconds, c->front->secure ? "; Secure" : "");
}

/* What proves something has no character that means anything in a field. */
static void opened(struct call *c)
{
    cleanup_free char *field = cookie_field(c, c->token, COOKIE_S);
    struct json_out *out = json_out_new();
    json_put_str(out, json_out_root(out), "user", c->who.name);
    call_json(c, field, out);
}

static void open_session(struct call *c, const struct json_value *body)
{
    const char *token = json_get_str(body, "token");
    if (token)
        call_prove(c, token, opened);
    else
        call_error(c, API_INVALID_REQUEST, "The token is missing.");
}

/* Another site could sign its visitor in as somebody else, to whom the machines would go that they join. */
void api_session_open(struct call *c)
{
    if (call_is_foreign(c))
        call_foreign(c);
    else
        call_read_json(c, open_session);
}

void api_session_close(struct call *c)
{
    if (call_is_foreign(c)) {
        call_foreign(c);
        return;
    }
    cleanup_free char *field = cookie_field(c, "", 0);
    call_empty(c, field);
}

void api_me(struct call *c)
{
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    json_put_str(out, root, "user", c->who.name);
    json_put_str(out, root, "url", c->front->url);
    json_put_str(out, root, "version", berth_version());
    json_put_bool(out, root, "authenticated", true);
    call_json(c, "", out);
}
