/* link.c: a byte stream that outlives the connections which carry it: its carriers, their
 * Hello, and the watchdog. The bytes are in link_flow.c. */
#include "net/link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/link_state.h"

#define HELLO_MS 15000 /* how long the other end's Hello is awaited */
#define LATE_MS  200   /* a watchdog that comes so late was stopped itself */

static const uint8_t nobody[SESSION_LEN];

static const char *const state_names[] = {"apart", "greeting", "flowing", "over", "freed"};
static_assert(countof(state_names) == LINK_FREED + 1, "a name for each state");

static void enter(struct link *l, enum link_state state)
{
    log_trace("link: %s -> %s", state_names[l->state], state_names[state]);
    l->state = state;
}

/* Carriers. */

/* One that is left in peace may send what it still holds: the last words before an end. */
void link_release(struct link *l, struct stream *carrier)
{
    if (l->state == LINK_OVER || l->state == LINK_FREED)
        stream_close(carrier);
    else
        stream_reset(carrier);
}

static void drop_carrier(struct link *l)
{
    struct stream *c = l->carrier;
    l->carrier = NULL;
    l->has_peer = false;
    loop_timer_del(&l->watchdog);
    loop_timer_del(&l->ack_timer);
    if (!c)
        return;
    if (c == l->lending)
        stream_own(c, NULL, NULL);
    else
        link_release(l, c);
}

void link_fail(struct link *l, int error)
{
    log_trace("link: the carrier is gone: %s", error ? strerror(error) : "closed");
    l->error = error;
    drop_carrier(l);
    enter(l, LINK_APART);
    l->fn(l->arg, l, LINK_DOWN);
}

/* Until the owner returns the carrier is kept: link_take_carrier(). */
static void lose(struct link *l, const struct link_hello *peer)
{
    enter(l, LINK_OVER);
    loop_timer_del(&l->watchdog);
    l->error = ECONNRESET;
    l->peer = *peer;
    stream_deliver_error(&l->stream, ECONNRESET);
    l->fn(l->arg, l, LINK_LOST);
    drop_carrier(l);
}

static void carrier_event(void *arg, struct stream *c, enum stream_event event);

/* Hello. */

static bool fits(const struct link *l, const struct link_hello *peer)
{
    return memcmp(peer->session, l->session, SESSION_LEN) == 0 && peer->received >= l->acked &&
           peer->received <= l->sent;
}

void link_greeted(struct link *l, const struct link_hello *peer)
{
    if (!fits(l, peer)) {
        lose(l, peer);
        return;
    }
    loop_timer_del(&l->watchdog);
    link_flow_acked(l, peer->received);
    link_flow_begin(l);
    l->error = 0;
    enter(l, LINK_FLOWING);
    l->fn(l->arg, l, LINK_UP);
}

static void say_hello(struct link *l, bool known)
{
    struct link_hello hello = {.received = known ? l->received : 0};
    uint8_t bytes[LINK_HELLO_LEN];
    memcpy(hello.session, known ? l->session : nobody, SESSION_LEN);
    link_put_hello(bytes, &hello);
    stream_write(l->carrier, bytes, sizeof(bytes));
}

void link_attach(struct link *l, struct stream *carrier, const struct link_hello *peer)
{
    drop_carrier(l);
    if (l->state == LINK_OVER) {
        stream_close(carrier);
        return;
    }
    enter(l, LINK_GREETING);
    l->carrier = carrier;
    l->head.len = 0;
    l->data_left = 0;
    stream_own(carrier, carrier_event, l);
    say_hello(l, !peer || fits(l, peer));
    loop_timer_set(&l->watchdog, l->hello_ms);
    if (!peer)
        return;
    l->peer = *peer;
    l->has_peer = true;
    loop_task_post(&l->work);
}

void link_detach(struct link *l)
{
    drop_carrier(l);
    if (l->state != LINK_OVER)
        enter(l, LINK_APART);
}

struct stream *link_take_carrier(struct link *l)
{
    struct stream *c = l->carrier;
    if (!c || l->state != LINK_OVER || memcmp(l->peer.session, nobody, SESSION_LEN) != 0)
        return NULL;
    l->carrier = NULL;
    stream_own(c, NULL, NULL);
    return c;
}

/* The loop's events. */

