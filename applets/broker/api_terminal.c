/* A terminal on the user's place. What is wrong with the request is an HTTP status; what is wrong with a
 * terminal is told on the WebSocket, as a script in a browser sees no other answer. */
#include <stdlib.h>

#include "applets/broker/deed.h"
#include "applets/broker/terminals.h"
#include "core/mem.h"
#include "core/opt.h"
#include "net/http_server.h"
#include "net/websocket_handshake.h"

static int read_extent(struct call *c, const char *name, uint16_t *extent)
{
    cleanup_free char *text = NULL;
    uint64_t n = 0;
    if (call_param(c, name, false, &text) < 0)
        return -1;
    if (text && (opt_unsigned(text, UINT16_MAX, &n) < 0 || n == 0)) {
        call_error(c, API_INVALID_REQUEST, "The parameter %s is 1 to %u.", name, UINT16_MAX);
        return -1;
    }
    *extent = (uint16_t)n;
    return 0;
}

/* The carrier, and the call's end. NULL: it was no WebSocket, and was answered. */
static struct stream *accept(struct call *c)
{
    struct stream *carrier = websocket_accept(call_take(c), NULL);
    call_end(c);
    return carrier;
}

/* One that is there. */
static void go_on(struct call *c, const char *session, struct terminal_size size)
{
    struct front *f = c->front;
    struct proof proof = c->lease.proof;
    struct stream *carrier = accept(c);
    struct terminal *t = carrier ? terminal_find(f, &proof.who, session) : NULL;
    if (t)
        terminal_show(t, carrier, size, &proof);
    else if (carrier)
        terminal_refuse(
            carrier, API_NOT_FOUND,
            "There is no such terminal of yours: it has ended, or was left for too long.");
}

/* A new one. */

static const char enough[] = "You have as many terminals as one may have: end one of them first.";

static bool is_enough(const struct front *f, const struct principal *who)
{
    return terminal_count(f, who) >= terminal_limits.each;
}

struct asked {
    struct deed deed;
    struct terminal_size size;
};

static void forget(struct call *c)
{
    struct asked *a = c->state;
    deed_end(&a->deed, ACTIVITY_INTERRUPTED, ACTIVITY_NO_CODE);
    free(a);
}

/* From here on the terminal keeps its outcome. */
static void start(struct call *c, const struct place *p, struct stream *stream)
{
    struct asked *a = c->state;
    struct front *f = c->front;
    struct proof proof = c->lease.proof;
    struct terminal_spec spec = {.proof = &proof,
                                 .place = p,
                                 .size = a->size,
                                 .limits = &terminal_limits,
                                 .entry = a->deed.entry};
    a->deed.entry = NULL;
    struct stream *carrier = accept(c);
    if (carrier && !is_enough(f, &proof.who)) {
        terminal_begin(f, &spec, stream, carrier);
        return;
    }
    stream_reset(stream);
    activity_end(spec.entry, ACTIVITY_REFUSED, ACTIVITY_NO_CODE);
    if (carrier) /* others have begun meanwhile */
        terminal_refuse(carrier, API_CONFLICT, enough);
}

static void begin(struct call *c, const char *agent, struct terminal_size size)
{
    struct asked *a;
    if (!http_request_head(c->exchange)->upgrade) {
        accept(c); /* which says what is missing */
        return;
    }
    if (is_enough(c->front, &c->who)) {
        call_error(c, API_CONFLICT, "%s", enough);
        return;
    }
    a = xcalloc(1, sizeof *a);
    a->size = size;
    a->deed.fn = start;
    c->state = a;
    c->abort = forget;
    (void)deed_begin(&a->deed, c, agent, ACTIVITY_TERMINAL, "");
}

void api_terminal(struct call *c)
{
    cleanup_free char *agent = NULL, *session = NULL;
    struct terminal_size size;
    if (call_param(c, "agent", false, &agent) < 0 ||
        call_param(c, "session", false, &session) < 0 || read_extent(c, "rows", &size.rows) < 0 ||
        read_extent(c, "cols", &size.cols) < 0)
        return;
    if (session)
        go_on(c, session, size);
    else
        begin(c, agent, size);
}
