#include "applets/service/opener.h"

#include <errno.h>

#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/wire.h"

/* A local client, a peer, and between them what is tried. */
struct desk {
    struct loop *loop;
    struct openers all;
    struct relay_count count;
    struct probe client, peer;
    struct stream *local, *remote;
    struct frame_reader frames;
    unsigned answers;
    int error; /* of the last answer */
};

static void open_desk(struct desk *d)
{
    struct stream *ends[2];
    *d = (struct desk){.loop = loop_new(), .error = -1};
    wire_new(d->loop, 4096, 65536, ends);
    d->local = ends[0];
    probe_own(&d->client, ends[1]);
    wire_new(d->loop, 4096, 65536, ends);
    d->remote = ends[0];
    probe_own(&d->peer, ends[1]);
}

static void close_desk(struct desk *d)
{
    probe_fini(&d->client);
    probe_fini(&d->peer);
    frame_reader_fini(&d->frames);
    for (int i = 0; i < 4; i++)
        loop_turn(d->loop, 0);
    CHECK_INT(d->count.open, 0);
    CHECK(!d->all.first);
    loop_free(d->loop);
}

static void answered(void *arg, struct stream *local, int error)
{
    struct desk *d = arg;
    d->answers++;
    d->error = error;
    stream_write(local, error ? "no." : "yes.", error ? 3 : 4);
    if (error)
        stream_close(local);
}

static void begin(struct desk *d, bool early, bool told)
{
    struct opening o = {.local = d->local,
                        .remote = d->remote,
                        .request = draft_of(MSG_DIAL),
                        .count = &d->count,
                        .answered = told ? answered : NULL,
                        .arg = d,
                        .early = early};
    draft_str(&o.request, "target", "there:80");
    opener_start(&d->all, &o);
    CHECK_INT(d->count.open, 1);
}

/* The request, taken from what the peer has got. */
static void expect_request(struct desk *d)
{
    struct frame f;
    struct message m;
    const char *why;
    enum frame_status status = FRAME_MORE;
    for (int i = 0; i < 100 && status == FRAME_MORE; i++) {
        size_t len = d->peer.got.len;
        status = frame_feed(&d->frames, buf_front(&d->peer.got), &len, &f);
        buf_consume(&d->peer.got, len);
        if (status == FRAME_MORE)
            loop_turn(d->loop, 100);
    }
    CHECK_INT(status, FRAME_READY);
    if (status != FRAME_READY || message_parse(&m, f.payload, f.len, &why) < 0)
        return;
    CHECK_INT(m.type, MSG_DIAL);
    CHECK_STR(json_get_str(m.body, "target"), "there:80");
    message_fini(&m);
}

TEST(opener_joins_both_ways)
{
    struct desk d;
    open_desk(&d);
    begin(&d, true, true);
    stream_write(d.client.s, "early", 5);
    expect_request(&d);
    TURN_UNTIL(d.loop, probe_got(&d.peer, "early"));
    CHECK_INT(d.answers, 0);
    message_send(d.peer.s, MSG_OK);
    stream_write(d.peer.s, "hello", 5);
    TURN_UNTIL(d.loop, probe_got(&d.client, "yes.hello"));
    CHECK_INT(d.error, 0);
    CHECK_INT(d.count.open, 1);
    stream_shutdown(d.client.s);
    TURN_UNTIL(d.loop, d.peer.eofs);
    CHECK_INT(d.client.eofs, 0);
    stream_write(d.peer.s, "late", 4);
    stream_shutdown(d.peer.s);
    TURN_UNTIL(d.loop, d.client.eofs && probe_got(&d.client, "yes.hellolate"));
    CHECK_INT(d.answers, 1);
    CHECK_INT(d.count.up_bytes, 5);
    CHECK_INT(d.count.down_bytes, 9);
    close_desk(&d);
}

TEST(opener_holds_back_what_may_not_be_early)
{
    struct desk d;
    open_desk(&d);
    begin(&d, false, false);
    stream_write(d.client.s, "patient", 7);
    stream_shutdown(d.client.s);
    expect_request(&d);
    for (int i = 0; i < 5; i++)
        loop_turn(d.loop, 0);
    CHECK_INT(d.peer.got.len, 0);
    CHECK_INT(d.peer.eofs, 0);
    message_send(d.peer.s, MSG_OK);
    TURN_UNTIL(d.loop, d.peer.eofs && probe_got(&d.peer, "patient"));
    close_desk(&d);
}

