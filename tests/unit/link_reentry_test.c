/* A link that is freed, detached and given new carriers from inside its own callbacks. The
 * carrier's memory is gone once it is closed, so what is used too late is found by ASan. */
#include <errno.h>

#include "core/mem.h"
#include "tests/unit/link_rig.h"
#include "tests/unit/wire.h"

enum deed { FREE, DETACH, ATTACH, CLOSE_STREAM, CLOSE_AND_FREE, FREE_AND_CLOSE, DEEDS };

static void let_go(struct link_rig *r)
{
    stream_close(r->owner.s);
    r->owner.s = NULL;
}

static void free_link(struct link_rig *r)
{
    link_free(r->l);
    r->l = NULL;
}

static void attach_another(struct link_rig *r)
{
    link_rig_attach(r, NULL);
    link_rig_hello(r, link_rig_session, 0);
}

static void do_deed(struct link_rig *r, enum deed deed)
{
    switch (deed) {
    case FREE: free_link(r); break;
    case DETACH: link_detach(r->l); break;
    case ATTACH: attach_another(r); break;
    case CLOSE_STREAM: let_go(r); break;
    case CLOSE_AND_FREE:
        let_go(r);
        free_link(r);
        break;
    case FREE_AND_CLOSE:
        free_link(r);
        let_go(r);
        break;
    case DEEDS: break;
    }
}

static void settle(struct link_rig *r, enum deed deed)
{
    for (int i = 0; i < 20; i++)
        loop_turn(r->loop, 0);
    if (deed == FREE)
        CHECK_INT(r->owner.error, ECONNRESET);
    if (deed == ATTACH)
        CHECK(link_is_up(r->l));
    if (deed == DETACH)
        CHECK(!link_is_up(r->l));
    link_rig_fini(r);
}

/* In the stream's DATA, with bytes unread, half read and read. */

struct reader {
    struct link_rig *r;
    enum deed deed;
    size_t first, then; /* bytes consumed before and after */
    unsigned calls;
    uint8_t sum; /* so that the bytes are looked at */
};

static void swallow(struct reader *d, struct stream *s, size_t want)
{
    size_t len;
    const uint8_t *p = stream_peek(s, &len);
    for (size_t i = 0; i < len; i++)
        d->sum ^= p[i];
    stream_consume(s, len < want ? len : want);
}

static void read_and_act(void *arg, struct stream *s, enum stream_event event)
{
    struct reader *d = arg;
    if (event == STREAM_ERROR)
        d->r->owner.error = stream_error(s);
    if (event != STREAM_DATA || d->calls++)
        return;
    swallow(d, s, d->first);
    /* It points into the carrier's memory. */
    size_t len;
    const uint8_t *p = stream_peek(s, &len);
    do_deed(d->r, d->deed);
    for (size_t i = 0; i < len; i++)
        d->sum ^= p[i];
    if (d->r->owner.s)
        swallow(d, s, d->then);
}

/* The peer's data arrives while the link looks on, or has waited in the carrier's queue. */
static void start(struct link_rig *r, bool waiting)
{
    static const char frames[] = "D\0\0\0\12ten bytes.D\0\0\0\12ten more..";
    struct link_hello hello = {.received = 0};
    struct stream *ends[2];
    if (!waiting) {
        link_rig_up(r, 0);
        link_rig_say(r, frames, sizeof(frames) - 1);
        return;
    }
    memcpy(hello.session, link_rig_session, SESSION_LEN);
    wire_new(r->loop, 4096, 4096, ends);
    probe_own(&r->peer, ends[1]);
    link_rig_say(r, frames, sizeof(frames) - 1);
    TURN_UNTIL(r->loop, stream_held(ends[0]));
    link_attach(r->l, ends[0], &hello);
}

TEST(link_survives_anything_in_data)
{
    static const size_t takes[] = {0, 5, 100};
    for (enum deed deed = FREE; deed < DEEDS; deed++) {
        for (size_t i = 0; i < 2 * countof(takes) * countof(takes); i++) {
            struct link_rig r;
            link_rig_init(&r);
            struct reader d = {.r = &r,
                               .deed = deed,
                               .first = takes[i / 2 / countof(takes)],
                               .then = takes[i / 2 % countof(takes)]};
            stream_own(r.owner.s, read_and_act, &d);
            start(&r, i % 2);
            TURN_UNTIL(r.loop, d.calls);
            settle(&r, deed);
        }
    }
}

/* In the link's own callback. */

static enum deed chosen;

static void act(struct link_rig *r)
{
    r->then = NULL;
    do_deed(r, chosen);
}

static void on_event(enum link_event event, enum deed deed)
{
    static const uint8_t nobody[SESSION_LEN];
    struct link_rig r;
    link_rig_init(&r);
    chosen = deed;
    r.on = event;
    r.then = act;
    stream_write(r.owner.s, "kept", 4);
    link_rig_attach(&r, NULL);
    link_rig_hello(&r, event == LINK_LOST ? nobody : link_rig_session, 0);
    link_rig_data(&r, "more");
    if (event == LINK_DOWN)
        link_rig_say(&r, "?", 1);
    TURN_UNTIL(r.loop, !r.then);
    CHECK_INT(r.events[strlen(r.events) - 1], "UDL"[event]);
    if (event == LINK_LOST && deed == ATTACH)
        deed = DEEDS; /* nothing comes of it */
    settle(&r, deed);
}

TEST(link_survives_anything_in_its_callback)
{
    for (enum deed deed = FREE; deed < DEEDS; deed++) {
        on_event(LINK_DOWN, deed);
        on_event(LINK_LOST, deed);
        if (deed != ATTACH)
            on_event(LINK_UP, deed);
    }
}

TEST(link_free_tells_the_owner_of_its_stream)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    stream_write(r.owner.s, "last words", 10);
    free_link(&r);
    CHECK_INT(r.owner.errors, 0);
    TURN_UNTIL(r.loop, r.owner.errors == 1);
    CHECK_INT(r.owner.error, ECONNRESET);
    CHECK_INT(stream_room(r.owner.s), 0);
    stream_write(r.owner.s, "into the void", 13);
    link_rig_hears_data(&r, "last words");
    TURN_UNTIL(r.loop, r.peer.eofs == 1);
    link_rig_fini(&r);
    link_free(NULL);
}

TEST(link_goes_on_sending_what_a_closed_stream_left)
{
    struct link_rig r;
    link_rig_init(&r);
    link_rig_up(&r, 0);
    stream_write(r.owner.s, "goodbye", 7);
    let_go(&r);
    link_rig_hears_data(&r, "goodbye");
    link_rig_data(&r, "nobody reads this");
    TURN_UNTIL(r.loop, r.l->received == 17);
    link_detach(r.l);
    link_rig_up(&r, 3);
    link_rig_hears_data(&r, "dbye");
    link_rig_fini(&r);
}
