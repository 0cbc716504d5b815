#include "applets/service/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/yamux.h"

struct session {
    struct loop *loop;
    enum session_side side;
    uint8_t id[SESSION_LEN];
    const struct session_events *events;
    void *arg;
    struct link *link;
    struct mux *mux;
    struct stream *control; /* the agent's is NULL until the master's has arrived */
    struct frame_reader frames;
    struct loop_timer silence;
    uint64_t began_ms;
    uint64_t ping, ping_us, rtt_us; /* number of the last Ping, and when it was sent */
    unsigned unanswered;
    bool over, freed;
};

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

/* --- the link, and whether the other end lives --------------------------------------------- */

static void drop(struct session *s, int error)
{
    loop_timer_del(&s->silence);
    s->events->down(s->arg, error);
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
        drop(s, ETIMEDOUT);
        return;
    }
    session_probe(s);
    s->unanswered++;
    loop_timer_set(&s->silence, SESSION_SILENCE_MS);
}

static void on_link(void *arg, struct link *link, enum link_event event)
{
    struct session *s = arg;
    if (s->over || s->freed)
        return;
    switch (event) {
    case LINK_UP:
        s->unanswered = 0;
        loop_timer_set(&s->silence, SESSION_SILENCE_MS);
        session_probe(s);
        s->events->up(s->arg);
        break;
    case LINK_DOWN: drop(s, link_error(link)); break;
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
    loop_reap(s->loop, s, release);
}

void session_carry(struct session *s, struct stream *carrier, const struct link_hello *hello)
{
    loop_timer_del(&s->silence);
    link_attach(s->link, carrier, hello);
}

void session_drop_carrier(struct session *s)
{
    loop_timer_del(&s->silence);
    link_detach(s->link);
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
    return mux_open(s->mux);
}

void session_probe(struct session *s)
{
    if (!s->control)
        return;
    s->ping_us = loop_clock_us();
    send_number(s, MSG_PING, (int64_t)++s->ping);
}

bool session_is_up(const struct session *s)
{
    return link_is_up(s->link);
}

uint64_t session_up_since_ms(const struct session *s)
{
    return s->began_ms;
}

uint64_t session_rtt_us(const struct session *s)
{
    return s->rtt_us;
}

const uint8_t *session_id(const struct session *s)
{
    return s->id;
}
