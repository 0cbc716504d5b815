/* The keeper by itself, and as the process it is. */
#include "applets/broker/keeper.h"

#include <sys/wait.h>

#include "core/fdstream.h"
#include "core/message.h"
#include "tests/unit/probe.h"

struct rig {
    struct loop *loop;
    struct probe front;
};

static void rig_init(struct rig *r)
{
    int fd[2];
    *r = (struct rig){.loop = loop_new()};
    unix_pair(fd);
    keeper_serve(r->loop, fdstream_new(r->loop, fd[0], fd[0]));
    probe_own(&r->front, fdstream_new(r->loop, fd[1], fd[1]));
}

static void rig_fini(struct rig *r)
{
    stream_close(r->front.s);
    probe_fini(&r->front);
    loop_turn(r->loop, 100);
    loop_free(r->loop);
}

/* The next answer's type; MSG_COUNT: none within the test's patience. */
static enum message_type next_answer(struct rig *r)
{
    struct frame_reader frames = {0};
    struct frame f;
    struct message m;
    enum message_type type = MSG_COUNT;
    const char *why;
    enum frame_status status = FRAME_MORE;
    while (status == FRAME_MORE) {
        TURN_UNTIL(r->loop, r->front.got.len > 0 || r->front.eofs || r->front.errors);
        if (!r->front.got.len)
            break;
        size_t len = r->front.got.len;
        status = frame_feed(&frames, buf_front(&r->front.got), &len, &f);
        if (status == FRAME_READY && message_parse(&m, f.payload, f.len, &why) == 0) {
            type = m.type;
            message_fini(&m);
        }
        buf_consume(&r->front.got, len);
    }
    frame_reader_fini(&frames);
    return type;
}

TEST(keeper_answers_each_request_in_turn)
{
    struct rig r;
    rig_init(&r);
    message_send(r.front.s, MSG_PING);
    message_send(r.front.s, MSG_EXEC);
    message_send(r.front.s, MSG_PING);
    CHECK_INT(next_answer(&r), MSG_PONG);
    CHECK_INT(next_answer(&r), MSG_ERROR);
    CHECK_INT(next_answer(&r), MSG_PONG);
    rig_fini(&r);
}

TEST(keeper_ends_at_what_is_no_message)
{
    struct rig r;
    rig_init(&r);
    frame_write(r.front.s, "nonsense", 8);
    TURN_UNTIL(r.loop, r.front.eofs || r.front.errors);
    rig_fini(&r);
}

TEST(keeper_ends_at_a_frame_that_is_too_long)
{
    struct rig r;
    rig_init(&r);
    frame_begin(r.front.s, KEEPER_FRAME_MAX + 1);
    TURN_UNTIL(r.loop, r.front.eofs || r.front.errors);
    rig_fini(&r);
}

static void on_gone(void *arg)
{
    *(bool *)arg = true;
}

TEST(keeper_process_ends_with_its_front)
{
    int status, fd = keeper_start();
    CHECK(fd >= 0);
    struct loop *loop = loop_new();
    bool gone = false;
    struct keeper *k = keeper_attach(loop, fd, on_gone, &gone);
    loop_turn(loop, 0);
    CHECK(!gone);
    keeper_free(k);
    loop_turn(loop, 0);
    loop_free(loop);
    CHECK(wait(&status) > 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
