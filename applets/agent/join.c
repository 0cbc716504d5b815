#include "applets/agent/join.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/service/service.h"
#include "applets/service/workload.h"
#include "applets/version.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/netwatch.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"
#include "net/yamux.h"

#define AGAIN_FIRST_MS 500 /* until the next try; twice as long each time … */
#define AGAIN_LAST_MS                                                                              \
    4000                /* … but so that a broker that was started again has us back in seconds */
#define STEADY_MS 10000 /* a connection that lasted so long was a good one */
#define PROBE_MS  3000  /* for the answer to a ping when the network has changed */
#define FRESH_MS  3000  /* a younger try is not begun anew then */
#define STALL_MS  120000

enum join_state {
    JOIN_WAITING,
    JOIN_DIALLING,
    JOIN_UPGRADING,
    JOIN_PROVING,
    JOIN_JOINED,
    JOIN_OVER
};

static const char *const state_names[] = {"waiting", "dialling", "upgrading",
                                          "proving", "joined",   "over"};
static_assert(countof(state_names) == JOIN_OVER + 1, "a name for each state");

struct join {
    struct loop *loop;
    const struct web_server *server;
    struct join_identity who;
    join_fn *fn;
    void *arg;
    enum join_state state;
    bool freed;
    bool known; /* it has been joined once */
    bool told;  /* of the loss */

    struct web_dial *dial;
    struct websocket_dial *upgrade;
    struct mux *mux;
    struct join_hello *hello;

    struct loop_timer timer; /* the next try, or the end of this one */
    uint64_t again_ms, tried_ms, joined_ms;
    struct netwatch *watch;
    struct service service;
    struct workload workload;
};

static void enter(struct join *j, enum join_state state)
{
    log_trace("join: %s -> %s", state_names[j->state], state_names[state]);
    j->state = state;
}

/* ---- what is asked of us ---- */

static void open_service(struct join *j)
{
    workload_init(&j->workload, j->loop);
    service_init(&j->service, j->loop);
    j->service.policy = j->who.policy;
    j->service.version = berth_version();
    j->service.stall_ms = STALL_MS;
    j->service.workload = &j->workload;
}

static void close_service(struct join *j)
{
    service_fini(&j->service);
    workload_fini(&j->workload);
}

/* ---- one try after the other ---- */

static void let_go(struct join *j)
{
    loop_timer_del(&j->timer);
    if (j->dial)
        web_dial_cancel(j->dial);
    websocket_dial_cancel(j->upgrade);
    if (j->hello)
        join_hello_cancel(j->hello);
    j->dial = NULL;
    j->upgrade = NULL;
    j->hello = NULL;
    close_service(j);
    open_service(j);
    mux_free(j->mux);
    j->mux = NULL;
}

/* Of a broker that throws us out as soon as we are in nothing is asked twice a second. */
static void back_off(struct join *j)
{
    bool steady = j->state == JOIN_JOINED && loop_now_ms(j->loop) - j->joined_ms >= STEADY_MS;
    if (steady)
        j->again_ms = AGAIN_FIRST_MS;
    uint64_t half_ms = j->again_ms / 2;
    loop_timer_set(&j->timer, half_ms + key_random_below((uint32_t)half_ms + 1));
    j->again_ms = j->again_ms * 2 < AGAIN_LAST_MS ? j->again_ms * 2 : AGAIN_LAST_MS;
}

static void lose(struct join *j, const char *why)
{
    bool told = j->told;
    cleanup_free char *text = xstrdup(why); /* it may be in what goes now */
    let_go(j);
    back_off(j);
    enter(j, JOIN_WAITING);
    j->told = true;
    if (!told)
        j->fn(j->arg, &(struct join_news){.event = JOIN_LOST, .why = text});
}

static void give_up(struct join *j, const char *why)
{
    cleanup_free char *text = xstrdup(why);
    let_go(j);
    enter(j, JOIN_OVER);
    j->fn(j->arg, &(struct join_news){.event = JOIN_ENDED, .why = text});
}

/* ---- the connection ---- */

