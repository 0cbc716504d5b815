/* yamux_rig.c: muxes joined in memory, to each other or to a test that speaks frames itself. */
#include "tests/unit/yamux_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/wire.h"

#define PATTERN ((size_t)4 << 20) /* the longest write of any test, bytes */
#define TURNS   40                /* more than any test needs after the last byte has moved */

uint8_t yrig_byte(size_t at)
{
    return (uint8_t)(at * 2654435761u >> 11);
}

bool yrig_bytes_right(const struct buf *b, size_t len)
{
    if (b->len < len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (buf_front(b)[i] != yrig_byte(i))
            return false;
    return true;
}

static void write_pattern(struct stream *s, size_t len)
{
    static uint8_t bytes[PATTERN];
    static size_t made;
    for (; made < len && made < PATTERN; made++)
        bytes[made] = yrig_byte(made);
    CHECK(len <= PATTERN);
    stream_write(s, bytes, len < PATTERN ? len : PATTERN);
}

/* Talks. */

void talk_take(struct talk *t)
{
    size_t len;
    const uint8_t *p = stream_peek(t->s, &len);
    if (!p)
        return;
    buf_append(&t->got, p, len);
    if (t->echo)
        stream_write(t->s, p, len);
    stream_consume(t->s, len);
}

void talk_close(struct talk *t)
{
    stream_close(t->s);
    t->s = NULL;
}

void talk_reset(struct talk *t)
{
    stream_reset(t->s);
    t->s = NULL;
}

static void ended(struct talk *t)
{
    t->eof = true;
    if (t->echo)
        talk_close(t);
}

static void broke(struct talk *t)
{
    t->error = stream_error(t->s);
    talk_close(t);
}

static void on_talk(void *arg, struct stream *s, enum stream_event event)
{
    struct talk *t = arg;
    if (t->side->on_event)
        t->side->on_event(t, event);
    if (t->s != s)
        return;
    switch (event) {
    case STREAM_OPEN: break;
    case STREAM_DATA:
        if (!t->hold)
            talk_take(t);
        break;
    case STREAM_DRAINED: t->drained++; break;
    case STREAM_EOF: ended(t); break;
    case STREAM_ERROR: broke(t); break;
    }
}

static struct talk *talk_new(struct side *side, struct stream *s)
{
    struct talk *t = xcalloc(1, sizeof(*t));
    *t = (struct talk){.side = side, .s = s, .hold = side->hold, .echo = side->echo};
    side->talks[side->n++] = t;
    stream_own(s, on_talk, t);
    return t;
}

void talk_write(struct talk *t, size_t len)
{
    write_pattern(t->s, len);
}

/* Sides. */

static void accepted(void *arg, struct stream *s)
{
    struct side *side = arg;
    if (side->n == countof(side->talks)) {
        side->beyond++;
        stream_close(s);
        return;
    }
    struct talk *t = talk_new(side, s);
    if (side->on_accept)
        side->on_accept(side, t);
}

static void down(void *arg, int error)
{
    struct side *side = arg;
    side->downs++;
    side->down_error = error;
    if (side->on_down)
        side->on_down(side);
}

static const struct mux_events events = {.accepted = accepted, .down = down};

struct talk *yrig_open(struct side *side)
{
    struct stream *s = mux_open(side->m);
    return s ? talk_new(side, s) : NULL;
}

static void side_end(struct side *side)
{
    mux_free(side->m);
    side->m = NULL;
    for (size_t i = 0; i < side->n; i++) {
        stream_close(side->talks[i]->s);
        buf_fini(&side->talks[i]->got);
        free(side->talks[i]);
    }
    side->n = 0;
}

/* The rig. */

void yrig_settle(struct rig *r)
{
    for (int i = 0; i < TURNS; i++)
        loop_turn(r->loop, 0);
}

void yrig_over(struct rig *r, struct loop *loop, struct stream *ends[2])
{
    *r = (struct rig){.loop = loop};
    r->a.m = yamux_new(ends[0], YAMUX_CLIENT, &events, &r->a);
    r->b.m = yamux_new(ends[1], YAMUX_SERVER, &events, &r->b);
}

void yrig_pair(struct rig *r, size_t chunk, size_t limit)
{
    struct stream *ends[2];
    struct loop *loop = loop_new();
    wire_new(loop, chunk, limit, ends);
    yrig_over(r, loop, ends);
}

static void on_raw(void *arg, struct stream *s, enum stream_event event)
{
    struct rig *r = arg;
    size_t len;
    const uint8_t *p = stream_peek(s, &len);
    r->raw_eof |= event == STREAM_EOF;
    if (!p || r->raw_held)
        return;
    buf_append(&r->got, p, len);
    stream_consume(s, len);
}

void yrig_raw(struct rig *r, enum yamux_role role)
{
    yrig_raw_limited(r, role, 1 << 20);
}

void yrig_raw_limited(struct rig *r, enum yamux_role role, size_t limit)
{
    struct stream *ends[2];
    *r = (struct rig){.loop = loop_new()};
    wire_new(r->loop, 1 << 20, limit, ends);
    r->a.m = yamux_new(ends[0], role, &events, &r->a);
    r->raw = ends[1];
    stream_own(r->raw, on_raw, r);
    yrig_settle(r);
    CHECK_STR(raw_text(r), "ping SYN 0 1");
}

void yrig_end(struct rig *r)
{
    side_end(&r->a);
    side_end(&r->b);
    stream_close(r->raw);
    yrig_settle(r);
    loop_free(r->loop);
    buf_fini(&r->got);
    buf_fini(&r->payload);
}

/* Frames by hand. */

void raw_hold(struct rig *r, bool hold)
{
    r->raw_held = hold;
    on_raw(r, r->raw, STREAM_DATA);
}

void raw_send(struct rig *r, enum yamux_type type, unsigned flags, uint32_t id, uint32_t length)
{
    uint8_t frame[YAMUX_HEADER_LEN];
    struct yamux_header h = {
        .type = (uint8_t)type, .flags = (uint16_t)flags, .id = id, .length = length};
    yamux_header_write(frame, &h);
    stream_write(r->raw, frame, sizeof(frame));
}

void raw_bytes(struct rig *r, size_t len)
{
    write_pattern(r->raw, len);
}

void raw_data(struct rig *r, unsigned flags, uint32_t id, uint32_t length)
{
    raw_send(r, YAMUX_DATA, flags, id, length);
    raw_bytes(r, length);
}

bool raw_next(struct rig *r, struct yamux_header *h)
{
    if (r->got.len < YAMUX_HEADER_LEN)
        return false;
    *h = yamux_header_read(buf_front(&r->got));
    size_t payload = h->type == YAMUX_DATA ? h->length : 0;
    if (r->got.len < YAMUX_HEADER_LEN + payload)
        return false;
    buf_consume(&r->got, YAMUX_HEADER_LEN);
    buf_fini(&r->payload);
    if (payload) {
        buf_append(&r->payload, buf_front(&r->got), payload);
        buf_consume(&r->got, payload);
    }
    return true;
}

const char *raw_text(struct rig *r)
{
    static char text[80];
    static const char *const types[] = {"data", "window", "ping", "away"};
    struct yamux_header h;
    if (!raw_next(r, &h))
        return "";
    const char *type = h.version == 0 && h.type < countof(types) ? types[h.type] : "?";
    snprintf(text, sizeof(text), "%s%s%s%s%s %u %u", type, h.flags & YAMUX_SYN ? " SYN" : "",
             h.flags & YAMUX_ACK ? " ACK" : "", h.flags & YAMUX_FIN ? " FIN" : "",
             h.flags & YAMUX_RST ? " RST" : "", h.id, h.length);
    return text;
}
