/* HTTP/1.1's grammar and what is refused of it, whole and cut at every byte. */
#include "net/http.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/test.h"

/* What a parser says of some bytes: "H(target)B(hello)E", "!400". */
static void narrate(struct http_parser *p, enum http_event event, struct buf *story)
{
    size_t len;
    const uint8_t *body = http_parser_body(p, &len);
    const struct http_head *h = http_parser_head(p);
    if (event == HTTP_GOT_HEAD && h->status)
        buf_printf(story, "H(%d)", h->status);
    else if (event == HTTP_GOT_HEAD)
        buf_printf(story, "H(%s)", http_target(h));
    else if (event == HTTP_GOT_BODY)
        buf_append(story, body, len);
    else if (event == HTTP_GOT_END)
        buf_printf(story, "E");
    else if (event == HTTP_BROKEN)
        buf_printf(story, "!%d", http_status_of(p));
}

/* The bytes from a copy of their own, so that a read past them is found out. */
static bool feed(struct http_parser *p, const char *in, size_t len, struct buf *story)
{
    uint8_t *copy = xmalloc(len + !len);
    size_t at = 0, used;
    enum http_event event;
    memcpy(copy, in, len);
    do {
        event = http_parse(p, copy + at, len - at, &used);
        at += used;
        narrate(p, event, story);
    } while (event != HTTP_GOT_NOTHING && event != HTTP_BROKEN);
    free(copy);
    return event != HTTP_BROKEN;
}

static char *story_of(enum http_kind kind, const char *in, size_t len, size_t cut)
{
    struct http_parser *p = http_parser_new(kind);
    struct buf story = {0};
    if (feed(p, in, cut, &story) && feed(p, in + cut, len - cut, &story))
        narrate(p, http_parse_end(p), &story);
    http_parser_free(p);
    char *text = xstrndup(story.len ? (const char *)buf_front(&story) : "", story.len);
    buf_fini(&story);
    return text;
}

static void tells(enum http_kind kind, const char *in, size_t len, const char *story)
{
    for (size_t cut = 0; cut <= len; cut++) {
        char *got = story_of(kind, in, len, cut);
        if (strcmp(got, story) != 0)
            test_fail(__FILE__, __LINE__, "\"%s\" cut at %zu: %s, not %s", in, cut, got, story);
        free(got);
    }
}

#define HOST "Host: a.example\r\n"
#define GET  "GET / HTTP/1.1\r\n"
#define POST "POST /p HTTP/1.1\r\n" HOST

struct row {
    const char *in, *story;
};

static void check_requests(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tells(HTTP_REQUESTS, rows[i].in, strlen(rows[i].in), rows[i].story);
}

TEST(http_reads_requests)
{
    static const struct row rows[] = {
        {"", ""},
        {GET HOST "\r\n", "H(/)E"},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", "H(/)E"}, /* RFC 9112 section 3 lets it pass */
        {"\r\n" GET HOST "\r\n", "H(/)E"},
        {GET "hOST:a.example:80\r\n\r\n", "H(/)E"},
        {GET "Host: [::1]:80\r\n\r\n", "H(/)E"},
        {"GET / HTTP/1.0\r\n\r\n", "H(/)E"},
        {"GET http://a.example/x?y=z HTTP/1.1\r\n" HOST "\r\n", "H(/x?y=z)E"},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "H(*)E"},
        {POST "Content-Length: 5\r\n\r\nhello", "H(/p)helloE"},
        {POST "Content-Length: 0\r\n\r\n", "H(/p)E"},
        {POST "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "H(/p)helloE"},
        {POST "Transfer-Encoding: Chunked \r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: t\r\n\r\n",
         "H(/p)helloE"},
        {GET HOST "\r\n" POST "Content-Length: 1\r\n\r\nx" GET HOST "\r\n", "H(/)EH(/p)xEH(/)E"},
        {POST "Content-Length: 5\r\n\r\nhell", "H(/p)hell!400"},
        {GET HOST "Upgrade: x\r\nConnection: upgrade\r\n\r\n" GET HOST "\r\n", "H(/)EH(/)E"},
        {GET HOST "Empty:\r\nX:\t y \t\r\n\r\n", "H(/)E"},
        {POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "H(/p)xE"},
    };
    check_requests(rows, countof(rows));
}

/* Each is read by some server, somewhere, otherwise than by another. */

