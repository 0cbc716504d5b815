/* A session's peer that says anything, in any order: each byte of the input picks what comes
 * next. First an agent hears it from a master, then a master from an agent; between them is a
 * real session. Ports are bound on the loopback alone, and nothing else is dialled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/agent/client.h"
#include "applets/agent/udp.h"
#include "applets/master/master.h"
#include "core/fdstream.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/yamux.h"

#define MESSAGES_MAX 64

static const uint8_t name[SESSION_LEN] = "sixteen bytes ..";

static const char *const types[] = {
    "Hello",    "HelloAck",       "Listen",     "ListenAck",    "Unlisten",    "Accepted", "Ok",
    "Error",    "ForwardRequest", "ForwardAck", "CloseRequest", "Ping",        "Pong",     "List",
    "Shutdown", "Attach",         "Nonsense",   "DialUdp",      "AcceptedUdp",
};

/* What a field may hold; most of it is right somewhere. */
static const char *const values[] = {
    "0",
    "1",
    "2",
    "-1",
    "3000",
    "65536",
    "1e9",
    "9223372036854775807",
    "true",
    "false",
    "null",
    "[]",
    "[\"127.0.0.1\",\"::1\",\"3\"]",
    "[null,7]",
    "[40000,50000]",
    "{}",
    "\"\"",
    "\"127.0.0.1:0\"",
    "\"localhost:3000\"",
    "\"192.0.2.7:4000\"",
    "\"unix:/nowhere/at/all\"",
    "\"udp:127.0.0.1:0\"",
    "\"udp:127.0.0.1:9\"",
    "\"\\u001b[2J\"",
    "\"AddressInUse\"",
    "\"7369787465656e206279746573202e2e\"", /* the session's id */
    "\"0000000000000000000000000000000000000000000000000000000000000000\"",
};

static const char *const fields[] = {"id",       "bind",     "target",   "local_port",
                                     "auto",     "port",     "code",     "message",
                                     "n",        "session",  "psk",      "addresses",
                                     "process",  "pid",      "reason",   "idle_timeout_secs",
                                     "takeover", "requests", "udp_port", "udp_ports",
                                     "flow",     "udp"};

struct input {
    const uint8_t *p;
    size_t left;
};

static unsigned next(struct input *in, size_t bound)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->p++ % (unsigned)bound;
}

static void hello(struct stream *s)
{
    static const char text[] =
        "{\"type\":\"Hello\",\"session\":\"7369787465656e206279746573202e2e\","
        "\"psk\":\"000102030405060708090a0b0c0d0e0f"
        "000102030405060708090a0b0c0d0e0f\",\"auto\":false}";
    frame_write(s, text, sizeof text - 1);
}

static void say(struct input *in, struct stream *s)
{
    char text[1024];
    int len = snprintf(text, sizeof text, "{\"type\":\"%s\"", types[next(in, countof(types))]);
    for (unsigned n = next(in, 6); n; n--) {
        const char *field = fields[next(in, countof(fields))];
        const char *value = values[next(in, countof(values))];
        len += snprintf(text + len, sizeof text - (size_t)len, ",\"%s\":%s", field, value);
    }
    len += snprintf(text + len, sizeof text - (size_t)len, "}");
    frame_write(s, text, (size_t)len);
}

/* The peer: a mux made by hand on the other end of the wire. */
struct peer {
    struct loop *loop;
    struct link *link;
    struct mux *mux;
    struct stream *control;
};

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
    while (stream_peek(s, &len))
        stream_consume(s, len);
}

/* An agent's peer opens the control stream, a master's accepts it. */
static void on_accepted(void *arg, struct stream *s)
{
    struct peer *p = arg;
    if (p->control) {
        stream_reset(s);
        return;
    }
    p->control = s;
    stream_own(s, drop, p);
}

static void on_mux_down(void *arg, int error)
{
    (void)arg;
    (void)error;
}

static const struct mux_events mux_events = {.accepted = on_accepted, .down = on_mux_down};

static void open_peer(struct peer *p, struct loop *loop, struct stream *carrier,
                      enum yamux_role role)
{
    *p = (struct peer){.loop = loop};
    p->link = link_new(loop, name, on_link, p);
    p->mux = yamux_new(link_stream(p->link), role, &mux_events, p);
    if (role == YAMUX_CLIENT) {
        p->control = mux_open(p->mux);
        stream_own(p->control, drop, p);
    }
    link_attach(p->link, carrier, NULL);
}

static void close_peer(struct peer *p)
{
    stream_close(p->control);
    mux_free(p->mux);
    link_free(p->link);
}

static void join(struct loop *loop, struct stream *ends[static 2])
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    for (int i = 0; i < 2; i++)
        ends[i] = fdstream_new(loop, fds[i], fds[i]);
}

static void turn(struct loop *loop, int times)
{
    while (times--)
        loop_turn(loop, 0);
}

static void open_session(struct loop *loop, struct session *session, struct peer *p,
                         enum yamux_role role)
{
    struct stream *ends[2];
    join(loop, ends);
    session_carry(session, ends[0], NULL);
    open_peer(p, loop, ends[1], role);
    turn(loop, 6);
}

/* --- an agent, and what asks it locally meanwhile ---------------------------------------------- */

struct askers {
    struct stream *s[8];
    size_t n;
};

