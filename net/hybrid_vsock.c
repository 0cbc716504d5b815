#include "net/hybrid_vsock.h"

#include <stdio.h>
#include <string.h>

static const char begins[] = "OK ";

void hybrid_ask(struct stream *s, uint32_t port)
{
    char line[sizeof "CONNECT 4294967295\n"];
    int len = snprintf(line, sizeof line, "CONNECT %u\n", port);
    stream_write(s, line, (size_t)len);
}

static enum hybrid_status judge(const struct hybrid_answer *a)
{
    size_t known = sizeof begins - 1;
    if (memcmp(a->line, begins, a->len < known ? a->len : known) != 0)
        return HYBRID_BAD;
    if (a->len && a->line[a->len - 1] == '\n')
        return HYBRID_OK;
    return a->len < HYBRID_LINE_MAX ? HYBRID_MORE : HYBRID_BAD;
}

enum hybrid_status hybrid_feed(struct hybrid_answer *a, const uint8_t *in, size_t *len)
{
    enum hybrid_status status = HYBRID_MORE;
    size_t given = *len;
    for (*len = 0; *len < given && status == HYBRID_MORE; ++*len) {
        a->line[a->len++] = (char)in[*len];
        status = judge(a);
    }
    return status;
}

enum hybrid_status hybrid_read(struct hybrid_answer *a, struct stream *s)
{
    size_t len;
    const uint8_t *in = stream_peek(s, &len);
    enum hybrid_status status = hybrid_feed(a, in, &len);
    stream_consume(s, len);
    return status;
}
