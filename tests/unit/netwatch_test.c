/* What counts as a change of the network, with real messages of the kernel. */
#include "net/netwatch.h"

#include <arpa/inet.h>
#include <net/route.h>
#include <netinet/in.h>

#include "tests/unit/netns.h"
#include "tests/unit/test.h"

#define QUIET_MS 400 /* longer than changes are waited for */

struct seen {
    struct netwatch *watch;
    int stirred, changed, woke;
    bool free_it;
};

static void on_event(void *arg, enum netwatch_event event)
{
    struct seen *seen = arg;
    seen->stirred += event == NETWATCH_STIRRED;
    seen->changed += event == NETWATCH_CHANGED;
    seen->woke += event == NETWATCH_WOKE;
    if (seen->free_it)
        netwatch_free(seen->watch);
}

/* How many changes are told until nothing more comes. */
static int changes(struct loop *loop, struct seen *seen)
{
    int before = seen->changed;
    uint64_t quiet_from;
    loop_turn(loop, 0);
    do {
        quiet_from = loop_now_ms(loop);
        loop_turn(loop, QUIET_MS);
    } while (loop_now_ms(loop) - quiet_from < QUIET_MS);
    return seen->changed - before;
}

static int set_mtu(int mtu)
{
    struct ifreq ifr = {.ifr_name = "lo"};
    ifr.ifr_mtu = mtu;
    return netns_ioctl(SIOCSIFMTU, &ifr);
}

static int add_route(const char *to, const char *mask)
{
    char lo[] = "lo";
    struct rtentry rt = {.rt_flags = RTF_UP, .rt_dev = lo};
    struct sockaddr_in sa = {.sin_family = AF_INET};
    inet_pton(AF_INET, to, &sa.sin_addr);
    memcpy(&rt.rt_dst, &sa, sizeof(sa));
    inet_pton(AF_INET, mask, &sa.sin_addr);
    memcpy(&rt.rt_genmask, &sa, sizeof(sa));
    return netns_ioctl(SIOCADDRT, &rt);
}

static void check_changes(struct loop *loop, struct seen *seen)
{
    CHECK_INT(changes(loop, seen), 0);
    /* The link and its addresses: several messages, one change. */
    CHECK_INT(netns_lo_up(), 0);
    CHECK_INT(changes(loop, seen), 1);
    CHECK_INT(set_mtu(1500), 0);
    CHECK_INT(changes(loop, seen), 0);
    CHECK_INT(netns_lo_address("10.9.8.7"), 0);
    CHECK_INT(changes(loop, seen), 1);
    CHECK_INT(add_route("192.0.2.0", "255.255.255.0"), 0);
    CHECK_INT(changes(loop, seen), 0);
    CHECK_INT(add_route("0.0.0.0", "0.0.0.0"), 0);
    CHECK_INT(changes(loop, seen), 1);
    CHECK_INT(seen->woke, 0);
}

TEST(netwatch_tells_what_matters)
{
    int home = netns_enter(__func__);
    if (home < 0)
        return;
    struct loop *loop = loop_new();
    struct seen seen = {0};
    seen.watch = netwatch_new(loop, on_event, &seen);
    CHECK(seen.watch);
    if (seen.watch)
        check_changes(loop, &seen);
    netwatch_free(seen.watch);
    loop_free(loop);
    CHECK_INT(netns_leave(home), 0);
}

TEST(netwatch_tells_a_burst_once)
{
    int home = netns_enter(__func__);
    if (home < 0)
        return;
    struct loop *loop = loop_new();
    struct seen seen = {0};
    seen.watch = netwatch_new(loop, on_event, &seen);
    CHECK(seen.watch);
    CHECK_INT(netns_lo_up(), 0);
    loop_turn(loop, 0);
    CHECK_INT(seen.changed, 0);
    CHECK(seen.stirred);
    CHECK_INT(netns_lo_address("10.9.8.7"), 0);
    loop_turn(loop, 0);
    CHECK_INT(seen.changed, 0);
    CHECK_INT(changes(loop, &seen), 1);
    netwatch_free(seen.watch);
    loop_free(loop);
    CHECK_INT(netns_leave(home), 0);
}

TEST(netwatch_freed_by_its_own_event)
{
    int home = netns_enter(__func__);
    if (home < 0)
        return;
    struct loop *loop = loop_new();
    struct seen seen = {.free_it = true};
    seen.watch = netwatch_new(loop, on_event, &seen);
    CHECK(seen.watch);
    CHECK_INT(netns_lo_up(), 0);
    CHECK_INT(changes(loop, &seen), 0);
    CHECK_INT(seen.stirred, 1);
    loop_free(loop);
    CHECK_INT(netns_leave(home), 0);
}

TEST(netwatch_free_before_any_event)
{
    struct loop *loop = loop_new();
    struct seen seen = {0};
    struct netwatch *watch = netwatch_new(loop, on_event, &seen);
    CHECK(watch);
    netwatch_free(watch);
    netwatch_free(NULL);
    loop_free(loop);
    CHECK_INT(seen.changed, 0);
}

TEST(netwatch_slept)
{
    int64_t ahead_ms = 0;
    CHECK(netwatch_slept(&ahead_ms, 7000000, 1000000));
    CHECK_INT(ahead_ms, 6000000);
    CHECK(!netwatch_slept(&ahead_ms, 7005000, 1005000));
    CHECK(!netwatch_slept(&ahead_ms, 7012000, 1010000)); /* 2 s more */
    CHECK(netwatch_slept(&ahead_ms, 7019001, 1015000));  /* 2.001 s more */
    CHECK_INT(ahead_ms, 6004001);
    CHECK(!netwatch_slept(&ahead_ms, 7019001, 1015000));
}
