#include "applets/service/session_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/yamux.h"

static void end(struct session *s, int error)
{
    if (s->over || s->freed)
        return;
    s->over = true;
    loop_timer_del(&s->silence);
    s->events->over(s->arg, error);
}

/* --- the control stream ------------------------------------------------------------------ */

static void send_number(struct session *s, enum message_type type, int64_t n)
{
    struct draft d = draft_of(type);
    draft_int(&d, "n", n);
    session_send(s, &d);
}

static void hear(struct session *s, const struct message *m)
{
    int64_t n = 0;
    (void)json_get_int(m->body, "n", &n);
    switch (m->type) {
    case MSG_PING: send_number(s, MSG_PONG, n); break;
    case MSG_PONG:
        s->unanswered = 0;
        if (n == (int64_t)s->ping)
            s->rtt_us = loop_clock_us() - s->ping_us;
        break;
    default: s->events->message(s->arg, m);
    }
}

/* A peer that asks and does not read the answers is not read any further. */
static void read_control(struct session *s)
{
    struct frame frame;
    enum frame_status status = FRAME_MORE;
    while (!s->over && !s->freed && stream_room(s->control) &&
           (status = frame_read(&s->frames, s->control, &frame)) == FRAME_READY) {
        struct message m;
        const char *why;
        if (message_parse(&m, frame.payload, frame.len, &why) < 0) {
            message_send_error(s->control, ERR_INVALID_REQUEST, "%s", why);
            end(s, EPROTO);
            return;
        }
        hear(s, &m);
        message_fini(&m);
    }
    if (status == FRAME_BAD)
        end(s, EPROTO);
}

static void on_control(void *arg, struct stream *stream, enum stream_event event)
{
    struct session *s = arg;
    switch (event) {
    case STREAM_DATA:
    case STREAM_DRAINED: read_control(s); break;
    case STREAM_EOF: end(s, 0); break;
    case STREAM_ERROR: end(s, stream_error(stream)); break;
    case STREAM_OPEN: break;
    }
}

/* --- the mux ----------------------------------------------------------------------------- */

static void on_accepted(void *arg, struct stream *stream)
{
    struct session *s = arg;
    if (s->over) {
        stream_reset(stream);
    } else if (s->control) {
        s->events->stream(s->arg, stream);
    } else {
        s->control = stream;
        stream_own(stream, on_control, s);
    }
}

static void on_mux_down(void *arg, int error)
{
    end(arg, error);
}

static const struct mux_events mux_events = {.accepted = on_accepted, .down = on_mux_down};

/* --- the way that new streams take -------------------------------------------------------- */

static enum session_way best_way(const struct session *s)
{
    if (session_quic_alive(s))
        return SESSION_QUIC;
    return link_is_up(s->link) ? SESSION_SSH : SESSION_DOWN;
}

void session_reconsider(struct session *s, int error)
{
    enum session_way was = s->way;
    if (s->over || s->freed)
        return;
    s->way = best_way(s);
    if (s->way == was)
        return;
    if (was == SESSION_DOWN)
        s->events->up(s->arg);
    else if (s->way == SESSION_DOWN)
        s->events->down(s->arg, error);
    else if (s->events->moved)
        s->events->moved(s->arg);
}

bool session_carry_by_quic(struct session *s)
{
    struct session_quic *q = session_quic_alive(s);
    struct stream *carrier = q && s->side == SESSION_MASTER ? mux_open(q->mux) : NULL;
    if (!carrier)
        return false;
    loop_timer_del(&s->silence);
    message_send(carrier, MSG_ATTACH);
    s->link_on_quic = true;
    link_attach(s->link, carrier, NULL);
    return true;
}

/* --- the link, and whether the other end lives --------------------------------------------- */

/* What broke on QUIC is tried again a little later. */
static void lose_carrier(struct session *s, int error)
{
    bool was_ssh = !s->link_on_quic;
    s->link_on_quic = false;
    loop_timer_del(&s->silence);
    if (was_ssh && session_quic_alive(s))
        session_quic_probe(s->quic);
    if (was_ssh && session_carry_by_quic(s) && s->events->left)
        s->events->left(s->arg); /* which may free it */
    if (s->freed)
        return;
    if (s->quic)
        session_quic_watch(s->quic);
    if (s->way == SESSION_DOWN && s->events->failed)
        s->events->failed(s->arg, error);
    else
        session_reconsider(s, error);
}