static void advance(struct link *l)
{
    if (l->has_peer) {
        l->has_peer = false;
        link_greeted(l, &l->peer);
    }
    link_receive(l);
}

/* What is to be sent goes at the end of the turn, so that all that arrives in one is
 * acknowledged at once. */
static void work(void *arg)
{
    struct link *l = arg;
    advance(l);
    link_flush(l);
}

static void carrier_event(void *arg, struct stream *c, enum stream_event event)
{
    struct link *l = arg;
    switch (event) {
    case STREAM_DATA:
        l->heard_ms = loop_now_ms(l->stream.loop);
        loop_task_post(&l->work);
        advance(l); /* which may free it */
        break;
    case STREAM_DRAINED: link_flush(l); break;
    case STREAM_EOF: link_fail(l, 0); break;
    case STREAM_ERROR: link_fail(l, stream_error(c)); break;
    case STREAM_OPEN: break;
    }
}

/* Silence counts from the last arrival or the first byte that waits, whichever is later. */
static uint64_t stall_at_ms(const struct link *l)
{
    return (l->heard_ms > l->waiting_ms ? l->heard_ms : l->waiting_ms) + l->stall_ms;
}

void link_watch(struct link *l)
{
    uint64_t now = loop_now_ms(l->stream.loop), at = stall_at_ms(l);
    if (l->sent != l->acked && !loop_timer_armed(&l->watchdog))
        loop_timer_set(&l->watchdog, at > now ? at - now : 0);
}

static void watchdog(void *arg)
{
    struct link *l = arg;
    uint64_t now = loop_now_ms(l->stream.loop);
    /* Who does not listen cannot tell silence, nor can who has just woken up: what carries the link, and
     * maybe the other end, was stopped with it and has yet to speak. */
    if (l->held_up || now - l->watchdog.due_ms >= LATE_MS)
        l->heard_ms = now;
    if (l->state == LINK_GREETING || (l->sent != l->acked && now >= stall_at_ms(l)))
        link_fail(l, ETIMEDOUT);
    else
        link_watch(l);
}

/* The stream's end. */

static void let_go(struct stream *s)
{
    struct link *l = container_of(s, struct link, stream);
    stream_fini(s);
    if (l->state == LINK_FREED)
        loop_reap(s->loop, l, free);
}

/* The mux never half-closes its carrier, and a link has no way to say it. */
static void no_shutdown(struct stream *s)
{
    (void)s;
}

static const struct stream_ops stream_ops = {
    .room = link_flow_room,
    .writev = link_flow_writev,
    .consumed = link_flow_consumed,
    .shutdown = no_shutdown,
    .close = let_go,
    .reset = let_go,
};

struct stream *link_stream(struct link *l)
{
    return &l->stream;
}

struct link *link_new(struct loop *loop, const uint8_t session[static SESSION_LEN], link_fn *fn,
                      void *arg)
{
    struct link *l = xcalloc(1, sizeof(*l));
    stream_init(&l->stream, &stream_ops, loop);
    l->fn = fn;
    l->arg = arg;
    memcpy(l->session, session, SESSION_LEN);
    l->hello_ms = HELLO_MS;
    l->stall_ms = LINK_STALL_MS;
    loop_task_init(loop, &l->work, work, l);
    loop_timer_init(loop, &l->watchdog, watchdog, l);
    loop_timer_init(loop, &l->ack_timer, link_ack_due, l);
    link_flow_begin(l);
    return l;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    link_flush(l);
    enter(l, LINK_FREED);
    drop_carrier(l);
    loop_task_del(&l->work);
    buf_fini(&l->kept);
    if (l->stream.fn) {
        stream_deliver_error(&l->stream, ECONNRESET);
    } else {
        stream_fini(&l->stream);
        loop_reap(l->stream.loop, l, free);
    }
}

/* What the link knows. */

bool link_is_up(const struct link *l)
{
    return l->state == LINK_FLOWING;
}

bool link_is_greeting(const struct link *l)
{
    return l->state == LINK_GREETING;
}

int link_error(const struct link *l)
{
    return l->error;
}

uint64_t link_silence_ms(const struct link *l)
{
    return link_is_up(l) ? loop_now_ms(l->stream.loop) - l->heard_ms : 0;
}

bool link_waiting(const struct link *l)
{
    return l->sent != l->acked;
}

uint64_t link_rtt_us(const struct link *l)
{
    return l->pace.rtt_us;
}
