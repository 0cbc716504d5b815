#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/service/signal_name.h"
#include "core/mem.h"
#include "tests/unit/service_rig.h"

static int64_t number(const struct json_value *body, const char *key)
{
    int64_t n = INT64_MIN;
    CHECK_INT(json_get_int(body, key, &n), 1);
    return n;
}

/* g->message has to be Exited, and nothing may follow. */
static void expect_exited(struct rig *g, int exit_code, const char *signal)
{
    const struct json_value *body = g->message.body;
    CHECK_INT(g->message.type, MSG_EXITED);
    CHECK_INT(number(body, "exit_code"), exit_code);
    CHECK(number(body, "duration_ms") >= 0);
    if (signal)
        CHECK_STR(json_get_str(body, "signal"), signal);
    else
        CHECK(!json_get(body, "signal"));
    rig_expect_end(g);
}

/* Its process id. */
static pid_t run(struct rig *g, const char *fields)
{
    rig_open(g, "{\"type\":\"ExecStream\",%s}", fields);
    int64_t pid = number(rig_expect(g, MSG_STARTED), "pid");
    CHECK(pid > 1);
    return pid > 1 ? (pid_t)pid : 0;
}

static void send_signal(pid_t pid, int signo)
{
    CHECK_INT(pid > 1 ? kill(pid, signo) : -1, 0);
}

static bool stopped(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

TEST(exec_stream_output)
{
    struct rig g;
    char *err;
    rig_init(&g);
    run(&g, "\"command\":\"cat; echo out; echo err >&2; exit 9\"");
    cleanup_free char *out = rig_output(&g, &err);
    CHECK_STR(out, "out\n");
    CHECK_STR(err, "err\n");
    expect_exited(&g, 9, NULL);
    free(err);
    rig_fini(&g);
}

TEST(exec_stream_killed)
{
    struct rig g;
    rig_init(&g);
    run(&g, "\"command\":\"echo x; kill -KILL $$\"");
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK_STR(out, "x\n");
    expect_exited(&g, 128 + SIGKILL, "KILL");
    rig_fini(&g);
}

TEST(exec_stream_signal_names)
{
    char number_text[SIGNAL_NAME_MAX];
    CHECK_STR(signal_name(SIGHUP, number_text), "HUP");
    CHECK_STR(signal_name(SIGSEGV, number_text), "SEGV");
    CHECK_STR(signal_name(SIGSYS, number_text), "SYS");
    CHECK_STR(signal_name(64, number_text), "64");
    CHECK_STR(signal_name(0, number_text), "0");
}

TEST(exec_stream_refused)
{
    struct rig g;
    rig_init(&g);
    rig_open(&g, "{\"type\":\"ExecStream\",\"command\":\"no-such-program\",\"args\":[\"x\"]}");
    CHECK_STR(rig_expect_error(&g, ERR_NOT_FOUND), "no-such-program: command not found");
    rig_open(&g, "{\"type\":\"ExecStream\",\"command\":\"id\",\"env\":{\"PATH\":\"/\"}}");
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST), "env: PATH cannot be set");
    rig_fini(&g);
}

TEST(exec_stream_input)
{
    struct rig g;
    rig_init(&g);
    run(&g, "\"command\":\"cat\",\"stdin\":true");
    rig_send_data(&g, CHANNEL_STDIN, "one ", 4);
    rig_send_data(&g, CHANNEL_STDIN, "two", 3);
    struct frame f = rig_frame(&g);
    CHECK(f.len > 1 && f.payload[0] == CHANNEL_STDOUT);
    size_t seen = f.len > 1 ? f.len - 1 : 0;
    rig_send_data(&g, CHANNEL_STDIN, "", 0);
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK_INT(seen + strlen(out), 7);
    expect_exited(&g, 0, NULL);
    rig_fini(&g);
}

