#include "core/message.h"

#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/sink.h"
#include "tests/unit/test.h"

/* What was written to the sink as one message; it is taken out of there. */
static struct message sent(struct sink *k)
{
    struct frame_reader r = {0};
    struct frame f = {0};
    struct message m = {0};
    const char *why = NULL;
    size_t n = k->out.len;
    CHECK_INT(frame_feed(&r, buf_front(&k->out), &n, &f), FRAME_READY);
    CHECK_INT(message_parse(&m, f.payload, f.len, &why), 0);
    CHECK(why == NULL);
    buf_consume(&k->out, n);
    frame_reader_fini(&r);
    return m;
}

TEST(message_every_type)
{
    struct sink k;
    sink_init(&k);
    for (unsigned i = 0; i < MSG_COUNT; i++) {
        message_send(&k.s, (enum message_type)i);
        struct message m = sent(&k);
        CHECK_INT(m.type, i);
        CHECK_STR(json_get_str(m.body, "type"), message_name((enum message_type)i));
        CHECK_INT(k.out.len, 0);
        message_fini(&m);
    }
    sink_fini(&k);
    CHECK_STR(message_name(MSG_FORWARD_REQUEST), "ForwardRequest");
}

TEST(message_fields)
{
    struct sink k;
    int64_t n = 0;
    bool b = false;
    sink_init(&k);
    struct draft d = draft_of(MSG_DIAL);
    draft_str(&d, "target", "localhost:80");
    draft_str(&d, "process", NULL);
    draft_int(&d, "id", -3);
    draft_bool(&d, "auto", true);
    draft_send(&d, &k.s);
    CHECK(d.out == NULL);
    CHECK_INT(k.out.len - 4,
              strlen("{\"type\":\"Dial\",\"target\":\"localhost:80\",\"id\":-3,\"auto\":true}"));
    struct message m = sent(&k);
    CHECK_INT(m.type, MSG_DIAL);
    CHECK_STR(json_get_str(m.body, "target"), "localhost:80");
    CHECK(json_get(m.body, "process") == NULL);
    CHECK_INT(json_get_int(m.body, "id", &n), 1);
    CHECK_INT(n, -3);
    CHECK_INT(json_get_bool(m.body, "auto", &b), 1);
    CHECK(b);
    message_fini(&m);
    sink_fini(&k);
}

TEST(message_draft_not_sent)
{
    struct draft d = draft_of(MSG_OK);
    draft_free(&d);
    draft_free(&d);
    CHECK(d.out == NULL);
}

TEST(message_refuses)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"{", "bad JSON"},
        {"", "it does not begin with {"},
        {"{\"type\":\"Ok\"} x", "bad JSON"},
        {"[\"Ok\"]", "it does not begin with {"},
        {"\"Ok\"", "it does not begin with {"},
        {" {\"type\":\"Ok\"}", "it does not begin with {"},
        {"{}", "no type"},
        {"{\"type\":null}", "no type"},
        {"{\"type\":7}", "no type"},
        {"{\"type\":\"Ok\\u0000\"}", "no type"},
        {"{\"type\":\"ok\"}", "unknown type"},
        {"{\"type\":\"\"}", "unknown type"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct message m;
        const char *why = NULL;
        CHECK_INT(message_parse(&m, rows[i].text, strlen(rows[i].text), &why), -1);
        CHECK_STR(why, rows[i].why);
        message_fini(&m);
    }
}

TEST(message_ignores_what_it_does_not_know)
{
    static const char text[] = "{\"new\":{\"x\":[1]},\"type\":\"Ok\",\"id\":null}";
    struct message m;
    const char *why;
    int64_t id;
    CHECK_INT(message_parse(&m, text, strlen(text), &why), 0);
    CHECK_INT(m.type, MSG_OK);
    CHECK_INT(json_get_int(m.body, "id", &id), 0);
    message_fini(&m);
}

TEST(message_errors)
{
    struct sink k;
    sink_init(&k);
    message_send_error(&k.s, ERR_ADDRESS_IN_USE, "port %d is \xff taken", 80);
    struct message m = sent(&k);
    CHECK_INT(m.type, MSG_ERROR);
    CHECK_STR(json_get_str(m.body, "code"), "AddressInUse");
    CHECK_STR(json_get_str(m.body, "message"), "port 80 is \xef\xbf\xbd taken");
    message_fini(&m);
    sink_fini(&k);
}

static void send_dial(struct sink *k, size_t target_len)
{
    char *target = xmalloc(target_len + 1);
    memset(target, 'x', target_len);
    target[target_len] = '\0';
    struct draft d = draft_of(MSG_DIAL);
    draft_str(&d, "target", target);
    draft_send(&d, &k->s);
    free(target);
}

TEST(message_at_the_limit_of_a_frame)
{
    size_t around = strlen("{\"type\":\"Dial\",\"target\":\"\"}");
    struct sink k;
    sink_init(&k);
    send_dial(&k, FRAME_LIMIT - around);
    struct message m = sent(&k);
    CHECK_INT(m.type, MSG_DIAL);
    message_fini(&m);
    send_dial(&k, FRAME_LIMIT - around + 1);
    m = sent(&k);
    CHECK_INT(m.type, MSG_ERROR);
    CHECK_STR(json_get_str(m.body, "code"), "Internal");
    CHECK_INT(k.out.len, 0);
    message_fini(&m);
    sink_fini(&k);
}

TEST(message_codes_and_errnos)
{
    static const struct {
        int error;
        enum error_code code;
    } rows[] = {
        {ENOENT, ERR_NOT_FOUND},
        {EACCES, ERR_PERMISSION_DENIED},
        {ETIMEDOUT, ERR_TIMEOUT},
        {EIO, ERR_IO},
        {EINVAL, ERR_INVALID_REQUEST},
        {EADDRINUSE, ERR_ADDRESS_IN_USE},
        {ECONNREFUSED, ERR_CONNECTION_REFUSED},
        {EHOSTUNREACH, ERR_HOST_UNREACHABLE},
        {ENOTCONN, ERR_NOT_CONNECTED},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        CHECK_INT(error_code_of_errno(rows[i].error), rows[i].code);
        CHECK_INT(errno_of_error_code(error_code_name(rows[i].code)), rows[i].error);
    }
    CHECK_INT(error_code_of_errno(EPERM), ERR_PERMISSION_DENIED);
    CHECK_INT(error_code_of_errno(ENETUNREACH), ERR_HOST_UNREACHABLE);
    CHECK_INT(error_code_of_errno(ENOSPC), ERR_IO);
    CHECK_INT(errno_of_error_code("QuotaExceeded"), EDQUOT);
    CHECK_INT(errno_of_error_code("FromTheFuture"), EIO);
}
