/* What the broker serves that never changes, asked for over a connection. */
#include "applets/broker/assets.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/http_server.h"
#include "tests/unit/answer_rig.h"

static void serve(void *arg, struct stream *exchange)
{
    cleanup_free char *path = xstrdup(http_target(http_request_head(exchange)));
    (void)arg;
    assets_answer(exchange, path);
}

#define GZIP "Accept-Encoding: br, gzip\r\n"

TEST(assets_are_served_as_they_are_kept)
{
    static const char *const paths[] = {"/", "/page/app.js", "/page/xterm.js", "/page/style.css"};
    struct answer_rig r;
    answer_rig_init(&r, serve, NULL);
    for (size_t i = 0; i < countof(paths); i++) {
        const struct asset *a = asset_find(paths[i]);
        const struct http_head *h = answer_rig_ask(&r, "GET", paths[i], GZIP);
        CHECK_INT(h->status, 200);
        CHECK_STR(answer_field(h, "Content-Type"), a->type);
        CHECK_STR(answer_field(h, "ETag"), a->etag);
        CHECK_STR(answer_field(h, "Content-Encoding"), a->gzip ? "gzip" : "");
        CHECK(r.body.len == a->len && memcmp(buf_front(&r.body), a->data, a->len) == 0);
        CHECK(!a->gzip || memcmp(a->data, "\x1f\x8b", 2) == 0);
    }
    answer_rig_fini(&r);
}

TEST(assets_page_is_text_for_whoever_asks)
{
    struct answer_rig r;
    answer_rig_init(&r, serve, NULL);
    CHECK_INT(answer_rig_ask(&r, "GET", "/", "Accept-Encoding: identity\r\n")->status, 200);
    CHECK(r.body.len > 15 && memcmp(buf_front(&r.body), "<!doctype html>", 15) == 0);
    answer_rig_fini(&r);
}

TEST(assets_head_has_the_length_and_no_body)
{
    struct answer_rig r;
    answer_rig_init(&r, serve, NULL);
    const struct http_head *h = answer_rig_ask(&r, "HEAD", "/page/style.css", GZIP);
    CHECK_INT(h->status, 200);
    CHECK_INT(h->length, 0); /* what of a body comes … */
    CHECK_INT(atoll(answer_field(h, "Content-Length")),
              asset_find("/page/style.css")->len); /* … would */
    CHECK_INT(r.body.len, 0);
    CHECK_INT(answer_rig_ask(&r, "GET", "/", "")->status,
              200); /* the connection goes on behind it */
    answer_rig_fini(&r);
}

TEST(assets_that_a_client_has_are_not_sent_again)
{
    const char *etag = asset_find("/page/app.js")->etag;
    const char *const known[] = {"%s", "W/%s", "\"x\", %s", "%s,W/\"y\""};
    struct answer_rig r;
    answer_rig_init(&r, serve, NULL);
    for (size_t i = 0; i < countof(known); i++) {
        char *at = strstr(known[i], "%s");
        cleanup_free char *fields = xasprintf(GZIP "If-None-Match: %.*s%s%s\r\n",
                                              (int)(at - known[i]), known[i], etag, at + 2);
        const struct http_head *h = answer_rig_ask(&r, "GET", "/page/app.js", fields);
        CHECK_INT(h->status, 304);
        CHECK_STR(answer_field(h, "ETag"), etag);
        CHECK_INT(r.body.len, 0);
    }
    CHECK_INT(answer_rig_ask(&r, "GET", "/page/app.js", GZIP "If-None-Match: *\r\n")->status, 304);
    CHECK_INT(
        answer_rig_ask(&r, "GET", "/page/app.js", GZIP "If-None-Match: \"other\"\r\n")->status,
        200);
    answer_rig_fini(&r);
}

