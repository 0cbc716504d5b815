/* dial.c: Dial {target}: a connection from here, joined with the opener's stream.
 *
 * What the opener sends at once, and even its end of file, waits in the stream until there
 * is something to pass it on to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/service/service.h"
#include "core/mem.h"
#include "net/sock.h"
#include "net/target.h"

struct connection {
    struct target target;
    struct relay_count *count;
    struct dial *dial; /* until it is made */
    struct relay *relay;
};

/* So that whoever owns the count knows that it is needed: the relay counts by itself. */
static void count_dialling(const struct connection *c, int change)
{
    if (c->count)
        c->count->open += (unsigned)change;
}

static void forget(struct request *r)
{
    struct connection *c = r->state;
    if (c->dial) {
        dial_cancel(c->dial);
        count_dialling(c, -1);
    }
    if (c->relay)
        relay_abort(c->relay);
    free(c);
}

static void relayed(void *arg, int error)
{
    struct request *r = arg;
    struct connection *c = r->state;
    (void)error;
    c->relay = NULL;
    request_end(r);
}

static const char *reason(const struct target *t, int error)
{
    return error == ENOENT && t->kind == TARGET_TCP ? "no such host" : strerror(error);
}

static void dialled(void *arg, struct stream *s, int error)
{
    struct request *r = arg;
    struct connection *c = r->state;
    c->dial = NULL;
    count_dialling(c, -1);
    if (!s) {
        char text[TARGET_TEXT_MAX];
        target_format(&c->target, text);
        request_fail(r, error_code_of_errno(error), "%s: %s", text, reason(&c->target, error));
        return;
    }
    message_send(r->stream, MSG_OK);
    c->relay = relay_new(request_detach(r), s, c->count);
    relay_on_end(c->relay, relayed, r);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    if (event == STREAM_ERROR)
        request_reset(arg);
}

void service_dial(struct request *r, const struct target *target, struct relay_count *count)
{
    struct connection *c = xcalloc(1, sizeof *c);
    c->target = *target;
    c->count = count;
    r->state = c;
    r->abort = forget;
    stream_own(r->stream, on_event, r);
    c->dial = dial_start(r->service->loop, target, dialled, r);
    count_dialling(c, 1);
}

void serve_dial(struct request *r)
{
    struct target target;
    const char *why = "missing", *text = json_get_str(r->message.body, "target");
    if (!text || target_parse(&target, text, &why) != 0) {
        request_fail(r, ERR_INVALID_REQUEST, "target: %s", why);
        return;
    }
    service_dial(r, &target, r->service->count);
}
