/* One request after the other on a stream. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/service_rig.h"

static void count(void *arg)
{
    (*(int *)arg)++;
}

/* `over` counts the streams that are done with. */
static void repeat_init(struct rig *g, int *over)
{
    rig_init(g);
    *over = 0;
    g->sv.repeated = true;
    g->sv.owner = over;
    g->sv.over = count;
}

static void until_over(struct rig *g, const int *over)
{
    rig_patience();
    while (!*over && rig_turn(g))
        ;
    CHECK(*over);
}

TEST(service_repeat_answers_in_order)
{
    struct rig g;
    int over;
    repeat_init(&g, &over);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"echo one\"}");
    rig_send_message(&g, "{\"type\":\"Ping\"}");
    rig_send_message(&g, "{\"type\":\"Exec\",\"command\":\"echo two\"}");
    CHECK_STR(json_get_str(rig_expect(&g, MSG_EXEC_RESULT), "stdout"), "one\n");
    rig_expect(&g, MSG_PONG);
    CHECK_STR(json_get_str(rig_expect(&g, MSG_EXEC_RESULT), "stdout"), "two\n");
    CHECK_INT(over, 0);
    rig_close(&g);
    until_over(&g, &over);
    rig_fini(&g);
}

TEST(service_repeat_goes_on_after_an_error)
{
    struct rig g;
    int over;
    repeat_init(&g, &over);
    rig_open(&g, "{\"type\":\"Exec\"}");
    rig_expect(&g, MSG_ERROR);
    rig_send_message(&g, "{\"type\":\"Listing\"}");
    rig_expect(&g, MSG_ERROR);
    rig_send_message(&g, "{\"type\":\"Ping\"}");
    rig_expect(&g, MSG_PONG);
    rig_close(&g);
    until_over(&g, &over);
    rig_fini(&g);
}

TEST(service_repeat_ends_after_what_is_no_request)
{
    static const char *const bad[] = {"{\"type\":\"Nonsense\"}", "{\"type\":", "x"};
    struct rig g;
    int over;
    repeat_init(&g, &over);
    for (size_t i = 0; i < countof(bad); i++) {
        rig_open(&g, "%s", bad[i]);
        rig_send_message(&g, "{\"type\":\"Ping\"}");
        rig_expect_error(&g, ERR_INVALID_REQUEST);
    }
    rig_fini(&g);
}

TEST(service_repeat_ends_after_a_request_with_a_body)
{
    struct rig g;
    int over;
    repeat_init(&g, &over);
    rig_write_file(rig_path(&g, "f"), "text");
    rig_open(&g, "{\"type\":\"Ping\"}");
    rig_expect(&g, MSG_PONG);
    rig_send_message(&g, "{\"type\":\"FileGet\",\"path\":\"%s\"}", rig_path(&g, "f"));
    rig_expect(&g, MSG_FILE_INFO);
    CHECK(rig_bytes(&g, 4));
    CHECK(memcmp(buf_front(&g.got), "text", 4) == 0);
    buf_consume(&g.got, 4);
    rig_expect_end(&g);
    rig_fini(&g);
}

/* An opener that ends its side gets what it asked for before. */
TEST(service_repeat_half_closed)
{
    struct rig g;
    int over;
    repeat_init(&g, &over);
    rig_open(&g, "{\"type\":\"Ping\"}");
    rig_send_message(&g, "{\"type\":\"Ping\"}");
    shutdown(g.fd, SHUT_WR);
    rig_expect(&g, MSG_PONG);
    rig_expect(&g, MSG_PONG);
    rig_expect_end(&g);
    until_over(&g, &over);
    rig_fini(&g);
}

TEST(service_repeat_half_a_request)
{
    struct rig g;
    int over;
    repeat_init(&g, &over);
    rig_open(&g, "{\"type\":\"Ping\"}");
    rig_expect(&g, MSG_PONG);
    rig_send(&g, "\0\0\0", 3);
    shutdown(g.fd, SHUT_WR);
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST), "bad request: it ended half-way");
    until_over(&g, &over);
    rig_fini(&g);
}

/* Whoever asks and asks and reads nothing is held up, and costs no more than one answer. */
TEST(service_repeat_is_held_up_by_one_who_does_not_read)
{
    char request[64];
    uint8_t frame[4 + sizeof request] = {0};
    struct rig g;
    int over;
    size_t sent = 0, n;
    repeat_init(&g, &over);
    frame[3] = (uint8_t)snprintf(request, sizeof request, "{\"type\":\"Exec\",\"command\":\"%s\"}",
                                 "head -c 100000 /dev/zero");
    memcpy(frame + 4, request, frame[3]);
    rig_connect(&g);
    g.ceiling = 0;
    while ((n = rig_send_some(&g, frame, 4 + (size_t)frame[3])) > 0)
        sent += n;
    CHECK(sent > 100 * sizeof frame);
    rig_patience();
    while (!g.sv.requests->again || stream_room(g.sv.requests->stream) > 0)
        if (!rig_turn(&g))
            break;
    for (int i = 0; i < 100; i++)
        loop_turn(g.loop, 1);
    CHECK(fdstream_unsent(g.sv.requests->stream) < 1u << 20);
    rig_fini(&g);
}