/* Where there is no standard input, or it was closed, what is sent for it holds nothing up. */
TEST(exec_stream_input_unwanted)
{
    static char much[1500000];
    static const char *const fields[] = {
        "\"command\":\"cat; exec sleep 1000\"",
        "\"command\":\"exec <&-; exec sleep 1000\",\"stdin\":true",
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(fields); i++) {
        pid_t pid = run(&g, fields[i]);
        rig_send_data(&g, CHANNEL_STDIN, much, sizeof much);
        rig_send_data(&g, CHANNEL_STDIN, much, sizeof much);
        send_signal(pid, SIGTERM);
        free(rig_output(&g, NULL));
        expect_exited(&g, 128 + SIGTERM, "TERM");
    }
    rig_fini(&g);
}

/* Frames after standard input's end are still read, and so is the opener's end. */
TEST(exec_stream_after_input_ended)
{
    struct rig g;
    rig_init(&g);
    run(&g, "\"command\":\"cat; sleep 1000\",\"stdin\":true");
    rig_send_data(&g, CHANNEL_STDIN, "", 0);
    rig_send_data(&g, CHANNEL_STDIN, "more", 4);
    rig_close(&g);
    rig_patience();
    while (g.sv.requests && rig_turn(&g))
        ;
    CHECK(!g.sv.requests);
    rig_fini(&g);
}

/* Tells that an output was closed before the command ends. */
TEST(exec_stream_output_closed)
{
    struct rig g;
    rig_init(&g);
    run(&g, "\"command\":\"exec >&-; read x; exit 5\",\"stdin\":true");
    struct frame f = rig_frame(&g);
    CHECK(f.len == 1 && f.payload[0] == CHANNEL_STDOUT);
    rig_send_data(&g, CHANNEL_STDIN, "\n", 1);
    f = rig_frame(&g); /* once is enough; standard error's end comes with the exit */
    CHECK(f.len == 1 && f.payload[0] == CHANNEL_STDERR);
    free(rig_output(&g, NULL));
    expect_exited(&g, 5, NULL);
    rig_fini(&g);
}

TEST(exec_stream_bad_frames)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\0\0\0\0", 4},                                             /* empty */
        {"\xff\0\0\0", 4},                                           /* too long */
        {"\0\0\0\x02\x01x", 6},                                      /* standard output's channel */
        {"\0\0\0\x01{", 5},                                          /* bad JSON */
        {"\0\0\0\x21{\"type\":\"Ping\",\"rows\":1,\"cols\":1}", 37}, /* another request */
        {"\0\0\0\x1a{\"type\":\"Resize\",\"rows\":0}", 30},          /* out of range */
    };
    struct rig g;
    rig_init(&g);
    for (size_t i = 0; i < countof(rows); i++) {
        run(&g, "\"command\":\"exec sleep 1000\",\"stdin\":true");
        rig_send(&g, rows[i].bytes, rows[i].len);
        rig_expect_error(&g, ERR_INVALID_REQUEST);
    }
    rig_fini(&g);
}

/* Back-pressure. */

TEST(exec_stream_slow_reader)
{
    enum { TOTAL = 8000000 };
    struct rig g;
    size_t got = 0;
    rig_init(&g);
    run(&g, "\"command\":\"head -c 8000000 /dev/zero\"");
    g.ceiling = 1;
    while (stream_room(g.sv.requests->stream) > 0 && rig_turn(&g))
        ;
    for (int i = 0; i < 20; i++)
        loop_turn(g.loop, 10);
    CHECK(fdstream_unsent(g.sv.requests->stream) < FDSTREAM_LIMIT + (128 << 10));
    g.ceiling = SIZE_MAX;
    for (struct frame f = rig_frame(&g); f.len && f.payload[0] != '{'; f = rig_frame(&g))
        got += f.payload[0] == CHANNEL_STDOUT ? f.len - 1 : 0;
    CHECK_INT(got, TOTAL);
    rig_expect_end(&g);
    rig_fini(&g);
}

