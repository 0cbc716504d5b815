/* Names to addresses. */
#include "net/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/test.h"

struct answer {
    struct resolved addresses;
    int count;
};

static void on_answer(void *arg, const struct resolved *addresses)
{
    struct answer *a = arg;
    a->addresses = *addresses;
    a->count++;
}

static void await(struct loop *loop, const struct answer *a)
{
    uint64_t end = loop_now_ms(loop) + 10000;
    while (!a->count && loop_now_ms(loop) < end)
        loop_turn(loop, 1000);
}

static void text_of(const struct resolved *r, size_t i, char text[static 64])
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&r->addr[i];
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&r->addr[i];
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (r->addr[i].ss_family == AF_INET && r->len[i] == sizeof(*v4)) {
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        port = ntohs(v4->sin_port);
    } else if (r->addr[i].ss_family == AF_INET6 && r->len[i] == sizeof(*v6)) {
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        port = ntohs(v6->sin6_port);
    }
    snprintf(text, 64, "%s %u", host, port);
}

static void check_address(const struct resolved *r, size_t i, const char *want)
{
    char text[64];
    text_of(r, i, text);
    CHECK_STR(text, want);
}

TEST(resolve_now_addresses)
{
    struct resolved r;
    CHECK(resolve_now("192.0.2.1", 80, &r));
    CHECK_INT(r.n, 1);
    check_address(&r, 0, "192.0.2.1 80");
    CHECK(resolve_now("2001:db8::1", 65535, &r));
    CHECK_INT(r.n, 1);
    check_address(&r, 0, "2001:db8::1 65535");
    CHECK(resolve_now("localhost", 22, &r));
    CHECK_INT(r.n, 2);
    check_address(&r, 0, "127.0.0.1 22");
    check_address(&r, 1, "::1 22");
    CHECK(resolve_now("LOCALHOST", 22, &r));
}

TEST(resolve_now_leaves_names)
{
    struct resolved r;
    CHECK(!resolve_now("example.com", 80, &r));
    CHECK(!resolve_now("127.1", 80, &r));
    CHECK(!resolve_now("localhost.example.com", 80, &r));
    CHECK(!resolve_now("", 80, &r));
}

TEST(resolve_now_scoped)
{
    struct resolved r;
    const struct sockaddr_in6 *sa = (const struct sockaddr_in6 *)&r.addr[0];
    CHECK(resolve_now("fe80::1%lo", 80, &r));
    CHECK_INT(sa->sin6_scope_id, if_nametoindex("lo"));
    check_address(&r, 0, "fe80::1 80");
    CHECK(resolve_now("fe80::1%7", 80, &r));
    CHECK_INT(sa->sin6_scope_id, 7);
    CHECK(!resolve_now("fe80::1%nosuchlink", 80, &r));
    CHECK(!resolve_now("fe80::1%", 80, &r));
    CHECK(!resolve_now("example.com%lo", 80, &r));
}

TEST(resolve_path)
{
    struct resolved r;
    char path[120];
    CHECK_INT(resolve_path("/run/x", &r), 0);
    CHECK_INT(r.n, 1);
    CHECK_INT(r.addr[0].ss_family, AF_UNIX);
    CHECK_STR(((const struct sockaddr_un *)&r.addr[0])->sun_path, "/run/x");
    memset(path, 'x', sizeof(path));
    path[107] = '\0';
    CHECK_INT(resolve_path(path, &r), 0);
    memset(path, 'x', sizeof(path));
    path[108] = '\0';
    CHECK_INT(resolve_path(path, &r), -1);
    CHECK_INT(errno, ENAMETOOLONG);
}

/* Not in inet_pton()'s notation, so a child is asked; and it needs no name server. */
TEST(resolve_start_in_a_child)
{
    struct loop *loop = loop_new();
    struct answer a = {.count = 0};
    CHECK(resolve_start(loop, "127.1", 8080, on_answer, &a));
    CHECK_INT(a.count, 0);
    await(loop, &a);
    CHECK_INT(a.count, 1);
    CHECK_INT(a.addresses.n, 1);
    check_address(&a.addresses, 0, "127.0.0.1 8080");
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
    loop_free(loop);
}

