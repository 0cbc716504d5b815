/* yamux_peer.c: our yamux on standard input, which is a socket, against yamux_peer.go.
 *
 *     yamux-peer client|server serve
 *     yamux-peer client|server drive SCENARIO
 *
 * What a stream's opener asks for stands in its first line:
 *
 *     echo      sends back what it gets, to the end
 *     sink N    reads nothing until some stream says "release", then N bytes; "ok"
 *     release
 *     pour N    sends N bytes
 *     reset     resets the stream
 *     resets N  "ok" once N streams were seen to be reset
 *     open?     whether a stream can be opened: "yes" or "no" */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fdstream.h"
#include "core/key.h"
#include "core/mem.h"
#include "net/yamux.h"

#define BIG (8u << 20)

struct talk {
    struct stream *s;
    struct talk *next; /* in `held` */
    void (*act)(struct talk *t);
    struct buf line;
    size_t seed;
    size_t to_send, sent; /* bytes of the pattern */
    size_t to_read, read;
    bool half_close; /* after the last byte was sent */
    bool ended;
    const char *answer; /* instead of the pattern */
};

static struct loop *loop;
static struct mux *mux;
static struct talk *held, *curious;
static bool released, driving;
static size_t resets, pending, begun;

static void fail(const char *what)
{
    printf("FAIL: %s\n", what);
    exit(1);
}

static uint8_t pattern(size_t seed, size_t at)
{
    return (uint8_t)((at + seed * 7919) * 2654435761u >> 11);
}

static void check_bytes(struct talk *t, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != (t->answer ? (uint8_t)t->answer[t->read + i] : pattern(t->seed, t->read + i)))
            fail("wrong bytes");
    t->read += len;
}

static void talk_end(struct talk *t, void (*how)(struct stream *s))
{
    how(t->s);
    buf_fini(&t->line);
    free(t);
}

/* What streams do. Each act is called whenever anything has changed. */

static void read_pattern(struct talk *t)
{
    size_t len;
    const uint8_t *p = stream_peek(t->s, &len);
    if (len > t->to_read - t->read)
        fail("more bytes than were asked for");
    check_bytes(t, p, len);
    stream_consume(t->s, len);
}

