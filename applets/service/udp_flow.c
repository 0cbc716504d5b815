#include "applets/service/udp_flow.h"

#include <errno.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"

#define NUMBER_LEN  4
#define FRAME_EXTRA 5 /* bytes of a data frame beside the datagram: length and channel */
#define SLOTS_FIRST 16u

enum flow_state {
    FLOW_ASKED,  /* opener: there is no answer yet */
    FLOW_HELD,   /* the other side: it has not answered */
    FLOW_AGREED, /* Ok */
    FLOW_REFUSED /* Error; its stream's end is awaited */
};

struct udp_flow {
    struct udp_flows *all;
    struct udp_flow *chain;
    uint32_t number;
    enum flow_state state;
    bool opener, freed;
    enum session_way way; /* the opener's stream takes */
    int error;            /* what Error said */
    struct stream *stream;
    struct stream *old; /* the opener's before a move, until the other side has moved too */
    struct frame_reader frames;
    const struct udp_flow_events *events;
    void *arg;
};

/* --- by number ---------------------------------------------------------------------------- */

/* The numbers of one side follow each other, in steps of two. */
static struct udp_flow **slot_of(const struct udp_flows *all, uint32_t number)
{
    return &all->slots[(number / 2 + number % 2 * 7) & (all->n_slots - 1)];
}

static void grow(struct udp_flows *all)
{
    struct udp_flow **old = all->slots;
    size_t n = all->n_slots;
    all->n_slots = n ? 2 * n : SLOTS_FIRST;
    all->slots = xcalloc(all->n_slots, sizeof(struct udp_flow *));
    for (size_t i = 0; i < n; i++) {
        for (struct udp_flow *f = old[i], *next; f; f = next) {
            struct udp_flow **slot = slot_of(all, f->number);
            next = f->chain;
            f->chain = *slot;
            *slot = f;
        }
    }
    free(old);
}

struct udp_flow *udp_flow_find(const struct udp_flows *all, uint32_t number)
{
    struct udp_flow *f = all->n ? *slot_of(all, number) : NULL;
    while (f && f->number != number)
        f = f->chain;
    return f;
}

static struct udp_flow *add(struct udp_flows *all, uint32_t number,
                            const struct udp_flow_events *events, void *arg)
{
    struct udp_flow *f = xcalloc(1, sizeof *f), **slot;
    if (all->n >= all->n_slots)
        grow(all);
    slot = slot_of(all, number);
    *f = (struct udp_flow){.all = all,
                           .chain = *slot,
                           .number = number,
                           .frames = {.limit = 1 + DGRAM_MAX},
                           .events = events,
                           .arg = arg};
    *slot = f;
    all->n++;
    return f;
}

static void release(void *p)
{
    struct udp_flow *f = p;
    frame_reader_fini(&f->frames);
    free(f);
}

void udp_flow_end(struct udp_flow *f)
{
    if (!f || f->freed)
        return;
    struct udp_flow **at = slot_of(f->all, f->number);
    while (*at != f)
        at = &(*at)->chain;
    *at = f->chain;
    f->all->n--;
    f->freed = true;
    loop_reap(f->stream->loop, f, release);
    stream_close(f->stream);
    stream_close(f->old);
}

static void finish(struct udp_flow *f, int error)
{
    udp_flow_end(f);
    f->events->over(f->arg, error);
}

/* --- what comes on the stream ----------------------------------------------------------------- */

static void agreed(struct udp_flow *f)
{
    f->state = FLOW_AGREED;
    stream_close(f->old);
    f->old = NULL;
}

static void take_error(struct udp_flow *f, const struct message *m)
{
    const char *code = json_get_str(m->body, "code");
    int error = code ? errno_of_error_code(code) : EPROTO;
    if (f->state == FLOW_ASKED)
        f->error = error;
    f->events->refused(f->arg, error);
}

