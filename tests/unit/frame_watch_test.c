/* Messages found among frames that pass by in pieces. */
#include "applets/broker/frame_watch.h"

#include <stdio.h>

#include "tests/unit/test.h"

struct heard {
    char names[256];
};

static void on_message(void *arg, const struct message *m)
{
    struct heard *h = arg;
    size_t len = strlen(h->names);
    snprintf(h->names + len, sizeof h->names - len, "%s ", message_name(m->type));
}

static void put_frame(struct buf *b, const char *payload, size_t len)
{
    const uint8_t header[4] = {0, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    buf_append(b, header, 4);
    buf_append(b, payload, len);
}

static void put_text(struct buf *b, const char *payload)
{
    put_frame(b, payload, strlen(payload));
}

TEST(frame_watch_finds_messages_in_pieces_of_any_size)
{
    struct buf all = {0};
    put_text(&all, "{\"type\":\"Started\",\"pid\":1}");
    put_text(&all, "\1{\"type\":\"Ping\"}");
    put_frame(&all, "\2", 1);
    put_text(&all, "{\"type\":\"Exited\",\"exit_code\":0}");
    for (size_t piece = 1; piece <= all.len; piece++) {
        struct frame_watch w = {0};
        struct heard h = {""};
        for (size_t at = 0; at < all.len; at += piece) {
            size_t n = all.len - at < piece ? all.len - at : piece;
            CHECK_INT(frame_watch(&w, buf_front(&all) + at, n, on_message, &h), 0);
        }
        CHECK_STR(h.names, "Started Exited ");
        CHECK(frame_watch_is_between(&w));
        frame_watch_fini(&w);
    }
    buf_fini(&all);
}

TEST(frame_watch_refuses_what_are_no_frames)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\0\0\0\0", 4},                      /* empty */
        {"\0\x40\0\1", 4},                    /* over the limit */
        {"\0\0\0\2{}", 6},                    /* no type */
        {"\0\0\0\1{", 5},                     /* no JSON */
        {"\0\1\0\1{", 5},                     /* a message that is too long */
        {"\0\0\0\x0f{\"type\":\"Pung\"}", 19} /* no such type */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct frame_watch w = {0};
        struct heard h = {""};
        CHECK_INT(frame_watch(&w, (const uint8_t *)bad[i].bytes, bad[i].len, on_message, &h), -1);
        CHECK_STR(h.names, "");
        frame_watch_fini(&w);
    }
}

TEST(frame_watch_keeps_nothing_of_data)
{
    struct frame_watch w = {0};
    struct heard h = {""};
    static const uint8_t zeros[100000];
    CHECK_INT(frame_watch(&w, (const uint8_t *)"\0\x40\0\0\1", 5, on_message, &h), 0);
    CHECK_INT(frame_watch(&w, zeros, sizeof zeros, on_message, &h), 0);
    CHECK_INT(w.text.cap, 0);
    CHECK(!frame_watch_is_between(&w));
    frame_watch_fini(&w);
}
