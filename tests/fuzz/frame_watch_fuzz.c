/* What passes from an agent to who has asked (berth exec), cut into pieces: the watch finds the messages that
 * a frame reader finds, and stops at the same flaw. The first byte is the size of a piece. */
#include "applets/broker/frame_watch.h"

#include <stdlib.h>

#include "core/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
    unsigned n;
    uint64_t sum; /* of their types */
};

static void on_message(void *arg, const struct message *m)
{
    struct heard *h = arg;
    h->n++;
    h->sum = h->sum * 31 + (uint64_t)m->type;
}

/* That is known before all of it has come. */
static bool is_too_long(const struct frame_reader *r)
{
    struct reader header = reader_of(buf_front(&r->part), r->part.len);
    return read_u32(&header) > FRAME_WATCH_MESSAGE_MAX && read_u8(&header) == '{';
}

/* 0, or -1 as frame_watch(). */
static int read_whole(const uint8_t *data, size_t size, struct heard *h)
{
    struct frame_reader r = {0};
    int bad = 0;
    while (size && !bad) {
        struct frame f;
        struct message m;
        const char *why;
        size_t len = size;
        enum frame_status status = frame_feed(&r, data, &len, &f);
        data += len;
        size -= len;
        if (status == FRAME_BAD || (status == FRAME_MORE && is_too_long(&r)))
            bad = -1;
        if (bad || status != FRAME_READY || f.payload[0] != '{')
            continue;
        bad = message_parse(&m, f.payload, f.len, &why);
        if (!bad) {
            on_message(h, &m);
            message_fini(&m);
        }
    }
    frame_reader_fini(&r);
    return bad;
}

static int read_pieces(const uint8_t *data, size_t size, size_t piece, struct heard *h)
{
    struct frame_watch w = {0};
    int bad = 0;
    for (size_t at = 0; at < size && !bad; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        bad = frame_watch(&w, data + at, n, on_message, h);
    }
    frame_watch_fini(&w);
    return bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard whole = {0}, pieces = {0};
    if (!size)
        return 0;
    int bad = read_whole(data + 1, size - 1, &whole);
    if (read_pieces(data + 1, size - 1, (size_t)data[0] + 1, &pieces) != bad ||
        whole.n != pieces.n || whole.sum != pieces.sum)
        abort();
    return 0;
}