static void send_text(struct rig *g, const char *text)
{
    rig_send(g, text, strlen(text));
}

TEST(service_repeat_frame_limit)
{
    static const uint8_t header[] = {0, 0x50, 0, 0}; /* 5 MiB */
    cleanup_free char *text = xmalloc(5u << 20);
    struct rig g;
    int over;
    repeat_init(&g, &over);
    rig_connect(&g);
    rig_send(&g, header, sizeof header);
    rig_expect_error(&g, ERR_INVALID_REQUEST);
    g.sv.frame_limit = 16u << 20;
    memset(text, ' ', 5u << 20);
    rig_connect(&g);
    rig_send(&g, header, sizeof header);
    send_text(&g, "{\"type\":\"Ping\"");
    rig_send(&g, text, (5u << 20) - 15);
    send_text(&g, "}");
    rig_expect(&g, MSG_PONG);
    rig_fini(&g);
}

/* A command for somebody who has gone, with more asked for behind it. */
TEST(service_repeat_hears_of_who_has_gone)
{
    struct rig g;
    struct lifeline line;
    int over;
    repeat_init(&g, &over);
    lifeline_init(&g, &line, rig_path(&g, "line"));
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"exec 9>%s; >%s; sleep 1000\"}",
             rig_path(&g, "line"), rig_path(&g, "started"));
    rig_send_message(&g, "{\"type\":\"Ping\"}");
    rig_patience();
    while (access(rig_path(&g, "started"), F_OK) != 0 && rig_turn(&g))
        ;
    rig_close(&g);
    until_over(&g, &over);
    rig_patience();
    while (!line.cut && rig_turn(&g))
        ;
    CHECK(line.cut);
    lifeline_fini(&line);
    rig_fini(&g);
}

/* The first answer finds nobody: the others are not looked for. */
TEST(service_repeat_ends_when_nobody_reads)
{
    struct rig g;
    int over;
    repeat_init(&g, &over);
    rig_open(&g, "{\"type\":\"Exec\",\"command\":\"echo x >>%s\"}", rig_path(&g, "ran"));
    for (int i = 0; i < 50; i++)
        rig_send_message(&g, "{\"type\":\"Exec\",\"command\":\"echo x >>%s\"}",
                         rig_path(&g, "ran"));
    rig_close(&g);
    until_over(&g, &over);
    struct stat st = {0};
    stat(rig_path(&g, "ran"), &st);
    CHECK(st.st_size < 10);
    rig_fini(&g);
}

/* An answer that its opener leaves where it is. */
static void leave_unread(struct rig *g, const char *request)
{
    rig_connect(g);
    g->ceiling = 0;
    rig_send_message(g, "%s", request);
    rig_patience();
    while (stream_room(g->sv.requests->stream) > 0 && rig_turn(g))
        ;
    CHECK_INT(stream_room(g->sv.requests->stream), 0);
}

TEST(service_stall_limit)
{
    static const char *const types[] = {"FileRead", "FileGet"};
    struct rig g;
    int over;
    repeat_init(&g, &over);
    g.sv.stall_ms = 40;
    rig_write_file(rig_path(&g, "f"), "");
    CHECK_INT(truncate(rig_path(&g, "f"), 2 << 20), 0);
    for (size_t i = 0; i < countof(types); i++) {
        cleanup_free char *request =
            xasprintf("{\"type\":\"%s\",\"path\":\"%s\"}", types[i], rig_path(&g, "f"));
        over = 0;
        leave_unread(&g, request);
        until_over(&g, &over);
        CHECK(g.sv.requests == NULL);
    }
    rig_fini(&g); /* nothing is left open */
}

/* A terminal that somebody has paused. */
TEST(service_stall_limit_is_not_for_commands)
{
    struct rig g;
    int over;
    repeat_init(&g, &over);
    g.sv.stall_ms = 40;
    leave_unread(&g, "{\"type\":\"ExecStream\",\"command\":\"head -c 3000000 /dev/zero; echo\"}");
    uint64_t start = loop_now_ms(g.loop);
    while (loop_now_ms(g.loop) < start + 200)
        loop_turn(g.loop, 50);
    CHECK_INT(over, 0);
    g.ceiling = SIZE_MAX;
    rig_expect(&g, MSG_STARTED);
    cleanup_free char *text = rig_output(&g, NULL);
    CHECK_INT(g.message.type, MSG_EXITED);
    rig_fini(&g);
}
