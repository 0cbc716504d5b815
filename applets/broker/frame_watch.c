#include "applets/broker/frame_watch.h"

#include <string.h>

#include "core/bytes.h"

void frame_watch_fini(struct frame_watch *w)
{
    buf_fini(&w->text);
}

bool frame_watch_is_between(const struct frame_watch *w)
{
    return w->have == 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many bytes it took; 0: no frame can be so long. */
static size_t take_header(struct frame_watch *w, const uint8_t *data, size_t len)
{
    size_t n = least(sizeof w->header - w->have, len);
    memcpy(w->header + w->have, data, n);
    w->have += n;
    if (w->have < sizeof w->header)
        return n;
    struct reader r = reader_of(w->header, sizeof w->header);
    w->left = read_u32(&r);
    w->is_begun = false;
    return w->left > 0 && w->left <= FRAME_LIMIT ? n : 0;
}

static int tell(struct frame_watch *w, frame_watch_fn *fn, void *arg)
{
    struct message m;
    const char *why;
    if (message_parse(&m, buf_front(&w->text), w->text.len, &why) < 0)
        return -1;
    buf_consume(&w->text, w->text.len);
    fn(arg, &m);
    message_fini(&m);
    return 0;
}

/* How many bytes it took; 0: the message is none. */
static size_t take_payload(struct frame_watch *w, const uint8_t *data, size_t len, bool *whole)
{
    size_t n = least(w->left, len);
    if (!w->is_begun)
        w->is_message = data[0] == '{';
    w->is_begun = true;
    if (w->is_message && w->left + w->text.len > FRAME_WATCH_MESSAGE_MAX)
        return 0;
    if (w->is_message)
        buf_append(&w->text, data, n);
    w->left -= (uint32_t)n;
    *whole = w->left == 0;
    return n;
}

int frame_watch(struct frame_watch *w, const uint8_t *data, size_t len, frame_watch_fn *fn,
                void *arg)
{
    while (len) {
        bool whole = false;
        size_t n = w->have < sizeof w->header ? take_header(w, data, len)
                                              : take_payload(w, data, len, &whole);
        if (n == 0)
            return -1;
        data += n;
        len -= n;
        if (whole)
            w->have = 0;
        if (whole && w->is_message && tell(w, fn, arg) < 0)
            return -1;
    }
    return 0;
}