static void send_pattern(struct talk *t)
{
    uint8_t bytes[32 * 1024];
    size_t room;
    if (t->sent == t->to_send)
        return;
    while ((room = stream_room(t->s)) && t->sent < t->to_send) {
        size_t len = t->to_send - t->sent;
        len = len < room ? len : room;
        len = len < sizeof(bytes) ? len : sizeof(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = pattern(t->seed, t->sent + i);
        stream_write(t->s, bytes, len);
        t->sent += len;
    }
    if (t->sent == t->to_send && t->half_close)
        stream_shutdown(t->s);
}

static void echo(struct talk *t)
{
    size_t len, room;
    const uint8_t *p;
    while ((room = stream_room(t->s)) && (p = stream_peek(t->s, &len))) {
        len = len < room ? len : room;
        stream_write(t->s, p, len);
        stream_consume(t->s, len);
    }
    if (t->ended)
        talk_end(t, stream_close);
}

static void sink(struct talk *t)
{
    if (!released)
        return;
    if (t->read < t->to_read) {
        read_pattern(t);
        if (t->read == t->to_read)
            stream_write(t->s, "ok\n", 3);
    }
    if (t->read == t->to_read)
        talk_end(t, stream_close);
}

static void pour(struct talk *t)
{
    send_pattern(t);
    if (t->sent == t->to_send)
        talk_end(t, stream_close);
}

static void nothing(struct talk *t)
{
    (void)t;
}

static void answer(struct talk *t, const char *text)
{
    stream_write(t->s, text, strlen(text));
    talk_end(t, stream_close);
}

static void answer_resets(struct talk *t)
{
    if (resets >= t->to_read)
        answer(t, "ok\n");
}

static void release(struct talk *t)
{
    released = true;
    talk_end(t, stream_close);
    while (held) {
        struct talk *one = held;
        held = one->next;
        one->act(one);
    }
}

static void answer_open(struct talk *t)
{
    struct stream *s = mux_open(mux);
    stream_close(s);
    answer(t, s ? "yes\n" : "no\n");
}

/* Serving. */

static void begin(struct talk *t)
{
    char word[16] = "";
    unsigned number = 0;
    if (sscanf((const char *)buf_front(&t->line), "%15s %u", word, &number) < 1)
        fail("no command");
    t->seed = 1;
    t->to_read = t->to_send = number;
    t->act = nothing;
    if (!strcmp(word, "echo")) {
        t->act = echo;
    } else if (!strcmp(word, "sink")) {
        t->act = sink;
        if (!released) {
            t->next = held;
            held = t;
        }
    } else if (!strcmp(word, "release")) {
        t->act = release;
    } else if (!strcmp(word, "pour")) {
        t->act = pour;
    } else if (!strcmp(word, "reset")) {
        talk_end(t, stream_reset);
        return;
    } else if (!strcmp(word, "resets")) {
        t->act = answer_resets;
        curious = t;
    } else if (!strcmp(word, "open?")) {
        t->act = answer_open;
    } else {
        fail("an unknown command");
    }
    t->act(t);
}

static void read_command(struct talk *t)
{
    size_t len;
    const uint8_t *p = stream_peek(t->s, &len), *end = p ? memchr(p, '\n', len) : NULL;
    if (end)
        len = (size_t)(end - p);
    buf_append(&t->line, p, len);
    stream_consume(t->s, len + (end ? 1 : 0));
    if (t->line.len > 60)
        fail("a long command");
    if (!end)
        return;
    buf_append(&t->line, "", 1);
    begin(t);
}

static void broke(struct talk *t)
{
    if (stream_error(t->s) != ECONNRESET)
        fail("an error that is not ECONNRESET");
    if (driving)
        fail("a stream was reset");
    resets++;
    talk_end(t, stream_close);
    if (curious && resets >= curious->to_read) {
        t = curious;
        curious = NULL;
        t->act(t);
    }
}

static void on_talk(void *arg, struct stream *s, enum stream_event event)
{
    struct talk *t = arg;
    (void)s;
    if (event == STREAM_ERROR) {
        broke(t);
        return;
    }
    if (event == STREAM_EOF)
        t->ended = true;
    t->act(t);
}

static struct talk *talk_new(struct stream *s, void (*act)(struct talk *t))
{
    struct talk *t = xcalloc(1, sizeof(*t));
    t->s = s;
    t->act = act;
    stream_own(s, on_talk, t);
    return t;
}

static void accepted(void *arg, struct stream *s)
{
    (void)arg;
    talk_new(s, read_command);
}

static void down(void *arg, int error)
{
    (void)arg;
    if (driving || error)
        fail(error ? strerror(error) : "the session ended");
    loop_stop(loop, 0);
}

/* Driving. */

static struct talk *ask(const char *command, void (*act)(struct talk *t))
{
    struct stream *s = mux_open(mux);
    if (!s)
        fail("no stream could be opened");
    stream_write(s, command, strlen(command));
    pending++;
    return talk_new(s, act);
}

static void done(struct talk *t)
{
    pending--;
    talk_end(t, stream_close);
}

static void exchange(struct talk *t)
{
    send_pattern(t);
    read_pattern(t);
    if (t->ended && (t->read < t->to_read || t->sent < t->to_send))
        fail("the stream ended early");
    if (t->ended)
        done(t);
}

static void echoes(size_t n, size_t length)
{
    for (size_t i = 0; i < n; i++) {
        struct talk *t = ask("echo\n", exchange);
        t->seed = i;
        t->to_send = t->to_read = 1 + i * length / n;
        t->half_close = true;
        t->act(t);
    }
}

static void expect_answer(struct talk *t)
{
    send_pattern(t);
    read_pattern(t);
    if (t->ended && t->read < t->to_read)
        fail("no answer");
    if (t->ended)
        done(t);
}

static struct talk *ask_for(const char *command, const char *text)
{
    struct talk *t = ask(command, expect_answer);
    t->answer = text;
    t->to_read = strlen(text);
    return t;
}

/* Each scenario is called again whenever nothing is left to wait for; false: it is over. */

static struct talk *slow;

static bool drive_sink(void)
{
    if (begun == 0) {
        echoes(50, 30000);
        slow = ask_for("sink 8388608\n", "ok\n");
        slow->seed = 1;
        slow->to_send = BIG;
        slow->act(slow);
        pending--;
        return true;
    }
    if (begun == 1) {
        if (slow->sent == BIG)
            fail("8 MiB went through a stream that nobody reads");
        ask_for("release\n", "");
        pending++;
    }
    return begun == 1;
}

static bool drive_pour(void)
{
    if (begun == 0) {
        echoes(50, 30000);
        slow = ask("pour 8388608\n", nothing);
        pending--;
        return true;
    }
    if (begun == 1) {
        pending++;
        slow->seed = 1;
        slow->to_read = BIG;
        slow->act = exchange;
        slow->act(slow);
    }
    return begun == 1;
}

static void reset_early(struct talk *t)
{
    size_t len;
    if (!stream_peek(t->s, &len))
        return;
    pending--;
    talk_end(t, stream_reset);
}

static bool drive_reset(void)
{
    for (size_t i = 0; begun == 0 && i < 10; i++) {
        struct talk *t = ask("echo\n", reset_early);
        t->to_send = BIG;
        send_pattern(t);
    }
    if (begun == 1)
        ask_for("resets 10\n", "ok\n");
    if (begun == 2)
        echoes(1, 10);
    return begun < 3;
}

static void got_some(struct talk *t)
{
    read_pattern(t);
    if (t->read < t->to_read)
        return;
    t->act = nothing;
    pending--;
}

static bool drive_away(void)
{
    static struct talk *open[2];
    if (begun == 0) {
        for (size_t i = 0; i < 2; i++) {
            open[i] = ask("echo\n", got_some);
            open[i]->to_send = open[i]->to_read = 1000;
            send_pattern(open[i]);
        }
        slow = ask_for("", "no\n");
        pending--;
    } else if (begun == 1) {
        mux_go_away(mux);
        if (mux_open(mux) || errno != ECONNABORTED)
            fail("a stream could be opened after go-away");
        stream_write(slow->s, "open?\n", 6);
        for (size_t i = 0; i < 2; i++) {
            open[i]->act = exchange;
            open[i]->to_send = open[i]->to_read = 100000;
            open[i]->half_close = true;
            exchange(open[i]);
        }
        pending += 3;
    }
    return begun < 2;
}

static bool drive_echo(void)
{
    if (begun == 0)
        echoes(1000, 20000);
    return begun == 0;
}

static bool drive_ping(void)
{
    if (begun == 0)
        echoes(20, 200000);
    else if (!yamux_rtt_us(mux))
        fail("the ping was not answered");
    return begun == 0;
}

static bool drive_many(void)
{
    if (begun < 200)
        echoes(100, 100);
    return begun < 200;
}

static bool drive_most(void)
{
    if (begun < 1000)
        echoes(100, 10);
    return begun < 1000;
}

static bool drive_bulk(void)
{
    for (size_t i = 0; begun == 0 && i < 4; i++) {
        struct talk *t = ask("echo\n", exchange);
        t->seed = i;
        t->to_send = t->to_read = BIG;
        t->half_close = true;
        t->act(t);
    }
    return begun == 0;
}

/* The peer takes one and accepts none. */
static void refused(void *arg, struct stream *s, enum stream_event event)
{
    (void)arg;
    if (event != STREAM_ERROR || stream_error(s) != ECONNRESET)
        fail("something else than a reset");
    stream_close(s);
    pending--;
}

static bool drive_backlog(void)
{
    for (int i = 0; begun == 0 && i < 20; i++)
        stream_own(mux_open(mux), refused, NULL);
    if (begun == 0)
        pending = 19;
    return begun == 0;
}

static const struct scenario {
    const char *name;
    bool (*drive)(void);
    size_t left; /* streams that the peer never ends */
} scenarios[] = {
    {"echo", drive_echo, 0},       {"sink", drive_sink, 0}, {"pour", drive_pour, 0},
    {"reset", drive_reset, 0},     {"ping", drive_ping, 0}, {"away", drive_away, 0},
    {"many", drive_many, 0},       {"most", drive_most, 0}, {"bulk", drive_bulk, 0},
    {"backlog", drive_backlog, 1},
};

static int drive(const char *name)
{
    const struct scenario *sc = scenarios;
    while (sc < scenarios + countof(scenarios) && strcmp(sc->name, name) != 0)
        sc++;
    if (sc == scenarios + countof(scenarios))
        fail("no such scenario");
    driving = true;
    for (; sc->drive(); begun++)
        while (pending)
            loop_turn(loop, -1);
    while (mux_count(mux) > sc->left)
        loop_turn(loop, -1);
    mux_free(mux);
    loop_turn(loop, 0);
    loop_free(loop);
    return 0;
}

static int serve(void)
{
    loop_run(loop);
    mux_free(mux);
    loop_turn(loop, 0);
    loop_free(loop);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct mux_events events = {accepted, down};
    if (argc < 3)
        fail("usage: yamux-peer client|server serve|drive [SCENARIO]");
    key_init();
    loop = loop_new();
    struct stream *carrier = fdstream_new(loop, 0, 0);
    mux =
        yamux_new(carrier, strcmp(argv[1], "client") ? YAMUX_SERVER : YAMUX_CLIENT, &events, NULL);
    return strcmp(argv[2], "drive") ? serve() : drive(argv[3]);
}