TEST(http_refuses_doubtful_lengths)
{
    static const struct row rows[] = {
        {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "!400"},
        {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "!400"},
        {POST "Content-Length: 5, 5\r\n\r\nhello", "!400"},
        {POST "Content-Length: +5\r\n\r\nhello", "!400"},
        {POST "Content-Length: -5\r\n\r\nhello", "!400"},
        {POST "Content-Length: 0x5\r\n\r\nhello", "!400"},
        {POST "Content-Length: 5 5\r\n\r\nhello", "!400"},
        {POST "Content-Length:\r\n\r\nhello", "!400"},
        {POST "Content-Length: 99999999999999999999\r\n\r\nhello", "!400"},
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400"},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "!400"},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "!400"},
        {POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "!400"},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400"},
        {POST "Transfer-Encoding: identity\r\n\r\n", "!400"},
        {POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "!400"},
        {POST "Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n", "!400"},
        {POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "!400"},
        {POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n", "!400"},
        {"POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400"},
    };
    check_requests(rows, countof(rows));
}

TEST(http_refuses_bad_chunks)
{
    static const struct row rows[] = {
        {POST "Transfer-Encoding: chunked\r\n\r\nx\r\n", "H(/p)!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n-1\r\n", "H(/p)!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n0x1\r\n", "H(/p)!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n", "H(/p)!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n", "H(/p)!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n", "H(/p)!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", "H(/p)x!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n", "H(/p)x!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\nx", "H(/p)!400"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1;\nx\r\n0\r\n\r\n", "H(/p)!400"},
    };
    check_requests(rows, countof(rows));
}

TEST(http_refuses_doubtful_lines)
{
    static const struct row rows[] = {
        {GET HOST "X: a\r\n b\r\n\r\n", "!400"}, {GET HOST "X: a\r\n\tb\r\n\r\n", "!400"},
        {GET HOST " X: a\r\n\r\n", "!400"},      {GET " Host: a\r\n\r\n", "!400"},
        {GET HOST "X : a\r\n\r\n", "!400"},      {GET HOST "X\t: a\r\n\r\n", "!400"},
        {GET HOST "X Y: a\r\n\r\n", "!400"},     {GET HOST ": a\r\n\r\n", "!400"},
        {GET HOST "X\r\n\r\n", "!400"},          {"GET / HTTP/1.1\nHost: a\r\n\r\n", "!400"},
        {GET "Host: a\n\r\n", "!400"},           {GET HOST "\n", "!400"},
        {GET HOST "X: a\rY: b\r\n\r\n", "!400"}, {GET HOST "X: \x7f\r\n\r\n", "!400"},
    };
    check_requests(rows, countof(rows));
    static const char nul[] = GET HOST "X: a\0b\r\n\r\n", early[] = GET "Host\0: a\r\n\r\n",
                      target[] = "GET /\0 HTTP/1.1\r\n" HOST "\r\n";
    tells(HTTP_REQUESTS, nul, sizeof(nul) - 1, "!400");
    tells(HTTP_REQUESTS, early, sizeof(early) - 1, "!400");
    tells(HTTP_REQUESTS, target, sizeof(target) - 1, "!400");
}

TEST(http_refuses_other_hosts_and_targets)
{
    static const struct row rows[] = {
        {GET "\r\n", "!400"},
        {GET HOST HOST "\r\n", "!400"},
        {GET "Host: a\r\nHost: b\r\n\r\n", "!400"},
        {GET "Host: a, b\r\n\r\n", "!400"},
        {GET "Host: u@a\r\n\r\n", "!400"},
        {GET "Host: a/b\r\n\r\n", "!400"},
        {"GET http://other.example/ HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET http://a.example@other/ HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET x HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET * HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET /#f HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET /\x80 HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", "!400"},
        {"GET /a b HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"get / HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET / http/1.1\r\n" HOST "\r\n", "!400"},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", "!505"},
        {"GET / HTTP/1.2\r\n" HOST "\r\n", "!400"},
        {"GET / HTTP/0.9\r\n" HOST "\r\n", "!505"},
        {"GET /\r\n", "!400"},
        {"CONNECT a.example:80 HTTP/1.1\r\n" HOST "\r\n", "!501"},
        {"TRACE / HTTP/1.1\r\n" HOST "\r\n", "!501"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!501"},
        {POST "Expect: tea\r\nContent-Length: 1\r\n\r\nx", "!417"},
        {GET HOST "Connection: close\r\n\r\n" GET HOST "\r\n", "H(/)E!400"},
        {"\x16\x03\x01\x02", "!400"},
    };
    check_requests(rows, countof(rows));
}

TEST(http_reads_responses)
{
    static const struct {
        const char *in, *story;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "H(200)hiE"},
        {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", "H(200)hiE"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "H(100)EH(204)E"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "H(200)hiE"},
        {"HTTP/1.0 200 OK\r\n\r\nto the end", "H(200)to the endE"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "H(200)hi!400"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nhi", "!400"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "!400"},
        {"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "!400"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "!400"},
    };
    for (size_t i = 0; i < countof(rows); i++)
        tells(HTTP_RESPONSES, rows[i].in, strlen(rows[i].in), rows[i].story);
}

static const struct http_head *head_of(struct http_parser *p, const char *in)
{
    size_t used;
    CHECK_INT(http_parse(p, (const uint8_t *)in, strlen(in), &used), HTTP_GOT_HEAD);
    return http_parser_head(p);
}

TEST(http_knows_a_heads_fields)
{
    struct http_parser *p = http_parser_new(HTTP_REQUESTS);
    const struct http_head *h =
        head_of(p, POST "X:  a b \t\r\nTwice: 1\r\ntwice: 2\r\nEmpty:\r\nList: a, B ,,c\r\n"
                        "Content-Length: 7\r\n\r\n");
    CHECK_STR(h->method, "POST");
    CHECK_STR(http_target(h), "/p");
    CHECK_STR(http_field(h, "x"), "a b");
    CHECK_STR(http_field(h, "Empty"), "");
    CHECK(!http_field(h, "Twice"));
    CHECK_INT(http_field_count(h, "TWICE"), 2);
    CHECK(!http_field(h, "None"));
    CHECK(http_field_lists(h, "list", "b") && http_field_lists(h, "list", "c"));
    CHECK(!http_field_lists(h, "list", "") && !http_field_lists(h, "x", "a"));
    CHECK(http_field_lists(h, "twice", "2"));
    CHECK_INT(h->length, 7);
    CHECK(h->keep_alive && !h->upgrade && !h->expect_continue);
    http_parser_free(p);
}

static int status_of_long(size_t target, size_t value, size_t fields)
{
    struct http_parser *p = http_parser_new(HTTP_REQUESTS);
    struct buf in = {0};
    size_t used, at = 0;
    enum http_event event = HTTP_GOT_NOTHING;
    buf_printf(&in, "GET /%0*d HTTP/1.1\r\n" HOST, (int)target, 0);
    for (size_t i = 0; i < fields; i++)
        buf_printf(&in, "X: %0*d\r\n", (int)value, 0);
    buf_printf(&in, "\r\n");
    while (at < in.len && event == HTTP_GOT_NOTHING) {
        size_t len = in.len - at < 1000 ? in.len - at : 1000;
        event = http_parse(p, buf_front(&in) + at, len, &used);
        at += used;
    }
    int status = event == HTTP_GOT_HEAD ? 200 : http_status_of(p);
    http_parser_free(p);
    buf_fini(&in);
    return status;
}

TEST(http_keeps_to_its_limits)
{
    CHECK_INT(status_of_long(8000, 1, 1), 200);
    CHECK_INT(status_of_long(8200, 1, 1), 414);
    CHECK_INT(status_of_long(100000, 1, 1), 414);
    CHECK_INT(status_of_long(1, 32000, 1), 200);
    CHECK_INT(status_of_long(1, 33000, 1), 431);
    CHECK_INT(status_of_long(1, 1000000, 1), 431);
    CHECK_INT(status_of_long(1, 1, 99), 200);
    CHECK_INT(status_of_long(1, 1, 100), 431);
}

/* Extensions and trailers are not the way around the limits. */
TEST(http_bounds_what_surrounds_a_body)
{
    static const char head[] = POST "Transfer-Encoding: chunked\r\n\r\n1;";
    static const uint8_t more[1024] = {[0 ... 1023] = 'x'};
    struct http_parser *p = http_parser_new(HTTP_REQUESTS);
    size_t used, given = 0;
    head_of(p, head);
    CHECK_INT(http_parse(p, (const uint8_t *)"1;", 2, &used), HTTP_GOT_NOTHING);
    while (http_parse(p, more, sizeof(more), &used) == HTTP_GOT_NOTHING &&
           given < HTTP_HEAD_MAX * 2)
        given += used;
    CHECK(given <= HTTP_HEAD_MAX);
    CHECK_INT(http_status_of(p), 400);
    http_parser_free(p);
}
