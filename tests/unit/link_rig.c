/* link_rig.c: a link whose other end is played by hand. */
#include "tests/unit/link_rig.h"

#include "core/mem.h"
#include "tests/unit/wire.h"

const uint8_t link_rig_session[SESSION_LEN] = "sixteen bytes ..";

static void noted(void *arg, struct link *l, enum link_event event)
{
    struct link_rig *r = arg;
    CHECK(l == r->l);
    size_t len = strlen(r->events);
    if (len + 1 < sizeof(r->events))
        r->events[len] = "UDL"[event];
    if (r->then && event == r->on)
        r->then(r);
}

void link_rig_init(struct link_rig *r)
{
    *r = (struct link_rig){.loop = loop_new()};
    r->l = link_new(r->loop, link_rig_session, noted, r);
    probe_own(&r->owner, link_stream(r->l));
}

void link_rig_attach(struct link_rig *r, const struct link_hello *hello)
{
    struct stream *ends[2];
    wire_new(r->loop, 16384, 1 << 20, ends);
    probe_fini(&r->peer);
    probe_own(&r->peer, ends[1]);
    link_attach(r->l, ends[0], hello);
}

void link_rig_up(struct link_rig *r, uint64_t received)
{
    size_t before = strlen(r->events);
    link_rig_attach(r, NULL);
    link_rig_hears_hello(r, r->l->received);
    link_rig_hello(r, link_rig_session, received);
    TURN_UNTIL(r->loop, strlen(r->events) > before);
    CHECK(link_is_up(r->l));
}

void link_rig_fini(struct link_rig *r)
{
    probe_fini(&r->owner);
    link_free(r->l);
    probe_fini(&r->peer);
    for (int i = 0; i < 3; i++)
        loop_turn(r->loop, 0);
    loop_free(r->loop);
}

void link_rig_say(struct link_rig *r, const void *bytes, size_t len)
{
    stream_write(r->peer.s, bytes, len);
}

void link_rig_hello(struct link_rig *r, const uint8_t *session, uint64_t received)
{
    struct link_hello hello = {.received = received};
    uint8_t bytes[LINK_HELLO_LEN];
    memcpy(hello.session, session, SESSION_LEN);
    link_put_hello(bytes, &hello);
    link_rig_say(r, bytes, sizeof(bytes));
}

void link_rig_data(struct link_rig *r, const char *text)
{
    uint8_t head[LINK_DATA_LEN];
    link_put_data(head, (uint32_t)strlen(text));
    link_rig_say(r, head, sizeof(head));
    link_rig_say(r, text, strlen(text));
}

void link_rig_ack(struct link_rig *r, uint64_t received)
{
    uint8_t bytes[LINK_ACK_LEN];
    link_put_ack(bytes, received);
    link_rig_say(r, bytes, sizeof(bytes));
}

static void hears(struct link_rig *r, const void *bytes, size_t len)
{
    TURN_UNTIL(r->loop, r->peer.got.len >= len);
    if (r->peer.got.len < len)
        return;
    CHECK(!memcmp(buf_front(&r->peer.got), bytes, len));
    buf_consume(&r->peer.got, len);
}

void link_rig_hears_hello(struct link_rig *r, uint64_t received)
{
    struct link_hello hello = {.received = received};
    uint8_t bytes[LINK_HELLO_LEN];
    memcpy(hello.session, link_rig_session, SESSION_LEN);
    link_put_hello(bytes, &hello);
    hears(r, bytes, sizeof(bytes));
}

void link_rig_hears_data(struct link_rig *r, const char *text)
{
    uint8_t head[LINK_DATA_LEN];
    link_put_data(head, (uint32_t)strlen(text));
    hears(r, head, sizeof(head));
    hears(r, text, strlen(text));
}

void link_rig_hears_ack(struct link_rig *r, uint64_t received)
{
    uint8_t bytes[LINK_ACK_LEN];
    link_put_ack(bytes, received);
    hears(r, bytes, sizeof(bytes));
}