static void ask(struct input *in, struct agent *agent, struct askers *all)
{
    static const char request[] =
        "{\"type\":\"Forward\",\"target\":\"localhost:1\",\"local_port\":1}",
                      close[] = "{\"type\":\"Close\",\"port\":3000}";
    struct message m;
    const char *why;
    struct stream *ends[2];
    if (all->n == countof(all->s))
        return;
    join(agent->loop, ends);
    all->s[all->n++] = ends[1];
    stream_own(ends[1], drop, NULL);
    switch (next(in, 3)) {
    case 0: report(agent, ends[0]); return;
    case 1:
        if (message_parse(&m, request, sizeof request - 1, &why) == 0)
            ask_forward(agent, ends[0], &m);
        break;
    default:
        if (message_parse(&m, close, sizeof close - 1, &why) == 0)
            ask_close(agent, ends[0], &m);
    }
    message_fini(&m);
}

static void on_idle(void *arg)
{
    (void)arg;
}

static void hear_as_agent(struct input in)
{
    struct agent agent = {.loop = loop_new(), .idle_ms = AGENT_IDLE_MS};
    struct askers askers = {.n = 0};
    struct peer peer;
    loop_timer_init(agent.loop, &agent.idle, on_idle, NULL);
    open_session(agent.loop, client_new(&agent, name)->session, &peer, YAMUX_CLIENT);
    if (next(&in, 4))
        hello(peer.control);
    for (int i = 0; i < MESSAGES_MAX && in.left; i++) {
        switch (next(&in, 4)) {
        case 0: turn(agent.loop, 2); break;
        case 1: ask(&in, &agent, &askers); break;
        default: say(&in, peer.control);
        }
    }
    turn(agent.loop, 4);
    while (agent.clients)
        client_free(agent.clients);
    report_end_all(&agent);
    udp_close(&agent);
    while (askers.n)
        stream_close(askers.s[--askers.n]);
    close_peer(&peer);
    loop_timer_del(&agent.idle);
    turn(agent.loop, 6);
    loop_free(agent.loop);
}

/* --- a master ------------------------------------------------------------------------------------ */

static void on_any(void *arg, int error)
{
    (void)arg;
    (void)error;
}

static void on_up(void *arg)
{
    forward_flush(arg);
}

static void on_message(void *arg, const struct message *m)
{
    switch (m->type) {
    case MSG_HELLO_ACK:
        promote_learn(arg, m);
        forward_listen_all(arg);
        break;
    case MSG_FORWARD_REQUEST: remote_forward_request(arg, m); break;
    case MSG_CLOSE_REQUEST: remote_close_request(arg, m); break;
    default: forward_answered(arg, m);
    }
}

static void on_stream(void *arg, struct stream *s)
{
    struct master *m = arg;
    service_serve(&m->service, s);
}

static const struct session_events events = {
    .up = on_up, .down = on_any, .over = on_any, .message = on_message, .stream = on_stream};

static void add_forwards(struct master *m)
{
    static const char *const binds[] = {"127.0.0.1:0:localhost:9", "0:localhost:3000",
                                        "udp:0:localhost:9"};
    struct forward_spec spec;
    const char *why;
    for (size_t i = 0; i < countof(binds); i++)
        for (enum forward_kind kind = FORWARD_LOCAL; kind <= FORWARD_REMOTE; kind++)
            if (forward_spec_parse(&spec, kind, binds[i], &why) == 0)
                forward_add(m, &spec, false);
}

/* A stream that the agent opens: Accepted of a -R, List, or what is not for a master. */
static void open_stream(struct input *in, struct peer *p, struct askers *all)
{
    struct stream *s = all->n < countof(all->s) ? mux_open(p->mux) : NULL;
    if (!s)
        return;
    all->s[all->n++] = s;
    stream_own(s, drop, NULL);
    say(in, s);
}

static void hear_as_master(struct input in)
{
    static char *no_words[] = {NULL};
    static char host[] = "host";
    struct options o = {.host = host, .ssh_args = no_words, .automatic = next(&in, 2)};
    struct master m = {.loop = loop_new(), .options = &o, .ready_fd = -1};
    struct askers streams = {.n = 0};
    struct peer peer;
    m.state = MASTER_UP;
    m.greeted = m.forwards.ready = true;
    service_init(&m.service, m.loop);
    m.service.rows = remote_rows;
    m.service.owner = &m;
    m.session = session_new(m.loop, SESSION_MASTER, name, &events, &m);
    udp_flows_init(&m.flows, m.session, SESSION_MASTER);
    forward_init(&m);
    o.transport = TRANSPORT_SSH; /* so that ssh is not asked about the host */
    promote_init(&m);
    o.transport = TRANSPORT_AUTO;
    open_session(m.loop, m.session, &peer, YAMUX_SERVER);
    add_forwards(&m);
    turn(m.loop, 4);
    for (int i = 0; i < MESSAGES_MAX && in.left && peer.control; i++) {
        switch (next(&in, 4)) {
        case 0: turn(m.loop, 2); break;
        case 1: open_stream(&in, &peer, &streams); break;
        default: say(&in, peer.control);
        }
    }
    turn(m.loop, 4);
    service_fini(&m.service);
    forward_fini(&m);
    promote_fini(&m);
    hint_forget(&m);
    udp_flows_fini(&m.flows);
    session_free(m.session);
    while (streams.n)
        stream_close(streams.s[--streams.n]);
    close_peer(&peer);
    free(m.closed);
    turn(m.loop, 6);
    loop_free(m.loop);
}

/* --- the target ------------------------------------------------------------------------------------ */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    key_init();
    log_init(LOG_ERRORS);
    setenv("XDG_CONFIG_HOME", "/proc/nowhere", 1); /* nothing is remembered */
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hear_as_agent((struct input){data, size});
    hear_as_master((struct input){data, size});
    return 0;
}
