#include "applets/broker/viewer.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/websocket.h"

#define NOT_A_MESSAGE                                                                              \
    "{\"error\":\"invalid_request\",\"message\":\"What a terminal's client may say: "              \
    "{\\\"resize\\\": "                                                                            \
    "{\\\"rows\\\": 24, \\\"cols\\\": 80}}, each 1 to 65535.\"}"

struct viewer {
    struct websocket *socket;
    struct loop *loop;
    const struct viewer_events *events; /* NULL: its owner has let go */
    void *arg;
    char text[VIEWER_TEXT_MAX]; /* of the message that is coming */
    size_t text_len;
    struct loop_task orphaned; /* for a loop that ends before the client has agreed */
};

static void forget(void *arg)
{
    struct viewer *v = arg;
    loop_task_del(&v->orphaned);
    websocket_free(v->socket);
    v->socket = NULL;
    loop_reap(v->loop, v, free);
}

static void leave(struct viewer *v, bool done)
{
    const struct viewer_events *events = v->events;
    void *arg = v->arg;
    v->events = NULL;
    if (events)
        events->gone(arg, done);
}

/* ---- what the client says ---- */

static bool read_extent(const struct json_value *v, const char *key, uint16_t *extent)
{
    int64_t n;
    if (json_get_int(v, key, &n) != 1 || n < 1 || n > UINT16_MAX)
        return false;
    *extent = (uint16_t)n;
    return true;
}

static bool take_message(struct viewer *v, const struct json_value *body)
{
    uint16_t rows, cols;
    const struct json_value *size = json_get(body, "resize");
    if (!json_is_object(body))
        return false;
    if (!size)
        return true;
    if (!read_extent(size, "rows", &rows) || !read_extent(size, "cols", &cols))
        return false;
    v->events->resized(v->arg, rows, cols);
    return true;
}

static void refuse(struct viewer *v)
{
    viewer_tell(v, NOT_A_MESSAGE);
    websocket_close(v->socket, WS_POLICY, "");
    leave(v, false);
    loop_task_at_end(&v->orphaned);
}

static void take_text(struct viewer *v, const uint8_t *piece, size_t len, bool last)
{
    bool fits = len <= sizeof v->text - v->text_len;
    if (fits) {
        memcpy(v->text + v->text_len, piece, len);
        v->text_len += len;
    }
    if (fits && !last)
        return;
    struct json *doc = fits ? json_parse(v->text, v->text_len) : NULL;
    v->text_len = 0;
    if (!doc || !take_message(v, json_root(doc)))
        refuse(v);
    json_free(doc);
}

static void on_data(void *arg, bool text, const uint8_t *data, size_t len, bool last)
{
    struct viewer *v = arg;
    if (v->events && text)
        take_text(v, data, len, last);
    else if (v->events && len)
        v->events->input(v->arg, data, len);
}

static void on_drained(void *arg)
{
    struct viewer *v = arg;
    if (v->events)
        v->events->drained(v->arg);
}

static void on_ended(void *arg, uint16_t code, const char *reason, size_t len)
{
    struct viewer *v = arg;
    (void)reason, (void)len;
    forget(v);
    leave(v, code == VIEWER_DONE);
}

static const struct websocket_events events = {
    .data = on_data, .drained = on_drained, .ended = on_ended};

/* ---- the owner's calls ---- */

struct viewer *viewer_new(struct stream *carrier, uint32_t silence_ms,
                          const struct viewer_events *told, void *arg)
{
    const struct websocket_options options = {.role = WS_SERVER, .pieces = true};
    struct viewer *v = xcalloc(1, sizeof *v);
    v->loop = carrier->loop;
    v->events = told;
    v->arg = arg;
    loop_task_init(v->loop, &v->orphaned, forget, v);
    v->socket = websocket_new(carrier, &options, &events, v);
    websocket_watch(v->socket, silence_ms);
    stream_limit_stall(carrier, 2 * silence_ms); /* after the end, too */
    return v;
}

size_t viewer_room(const struct viewer *v)
{
    return websocket_room(v->socket);
}

void viewer_hold(struct viewer *v, bool hold)
{
    websocket_pause(v->socket, hold);
}

void viewer_show(struct viewer *v, const void *data, size_t len)
{
    websocket_send(v->socket, WS_BINARY, data, len);
}

void viewer_tell(struct viewer *v, const char *json)
{
    websocket_send(v->socket, WS_TEXT, json, strlen(json));
}

void viewer_end(struct viewer *v, uint16_t code, const char *reason)
{
    if (!v)
        return;
    v->events = NULL;
    loop_task_at_end(&v->orphaned);
    websocket_close(v->socket, (enum ws_code)code, reason);
}
