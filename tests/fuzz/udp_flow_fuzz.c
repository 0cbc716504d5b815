/* Flows of UDP, and a peer that says anything on their streams and in datagrams: each byte of the
 * input picks what comes next. Our side is a real session's, of either side; the peer is a mux made
 * by hand. No socket is opened but those of the carrier. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "applets/service/udp_flow.h"
#include "core/fdstream.h"
#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/yamux.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX   256
#define FLOWS_MAX   8
#define STREAMS_MAX 16

static const uint8_t name[SESSION_LEN] = "sixteen bytes ..";

struct input {
    const uint8_t *p;
    size_t left;
};

struct side; /* ours */

struct end {
    struct side *side;
    struct udp_flow *flow; /* NULL: free */
};

struct side {
    struct loop *loop;
    struct session *session;
    struct udp_flows flows;
    struct end ends[FLOWS_MAX];
    struct input *in;
    struct link *link; /* the peer's */
    struct mux *mux;
    struct stream *streams[STREAMS_MAX]; /* its ends; NULL: closed */
    size_t n;
};

static unsigned next(struct input *in, size_t bound)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->p++ % (unsigned)bound;
}

/* So many bytes of the input, in memory of their own: reading past them is noticed. */
static uint8_t *take(struct input *in, size_t *len)
{
    if (*len > in->left)
        *len = in->left;
    uint8_t *copy = xmalloc(*len);
    memcpy(copy, in->p, *len);
    in->p += *len;
    in->left -= *len;
    return copy;
}

static void turn(struct side *s)
{
    for (int i = 0; i < 3; i++)
        loop_turn(s->loop, 0);
}

/* --- our side ------------------------------------------------------------------------------- */

static void on_datagram(void *arg, const uint8_t *data, size_t len)
{
    struct end *e = arg;
    uint32_t sum = 0;
    if (len > DGRAM_MAX || !e->flow)
        abort();
    for (size_t i = 0; i < len; i++)
        sum += data[i]; /* readable to its end */
    if (sum % 64 == 63) {
        udp_flow_end(e->flow);
        e->flow = NULL;
    } else if (sum % 64 == 62) {
        udp_flow_send(e->flow, data, len);
    }
}

static void on_refused(void *arg, int error)
{
    struct end *e = arg;
    if (!e->flow || !error)
        abort();
}

static void on_over(void *arg, int error)
{
    struct end *e = arg;
    (void)error;
    if (!e->flow)
        abort();
    e->flow = NULL;
}

static struct draft on_request(void *arg)
{
    (void)arg;
    return draft_of(MSG_DIAL_UDP);
}

static const struct udp_flow_events flow_events = {
    .datagram = on_datagram, .refused = on_refused, .over = on_over, .request = on_request};

static struct end *free_end(struct side *s)
{
    for (size_t i = 0; i < FLOWS_MAX; i++)
        if (!s->ends[i].flow)
            return &s->ends[i];
    return NULL;
}

static void answer(struct side *s, struct udp_flow *f)
{
    switch (next(s->in, 4)) {
    case 0: break;
    case 1: udp_flow_refuse(f, ERR_NOT_FOUND, "no"); break;
    default: udp_flow_agree(f); break;
    }
}

/* The peer has opened one: its request, as if read, is a number. */
static void on_stream(void *arg, struct stream *stream)
{
    struct side *s = arg;
    struct end *e = free_end(s);
    uint32_t number = next(s->in, 12);
    struct udp_flow *known = udp_flow_find(&s->flows, number);
    if (known && udp_flow_is_peers(known)) {
        udp_flow_move(known, stream);
        return;
    }
    if (e)
        e->flow = udp_flow_accept(&s->flows, number, stream, &flow_events, e);
    if (e && e->flow)
        answer(s, e->flow);
    else
        stream_reset(stream);
}

static void on_any(void *arg)
{
    (void)arg;
}

static void on_down(void *arg, int error)
{
    (void)arg;
    (void)error;
}

static void on_message(void *arg, const struct message *m)
{
    (void)arg;
    (void)m;
}

static const struct session_events session_events = {
    .up = on_any, .down = on_down, .over = on_down, .message = on_message, .stream = on_stream};

/* --- the peer --------------------------------------------------------------------------------- */

static void on_link(void *arg, struct link *l, enum link_event event)
{
    (void)arg;
    (void)l;
    (void)event;
}

static void drop(void *arg, struct stream *s, enum stream_event event)
{
    size_t len;
    (void)arg;
    (void)event;
    while (stream_peek(s, &len), len > 0)
        stream_consume(s, len);
}

static void keep(struct side *s, struct stream *stream)
{
    if (s->n == STREAMS_MAX) {
        stream_reset(stream);
        return;
    }
    s->streams[s->n++] = stream;
    stream_own(stream, drop, s);
}

static void on_accepted(void *arg, struct stream *stream)
{
    keep(arg, stream);
}

static const struct mux_events mux_events = {.accepted = on_accepted, .down = on_down};