TEST(resolve_start_no_such_name)
{
    struct loop *loop = loop_new();
    struct answer a = {.count = 0};
    resolve_start(loop, "", 80, on_answer, &a);
    await(loop, &a);
    CHECK_INT(a.count, 1);
    CHECK_INT(a.addresses.n, 0);
    CHECK_INT(a.addresses.error, ENOENT);
    loop_free(loop);
}

TEST(resolve_start_without_descriptors)
{
    struct loop *loop = loop_new();
    struct answer a = {.count = 0};
    struct rlimit was, now;
    int lowest = dup(2);
    close(lowest);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = was;
    now.rlim_cur = (rlim_t)lowest;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &now), 0);
    CHECK(resolve_start(loop, "127.1", 80, on_answer, &a));
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &was), 0);
    CHECK_INT(a.count, 0);
    await(loop, &a);
    CHECK_INT(a.count, 1);
    CHECK_INT(a.addresses.n, 0);
    CHECK_INT(a.addresses.error, EMFILE);
    loop_free(loop);
}

TEST(resolve_cancel)
{
    struct loop *loop = loop_new();
    struct answer a = {.count = 0};
    resolve_cancel(resolve_start(loop, "127.1", 80, on_answer, &a));
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
    loop_turn(loop, 50);
    CHECK_INT(a.count, 0);
    resolve_cancel(NULL);
    loop_free(loop);
}

/* ---- with a hosts file of the test's own ---- */

static int mount_hosts(const char *text)
{
    char path[] = "/tmp/berth-hosts-XXXXXX";
    int fd = mkstemp(path);
    size_t len = strlen(text);
    int rc = -1;
    if (fd >= 0 && fchmod(fd, 0644) == 0 && write(fd, text, len) == (ssize_t)len &&
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        rc = mount(path, "/etc/hosts", NULL, MS_BIND, NULL);
    unlink(path);
    close(fd);
    return rc;
}

/* The namespace to go back to by leave(), or -1 after a note. */
static int enter_with_hosts(const char *test, const char *text)
{
    int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (home >= 0 && unshare(CLONE_NEWNS) == 0) {
        CHECK_INT(mount_hosts(text), 0);
        return home;
    }
    if (home >= 0)
        close(home);
    fprintf(stderr, "%s: not tested: it needs a mount namespace, which only root may make\n", test);
    return -1;
}

/* Entering a mount namespace moves the process to its root. */
static void leave(int home)
{
    char *dir = getcwd(NULL, 0);
    CHECK_INT(setns(home, CLONE_NEWNS), 0);
    CHECK_INT(chdir(dir), 0);
    free(dir);
    close(home);
}

static struct answer look_up(const char *name)
{
    struct loop *loop = loop_new();
    struct answer a = {.count = 0};
    resolve_start(loop, name, 80, on_answer, &a);
    await(loop, &a);
    CHECK_INT(a.count, 1);
    loop_free(loop);
    return a;
}

TEST(resolve_families_take_turns)
{
    int home = enter_with_hosts(__func__, "127.0.0.1 four.test\n127.0.0.2 many.test\n"
                                          "127.0.0.3 many.test\n127.0.0.4 many.test\n"
                                          "::1 many.test\n::1 six.test\n");
    if (home < 0)
        return;
    struct answer four = look_up("four.test"), six = look_up("six.test");
    CHECK_INT(four.addresses.n, 1);
    check_address(&four.addresses, 0, "127.0.0.1 80");
    CHECK_INT(six.addresses.n, 1);
    check_address(&six.addresses, 0, "::1 80");
    struct answer many = look_up("many.test");
    CHECK_INT(many.addresses.n, 4);
    bool six_first = many.addresses.addr[0].ss_family == AF_INET6;
    CHECK_INT(many.addresses.addr[six_first ? 0 : 1].ss_family, AF_INET6);
    check_address(&many.addresses, 2, "127.0.0.3 80");
    check_address(&many.addresses, 3, "127.0.0.4 80");
    leave(home);
}

TEST(resolve_keeps_so_many)
{
    char text[1024] = "";
    for (int i = 1; i <= 12; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "127.0.1.%d many.test\n", i);
    int home = enter_with_hosts(__func__, text);
    if (home < 0)
        return;
    struct answer many = look_up("many.test");
    CHECK_INT(many.addresses.n, RESOLVE_MAX);
    leave(home);
}
