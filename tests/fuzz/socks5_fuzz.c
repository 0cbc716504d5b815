/* A SOCKS client's bytes, cut where the first byte says; the cut must not matter. */
#include <stdlib.h>

#include "net/socks5.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t feed(struct socks5 *s, const uint8_t *in, size_t len)
{
    size_t used = socks5_feed(s, in, len);
    if (used > len || s->reply_len > sizeof(s->reply))
        abort();
    if (used < len && s->state != SOCKS5_DONE && s->state != SOCKS5_BROKEN)
        abort();
    return used;
}

/* What was asked for can be passed on as text. */
static void check_target(const struct target *t)
{
    char text[TARGET_TEXT_MAX];
    struct target again;
    const char *why;
    target_format(t, text);
    if (target_parse(&again, text, &why) != 0 || !target_equal(t, &again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const uint8_t *in = data + 1;
    size_t len = size - 1, cut = data[0] < len ? data[0] : len;
    struct socks5 whole = {.state = SOCKS5_GREETING}, parts = {.state = SOCKS5_GREETING};
    size_t used = feed(&whole, in, len);
    size_t used_parts = feed(&parts, in, cut);
    if (used_parts == cut)
        used_parts += feed(&parts, in + cut, len - cut);
    if (used != used_parts || whole.state != parts.state)
        abort();
    if (whole.state == SOCKS5_DONE) {
        check_target(&whole.target);
        if (!target_equal(&whole.target, &parts.target))
            abort();
    }
    return 0;
}