static struct stream *pick(struct side *s)
{
    return s->n ? s->streams[next(s->in, s->n)] : NULL;
}

static void say_raw(struct side *s)
{
    struct stream *to = pick(s);
    size_t len = next(s->in, 64);
    uint8_t *bytes = take(s->in, &len);
    if (to)
        stream_write(to, bytes, len);
    free(bytes);
}

static void say_frame(struct side *s)
{
    static const char *const texts[] = {"{\"type\":\"Ok\"}",
                                        "{\"type\":\"Error\",\"code\":\"ConnectionRefused\"}",
                                        "{\"type\":\"Error\",\"code\":\"NotFound\"}",
                                        "{\"type\":\"Error\"}",
                                        "{\"type\":\"Pong\"}",
                                        "{"};
    struct stream *to = pick(s);
    unsigned which = next(s->in, 2 * countof(texts));
    size_t len = which < countof(texts) ? 0 : next(s->in, 256) * 32u;
    uint8_t *bytes = take(s->in, &len);
    if (to && which < countof(texts))
        frame_write(to, texts[which], strlen(texts[which]));
    else if (to)
        frame_write_data(to, CHANNEL_STDIN, bytes, len);
    free(bytes);
}

static void end_one(struct side *s)
{
    size_t at = s->n ? next(s->in, s->n) : 0;
    if (!s->n)
        return;
    if (next(s->in, 2))
        stream_close(s->streams[at]);
    else
        stream_reset(s->streams[at]);
    s->streams[at] = s->streams[--s->n];
}

/* --- both --------------------------------------------------------------------------------------- */

static void send_datagram(struct side *s)
{
    static const uint8_t most[DGRAM_MAX + 1];
    struct end *e = &s->ends[next(s->in, FLOWS_MAX)];
    size_t len = next(s->in, 8) ? next(s->in, 64) : sizeof most - next(s->in, 2);
    if (e->flow)
        udp_flow_send(e->flow, most, len);
}

static void hear_datagram(struct side *s)
{
    size_t len = next(s->in, 32);
    uint8_t *bytes = take(s->in, &len);
    if (len >= 4) /* one that may be known */
        bytes[0] = bytes[1] = bytes[2] = 0;
    if (len >= 4)
        bytes[3] %= 16;
    udp_flows_datagram(&s->flows, bytes, len);
    free(bytes);
}

static void open_flow(struct side *s)
{
    struct end *e = free_end(s);
    if (e)
        e->flow = udp_flow_open(&s->flows, &flow_events, e);
}

static void open_peers(struct side *s)
{
    struct stream *stream = s->n < STREAMS_MAX ? mux_open(s->mux) : NULL;
    if (!stream)
        return;
    keep(s, stream);
    stream_write(stream, "", 0);
    say_raw(s);
}

static void end_flow(struct side *s)
{
    struct end *e = &s->ends[next(s->in, FLOWS_MAX)];
    udp_flow_end(e->flow);
    e->flow = NULL;
}

static void step(struct side *s)
{
    static void (*const steps[])(struct side *) = {
        turn,      turn,    open_flow,     open_peers,    say_raw, say_frame,
        say_frame, end_one, hear_datagram, send_datagram, end_flow};
    steps[next(s->in, countof(steps))](s);
}

static void begin(struct side *s, struct input *in)
{
    bool master = next(in, 2);
    int fds[2];
    *s = (struct side){.loop = loop_new(), .in = in};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    for (size_t i = 0; i < FLOWS_MAX; i++)
        s->ends[i].side = s;
    s->session =
        session_new(s->loop, master ? SESSION_MASTER : SESSION_AGENT, name, &session_events, s);
    udp_flows_init(&s->flows, s->session, master ? SESSION_MASTER : SESSION_AGENT);
    session_carry(s->session, fdstream_new(s->loop, fds[0], fds[0]), NULL);
    s->link = link_new(s->loop, name, on_link, s);
    s->mux = yamux_new(link_stream(s->link), master ? YAMUX_SERVER : YAMUX_CLIENT, &mux_events, s);
    if (!master)
        keep(s, mux_open(s->mux)); /* the control stream */
    link_attach(s->link, fdstream_new(s->loop, fds[1], fds[1]), NULL);
    if (!master)
        message_send(s->streams[0], MSG_PING);
    turn(s);
    turn(s);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    key_init();
    log_init(LOG_ERRORS);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct side s;
    begin(&s, &in);
    for (int i = 0; i < STEPS_MAX && in.left; i++)
        step(&s);
    turn(&s);
    udp_flows_fini(&s.flows);
    for (size_t i = 0; i < FLOWS_MAX; i++)
        if (s.ends[i].flow)
            abort();
    while (s.n)
        stream_close(s.streams[--s.n]);
    session_free(s.session);
    mux_free(s.mux);
    link_free(s.link);
    turn(&s);
    loop_free(s.loop);
    return 0;
}
