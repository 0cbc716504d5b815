#include "applets/service/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/fdstream.h"
#include "core/mem.h"
#include "tests/unit/probe.h"

/* A server in a directory of its own, and whoever comes to it. */
struct place {
    struct loop *loop;
    struct control *control;
    char dir[32], path[64];
    unsigned asked;
    enum message_type type; /* of the last request */
    bool stay;              /* the request is left without an answer */
    struct stream *kept;
};

static void on_request(void *arg, struct stream *s, const struct message *request)
{
    struct place *p = arg;
    p->asked++;
    p->type = request->type;
    if (p->stay)
        p->kept = s;
    else if (request->type == MSG_STOP)
        control_ok_until_exit(s);
    else if (request->type == MSG_LIST)
        control_ok(s);
    else
        control_fail(s, ERR_NOT_FOUND, "no %s here", message_name(request->type));
}

static void open_place(struct place *p)
{
    *p = (struct place){.loop = loop_new(), .dir = "/tmp/berth-control-XXXXXX"};
    CHECK(mkdtemp(p->dir) != NULL);
    snprintf(p->path, sizeof p->path, "%s/sock", p->dir);
    p->control = control_new(p->loop, p->path, on_request, p);
    CHECK(p->control != NULL);
}

static void close_place(struct place *p)
{
    struct stat st;
    control_free(p->control);
    stream_close(p->kept);
    loop_turn(p->loop, 0);
    loop_free(p->loop);
    CHECK(lstat(p->path, &st) != 0 && errno == ENOENT);
    CHECK_INT(rmdir(p->dir), 0);
}

static struct probe *visit(struct place *p, struct probe *visitor)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", p->path);
    CHECK_INT(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    *visitor = (struct probe){0};
    probe_own(visitor, fdstream_new(p->loop, fd, fd));
    return visitor;
}

/* The one message that a visitor has got: its type, or MSG_COUNT; *text: an Error's. */
static enum message_type answer(struct probe *v, char text[static 64])
{
    struct frame_reader r = {0};
    struct frame f;
    struct message m;
    const char *why;
    enum message_type type = MSG_COUNT;
    size_t len = v->got.len;
    text[0] = '\0';
    if (frame_feed(&r, buf_front(&v->got), &len, &f) == FRAME_READY && len == v->got.len &&
        message_parse(&m, f.payload, f.len, &why) == 0) {
        const char *said = json_get_str(m.body, "message");
        type = m.type;
        snprintf(text, 64, "%s", said ? said : "");
        message_fini(&m);
    }
    frame_reader_fini(&r);
    return type;
}

