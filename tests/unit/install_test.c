/* The binary to be downloaded, the line to paste, and the script that it fetches. */
#include "applets/broker/install.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "net/url.h"
#include "tests/unit/answer_rig.h"

#if defined(__x86_64__)
#define OWN_ARCH "x86_64"
#else
#define OWN_ARCH "aarch64"
#endif

struct site {
    struct downloads *downloads;
    struct install install;
};

static void serve(void *arg, struct stream *exchange)
{
    struct site *site = arg;
    cleanup_free char *path = xstrdup(http_target(http_request_head(exchange)));
    if (strcmp(path, "/install.sh") == 0)
        install_answer(exchange, &site->install);
    else
        download_answer(exchange, site->downloads, path + 1);
}

static void site_init(struct site *site, struct answer_rig *r, const char *url)
{
    *site = (struct site){.downloads = downloads_open()};
    site->install = (struct install){.url = url, .downloads = site->downloads};
    answer_rig_init(r, serve, site);
}

static void site_fini(struct site *site, struct answer_rig *r)
{
    answer_rig_fini(r);
    downloads_free(site->downloads);
}

/* This program, which is what serves itself here. */
static char *own_bytes(size_t *len)
{
    struct stat st = {0};
    cleanup_fd int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return NULL;
    char *bytes = xmalloc((size_t)st.st_size);
    for (*len = 0; *len < (size_t)st.st_size;) {
        ssize_t n = read(fd, bytes + *len, (size_t)st.st_size - *len);
        if (n <= 0)
            break;
        *len += (size_t)n;
    }
    CHECK_INT(*len, st.st_size);
    return bytes;
}

TEST(download_is_the_running_binary)
{
    struct site site;
    struct answer_rig r;
    char sum[DOWNLOAD_SUM_LEN + 1];
    size_t len = 0;
    cleanup_free char *own = own_bytes(&len);
    site_init(&site, &r, "http://box");
    const struct http_head *h = answer_rig_ask(&r, "GET", "/" OWN_ARCH, "");
    CHECK_INT(h->status, 200);
    CHECK_INT(h->length, len);
    CHECK(answer_rig_body_is(&r, own, len));
    CHECK(downloads_sum(site.downloads, OWN_ARCH, sum));
    CHECK_STR(answer_field(h, "X-Berth-Sha256"), sum);
    CHECK_STR(answer_field(h, "Content-Disposition"),
              "attachment; filename=\"berth-" OWN_ARCH "\"");
    CHECK_STR(answer_field(h, "X-Content-Type-Options"), "nosniff");
    site_fini(&site, &r);
}

TEST(download_head_says_as_much_without_a_body)
{
    struct site site;
    struct answer_rig r;
    char length[32];
    size_t len = 0;
    cleanup_free char *own = own_bytes(&len);
    site_init(&site, &r, "http://box");
    snprintf(length, sizeof length, "%zu", len);
    const struct http_head *h = answer_rig_ask(&r, "HEAD", "/" OWN_ARCH, "");
    CHECK_INT(h->status, 200);
    CHECK_STR(answer_field(h, "Content-Length"), length);
    CHECK(strlen(answer_field(h, "X-Berth-Sha256")) == DOWNLOAD_SUM_LEN);
    CHECK_INT(r.body.len, 0);
    CHECK_INT(answer_rig_ask(&r, "HEAD", "/" OWN_ARCH, "")->status, 200); /* and goes on */
    site_fini(&site, &r);
}

TEST(download_of_no_architecture_of_ours)
{
    static const char *const none[] = {"/riscv64", "/", "/x86_64/", "/../berth"};
    struct site site;
    struct answer_rig r;
    char sum[DOWNLOAD_SUM_LEN + 1] = "";
    site_init(&site, &r, "http://box");
    for (size_t i = 0; i < countof(none); i++) {
        CHECK_INT(answer_rig_ask(&r, "GET", none[i], "")->status, 404);
        CHECK(memmem(buf_front(&r.body), r.body.len, "\"not_found\"", 11));
    }
    CHECK(!downloads_sum(site.downloads, "riscv64", sum));
    CHECK_STR(sum, "");
    site_fini(&site, &r);
}

