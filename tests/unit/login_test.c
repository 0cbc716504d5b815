/* The brokers that a user has logged in at. */
#include "applets/control/login_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/test.h"

struct home {
    char dir[32];
    char *folder, *path;
};

static void home_init(struct home *h)
{
    *h = (struct home){.dir = "/tmp/berth-login-XXXXXX"};
    CHECK(mkdtemp(h->dir) != NULL);
    setenv("XDG_CONFIG_HOME", h->dir, 1);
    h->folder = xasprintf("%s/berth", h->dir);
    h->path = xasprintf("%s/login.json", h->folder);
}

static void home_fini(struct home *h)
{
    unlink(h->path);
    CHECK_INT(rmdir(h->folder), 0);
    CHECK_INT(rmdir(h->dir), 0);
    unsetenv("XDG_CONFIG_HOME");
    free(h->folder);
    free(h->path);
}

static void keep(const char *url, const char *token)
{
    const struct broker_words w = {.url = url};
    CHECK_INT(login_keep(&w, token), 0);
}

/* "": there is none. */
static void expect(const char *url, const char *at, const char *token)
{
    struct login l;
    CHECK_INT(login_find(&l, url), *token ? 0 : 1);
    CHECK_STR(l.token ? l.token : "", token);
    CHECK_STR(l.broker.url ? l.broker.url : "", at);
    login_fini(&l);
}

TEST(login_finds_the_last_or_the_one_that_is_named)
{
    struct home h;
    struct stat st = {0};
    home_init(&h);
    expect(NULL, "", "");
    keep("https://one.example", "t1");
    keep("HTTPS://Two.example:443/base/", "t2");
    CHECK_INT(stat(h.path, &st), 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    expect(NULL, "https://two.example/base", "t2");
    expect("https://ONE.example/", "https://one.example", "t1");
    expect("https://two.example", "", "");
    keep("https://one.example", "t3");
    expect(NULL, "https://one.example", "t3");
    expect("https://two.example/base", "https://two.example/base", "t2");
    CHECK_INT(login_remove("https://one.example/"), 0);
    CHECK_INT(login_remove("https://one.example"), 1);
    expect("https://one.example", "", "");
    expect(NULL, "https://two.example/base", "t2");
    home_fini(&h);
}

TEST(login_keeps_how_a_broker_is_known)
{
    struct home h;
    struct login l;
    const struct broker_words w = {
        .url = "https://a.example", .pin = "aa:bb", .ca = "/etc/ca.pem", .insecure_http = true};
    home_init(&h);
    CHECK_INT(login_keep(&w, "t"), 0);
    CHECK_INT(login_find(&l, NULL), 0);
    CHECK_STR(l.broker.pin, "aa:bb");
    CHECK_STR(l.broker.ca, "/etc/ca.pem");
    CHECK(l.broker.insecure_http);
    login_fini(&l);
    home_fini(&h);
}

/* A token that others could have read is not sent anywhere. */
TEST(login_refuses_a_file_that_is_not_its_own)
{
    static const char *const bad[] = {"", "{", "[]", "{\"brokers\":{}}", "{\"brokers\":7}"};
    struct home h;
    struct login l;
    home_init(&h);
    keep("https://a.example", "t");
    CHECK_INT(chmod(h.path, 0640), 0);
    CHECK_INT(login_find(&l, NULL), 1);
    login_fini(&l);
    for (size_t i = 0; i < countof(bad); i++) {
        CHECK_INT(path_write_atomic(h.path, bad[i], strlen(bad[i]), 0600), 0);
        CHECK_INT(login_find(&l, NULL), 1);
        login_fini(&l);
        CHECK_INT(login_remove("https://a.example"), 1);
    }
    home_fini(&h);
}

TEST(broker_place_knows_what_it_is_told)
{
    static const char good[] = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:"
                               "00112233445566778899AABBCCDDEEFF";
    static const struct {
        struct broker_words words;
        int status;
    } rows[] = {
        {{.url = "http://127.0.0.1:3000"}, 0},
        {{.url = "http://[::1]"}, 0},
        {{.url = "http://localhost/x"}, 0},
        {{.url = "http://10.0.0.1"}, 2},
        {{.url = "http://localhost.example"}, 2},
        {{.url = "http://10.0.0.1", .insecure_http = true}, 0},
        {{.url = "ftp://x"}, 2},
        {{.url = ""}, 2},
        {{.url = "https://x", .pin = good}, 0},
        {{.url = "https://x", .pin = "0011"}, 2},
        {{.url = "https://x", .pin = "zz"}, 2},
        {{.url = "http://localhost", .pin = good}, 2},
        {{.url = "https://x", .ca = "/nowhere"}, 1},
        {{.url = "https://x", .ca = "/dev/null"}, 1},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct broker_place b;
        if (broker_place_find(&b, &rows[i].words) != rows[i].status)
            test_fail(__FILE__, __LINE__, "row %zu", i);
        if (rows[i].words.pin && rows[i].status == 0)
            CHECK(b.server.pin[1] == 0x11 && b.server.pin[SHA256_LEN - 1] == 0xff);
        broker_place_fini(&b);
    }
}