static void on_hello(void *arg, const struct join_answer *a)
{
    struct join *j = arg;
    j->hello = NULL;
    if (a->outcome == JOIN_REFUSED || (a->outcome == JOIN_ELSEWHERE && !j->known)) {
        give_up(j, a->why);
        return;
    }
    if (a->outcome != JOIN_ACCEPTED) {
        lose(j, a->why);
        return;
    }
    loop_timer_del(&j->timer);
    enter(j, JOIN_JOINED);
    j->joined_ms = loop_now_ms(j->loop);
    j->known = true;
    j->told = false;
    j->fn(j->arg, &(struct join_news){.event = JOIN_UP, .user = a->user, .agent = a->agent});
}

/* The first is the broker's to greet us on; what comes before we have joined is nobody's. */
static void on_accepted(void *arg, struct stream *s)
{
    struct join *j = arg;
    if (j->state == JOIN_JOINED)
        service_serve(&j->service, s);
    else if (!j->hello && j->state == JOIN_PROVING)
        j->hello = join_hello_new(s, &j->who, on_hello, j);
    else
        stream_reset(s);
}

static void on_down(void *arg, int error)
{
    lose(arg, error == ETIMEDOUT ? "it answers no more"
              : error            ? strerror(error)
                                 : "it ended the connection");
}

static void on_upgraded(void *arg, struct stream *carrier, int error, int status)
{
    static const struct mux_events events = {.accepted = on_accepted, .down = on_down};
    struct join *j = arg;
    j->upgrade = NULL;
    if (!carrier) {
        cleanup_free char *why =
            status ? xasprintf("it answers with HTTP status %d where agents come in", status)
                   : xstrdup(error == EPROTO ? "what it answers is not HTTP" : strerror(error));
        lose(j, why);
        return;
    }
    enter(j, JOIN_PROVING);
    j->mux = yamux_new(websocket_stream_new(carrier, WS_CLIENT), YAMUX_CLIENT, &events, j);
    yamux_keep_alive(j->mux, JOIN_SILENCE_MS, JOIN_DEAD_MS);
}

static void on_dialled(void *arg, struct stream *s, const char *why)
{
    struct join *j = arg;
    j->dial = NULL;
    if (!s) {
        lose(j, why);
        return;
    }
    cleanup_free char *target = xasprintf("%s/api/bridge?type=agent", j->server->url.path);
    const struct websocket_request request = {
        .host = j->server->url.host, .target = target, .patience_ms = JOIN_TRY_MS};
    enter(j, JOIN_UPGRADING);
    j->upgrade = websocket_dial(s, &request, on_upgraded, j);
    if (!j->upgrade)
        lose(j, strerror(errno));
}

static void dial(struct join *j)
{
    enter(j, JOIN_DIALLING);
    j->tried_ms = loop_now_ms(j->loop);
    loop_timer_set(&j->timer, JOIN_TRY_MS);
    j->dial = web_dial(j->loop, j->server, on_dialled, j);
}

static void on_timer(void *arg)
{
    struct join *j = arg;
    if (j->state == JOIN_WAITING)
        dial(j);
    else
        lose(j, "no answer in time");
}

static bool is_fresh(const struct join *j)
{
    return j->state != JOIN_WAITING && loop_now_ms(j->loop) - j->tried_ms < FRESH_MS;
}

/* What has no way any more is not to be waited for. */
static void on_network(void *arg, enum netwatch_event event)
{
    struct join *j = arg;
    if (event == NETWATCH_STIRRED || j->state == JOIN_OVER)
        return;
    if (j->state == JOIN_JOINED) {
        yamux_probe(j->mux, PROBE_MS);
    } else if (!is_fresh(j)) {
        let_go(j);
        j->again_ms = AGAIN_FIRST_MS;
        dial(j);
    }
}

/* ---- */

struct join *join_new(struct loop *loop, const struct web_server *server,
                      const struct join_identity *who, join_fn *fn, void *arg)
{
    struct join *j = xcalloc(1, sizeof *j);
    *j = (struct join){.loop = loop,
                       .server = server,
                       .who = *who,
                       .fn = fn,
                       .arg = arg,
                       .again_ms = AGAIN_FIRST_MS};
    loop_timer_init(loop, &j->timer, on_timer, j);
    j->watch = netwatch_new(loop, on_network, j);
    open_service(j);
    dial(j);
    return j;
}

void join_free(struct join *j)
{
    if (!j || j->freed)
        return;
    j->freed = true;
    let_go(j);
    close_service(j);
    netwatch_free(j->watch);
    loop_reap(j->loop, j, free);
}
