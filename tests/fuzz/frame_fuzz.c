/* However the bytes are cut, the same frames come out of them. The first byte says how. */
#include "core/frame.h"

#include <stdbool.h>
#include <stdlib.h>

#include "core/mem.h"

/* What came out: FNV-1a over lengths and payloads, and how far it got. */
struct seen {
    uint64_t hash;
    size_t taken;
    bool bad;
};

static void note(struct seen *seen, const struct frame *f)
{
    if (f->len == 0 || f->len > FRAME_LIMIT)
        abort();
    seen->hash = (seen->hash ^ f->len) * 0x100000001b3u;
    for (size_t i = 0; i < f->len; i++)
        seen->hash = (seen->hash ^ f->payload[i]) * 0x100000001b3u;
}

/* One piece of the input, in memory of its own, so that reading past it is noticed. */
static void feed_piece(struct frame_reader *r, const uint8_t *piece, size_t len, struct seen *seen)
{
    uint8_t *copy = xmalloc(len);
    for (size_t i = 0; i < len; i++)
        copy[i] = piece[i];
    for (size_t at = 0; at < len && !seen->bad;) {
        struct frame f;
        size_t n = len - at;
        enum frame_status status = frame_feed(r, copy + at, &n, &f);
        if (n > len - at || (status == FRAME_MORE && n != len - at))
            abort();
        if (status == FRAME_READY)
            note(seen, &f);
        seen->bad = status == FRAME_BAD;
        seen->taken += n;
        at += n;
    }
    free(copy);
}

static struct seen feed(const uint8_t *data, size_t len, size_t piece)
{
    struct frame_reader r = {0};
    struct seen seen = {0};
    for (size_t at = 0; at < len && !seen.bad; at += piece)
        feed_piece(&r, data + at, piece < len - at ? piece : len - at, &seen);
    frame_reader_fini(&r);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct seen whole = feed(data + 1, size - 1, size - 1);
    struct seen cut = feed(data + 1, size - 1, (size_t)data[0] + 1);
    if (whole.hash != cut.hash || whole.taken != cut.taken || whole.bad != cut.bad)
        abort();
    return 0;
}