/* Who takes nothing holds no more of it in memory than a few chunks, and may go away in the middle. */
TEST(download_waits_for_its_client)
{
    struct site site;
    struct answer_rig r;
    site_init(&site, &r, "http://box");
    r.client.hold = true;
    answer_rig_say(&r, "GET", "/" OWN_ARCH, "");
    TURN_UNTIL(r.loop, r.client.datas > 0);
    for (int i = 0; i < 100; i++)
        loop_turn(r.loop, 0);
    CHECK(stream_held(r.client.s) <= 4u << 16);
    stream_reset(r.client.s);
    r.client.s = NULL;
    TURN_UNTIL(r.loop, !r.c);
    site_fini(&site, &r);
}

static char *script_of(struct answer_rig *r)
{
    const struct http_head *h = answer_rig_ask(r, "GET", "/install.sh", "");
    CHECK_INT(h->status, 200);
    CHECK_STR(answer_field(h, "Cache-Control"), "no-store");
    CHECK_STR(answer_field(h, "X-Content-Type-Options"), "nosniff");
    return xstrndup((const char *)buf_front(&r->body), r->body.len);
}

TEST(install_script_is_filled_in)
{
    struct site site;
    struct answer_rig r;
    char sum[DOWNLOAD_SUM_LEN + 1];
    site_init(&site, &r, "https://box.example/base");
    downloads_sum(site.downloads, OWN_ARCH, sum);
    cleanup_free char *want = xasprintf("\nsum_" OWN_ARCH "='%s'\n", sum);
    cleanup_free char *script = script_of(&r);
    CHECK(strstr(script, "\nurl='https://box.example/base'\npin=''\n"));
    CHECK(strstr(script, want));
    CHECK(strncmp(script, "#!/bin/sh\n", 10) == 0);
    CHECK(script[strlen(script) - 10] == 'm' && strstr(script, "\nmain \"$@\"\n"));
    site_fini(&site, &r);
}

/* What a shell reads there, by asking one. */
static char *url_as_read(const char *script)
{
    char line[2048] = "";
    char path[] = "/tmp/berth-install-XXXXXX";
    const char *at = strstr(script, "\nurl=");
    cleanup_fd int fd = mkstemp(path);
    CHECK(at && fd >= 0);
    if (!at)
        return xstrdup("");
    cleanup_free char *text =
        xasprintf("%.*s\nprintf %%s \"$url\"\n", (int)(strchr(at + 1, '\n') - at), at);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    cleanup_free char *command = xasprintf("sh %s", path);
    FILE *out = popen(command, "r");
    CHECK(out);
    if (out) {
        size_t len = fread(line, 1, sizeof line - 1, out);
        line[len] = '\0';
        pclose(out);
    }
    unlink(path);
    return xstrdup(line);
}

TEST(install_script_has_any_url_as_one_word)
{
    static const char *const urls[] = {"http://box:3000", "https://[::1]:8443/a",
                                       "https://box/it's/'quoted'", "https://box/$(reboot)/a;b&c!",
                                       "https://box/$HOME~*'"};
    for (size_t i = 0; i < countof(urls); i++) {
        struct site site;
        struct answer_rig r;
        struct url u;
        const char *why;
        CHECK_INT(url_parse(&u, urls[i], &why), 0);
        site_init(&site, &r, u.text);
        cleanup_free char *script = script_of(&r);
        cleanup_free char *read = url_as_read(script);
        CHECK_STR(read, u.text);
        site_fini(&site, &r);
    }
}

TEST(install_command_to_paste)
{
    struct install i = {.url = "https://box:8443"};
    cleanup_free char *plain = install_command(&i, "ABCD-EFGH");
    CHECK_STR(plain, "curl -fsS https://box:8443/install.sh | sh -s -- ABCD-EFGH");
    i.url = "https://box/a;b";
    cleanup_free char *odd = install_command(&i, "ABCD-EFGH");
    CHECK_STR(odd, "curl -fsS 'https://box/a;b/install.sh' | sh -s -- ABCD-EFGH");
}

TEST(install_of_a_certificate_that_nobody_vouches_for)
{
    struct site site;
    struct answer_rig r;
    site_init(&site, &r, "https://box");
    site.install.pinned = true;
    memset(site.install.pin, 0xab, SHA256_LEN);
    memset(site.install.key_pin, 0, SHA256_LEN);
    cleanup_free char *command = install_command(&site.install, "ABCD-EFGH");
    CHECK_STR(command, "curl -fsSk --pinnedpubkey "
                       "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= "
                       "https://box/install.sh | sh -s -- ABCD-EFGH");
    cleanup_free char *script = script_of(&r);
    CHECK(strstr(script, "\npin='abababababababababababababababab"
                         "abababababababababababababababab'\n"));
    site_fini(&site, &r);
}
