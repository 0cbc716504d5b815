#include "core/buf.h"

#include <stdlib.h>

#include "tests/unit/test.h"

TEST(buf_keeps_the_order_of_bytes)
{
    struct buf b = {0};
    uint8_t chunk[3000], in = 0, out = 0;
    unsigned seed = 1;
    bool same = true;
    for (int round = 0; round < 3000; round++) {
        seed = seed * 1103515245u + 12345u;
        size_t len = seed >> 16 & 2047, take;
        for (size_t i = 0; i < len; i++)
            chunk[i] = in++;
        buf_append(&b, chunk, len);
        take = (seed >> 8) % (b.len + 1);
        for (size_t i = 0; i < take; i++)
            same = same && buf_front(&b)[i] == out++;
        buf_consume(&b, take);
    }
    CHECK(same);
    CHECK_INT((uint8_t)(in - out), (uint8_t)b.len);
    buf_fini(&b);
}

TEST(buf_empty_holds_no_memory)
{
    struct buf b = {0};
    CHECK(buf_front(&b) == NULL);
    buf_append(&b, "abc", 3);
    buf_consume(&b, 3);
    CHECK(b.cap <= BUF_KEEP);
    CHECK_INT(b.off, 0);
    memset(buf_reserve(&b, 100000), 'x', 100000);
    buf_commit(&b, 100000);
    buf_consume(&b, 99999);
    CHECK_INT(*buf_front(&b), 'x');
    buf_consume(&b, 1);
    CHECK(b.cap <= BUF_KEEP);
    buf_consume(&b, 0);
    buf_append(&b, NULL, 0);
    CHECK_INT(b.len, 0);
    buf_fini(&b);
    buf_fini(&b);
}

TEST(buf_does_not_move_bytes_without_need)
{
    enum { QUEUED = 1 << 20, STEP = 64, STEPS = 100000 };
    struct buf b = {0};
    size_t moved = 0, off = 0;
    memset(buf_reserve(&b, QUEUED), 0, QUEUED);
    buf_commit(&b, QUEUED);
    for (int i = 0; i < STEPS; i++) {
        buf_consume(&b, STEP);
        off = b.off;
        memset(buf_reserve(&b, STEP), 1, STEP);
        if (b.off < off)
            moved += b.len;
        buf_commit(&b, STEP);
    }
    CHECK_INT(b.len, QUEUED);
    CHECK(moved <= (size_t)STEP * STEPS + QUEUED);
    CHECK(b.cap <= (size_t)QUEUED * 4);
    buf_fini(&b);
}

TEST(buf_prints)
{
    struct buf b = {0};
    buf_printf(&b, "%s-%d", "abc", 42);
    buf_printf(&b, "%0700d", 7);
    CHECK_INT(b.len, 706);
    CHECK(!memcmp(buf_front(&b), "abc-420", 7));
    CHECK_INT(buf_front(&b)[705], '7');
    buf_fini(&b);
}
