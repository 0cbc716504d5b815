/* A file of the user's, written: it replaces the old one once all of it is there and on disk, and not at all
 * where its sender is cut off. */
#include <stdlib.h>

#include "applets/broker/transfer.h"
#include "core/mem.h"
#include "net/http_server.h"

#define PIECE ((size_t)64 << 10) /* bytes of one frame */

struct put {
    struct transfer transfer;
    uint64_t passed; /* bytes */
    bool framed;     /* the client has not said how much there is */
    bool ended;      /* it has sent all of it */
};

static void forget(struct call *c)
{
    struct put *p = c->state;
    transfer_fini(&p->transfer);
    loop_reap(c->front->loop, p, free);
}

/* ---- the bytes ---- */

static void pass(struct put *p)
{
    struct stream *from = p->transfer.call->exchange, *to = p->transfer.stream;
    const uint8_t *data;
    size_t len;
    uint64_t before = p->passed;
    while (stream_room(to) > 0 && (data = stream_peek(from, &len))) {
        len = len < PIECE ? len : PIECE;
        if (p->framed)
            frame_write_data(to, CHANNEL_STDIN, data, len);
        else
            stream_write(to, data, len);
        stream_consume(from, len);
        p->passed += len;
    }
    p->transfer.call->front->metrics.bytes[METRICS_UPLOAD] += p->passed - before;
    if (!p->ended)
        transfer_await(&p->transfer, stream_room(to) == 0, p->passed > before);
}

static void end(struct put *p)
{
    if (p->ended)
        return;
    p->ended = true;
    if (p->framed)
        frame_write_data(p->transfer.stream, CHANNEL_STDIN, NULL, 0);
    transfer_await_disk(&p->transfer, p->passed);
}

static void on_client(void *arg, struct stream *s, enum stream_event event)
{
    struct put *p = arg;
    (void)s;
    switch (event) {
    case STREAM_DATA: pass(p); break;
    case STREAM_EOF: end(p); break;
    case STREAM_ERROR: call_end(p->transfer.call); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

/* ---- the agent ---- */

static void read_answer(struct put *p)
{
    struct message m;
    if (!transfer_expect(&p->transfer, MSG_OK, &m))
        return;
    message_fini(&m);
    transfer_done(&p->transfer);
}

static void on_place(void *arg, struct stream *s, enum stream_event event)
{
    struct put *p = arg; /* the transfer is its first */
    (void)s;
    switch (event) {
    case STREAM_DATA: read_answer(p); break;
    case STREAM_DRAINED: pass(p); break;
    case STREAM_EOF:
    case STREAM_ERROR: transfer_lost(&p->transfer); break;
    case STREAM_OPEN: break;
    }
}

static void begin(struct call *c, const struct place *place, struct stream *s)
{
    struct put *p = c->state;
    struct draft d = draft_of(MSG_FILE_PUT);
    int64_t length = http_request_head(c->exchange)->length;
    (void)place;
    p->framed = length < 0;
    draft_str(&d, "path", p->transfer.path);
    if (!p->framed)
        draft_int(&d, "size", length);
    draft_send(&d, s);
    transfer_open(&p->transfer, s, on_place);
    stream_own(c->exchange, on_client, p);
    (void)http_accept_body(c->exchange, UINT64_MAX);
    if (stream_ended(c->exchange)) /* there is none, and that was told before */
        end(p);
}

void api_file_put(struct call *c)
{
    struct put *p = xcalloc(1, sizeof *p);
    c->state = p;
    c->abort = forget;
    (void)transfer_begin(&p->transfer, c, ACTIVITY_FILE_WRITE, begin);
}
