/* A TLS server told anything, and a client and a server between whom everything may happen.
 *
 * The first byte says which: STRANGER: the rest is what comes to a server, in pieces: u8 n | n bytes.
 * PAIR: a client of ours speaks to it, and the rest is a script, one step a byte:
 *     what to do (low 3 bits), by which of the two (bit 3), how much (the high 4 bits) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/key.h"
#include "core/mem.h"
#include "net/tls.h"

#define HELD_MAX 16384

struct side {
    struct stream carrier;
    struct buf out;   /* what it has sent */
    struct stream *s; /* NULL: the owner has closed it */
    size_t room;
    uint8_t spoken, heard; /* bytes counted, modulo 256: they are sent in that order */
    bool lazy, ended;
};

static struct loop *loop;
static struct tls_server *server;
static uint8_t pin[SHA256_LEN];
static struct side sides[2];
static bool changed; /* somebody else has had a hand in it */

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* ---- what carries it ---- */

static size_t room(const struct stream *s)
{
    return ((const struct side *)(const void *)s)->room;
}

static void put(struct stream *s, const struct iovec *iov, int n)
{
    struct side *side = container_of(s, struct side, carrier);
    for (int i = 0; i < n; i++)
        buf_append(&side->out, iov[i].iov_base, iov[i].iov_len);
}

static void consumed(struct stream *s, size_t len)
{
    (void)s, (void)len;
}

static void shut(struct stream *s)
{
    (void)s;
}

static const struct stream_ops ops = {
    .room = room,
    .writev = put,
    .consumed = consumed,
    .shutdown = shut,
    .close = stream_fini,
    .reset = stream_fini,
};

/* ---- the owners ---- */

/* Nothing is heard but what was said, in its order. */
static void hear(struct side *side, size_t most)
{
    size_t len;
    const uint8_t *p = stream_peek(side->s, &len);
    require(len <= HELD_MAX);
    len = len < most ? len : most;
    for (size_t i = 0; i < len; i++)
        require(p[i] == side->heard++);
    stream_consume(side->s, len);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    struct side *side = arg;
    require(side->s == s);
    if (event == STREAM_DATA && !side->lazy)
        hear(side, SIZE_MAX);
    side->ended |= event == STREAM_EOF;
    if (event != STREAM_ERROR)
        return;
    require(stream_error(s) && tls_reason(s));
    side->s = NULL;
    stream_close(s);
}

static void speak(struct side *side, size_t len)
{
    uint8_t bytes[40000];
    len = len < sizeof(bytes) ? len : sizeof(bytes);
    if (!side->s || !stream_room(side->s))
        return;
    for (size_t i = 0; i < len; i++)
        bytes[i] = side->spoken++;
    stream_write(side->s, bytes, len);
}

static void carry(struct side *from, struct side *to, size_t most)
{
    size_t len = from->out.len < most ? from->out.len : most;
    if (!len)
        return;
    uint8_t *copy = memcpy(xmalloc(len), buf_front(&from->out), len);
    buf_consume(&from->out, len);
    stream_deliver(&to->carrier, copy, len);
    free(copy);
}

static void let_go(struct side *side, void (*how)(struct stream *s))
{
    struct stream *s = side->s;
    side->s = NULL;
    how(s);
}

static void step(uint8_t what)
{
    struct side *side = &sides[what >> 3 & 1], *other = &sides[!(what >> 3 & 1)];
    size_t much = what >> 4;
    switch (what & 7) {
    case 0: carry(side, other, SIZE_MAX); break;
    case 1: carry(side, other, 1 + much * much * 3); break;
    case 2: speak(side, much * much * 150 + 1); break;
    case 3:
        side->lazy = much % 2;
        if (side->s && !side->lazy)
            hear(side, much > 8 ? much : SIZE_MAX);
        break;
    case 4:
        if (side->s && much > 12)
            let_go(side, much == 15 ? stream_reset : stream_close);
        else if (side->s && much > 9)
            stream_shutdown(side->s);
        break;
    case 5:
        if (!side->out.len)
            break;
        changed = true;
        buf_front(&side->out)[much * 7 % side->out.len] ^= (uint8_t)(1 << much % 8);
        break;
    case 6:
        side->room = much * 4000;
        if (much)
            stream_deliver_drained(&side->carrier);
        break;
    default: loop_turn(loop, 0); break;
    }
}

/* ---- */

static void begin(bool pair)
{
    const struct tls_peer peer = {.host = "localhost", .pin = pin};
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct side){.room = SIZE_MAX};
        stream_init(&sides[i].carrier, &ops, loop);
    }
    changed = false;
    sides[0].s = tls_accept(server, &sides[0].carrier);
    stream_own(sides[0].s, on_event, &sides[0]);
    if (!pair)
        return;
    sides[1].s = tls_connect(&peer, &sides[1].carrier);
    stream_own(sides[1].s, on_event, &sides[1]);
}

static void end(void)
{
    if (sides[0].ended && sides[1].ended && !changed)
        require(sides[0].heard == sides[1].spoken && sides[1].heard == sides[0].spoken);
    for (int i = 0; i < 2; i++) {
        if (sides[i].out.len % 2)
            stream_deliver_eof(&sides[!i].carrier);
        loop_turn(loop, 0);
        if (sides[i].s)
            let_go(&sides[i], stream_reset);
    }
    loop_turn(loop, 0);
    loop_free(loop);
    for (int i = 0; i < 2; i++) {
        stream_fini(&sides[i].carrier);
        buf_fini(&sides[i].out);
    }
}

static void tell_stranger(const uint8_t *p, size_t len)
{
    while (len) {
        size_t n = p[0] < len - 1 ? p[0] : len - 1;
        uint8_t *copy = memcpy(xmalloc(n + 1), p + 1, n);
        stream_deliver(&sides[0].carrier, copy, n);
        free(copy);
        loop_turn(loop, 0);
        p += n + 1;
        len -= n + 1;
    }
    require(!sides[0].heard);
}

static void make_server(void)
{
    static const char *const names[] = {"localhost"};
    char path[] = "/tmp/berth-tls-fuzz-XXXXXX", *why = NULL;
    key_init();
    if (!mkdtemp(path))
        abort();
    cleanup_free char *file = xasprintf("%s/own.pem", path);
    server = tls_server_self_signed(file, names, 1, &why);
    require(server != NULL);
    tls_server_fingerprint(server, pin);
    unlink(file);
    rmdir(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!server)
        make_server();
    if (!len)
        return 0;
    loop = loop_new();
    begin(data[0] % 2);
    if (data[0] % 2) {
        if (data[0] & 2)
            for (int i = 0; i < 12; i++) /* shake hands, before the script begins */
                step(i % 3 == 2 ? 7 : (uint8_t)(i % 3 << 3));
        for (size_t i = 1; i < len && i < 400; i++)
            step(data[i]);
    } else {
        tell_stranger(data + 1, len - 1);
    }
    end();
    return 0;
}