TEST(control_answers_one_request)
{
    struct place p;
    struct probe v;
    char text[64];
    struct stat st;
    open_place(&p);
    CHECK_INT(lstat(p.path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    message_send(visit(&p, &v)->s, MSG_LIST);
    TURN_UNTIL(p.loop, v.eofs);
    CHECK_INT(answer(&v, text), MSG_OK);
    probe_fini(&v);
    message_send(visit(&p, &v)->s, MSG_PING);
    TURN_UNTIL(p.loop, v.eofs);
    CHECK_INT(answer(&v, text), MSG_ERROR);
    CHECK_STR(text, "no Ping here");
    probe_fini(&v);
    CHECK_INT(p.asked, 2);
    close_place(&p);
}

TEST(control_takes_a_request_in_pieces)
{
    static const char frame[] = "\0\0\0\17{\"type\":\"List\"}";
    struct place p;
    struct probe v;
    char text[64];
    open_place(&p);
    visit(&p, &v);
    for (size_t i = 0; i < sizeof frame - 1; i++) {
        stream_write(v.s, frame + i, 1);
        loop_turn(p.loop, 0);
    }
    TURN_UNTIL(p.loop, v.eofs);
    CHECK_INT(answer(&v, text), MSG_OK);
    probe_fini(&v);
    close_place(&p);
}

TEST(control_refuses_what_is_no_request)
{
    static const struct {
        const char *bytes, *says;
        size_t len;
    } rows[] = {
        {"\377\377\377\377", "bad frame", 4}, {"\0\0\0\0", "bad frame", 4},
        {"\0\0\0\2{}", "no type", 6},         {"\0\0\0\3[1]", "it does not begin with {", 7},
        {"\0\0\0\1{", "bad JSON", 5},         {"\0\0\0\15{\"type\":\"Eh\"}", "unknown type", 17},
    };
    struct place p;
    struct probe v;
    char text[64];
    open_place(&p);
    for (size_t i = 0; i < countof(rows); i++) {
        stream_write(visit(&p, &v)->s, rows[i].bytes, rows[i].len);
        TURN_UNTIL(p.loop, v.eofs || v.errors);
        CHECK_INT(answer(&v, text), MSG_ERROR);
        CHECK_STR(text, rows[i].says);
        probe_fini(&v);
    }
    CHECK_INT(p.asked, 0);
    close_place(&p);
}

TEST(control_outlives_visitors_that_go)
{
    struct place p;
    struct probe a, b;
    open_place(&p);
    visit(&p, &a);
    stream_write(a.s, "\0\0", 2);
    visit(&p, &b);
    loop_turn(p.loop, 0);
    probe_fini(&a);
    for (int i = 0; i < 5; i++)
        loop_turn(p.loop, 0);
    /* The other one is there still, and goes with the server. */
    CHECK_INT(b.eofs + b.errors, 0);
    control_free(p.control);
    p.control = NULL;
    TURN_UNTIL(p.loop, b.eofs || b.errors);
    probe_fini(&b);
    close_place(&p);
}

TEST(control_that_stops_keeps_the_connection)
{
    struct place p;
    struct probe v;
    char text[64];
    open_place(&p);
    message_send(visit(&p, &v)->s, MSG_STOP);
    TURN_UNTIL(p.loop, v.got.len >= 17);
    CHECK_INT(answer(&v, text), MSG_OK);
    for (int i = 0; i < 5; i++)
        loop_turn(p.loop, 0);
    CHECK_INT(v.eofs, 0);
    probe_fini(&v);
    close_place(&p);
}

TEST(control_answers_later)
{
    struct place p;
    struct probe v;
    char text[64];
    open_place(&p);
    p.stay = true;
    message_send(visit(&p, &v)->s, MSG_CLOSE);
    TURN_UNTIL(p.loop, p.kept);
    CHECK_INT(p.type, MSG_CLOSE);
    control_free(p.control);
    p.control = NULL;
    loop_turn(p.loop, 0);
    control_fail(p.kept, ERR_TIMEOUT, "%d", 7);
    p.kept = NULL;
    TURN_UNTIL(p.loop, v.eofs);
    CHECK_INT(answer(&v, text), MSG_ERROR);
    CHECK_STR(text, "7");
    probe_fini(&v);
    close_place(&p);
}

TEST(control_needs_a_path_of_its_own)
{
    struct place p;
    char longer[200];
    open_place(&p);
    CHECK(!control_new(p.loop, p.path, on_request, &p));
    CHECK_INT(errno, EADDRINUSE);
    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    CHECK(!control_new(p.loop, longer, on_request, &p));
    CHECK_INT(errno, ENAMETOOLONG);
    close_place(&p);
}

/* The blocking client against a server that says `bytes` and ends. */
static int ask(const char *bytes, size_t len, struct message *m)
{
    int fds[2];
    struct draft d = draft_of(MSG_LIST);
    unix_pair(fds);
    CHECK_INT(write(fds[1], bytes, len), len);
    CHECK_INT(shutdown(fds[1], SHUT_WR), 0);
    int rc = control_ask_on(fds[0], &d, m), error = errno;
    close(fds[0]);
    close(fds[1]);
    errno = error;
    return rc;
}

TEST(control_ask)
{
    struct message m;
    CHECK_INT(ask("\0\0\0\15{\"type\":\"Ok\"}more", 21, &m), 0);
    CHECK_INT(m.type, MSG_OK);
    message_fini(&m);
    CHECK_INT(ask("", 0, &m), -1);
    CHECK_INT(errno, EPROTO);
    CHECK_INT(ask("\0\0\0\15{\"ty", 8, &m), -1);
    CHECK_INT(errno, EPROTO);
    CHECK_INT(ask("\0\0\0\15{\"type\":\"Oh\"}", 17, &m), -1);
    CHECK_INT(errno, EPROTO);
    CHECK_INT(ask("\377\0\0\0", 4, &m), -1);
    CHECK_INT(errno, EPROTO);
    struct draft d = draft_of(MSG_LIST);
    CHECK_INT(control_ask("/nowhere/at/all", &d, &m), -1);
    CHECK_INT(errno, ENOENT);
}