static void take_message(struct udp_flow *f, const struct frame *frame)
{
    struct message m;
    const char *why;
    if (message_parse(&m, frame->payload, frame->len, &why) < 0) {
        log_trace("flow %u: %s", f->number, why);
        finish(f, EPROTO);
        return;
    }
    if (f->opener && m.type == MSG_OK)
        agreed(f);
    else if (f->opener && m.type == MSG_ERROR)
        take_error(f, &m);
    message_fini(&m);
}

static void take_frame(struct udp_flow *f, const struct frame *frame)
{
    if (frame->payload[0] == '{')
        take_message(f, frame);
    else if (frame->payload[0] == CHANNEL_STDIN)
        f->events->datagram(f->arg, frame->payload + 1, frame->len - 1);
    else
        finish(f, EPROTO);
}

static void drop_input(struct stream *s)
{
    size_t len;
    while (stream_peek(s, &len), len > 0)
        stream_consume(s, len);
}

static void read_frames(struct udp_flow *f)
{
    struct frame frame;
    enum frame_status status = FRAME_MORE;
    if (f->state == FLOW_REFUSED)
        drop_input(f->stream);
    if (f->state == FLOW_REFUSED || f->state == FLOW_HELD)
        return;
    while (!f->freed && (status = frame_read(&f->frames, f->stream, &frame)) == FRAME_READY)
        take_frame(f, &frame);
    if (!f->freed && status == FRAME_BAD)
        finish(f, EPROTO);
}

