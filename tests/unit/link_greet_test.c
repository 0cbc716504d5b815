/* Who finds out whose carrier it is. */
#include <errno.h>

#include "core/mem.h"
#include "tests/unit/link_rig.h"
#include "tests/unit/wire.h"

/* The end that greets: attaches the carrier when it is for `l`, else refuses it. */
struct desk {
    struct link *l;
    unsigned calls, refused;
    struct stream *carrier; /* as it came last */
};

static void greeted(void *arg, struct stream *carrier, const struct link_hello *hello)
{
    struct desk *d = arg;
    d->calls++;
    d->carrier = carrier;
    CHECK((carrier != NULL) == (hello != NULL));
    if (!hello)
        return;
    if (d->l && !memcmp(hello->session, d->l->session, SESSION_LEN)) {
        link_attach(d->l, carrier, hello);
    } else {
        d->refused++;
        link_refuse(carrier, greeted, d);
    }
}

static void whatever(void *arg, struct link *l, enum link_event event)
{
    (void)arg;
    (void)l;
    (void)event;
}

TEST(link_greet_leaves_what_follows_the_hello)
{
    for (size_t chunk = 1; chunk < 64; chunk++) {
        struct loop *loop = loop_new();
        struct desk d = {.l = link_new(loop, link_rig_session, whatever, NULL)};
        struct probe owner = {0}, peer = {0};
        struct stream *ends[2];
        wire_new(loop, chunk, 4096, ends);
        probe_own(&owner, link_stream(d.l));
        probe_own(&peer, ends[1]);
        stream_write(ends[1], "H\1sixteen bytes ..\0\0\0\0\0\0\0\0D\0\0\0\5first", 36);
        link_greet(ends[0], greeted, &d);
        TURN_UNTIL(loop, owner.got.len == 5);
        CHECK(probe_got(&owner, "first"));
        CHECK_INT(d.calls, 1);
        TURN_UNTIL(loop, peer.got.len >= LINK_HELLO_LEN);
        probe_fini(&owner);
        link_free(d.l);
        TURN_UNTIL(loop, peer.eofs + peer.errors);
        probe_fini(&peer);
        loop_turn(loop, 0);
        loop_turn(loop, 0);
        loop_free(loop);
    }
}

TEST(link_greet_closes_what_says_no_hello)
{
    static const struct {
        const char *bytes;
        size_t len;
        char end; /* 'c' closed, 'r' reset, 0: kept open */
    } rows[] = {
        {"GET / HTTP/1.1\r\n", 16, 0},
        {"H\2sixteen bytes ..\0\0\0\0\0\0\0\0", 26, 0},
        {"A\0\0\0\0\0\0\0\0", 9, 0},
        {"H\1sixteen", 9, 'c'},
        {"H", 1, 'r'},
        {"H\1sixteen", 9, 0},
        {NULL, 0, 0},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct loop *loop = loop_new();
        struct desk d = {0};
        struct probe peer = {0};
        struct stream *ends[2];
        wire_new(loop, 4096, 4096, ends);
        probe_own(&peer, ends[1]);
        link_greet_within(ends[0], 20, greeted, &d);
        stream_write(ends[1], rows[i].bytes, rows[i].len);
        if (rows[i].end == 'c')
            stream_close(ends[1]);
        else if (rows[i].end == 'r')
            stream_reset(ends[1]);
        TURN_UNTIL(loop, d.calls);
        CHECK(!d.carrier);
        if (rows[i].end)
            peer.s = NULL;
        else
            TURN_UNTIL(loop, peer.errors + peer.eofs);
        CHECK_INT(d.calls, 1);
        probe_fini(&peer);
        loop_turn(loop, 0);
        loop_turn(loop, 0);
        loop_free(loop);
    }
}

/* Refused, the end that came goes on with a new session on the same carrier. */

struct comer {
    struct link *l;
    struct stream *spared;
    unsigned ups, losses;
};

static void comer_event(void *arg, struct link *l, enum link_event event)
{
    struct comer *c = arg;
    c->ups += event == LINK_UP;
    c->losses += event == LINK_LOST;
    if (event == LINK_LOST)
        c->spared = link_take_carrier(l);
}

TEST(link_refused_goes_on_with_another_session)
{
    static const uint8_t fresh[SESSION_LEN] = "another session";
    struct loop *loop = loop_new();
    struct desk d = {.l = link_new(loop, fresh, whatever, NULL)};
    struct comer c = {0};
    struct probe near = {0}, far = {0};
    struct stream *ends[2];
    wire_new(loop, 7, 4096, ends);
    c.l = link_new(loop, link_rig_session, comer_event, &c);
    link_attach(c.l, ends[0], NULL);
    link_greet(ends[1], greeted, &d);
    TURN_UNTIL(loop, c.losses);
    CHECK(c.spared == ends[0]);
    CHECK_INT(d.refused, 1);
    CHECK(!link_take_carrier(c.l));
    link_free(c.l);
    c.l = link_new(loop, fresh, comer_event, &c);
    link_attach(c.l, c.spared, NULL);
    probe_own(&near, link_stream(c.l));
    probe_own(&far, link_stream(d.l));
    stream_write(near.s, "near", 4);
    stream_write(far.s, "far", 3);
    TURN_UNTIL(loop, probe_got(&far, "near") && probe_got(&near, "far"));
    CHECK_INT(c.ups, 1);
    probe_fini(&near);
    probe_fini(&far);
    link_free(c.l);
    link_free(d.l);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    loop_free(loop);
}

/* A stranger's session is no invitation to go on. */
TEST(link_lost_to_a_stranger_keeps_no_carrier)
{
    struct loop *loop = loop_new();
    struct comer c = {0};
    struct probe peer = {0};
    struct stream *ends[2];
    wire_new(loop, 4096, 4096, ends);
    c.l = link_new(loop, link_rig_session, comer_event, &c);
    link_attach(c.l, ends[0], NULL);
    probe_own(&peer, ends[1]);
    stream_write(ends[1], "H\1somebody else ..\0\0\0\0\0\0\0\0", 26);
    TURN_UNTIL(loop, c.losses && peer.eofs);
    CHECK(!c.spared);
    CHECK_INT(link_error(c.l), ECONNRESET);
    link_free(c.l);
    probe_fini(&peer);
    loop_turn(loop, 0);
    loop_free(loop);
}

TEST(link_greet_can_be_cancelled)
{
    struct loop *loop = loop_new();
    struct desk d = {0};
    struct probe peer = {0};
    struct stream *ends[2];
    wire_new(loop, 64, 4096, ends);
    probe_own(&peer, ends[1]);
    struct greeting *g = link_greet(ends[0], greeted, &d);
    stream_write(ends[1], "H\1six", 5);
    loop_turn(loop, 0);
    link_greet_cancel(g);
    TURN_UNTIL(loop, peer.errors);
    CHECK_INT(d.calls, 0);
    probe_fini(&peer);
    loop_turn(loop, 0);
    loop_free(loop);
}