TEST(opener_passes_an_early_end)
{
    struct desk d;
    open_desk(&d);
    stream_write(d.client.s, "all of it", 9);
    stream_shutdown(d.client.s);
    begin(&d, true, false);
    expect_request(&d);
    TURN_UNTIL(d.loop, d.peer.eofs && probe_got(&d.peer, "all of it"));
    message_send(d.peer.s, MSG_OK);
    stream_write(d.peer.s, "answer", 6);
    stream_shutdown(d.peer.s);
    TURN_UNTIL(d.loop, d.client.eofs && probe_got(&d.client, "answer"));
    close_desk(&d);
}

TEST(opener_refused_is_a_reset)
{
    struct desk d;
    open_desk(&d);
    begin(&d, true, false);
    expect_request(&d);
    message_send_error(d.peer.s, ERR_CONNECTION_REFUSED, "nobody");
    TURN_UNTIL(d.loop, d.client.errors && d.peer.errors);
    CHECK_INT(d.client.error, ECONNRESET);
    close_desk(&d);
}

TEST(opener_tells_why_it_was_refused)
{
    static const struct {
        const char *payload; /* NULL: a frame that is none */
        int error;
    } rows[] = {
        {"{\"type\":\"Error\",\"code\":\"ConnectionRefused\"}", ECONNREFUSED},
        {"{\"type\":\"Error\",\"code\":\"SomethingElse\"}", EIO},
        {"{\"type\":\"Error\"}", EPROTO},
        {"{\"type\":\"Pong\"}", EPROTO},
        {"{\"type\":", EPROTO},
        {NULL, EPROTO},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct desk d;
        open_desk(&d);
        begin(&d, true, true);
        expect_request(&d);
        if (rows[i].payload)
            frame_write(d.peer.s, rows[i].payload, strlen(rows[i].payload));
        else
            stream_write(d.peer.s, "\377\377\377\377", 4);
        TURN_UNTIL(d.loop, d.peer.errors && d.client.eofs);
        CHECK_INT(d.error, rows[i].error);
        CHECK(probe_got(&d.client, "no."));
        CHECK_INT(d.answers, 1);
        close_desk(&d);
    }
}

TEST(opener_passes_resets_on)
{
    for (int joined = 0; joined < 2; joined++) {
        for (int by_peer = 0; by_peer < 2; by_peer++) {
            struct desk d;
            open_desk(&d);
            begin(&d, true, false);
            expect_request(&d);
            if (joined) {
                message_send(d.peer.s, MSG_OK);
                stream_write(d.peer.s, "x", 1);
                TURN_UNTIL(d.loop, probe_got(&d.client, "x"));
            }
            struct probe *from = by_peer ? &d.peer : &d.client, *to = by_peer ? &d.client : &d.peer;
            stream_reset(from->s);
            from->s = NULL;
            TURN_UNTIL(d.loop, to->errors);
            close_desk(&d);
        }
    }
}

TEST(opener_without_an_answer)
{
    struct desk d;
    open_desk(&d);
    begin(&d, true, true);
    expect_request(&d);
    stream_shutdown(d.peer.s);
    TURN_UNTIL(d.loop, d.answers);
    CHECK_INT(d.error, ECONNRESET);
    close_desk(&d);
}

TEST(opener_abort)
{
    for (int joined = 0; joined < 2; joined++) {
        struct desk d;
        open_desk(&d);
        begin(&d, true, true);
        expect_request(&d);
        if (joined) {
            message_send(d.peer.s, MSG_OK);
            TURN_UNTIL(d.loop, probe_got(&d.client, "yes."));
        }
        openers_abort(&d.all);
        CHECK_INT(d.count.open, 0);
        CHECK_INT(d.answers, joined);
        TURN_UNTIL(d.loop, d.client.errors && d.peer.errors);
        close_desk(&d);
    }
}