static void on_stream(void *arg, struct stream *s, enum stream_event event)
{
    struct udp_flow *f = arg;
    switch (event) {
    case STREAM_DATA: read_frames(f); break;
    case STREAM_EOF: finish(f, f->state == FLOW_ASKED && !f->error ? ECONNRESET : f->error); break;
    case STREAM_ERROR: finish(f, stream_error(s)); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

/* What is still on its way there is lost, as it may be. */
static void on_old(void *arg, struct stream *s, enum stream_event event)
{
    struct udp_flow *f = arg;
    if (event == STREAM_DATA)
        drop_input(s);
    if (event != STREAM_EOF && event != STREAM_ERROR)
        return;
    stream_close(s);
    f->old = NULL;
}

/* --- the opener's ------------------------------------------------------------------------------ */

static void use(struct udp_flow *f, struct stream *s)
{
    frame_reader_fini(&f->frames);
    f->frames = (struct frame_reader){.limit = 1 + DGRAM_MAX};
    f->stream = s;
    stream_own(s, on_stream, f);
}

static void ask(struct udp_flow *f, struct stream *s)
{
    struct draft d = f->events->request(f->arg);
    use(f, s);
    f->state = FLOW_ASKED;
    f->error = 0;
    f->way = session_way(f->all->session);
    draft_int(&d, "flow", f->number);
    draft_send(&d, s);
}

struct udp_flow *udp_flow_open(struct udp_flows *all, const struct udp_flow_events *events,
                               void *arg)
{
    struct stream *s = session_open(all->session);
    if (!s)
        return NULL;
    do
        all->last += 2;
    while (udp_flow_find(all, all->last));
    struct udp_flow *f = add(all, all->last, events, arg);
    f->opener = true;
    ask(f, s);
    return f;
}

static void ask_again(struct udp_flow *f)
{
    struct stream *s = session_open(f->all->session);
    if (!s)
        return; /* it stays where it is until the next move */
    stream_close(f->old);
    f->old = f->stream;
    stream_own(f->old, on_old, f);
    drop_input(f->old);
    ask(f, s);
}

void udp_flows_moved(struct udp_flows *all)
{
    enum session_way way = session_way(all->session);
    for (size_t i = 0; way != SESSION_DOWN && i < all->n_slots; i++)
        for (struct udp_flow *f = all->slots[i]; f; f = f->chain)
            if (f->opener && f->way != way)
                ask_again(f);
}

/* --- the other side's --------------------------------------------------------------------------- */

struct udp_flow *udp_flow_accept(struct udp_flows *all, uint32_t number, struct stream *stream,
                                 const struct udp_flow_events *events, void *arg)
{
    if (number % 2 == all->last % 2 || udp_flow_find(all, number))
        return NULL;
    struct udp_flow *f = add(all, number, events, arg);
    f->state = FLOW_HELD;
    use(f, stream);
    return f;
}

void udp_flow_agree(struct udp_flow *f)
{
    f->state = FLOW_AGREED;
    message_send(f->stream, MSG_OK);
    stream_own(f->stream, on_stream, f); /* which tells of what has waited */
}

void udp_flow_refuse(struct udp_flow *f, enum error_code code, const char *text)
{
    f->state = FLOW_REFUSED;
    message_send_error(f->stream, code, "%s", text);
    stream_shutdown(f->stream);
    stream_own(f->stream, on_stream, f);
}

void udp_flow_move(struct udp_flow *f, struct stream *stream)
{
    stream_close(f->stream);
    use(f, stream);
    if (f->state == FLOW_AGREED)
        message_send(stream, MSG_OK);
    else if (f->state == FLOW_REFUSED)
        udp_flow_refuse(f, ERR_NOT_CONNECTED, "the flow was refused before");
}

void udp_flow_tell_refused(struct udp_flow *f)
{
    if (f->state == FLOW_AGREED && stream_room(f->stream))
        message_send_error(f->stream, ERR_CONNECTION_REFUSED, "the target refuses");
}

bool udp_flow_is_peers(const struct udp_flow *f)
{
    return !f->opener;
}

void *udp_flow_owner(const struct udp_flow *f)
{
    return f->arg;
}

/* --- datagrams ------------------------------------------------------------------------------------ */

static bool send_on_stream(struct udp_flow *f, const void *data, size_t len)
{
    size_t spare =
        f->all->n > UDP_FLOW_MANY ? UDP_FLOW_QUEUE - UDP_FLOW_CROWDED : 0; /* of room, left */
    if (f->state == FLOW_REFUSED || stream_room(f->stream) < len + FRAME_EXTRA + spare)
        return false;
    frame_write_data(f->stream, CHANNEL_STDIN, data, len);
    return true;
}

bool udp_flow_send(struct udp_flow *f, const void *data, size_t len)
{
    static uint8_t packet[NUMBER_LEN + DGRAM_MAX];
    struct session *s = f->all->session;
    struct writer w = writer_to(packet, sizeof packet);
    if (len > DGRAM_MAX || !session_is_up(s))
        return false;
    if (f->state != FLOW_AGREED || NUMBER_LEN + len > session_datagram_max(s))
        return send_on_stream(f, data, len);
    write_u32(&w, f->number);
    write_bytes(&w, data, len);
    return session_datagram_send(s, packet, w.len) == 0;
}

void udp_flows_datagram(struct udp_flows *all, const uint8_t *data, size_t len)
{
    struct reader r = reader_of(data, len);
    uint32_t number = read_u32(&r);
    struct udp_flow *f = r.bad ? NULL : udp_flow_find(all, number);
    if (f && f->state != FLOW_HELD && f->state != FLOW_REFUSED)
        f->events->datagram(f->arg, r.p, r.left);
}

/* --- all of them -------------------------------------------------------------------------------- */

void udp_flows_init(struct udp_flows *all, struct session *session, enum session_side side)
{
    *all = (struct udp_flows){.session = session, .last = side == SESSION_MASTER ? 0 : 1};
}

void udp_flows_fini(struct udp_flows *all)
{
    for (size_t i = 0; i < all->n_slots; i++)
        while (all->slots[i])
            finish(all->slots[i], ECONNABORTED);
    free(all->slots);
    udp_names_fini(&all->names);
    *all = (struct udp_flows){0};
}