/* The command is over long before its output has been taken. */
TEST(exec_stream_slow_reader_of_the_dead)
{
    enum { TOTAL = 60000 * 2 };
    static char filler[2000000];
    struct rig g;
    size_t got = 0;
    bool exited = false;
    rig_init(&g);
    run(&g, "\"command\":\"read x; head -c 60000 /dev/zero >&2; head -c 60000 /dev/zero\","
            "\"stdin\":true");
    stream_write(g.sv.requests->stream, "\0\x1e\x84\x81\x09", 5); /* one frame of filler */
    stream_write(g.sv.requests->stream, filler, sizeof filler);
    size_t queued = fdstream_unsent(g.sv.requests->stream);
    g.ceiling = 1;
    rig_send_data(&g, CHANNEL_STDIN, "\n", 1);
    for (int i = 0; i < 50; i++)
        loop_turn(g.loop, 10);
    CHECK(fdstream_unsent(g.sv.requests->stream) < queued + 100000);
    g.ceiling = SIZE_MAX;
    for (struct frame f = rig_frame(&g); f.len; f = rig_frame(&g)) {
        exited = f.payload[0] == '{';
        if (exited)
            break;
        got += f.payload[0] <= CHANNEL_STDERR ? f.len - 1 : 0;
    }
    CHECK(exited);
    CHECK_INT(got, TOTAL);
    rig_expect_end(&g);
    rig_fini(&g);
}

TEST(exec_stream_slow_command)
{
    enum { PIECE = 100000, PIECES = 60 };
    static char frame[5 + PIECE] = "\0\x01\x86\xa1";
    struct rig g;
    size_t sent = 0, stuck = 0, total = sizeof frame * PIECES;
    rig_init(&g);
    pid_t pid = run(&g, "\"command\":\"kill -STOP $$; wc -c\",\"stdin\":true");
    while (!stopped(pid) && rig_turn(&g))
        ;
    for (int idle = 0; idle < 20; idle++) {
        size_t at = sent % sizeof frame;
        size_t n = rig_send_some(&g, frame + at, sizeof frame - at);
        sent += n;
        idle = n ? 0 : idle;
        loop_turn(g.loop, n ? 0 : 10);
    }
    stuck = sent;
    CHECK(stuck > 0 && stuck < 2000000);
    send_signal(pid, SIGCONT);
    rig_patience();
    while (sent < total && rig_turn(&g))
        sent += rig_send_some(&g, frame + sent % sizeof frame, sizeof frame - sent % sizeof frame);
    rig_send_data(&g, CHANNEL_STDIN, "", 0);
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK_INT(atoi(out), PIECE * PIECES);
    expect_exited(&g, 0, NULL);
    rig_fini(&g);
}

/* The end. */

TEST(exec_stream_exits_with_children_left)
{
    struct rig g;
    rig_init(&g);
    run(&g, "\"command\":\"sleep 1000 & echo $!\"");
    cleanup_free char *out = rig_output(&g, NULL);
    pid_t left = (pid_t)atoi(out);
    send_signal(left, SIGKILL);
    expect_exited(&g, 0, NULL);
    rig_fini(&g);
}

TEST(exec_stream_timeout)
{
    struct rig g;
    struct lifeline line;
    char fields[256];
    rig_init(&g);
    const char *path = rig_path(&g, "line");
    lifeline_init(&g, &line, path);
    snprintf(fields, sizeof fields,
             "\"timeout_secs\":1,\"command\":\"exec 9>%s; echo on; sleep 1000 & sleep 1000\"",
             path);
    run(&g, fields);
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK_STR(out, "on\n");
    CHECK_INT(g.message.type, MSG_ERROR);
    CHECK_STR(json_get_str(g.message.body, "code"), "Timeout");
    CHECK_STR(json_get_str(g.message.body, "message"), "command timed out after 1s");
    rig_expect_end(&g);
    rig_patience();
    while (!line.cut && rig_turn(&g))
        ;
    lifeline_fini(&line);
    rig_fini(&g);
}

TEST(exec_stream_hangup)
{
    struct rig g;
    struct lifeline line;
    char fields[256];
    rig_init(&g);
    const char *path = rig_path(&g, "line");
    lifeline_init(&g, &line, path);
    snprintf(fields, sizeof fields,
             "\"command\":\"exec 9>%s; trap '' HUP; echo on; sleep 1000; sleep 1000\"", path);
    run(&g, fields);
    struct frame f = rig_frame(&g);
    CHECK(f.len == 4);
    rig_close(&g);
    rig_patience();
    while (!line.cut && rig_turn(&g))
        ;
    CHECK(line.cut);
    lifeline_fini(&line);
    rig_fini(&g);
}

/* Terminals. */

