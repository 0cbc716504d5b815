/* A file of the user's, read: all of it, or one range. What is sent is what its agent has sent so far, so
 * a file of any size takes no more memory than a stream's window. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/broker/transfer.h"
#include "core/mem.h"
#include "net/http_range.h"
#include "net/http_server.h"

enum part {
    PART_ALL,
    PART_RANGE,
    PART_SUFFIX, /* a range, once the file's size is known */
    PART_NONE    /* its size alone is wanted */
};

struct get {
    struct transfer transfer;
    enum part part;
    struct http_range range;
    int64_t left; /* bytes still to come */
};

static struct get *get_of(struct call *c)
{
    return c->state;
}

static void forget(struct call *c)
{
    struct get *g = get_of(c);
    transfer_fini(&g->transfer);
    loop_reap(c->front->loop, g, free);
}

/* ---- the bytes ---- */

static void done(struct get *g)
{
    deed_end(&g->transfer.deed, ACTIVITY_OK, ACTIVITY_NO_CODE);
    call_end(g->transfer.call);
}

static void pass(struct get *g)
{
    struct stream *to = g->transfer.call->exchange, *from = g->transfer.stream;
    const uint8_t *data;
    size_t len, room;
    int64_t left = g->left;
    while (g->left > 0 && (room = stream_room(to)) > 0 && (data = stream_peek(from, &len))) {
        len = len < room ? len : room;
        len = (int64_t)len < g->left ? len : (size_t)g->left;
        stream_write(to, data, len);
        stream_consume(from, len);
        g->transfer.call->front->metrics.bytes[METRICS_DOWNLOAD] += len;
        g->left -= (int64_t)len;
    }
    if (g->left == 0)
        done(g);
    else
        transfer_await(&g->transfer, stream_room(to) > 0, g->left < left);
}

static void on_client(void *arg, struct stream *s, enum stream_event event)
{
    struct get *g = arg;
    (void)s;
    if (event == STREAM_ERROR)
        call_end(g->transfer.call);
    else if (event == STREAM_DRAINED && g->transfer.answered)
        pass(g);
}

/* ---- the head ---- */

/* attachment; filename*=UTF-8''NAME, which is percent-encoded (RFC 6266, 8187). */
static char *disposition_of(const char *path)
{
    struct buf field = {0};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    buf_printf(&field, "Content-Disposition: attachment; filename*=UTF-8''");
    for (; *name; name++) {
        bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                     (*name >= '0' && *name <= '9') || strchr("-._~", *name);
        buf_printf(&field, plain ? "%c" : "%%%02X", (unsigned char)*name);
    }
    char *text = xasprintf("%.*s\r\n", (int)field.len, (const char *)buf_front(&field));
    buf_fini(&field);
    return text;
}

static void unsatisfiable(struct get *g, int64_t size)
{
    cleanup_free char *field = xasprintf("Content-Range: bytes */%lld\r\n", (long long)size);
    deed_end(&g->transfer.deed, ACTIVITY_FAILED, ACTIVITY_NO_CODE);
    call_error_with(g->transfer.call, API_RANGE, field, "The file ends before that.");
}

static void answer(struct get *g, int64_t size)
{
    struct call *c = g->transfer.call;
    int64_t first = g->range.first, last = g->range.last < size ? g->range.last : size - 1;
    bool part = g->part == PART_RANGE;
    if (part && first >= size) {
        unsatisfiable(g, size);
        return;
    }
    cleanup_free char *name = disposition_of(g->transfer.path);
    cleanup_free char *range = part ? xasprintf("Content-Range: bytes %lld-%lld/%lld\r\n",
                                                (long long)first, (long long)last, (long long)size)
                                    : xstrdup("");
    cleanup_free char *fields =
        xasprintf("Content-Type: application/octet-stream\r\nX-Content-Type-Options: nosniff\r\n"
                  "Cache-Control: no-store\r\nAccept-Ranges: bytes\r\n%s%s",
                  name, range);
    int64_t len = part ? last - first + 1 : size;
    g->transfer.answered = true;
    g->left = g->part == PART_NONE ? 0 : len;
    http_respond(c->exchange, part ? 206 : 200, fields, len);
    transfer_await(&g->transfer, true, true);
    pass(g);
}

/* ---- the agent ---- */

static void ask(struct get *g, struct stream *s);

/* How large it is is known now: so is where its end begins, on another stream. */
static void ask_for_the_end(struct get *g, int64_t size)
{
    struct call *c = g->transfer.call;
    struct place place;
    g->part = PART_RANGE;
    g->range.first = g->range.suffix < size ? size - g->range.suffix : 0;
    struct stream *s = place_find(c->front, &c->who, g->transfer.deed.agent, &place) == 0
                           ? place_connect(&place)
                           : NULL;
    if (s)
        ask(g, s);
    else
        transfer_lost(&g->transfer);
}

static void read_info(struct get *g)
{
    struct message m;
    int64_t size;
    if (!transfer_expect(&g->transfer, MSG_FILE_INFO, &m))
        return;
    bool good = json_get_int(m.body, "size", &size) == 1 && size >= 0;
    message_fini(&m);
    if (!good)
        transfer_nonsense(&g->transfer);
    else if (g->part == PART_SUFFIX)
        ask_for_the_end(g, size);
    else
        answer(g, size);
}

static void on_place(void *arg, struct stream *s, enum stream_event event)
{
    struct get *g = arg; /* the transfer is its first */
    (void)s;
    switch (event) {
    case STREAM_DATA:
        if (g->transfer.answered)
            pass(g);
        else
            read_info(g);
        break;
    case STREAM_EOF:
    case STREAM_ERROR: transfer_lost(&g->transfer); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void ask(struct get *g, struct stream *s)
{
    struct draft d = draft_of(MSG_FILE_GET);
    bool size_only = g->part == PART_NONE || g->part == PART_SUFFIX;
    int64_t last = g->range.last;
    draft_str(&d, "path", g->transfer.path);
    if (g->part == PART_RANGE)
        draft_int(&d, "offset", g->range.first);
    if (size_only)
        draft_int(&d, "length", 0);
    else if (g->part == PART_RANGE && last < INT64_MAX)
        draft_int(&d, "length", last - g->range.first + 1);
    draft_send(&d, s);
    transfer_open(&g->transfer, s, on_place);
    transfer_await(&g->transfer, true, true);
}

static void begin(struct call *c, const struct place *p, struct stream *s)
{
    (void)p;
    stream_own(c->exchange, on_client, get_of(c));
    ask(get_of(c), s);
}

/* A range of what may have changed since (If-Range) is not answered as one. */
static enum part part_of(struct call *c, struct http_range *range)
{
    const struct http_head *head = http_request_head(c->exchange);
    if (strcmp(head->method, "HEAD") == 0)
        return PART_NONE;
    if (http_field_count(head, "If-Range") || !http_range_parse(range, http_field(head, "Range")))
        return PART_ALL;
    return range->suffix ? PART_SUFFIX : PART_RANGE;
}

void api_file_get(struct call *c)
{
    struct get *g = xcalloc(1, sizeof *g);
    g->part = part_of(c, &g->range);
    c->state = g;
    c->abort = forget;
    (void)transfer_begin(&g->transfer, c, ACTIVITY_FILE_READ, begin);
}
