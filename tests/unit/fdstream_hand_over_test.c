/* Descriptors that come with a stream and leave it again; and an owner that wants no more. */
#include <fcntl.h>
#include <unistd.h>

#include "core/fdstream.h"
#include "tests/unit/probe.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

TEST(fdstream_release_gives_the_socket_back)
{
    struct loop *loop = loop_new();
    unsigned before = open_descriptors();
    struct probe p = {0};
    int fd[2];
    unix_pair(fd);
    probe_own(&p, fdstream_new(loop, fd[0], fd[0]));
    CHECK_INT(fdstream_fd(p.s), fd[0]);
    stream_write(p.s, "last", 4);
    CHECK_INT(fdstream_unsent(p.s), 0);
    CHECK_INT(fdstream_release(p.s), fd[0]);
    p.s = NULL;
    loop_turn(loop, 0);
    CHECK(is_open(fd[0]));
    char text[8];
    CHECK_INT(read(fd[1], text, sizeof text), 4);
    CHECK_INT(write(fd[1], "x", 1), 1);
    loop_turn(loop, 0);
    CHECK_INT(p.datas + p.eofs + p.errors, 0);
    CHECK_INT(read(fd[0], text, sizeof text), 1);
    close(fd[0]);
    close(fd[1]);
    probe_fini(&p);
    loop_free(loop);
    CHECK_INT(open_descriptors(), before - 1); /* the loop's own was counted */
}

TEST(fdstream_keep_closes_with_the_stream)
{
    struct loop *loop = loop_new();
    struct probe p = {0};
    int fd[2], extra[2];
    unix_pair(fd);
    unix_pair(extra);
    probe_own(&p, fdstream_new(loop, fd[0], fd[0]));
    fdstream_keep(p.s, extra[0]);
    loop_turn(loop, 0);
    CHECK(is_open(extra[0]));
    stream_reset(p.s);
    p.s = NULL;
    loop_turn(loop, 0);
    char byte;
    CHECK_INT(read(extra[1], &byte, 1), 0);
    close(extra[1]);
    close(fd[1]);
    probe_fini(&p);
    loop_free(loop);
}

TEST(fdstream_reads_no_more_than_is_wanted)
{
    struct loop *loop = loop_new();
    struct probe p = {0};
    int fd[2];
    unix_pair(fd);
    probe_own(&p, fdstream_new(loop, fd[0], fd[0]));
    stream_want(p.s, 0);
    CHECK_INT(write(fd[1], "abcdef", 6), 6);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    CHECK_INT(p.got.len, 0);
    stream_want(p.s, 4);
    loop_turn(loop, 1000);
    CHECK(p.got.len >= 4);
    TURN_UNTIL(loop, p.got.len == 6);
    CHECK(probe_got(&p, "abcdef"));
    stream_want(p.s, 0);
    close(fd[1]);
    loop_turn(loop, 0);
    stream_want(p.s, 1);
    TURN_UNTIL(loop, p.eofs == 1);
    probe_fini(&p);
    loop_free(loop);
}

TEST(fdstream_that_is_not_wanted_hears_of_a_reset)
{
    struct loop *loop = loop_new();
    struct probe p = {0};
    int fd[2];
    tcp_pair(fd);
    probe_own(&p, fdstream_new(loop, fd[0], fd[0]));
    stream_want(p.s, 0);
    loop_turn(loop, 0);
    reset_socket(fd[1]);
    TURN_UNTIL(loop, p.errors == 1);
    probe_fini(&p);
    loop_free(loop);
}

TEST(buf_trim_gives_large_storage_back)
{
    static const uint8_t bytes[100000];
    struct buf b = {0};
    buf_append(&b, bytes, sizeof bytes);
    uint8_t *storage = b.data;
    buf_consume(&b, sizeof bytes);
    CHECK_INT(b.cap, 0);
    buf_append(&b, bytes, sizeof bytes);
    CHECK(b.data == storage);
    buf_consume(&b, sizeof bytes);
    buf_trim();
    buf_append(&b, "after", 5);
    CHECK(memcmp(buf_front(&b), "after", 5) == 0);
    buf_fini(&b);
    buf_trim();
}