TEST(exec_stream_pty)
{
    struct rig g;
    char *err;
    rig_init(&g);
    run(&g, "\"command\":\"tty <&2 | cut -c 1-9; stty size; echo $TERM; echo err >&2; read x;"
            "echo got $x; stty size\","
            "\"pty\":{\"rows\":33,\"cols\":111,\"term\":\"vt220\"}");
    rig_send_message(&g, "{\"type\":\"Resize\",\"rows\":44,\"cols\":122}");
    rig_send_data(&g, CHANNEL_STDIN, "abc\n", 4);
    cleanup_free char *out = rig_output(&g, &err);
    CHECK(strstr(out, "/dev/pts/\r\n") != NULL);
    CHECK(strstr(out, "vt220\r\nerr\r\n") != NULL);
    CHECK(strstr(out, "got abc\r\n44 122\r\n") != NULL);
    CHECK_STR(err, "");
    expect_exited(&g, 0, NULL);
    free(err);
    rig_fini(&g);
}

TEST(exec_stream_pty_size)
{
    struct rig g;
    rig_init(&g);
    run(&g, "\"command\":\"stty size\",\"pty\":{\"rows\":33,\"cols\":111}");
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK_STR(out, "33 111\r\n");
    expect_exited(&g, 0, NULL);
    rig_fini(&g);
}

/* It is the controlling terminal: its interrupt character interrupts. */
TEST(exec_stream_pty_interrupt)
{
    struct rig g;
    rig_init(&g);
    run(&g, "\"command\":\"trap 'echo int; exit 3' INT; echo on; read x\",\"pty\":{}");
    rig_bytes(&g, 9); /* the frame with "on" */
    rig_send_data(&g, CHANNEL_STDIN, "\x03", 1);
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK(strstr(out, "int\r\n") != NULL);
    expect_exited(&g, 3, NULL);
    rig_fini(&g);
}

TEST(exec_stream_pty_end_of_input)
{
    struct rig g;
    rig_init(&g);
    run(&g, "\"command\":\"stty -echo; echo on; cat; echo off\",\"pty\":{}");
    rig_send_data(&g, CHANNEL_STDIN, "a\n", 2);
    rig_send_data(&g, CHANNEL_STDIN, "", 0);
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK(strstr(out, "a\r\noff\r\n") != NULL);
    expect_exited(&g, 0, NULL);
    rig_fini(&g);
}

TEST(exec_stream_login_shell)
{
    struct rig g;
    rig_init(&g);
    cleanup_free char *before = getenv("SHELL") ? xstrdup(getenv("SHELL")) : NULL;
    setenv("SHELL", "/bin/sh", 1);
    run(&g, "\"pty\":{}");
    rig_send_data(&g, CHANNEL_STDIN, "echo name=$0; exit 6\n", 21);
    cleanup_free char *out = rig_output(&g, NULL);
    CHECK(strstr(out, "name=-sh\r\n") != NULL);
    expect_exited(&g, 6, NULL);
    if (before)
        setenv("SHELL", before, 1);
    else
        unsetenv("SHELL");
    rig_fini(&g);
}

/* All of it comes, though the terminal is gone by then. */
TEST(exec_stream_pty_last_words)
{
    struct rig g;
    rig_init(&g);
    for (int i = 0; i < 20; i++) {
        run(&g, "\"command\":\"head -c 3000 /dev/zero | tr '\\\\0' x\",\"pty\":{}");
        cleanup_free char *out = rig_output(&g, NULL);
        CHECK_INT(strlen(out), 3000);
        expect_exited(&g, 0, NULL);
    }
    rig_fini(&g);
}

TEST(exec_stream_pty_hangup)
{
    struct rig g;
    struct lifeline line;
    char fields[256];
    rig_init(&g);
    const char *path = rig_path(&g, "line");
    lifeline_init(&g, &line, path);
    snprintf(fields, sizeof fields, "\"command\":\"exec 9>%s; echo on; cat\",\"pty\":{}", path);
    run(&g, fields);
    rig_frame(&g);
    rig_close(&g);
    rig_patience();
    while (!line.cut && rig_turn(&g))
        ;
    CHECK(line.cut);
    lifeline_fini(&line);
    rig_fini(&g);
}
