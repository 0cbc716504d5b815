/* The hybrid's answer, cut in every way. */
#include "net/hybrid_vsock.h"

#include "core/mem.h"
#include "tests/unit/sink.h"
#include "tests/unit/test.h"

/* What comes of `text`, byte by byte or at once; *used: how much of it was taken. */
static enum hybrid_status feed(const char *text, size_t piece, size_t *used)
{
    struct hybrid_answer a = {0};
    enum hybrid_status status = HYBRID_MORE;
    size_t len = strlen(text);
    *used = 0;
    while (*used < len && status == HYBRID_MORE) {
        size_t n = piece < len - *used ? piece : len - *used;
        status = hybrid_feed(&a, (const uint8_t *)text + *used, &n);
        *used += n;
    }
    return status;
}

TEST(vsock_hybrid_answers)
{
    static const struct {
        const char *text;
        enum hybrid_status status;
        size_t used;
    } rows[] = {
        {"", HYBRID_MORE, 0},
        {"O", HYBRID_MORE, 1},
        {"OK ", HYBRID_MORE, 3},
        {"OK 1073741824\n", HYBRID_OK, 14},
        {"OK 5000\npayload", HYBRID_OK, 8},
        {"OK 1\n\n", HYBRID_OK, 5},
        {"OK \n", HYBRID_OK, 4},
        {"OK \1\r\n", HYBRID_OK, 6},
        {"OK\n", HYBRID_BAD, 3},
        {"OKAY 1\n", HYBRID_BAD, 3},
        {"ok 1\n", HYBRID_BAD, 1},
        {"\n", HYBRID_BAD, 1},
        {"HTTP/1.1 400 Bad Request\r\n", HYBRID_BAD, 1},
        {"OK 34567890123456789012345678901\n", HYBRID_BAD, 32},
        {"OK 3456789012345678901234567890\n", HYBRID_OK, 32},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        for (size_t piece = 1; piece <= 40; piece++) {
            size_t used;
            CHECK_INT(feed(rows[i].text, piece, &used), rows[i].status);
            CHECK_INT(used, rows[i].used);
        }
    }
}

TEST(vsock_hybrid_asks)
{
    struct sink k;
    sink_init(&k);
    hybrid_ask(&k.s, 4294967295u);
    hybrid_ask(&k.s, 1);
    CHECK_INT(k.out.len, strlen("CONNECT 4294967295\nCONNECT 1\n"));
    CHECK(memcmp(buf_front(&k.out), "CONNECT 4294967295\nCONNECT 1\n", k.out.len) == 0);
    sink_fini(&k);
}