TEST(assets_in_gzip_are_for_who_takes_it)
{
    static const struct {
        const char *fields;
        int status;
    } asked[] = {
        {"", 200},
        {"Accept-Encoding: gzip\r\n", 200},
        {"Accept-Encoding: GZIP;q=0.5\r\n", 200},
        {"Accept-Encoding: br;q=1.0, *;q=0.1\r\n", 200},
        {"Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", 200},
        {"Accept-Encoding: identity\r\n", 406},
        {"Accept-Encoding: gzip;q=0\r\n", 406},
        {"Accept-Encoding: gzip; q=0.000, br\r\n", 406},
        {"Accept-Encoding: gzipped, notgzip\r\n", 406},
        {"Accept-Encoding: \r\n", 406},
        {"Accept-Encoding: br\r\nAccept-Encoding: identity\r\n", 406},
    };
    struct answer_rig r;
    answer_rig_init(&r, serve, NULL);
    for (size_t i = 0; i < countof(asked); i++) {
        int status = answer_rig_ask(&r, "GET", "/page/app.js", asked[i].fields)->status;
        if (status != asked[i].status)
            test_fail(__FILE__, __LINE__, "%s: %d", asked[i].fields, status);
    }
    answer_rig_fini(&r);
}

TEST(assets_have_every_security_field)
{
    static const struct {
        const char *method, *path, *fields;
        int status;
    } asked[] = {
        {"GET", "/", "", 200},
        {"GET", "/page/app.js", GZIP, 200},
        {"GET", "/page/app.js", GZIP "If-None-Match: *\r\n", 304},
        {"GET", "/page/app.js", "Accept-Encoding: identity\r\n", 406},
        {"GET", "/page/none", "", 404},
        {"DELETE", "/", "", 405},
    };
    struct answer_rig r;
    answer_rig_init(&r, serve, NULL);
    for (size_t i = 0; i < countof(asked); i++) {
        const struct http_head *h =
            answer_rig_ask(&r, asked[i].method, asked[i].path, asked[i].fields);
        const char *policy = answer_field(h, "Content-Security-Policy");
        CHECK_INT(h->status, asked[i].status);
        CHECK(strstr(policy, "default-src 'none'") && strstr(policy, "frame-ancestors 'none'"));
        CHECK(!strstr(policy, "unsafe"));
        CHECK_STR(answer_field(h, "X-Content-Type-Options"), "nosniff");
        CHECK_STR(answer_field(h, "Referrer-Policy"), "no-referrer");
        CHECK_STR(answer_field(h, "Cross-Origin-Opener-Policy"), "same-origin");
        CHECK(answer_field(h, "Permissions-Policy")[0]);
    }
    answer_rig_fini(&r);
}

TEST(assets_templates_are_not_served)
{
    struct answer_rig r;
    answer_rig_init(&r, serve, NULL);
    CHECK_INT(answer_rig_ask(&r, "GET", "/install.sh", "")->status, 404);
    CHECK_INT(answer_rig_ask(&r, "GET", "/page/install.sh", "")->status, 404);
    CHECK_INT(answer_rig_ask(&r, "GET", "/page/", "")->status, 404);
    CHECK_INT(answer_rig_ask(&r, "GET", "/page/../page/app.js", "")->status, 404);
    answer_rig_fini(&r);
}

/* It is a part of every binary that is copied anywhere. */
TEST(assets_are_small)
{
    static const char *const paths[] = {"/",
                                        "/openapi.json",
                                        "/page/activity.js",
                                        "/page/agents.js",
                                        "/page/api.js",
                                        "/page/app.js",
                                        "/page/dom.js",
                                        "/page/icon.svg",
                                        "/page/join.js",
                                        "/page/style.css",
                                        "/page/terminal.js",
                                        "/page/xterm.js",
                                        "/page/addon-fit.js",
                                        "/page/xterm.css"};
    size_t all = 0;
    for (size_t i = 0; i < countof(paths); i++)
        all += asset_find(paths[i]) ? asset_find(paths[i])->len : 0;
    CHECK(all > 60u << 10 && all < 120u << 10);
}