static void on_silence(void *arg)
{
    struct session *s = arg;
    uint64_t silent_ms = link_silence_ms(s->link);
    /* Not only after silence: where the other end is always first to ping there is none. */
    buf_trim();
    if (silent_ms < SESSION_SILENCE_MS) {
        s->unanswered = 0;
        loop_timer_set(&s->silence, SESSION_SILENCE_MS - silent_ms);
        return;
    }
    if (s->unanswered == SESSION_PINGS) {
        link_detach(s->link);
        lose_carrier(s, ETIMEDOUT);
        return;
    }
    session_probe(s);
    s->unanswered++;
    loop_timer_set(&s->silence, SESSION_SILENCE_MS);
}

/* A master comes over ssh again when QUIC is silent for it: what an agent opened there now would
 * hang, though nobody has told it yet. */
static void go_up(struct session *s)
{
    struct session_quic *q = session_quic_alive(s);
    s->unanswered = 0;
    if (!s->link_on_quic)
        loop_timer_set(&s->silence, SESSION_SILENCE_MS);
    session_probe(s);
    if (q && s->side == SESSION_AGENT && !s->link_on_quic)
        session_quic_doubt(q);
    else
        session_reconsider(s, 0);
}

static void on_link(void *arg, struct link *link, enum link_event event)
{
    struct session *s = arg;
    if (s->over || s->freed)
        return;
    switch (event) {
    case LINK_UP: go_up(s); break;
    case LINK_DOWN: lose_carrier(s, link_error(link)); break;
    case LINK_LOST: end(s, ECONNRESET); break;
    }
}

/* --- for the owner --------------------------------------------------------------------------- */

struct session *session_new(struct loop *loop, enum session_side side,
                            const uint8_t id[static SESSION_LEN],
                            const struct session_events *events, void *arg)
{
    struct session *s = xcalloc(1, sizeof *s);
    s->loop = loop;
    s->side = side;
    memcpy(s->id, id, SESSION_LEN);
    s->events = events;
    s->arg = arg;
    s->began_ms = loop_now_ms(loop);
    loop_timer_init(loop, &s->silence, on_silence, s);
    s->link = link_new(loop, id, on_link, s);
    s->mux = yamux_new(link_stream(s->link), side == SESSION_MASTER ? YAMUX_CLIENT : YAMUX_SERVER,
                       &mux_events, s);
    if (side == SESSION_MASTER) {
        s->control = mux_open(s->mux);
        stream_own(s->control, on_control, s);
    }
    return s;
}

static void release(void *p)
{
    struct session *s = p;
    frame_reader_fini(&s->frames);
    free(s);
}

void session_free(struct session *s)
{
    if (!s || s->freed)
        return;
    s->freed = true;
    loop_timer_del(&s->silence);
    stream_close(s->control);
    mux_free(s->mux);
    link_free(s->link);
    s->link_on_quic = false;
    session_quic_free(s);
    loop_reap(s->loop, s, release);
}

void session_carry(struct session *s, struct stream *carrier, const struct link_hello *hello)
{
    loop_timer_del(&s->silence);
    s->link_on_quic = false;
    link_attach(s->link, carrier, hello);
}

bool session_attach(struct session *s, struct stream *carrier)
{
    if (!s->quic || !quic_is_stream(s->quic->mux, carrier))
        return false;
    loop_timer_del(&s->silence);
    s->link_on_quic = true;
    link_attach(s->link, carrier, NULL);
    return true;
}

void session_drop_carrier(struct session *s)
{
    if (s->link_on_quic)
        return;
    loop_timer_del(&s->silence);
    link_detach(s->link);
    if (!session_carry_by_quic(s))
        s->way = SESSION_DOWN;
}

void session_send(struct session *s, struct draft *d)
{
    if (s->control)
        draft_send(d, s->control);
    else
        draft_free(d);
}

struct stream *session_open(struct session *s)
{
    struct session_quic *q = session_quic_alive(s);
    return mux_open(q ? q->mux : s->mux);
}

void session_probe(struct session *s)
{
    if (!s->control)
        return;
    s->ping_us = loop_clock_us();
    send_number(s, MSG_PING, (int64_t)++s->ping);
}

bool session_is_sure(const struct session *s)
{
    return link_is_up(s->link);
}

enum session_way session_way(const struct session *s)
{
    return best_way(s);
}

const char *session_way_name(const struct session *s)
{
    return session_has_quic(s) && best_way(s) != SESSION_SSH ? "quic" : "ssh";
}

bool session_is_up(const struct session *s)
{
    return best_way(s) != SESSION_DOWN;
}

uint64_t session_up_since_ms(const struct session *s)
{
    return s->began_ms;
}

uint64_t session_rtt_us(const struct session *s)
{
    const struct session_quic *q = session_quic_alive(s);
    return q ? quic_rtt_us(q->mux) : s->rtt_us;
}

const uint8_t *session_id(const struct session *s)
{
    return s->id;
}
