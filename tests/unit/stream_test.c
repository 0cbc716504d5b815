#include "core/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/probe.h"

/* A kind of stream without anything behind it. */
struct fake {
    struct stream s;
    struct buf written;
    size_t room, consumed;
    unsigned shutdowns, closes, resets;
};

static unsigned freed;

static size_t fake_room(const struct stream *s)
{
    return ((const struct fake *)(const void *)s)->room;
}

static void fake_writev(struct stream *s, const struct iovec *iov, int n)
{
    for (int i = 0; i < n; i++)
        buf_append(&container_of(s, struct fake, s)->written, iov[i].iov_base, iov[i].iov_len);
}

static void fake_consumed(struct stream *s, size_t len)
{
    container_of(s, struct fake, s)->consumed += len;
}

static void fake_shutdown(struct stream *s)
{
    container_of(s, struct fake, s)->shutdowns++;
}

static void fake_free(void *p)
{
    freed++;
    free(p);
}

static void fake_end(struct stream *s)
{
    buf_fini(&container_of(s, struct fake, s)->written);
    stream_fini(s);
    loop_reap(s->loop, s, fake_free);
}

static void fake_close(struct stream *s)
{
    container_of(s, struct fake, s)->closes++;
    fake_end(s);
}

static void fake_reset(struct stream *s)
{
    container_of(s, struct fake, s)->resets++;
    fake_end(s);
}

static const struct stream_ops fake_ops = {fake_room,     fake_writev, fake_consumed,
                                           fake_shutdown, fake_close,  fake_reset};

static struct fake *fake_new(struct loop *loop)
{
    struct fake *f = xcalloc(1, sizeof(*f));
    stream_init(&f->s, &fake_ops, loop);
    f->room = 100;
    return f;
}

static void deliver(struct fake *f, const char *text)
{
    stream_deliver(&f->s, (const uint8_t *)text, strlen(text));
}

TEST(stream_lends_what_arrives)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {0};
    probe_own(&p, &f->s);
    deliver(f, "one");
    deliver(f, "two");
    CHECK(probe_got(&p, "onetwo"));
    CHECK_INT(p.datas, 2);
    CHECK_INT(f->consumed, 6);
    CHECK(f->s.in.data == NULL);
    stream_deliver_eof(&f->s);
    CHECK_INT(p.eofs, 1);
    CHECK(stream_ended(&f->s));
    loop_turn(loop, 0);
    CHECK_INT(p.eofs, 1);
    probe_fini(&p);
    loop_free(loop);
}

TEST(stream_keeps_what_is_not_consumed)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {.hold = true};
    size_t len;
    probe_own(&p, &f->s);
    deliver(f, "abc");
    deliver(f, "def");
    stream_deliver_eof(&f->s);
    CHECK_INT(stream_held(&f->s), 6);
    CHECK_INT(p.datas, 2);
    CHECK(!memcmp(stream_peek(&f->s, &len), "abcdef", 6));
    CHECK_INT(len, 6);
    stream_consume(&f->s, 2);
    CHECK(!memcmp(stream_peek(&f->s, &len), "cdef", 4));
    loop_turn(loop, 0);
    CHECK_INT(p.datas, 2);
    CHECK_INT(p.eofs, 0);
    CHECK(!stream_ended(&f->s));
    stream_consume(&f->s, 4);
    CHECK(stream_ended(&f->s));
    CHECK_INT(p.eofs, 0);
    CHECK(stream_peek(&f->s, &len) == NULL && !len);
    loop_turn(loop, 0);
    CHECK_INT(p.eofs, 1);
    loop_turn(loop, 0);
    CHECK_INT(p.eofs, 1);
    probe_fini(&p);
    loop_free(loop);
}

static void takes_two(void *arg, struct stream *s, enum stream_event event)
{
    (void)arg;
    if (event == STREAM_DATA)
        stream_consume(s, 2);
}

TEST(stream_keeps_the_rest_of_what_was_lent)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    size_t len;
    stream_own(&f->s, takes_two, NULL);
    deliver(f, "abcde");
    CHECK(!memcmp(stream_peek(&f->s, &len), "cde", 3));
    CHECK_INT(len, 3);
    deliver(f, "fg");
    CHECK(!memcmp(stream_peek(&f->s, &len), "efg", 3));
    stream_close(&f->s);
    loop_free(loop);
}

static struct probe *heir;

static void hands_over(void *arg, struct stream *s, enum stream_event event)
{
    (void)arg;
    CHECK_INT(event, STREAM_DATA);
    stream_consume(s, 1);
    probe_own(heir, s);
}

TEST(stream_handover_inside_a_callback)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {0};
    heir = &p;
    stream_own(&f->s, hands_over, NULL);
    deliver(f, "abc");
    CHECK_INT(p.datas, 0);
    stream_deliver_eof(&f->s);
    CHECK_INT(p.eofs, 0);
    loop_turn(loop, 0);
    CHECK(probe_got(&p, "bc"));
    loop_turn(loop, 0);
    CHECK_INT(p.datas, 1);
    CHECK_INT(p.eofs, 1);
    probe_fini(&p);
    loop_free(loop);
}

