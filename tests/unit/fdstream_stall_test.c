/* A peer that takes nothing, and how long that is put up with. */
#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/fdstream_rig.h"

enum { LEN = 24 << 20, LIMIT_MS = 40 };

/* With far more to send than the kernel holds. */
static void stall_rig(struct rig *r, pair_fn pair)
{
    uint8_t *bytes = xcalloc(1, LEN);
    rig_socket(r, pair);
    r->p.hold = true;
    stream_limit_stall(r->p.s, LIMIT_MS);
    stream_write(r->p.s, bytes, LEN);
    CHECK(fdstream_unsent(r->p.s) > 0);
    free(bytes);
}

static const pair_fn pairs[] = {unix_pair, tcp_pair};

TEST(fdstream_stall_is_an_error)
{
    for (size_t i = 0; i < countof(pairs); i++) {
        struct rig r;
        stall_rig(&r, pairs[i]);
        TURN_UNTIL(r.loop, r.p.errors);
        CHECK_INT(r.p.error, ETIMEDOUT);
        CHECK_INT(stream_room(r.p.s), 0);
        rig_fini(&r);
    }
}

/* Also when what was read lies there. */
TEST(fdstream_stall_of_one_that_is_held_up)
{
    struct rig r;
    rig_socket(&r, unix_pair);
    r.p.hold = true;
    CHECK_INT(write(r.peer, "held", 4), 4);
    TURN_UNTIL(r.loop, r.p.datas);
    fill(fdstream_fd(r.p.s));
    stream_write(r.p.s, "x", 1);
    stream_limit_stall(r.p.s, LIMIT_MS);
    TURN_UNTIL(r.loop, r.p.errors);
    rig_fini(&r);
}

TEST(fdstream_stall_ends_what_was_closed)
{
    struct rig r;
    stall_rig(&r, unix_pair);
    stream_close(r.p.s);
    r.p.s = NULL;
    CHECK(open_descriptors() > r.before + 2);
    TURN_UNTIL(r.loop, open_descriptors() == r.before + 2); /* the loop's own, and the peer */
    rig_fini(&r);
}

/* However long it takes, who takes something has not stalled: what is taken in a turn counts
 * before the time that has passed until then. */
TEST(fdstream_stall_is_not_slowness)
{
    struct rig r;
    int end = 0;
    stall_rig(&r, unix_pair);
    uint64_t start = loop_now_ms(r.loop);
    while (loop_now_ms(r.loop) < start + 4 * LIMIT_MS) {
        CHECK(fdstream_unsent(r.p.s) > 0);
        CHECK(drain(r.peer, &end) > 0);
        poll(NULL, 0, LIMIT_MS / 4);
        loop_turn(r.loop, 0);
    }
    CHECK_INT(r.p.errors, 0);
    rig_fini(&r);
}

TEST(fdstream_stall_without_limit)
{
    struct rig r;
    stall_rig(&r, unix_pair);
    stream_limit_stall(r.p.s, 0);
    uint64_t start = loop_now_ms(r.loop);
    while (loop_now_ms(r.loop) < start + 5 * LIMIT_MS)
        loop_turn(r.loop, LIMIT_MS);
    CHECK_INT(r.p.errors, 0);
    rig_fini(&r);
}