TEST(stream_without_an_owner_waits_for_one)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {0};
    stream_deliver_open(&f->s);
    deliver(f, "early");
    stream_deliver_eof(&f->s);
    loop_turn(loop, 0);
    probe_own(&p, &f->s);
    CHECK_INT(p.datas, 0);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    CHECK_INT(p.opens, 1);
    CHECK(probe_got(&p, "early"));
    CHECK_INT(p.eofs, 1);
    probe_fini(&p);
    loop_free(loop);
}

TEST(stream_open_comes_before_data)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {0};
    probe_own(&p, &f->s);
    stream_deliver_open(&f->s);
    CHECK_INT(p.opens, 0);
    deliver(f, "x");
    CHECK_INT(p.opens, 1);
    loop_turn(loop, 0);
    CHECK_INT(p.opens, 1);
    probe_fini(&p);
    loop_free(loop);
}

TEST(stream_error_ends_both_directions)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {.hold = true}, next = {0};
    size_t len;
    probe_own(&p, &f->s);
    deliver(f, "lost");
    stream_deliver_eof(&f->s);
    stream_deliver_error(&f->s, ECONNRESET);
    stream_deliver_error(&f->s, EPIPE);
    CHECK_INT(p.errors, 0);
    CHECK(stream_peek(&f->s, &len) == NULL && !len);
    CHECK(!stream_ended(&f->s));
    CHECK_INT(stream_room(&f->s), 0);
    stream_write(&f->s, "x", 1);
    stream_consume(&f->s, 4);
    stream_shutdown(&f->s);
    deliver(f, "late");
    loop_turn(loop, 0);
    CHECK_INT(p.errors, 1);
    CHECK_INT(p.error, ECONNRESET);
    CHECK_INT(p.eofs, 0);
    CHECK_INT(p.datas, 1);
    CHECK_INT(f->written.len, 0);
    CHECK_INT(f->shutdowns, 0);
    probe_own(&next, &f->s);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    CHECK_INT(p.errors, 1);
    CHECK_INT(next.errors, 1);
    probe_fini(&next);
    loop_free(loop);
}

TEST(stream_writes_until_shutdown)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {0};
    char one[] = "b", two[] = "cd";
    struct iovec iov[2] = {{one, 1}, {two, 2}};
    probe_own(&p, &f->s);
    stream_write(&f->s, "a", 1);
    stream_write(&f->s, NULL, 0);
    stream_writev(&f->s, iov, 2);
    CHECK_INT(stream_room(&f->s), 100);
    stream_shutdown(&f->s);
    stream_shutdown(&f->s);
    stream_write(&f->s, "e", 1);
    CHECK_INT(f->shutdowns, 1);
    CHECK_INT(f->written.len, 4);
    CHECK(!memcmp(buf_front(&f->written), "abcd", 4));
    CHECK_INT(stream_room(&f->s), 0);
    deliver(f, "still");
    CHECK(probe_got(&p, "still"));
    probe_fini(&p);
    loop_free(loop);
}

TEST(stream_drained_only_when_there_is_room)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {0};
    probe_own(&p, &f->s);
    stream_deliver_drained(&f->s);
    CHECK_INT(p.draineds, 0);
    f->room = 0;
    loop_turn(loop, 0);
    CHECK_INT(p.draineds, 0);
    f->room = 1;
    stream_deliver_drained(&f->s);
    loop_turn(loop, 0);
    CHECK_INT(p.draineds, 1);
    probe_fini(&p);
    loop_free(loop);
}

TEST(stream_closed_in_a_callback_says_no_more)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {.close_on_event = true, .hold = true};
    freed = 0;
    probe_own(&p, &f->s);
    stream_deliver_open(&f->s);
    stream_deliver_drained(&f->s);
    deliver(f, "abc");
    CHECK_INT(p.opens, 1);
    CHECK_INT(p.datas, 0);
    CHECK_INT(f->closes, 1);
    stream_deliver_eof(&f->s);
    stream_deliver_error(&f->s, EPIPE);
    stream_deliver_drained(&f->s);
    stream_close(&f->s);
    stream_reset(&f->s);
    CHECK_INT(f->closes + f->resets, 1);
    loop_turn(loop, 0);
    CHECK_INT(freed, 1);
    CHECK_INT(p.eofs + p.errors + p.draineds, 0);
    buf_fini(&p.got);
    stream_close(NULL);
    loop_free(loop);
}

TEST(stream_closed_while_bytes_are_lent)
{
    struct loop *loop = loop_new();
    struct fake *f = fake_new(loop);
    struct probe p = {.close_on_event = true, .hold = true};
    probe_own(&p, &f->s);
    deliver(f, "abc");
    CHECK_INT(p.datas, 1);
    CHECK_INT(f->s.in.cap, 0);
    loop_free(loop);
}
