#include "net/netconf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/netlink.h"
#include "tests/unit/netns.h"
#include "tests/unit/test.h"

TEST(netconf_parse)
{
    static const struct {
        const char *address, *gateway, *why;
        int family, prefix_len;
    } rows[] = {
        {"10.99.0.5", "10.99.0.1", NULL, AF_INET, 16},
        {"10.99.0.5/24", "10.99.0.1", NULL, AF_INET, 24},
        {"192.0.2.130/25", "192.0.2.254", NULL, AF_INET, 25},
        {"192.0.2.130/25", "192.0.2.1", "the gateway is not in the address's network", 0, 0},
        {"10.0.0.1/32", "10.0.0.2", "the gateway is not in the address's network", 0, 0},
        {"fd00::5/64", "fd00::1", NULL, AF_INET6, 64},
        {"fd00::5", "fd00::1", NULL, AF_INET6, 64},
        {"fd00::5/126", "fd00::9", "the gateway is not in the address's network", 0, 0},
        {"10.99.0.5/33", "10.99.0.1", "not a prefix length", 0, 0},
        {"10.99.0.5/0", "10.99.0.1", "not a prefix length", 0, 0},
        {"10.99.0.5/", "10.99.0.1", "not a prefix length", 0, 0},
        {"10.99.0.5/24/24", "10.99.0.1", "not a prefix length", 0, 0},
        {"fd00::5/129", "fd00::1", "not a prefix length", 0, 0},
        {"", "10.99.0.1", "not an IP address", 0, 0},
        {"10.99.0", "10.99.0.1", "not an IP address", 0, 0},
        {"10.99.0.256", "10.99.0.1", "not an IP address", 0, 0},
        {"eth0", "10.99.0.1", "not an IP address", 0, 0},
        {"10.99.0.5 ", "10.99.0.1", "not an IP address", 0, 0},
        {"0.0.0.0", "0.0.0.1", "not an address for an interface", 0, 0},
        {"127.0.0.1", "127.0.0.2", "not an address for an interface", 0, 0},
        {"224.0.0.1", "224.0.0.2", "not an address for an interface", 0, 0},
        {"::", "::1", "not an address for an interface", 0, 0},
        {"::1", "::2", "not an address for an interface", 0, 0},
        {"ff02::1", "ff02::2", "not an address for an interface", 0, 0},
        {"10.99.0.5", "gate", "the gateway is not an IP address", 0, 0},
        {"10.99.0.5", "10.99.0.1/16", "the gateway is not an IP address", 0, 0},
        {"10.99.0.5", "fd00::1", "the gateway is of another family", 0, 0},
        {"10.99.0.5", "10.99.0.5", "the gateway is the address itself", 0, 0},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct netconf c;
        const char *why;
        CHECK_INT(netconf_parse(&c, rows[i].address, rows[i].gateway, &why), rows[i].why ? -1 : 0);
        CHECK_STR(why ? why : "", rows[i].why ? rows[i].why : "");
        if (!rows[i].why) {
            CHECK_INT(c.family, rows[i].family);
            CHECK_INT(c.prefix_len, rows[i].prefix_len);
        }
    }
    CHECK(netconf_is_address("1.1.1.1"));
    CHECK(netconf_is_address("2606:4700::1111"));
    CHECK(!netconf_is_address("1.1.1.1\nsearch x"));
    CHECK(!netconf_is_address("dns.example"));
}

/* ip link add NAME type veth */
static void add_veth(const char *name, const char *peer)
{
    const struct ifinfomsg m = {.ifi_family = AF_UNSPEC};
    struct netlink_request q;
    int fd = netlink_socket();
    netlink_begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof(m));
    netlink_put(&q, IFLA_IFNAME, name, strlen(name) + 1);
    size_t info = netlink_open(&q, IFLA_LINKINFO);
    netlink_put(&q, IFLA_INFO_KIND, "veth", 4);
    size_t data = netlink_open(&q, IFLA_INFO_DATA),
           other = netlink_open(&q, 1 /* VETH_INFO_PEER */);
    write_bytes(&q.w, &m, sizeof(m));
    netlink_put(&q, IFLA_IFNAME, peer, strlen(peer) + 1);
    netlink_close(&q, other);
    netlink_close(&q, data);
    netlink_close(&q, info);
    CHECK_INT(netlink_call(fd, &q, NULL, NULL), 0);
    close(fd);
}

static void apply(const char *name, const char *address, const char *gateway)
{
    struct netconf c;
    const char *why, *step;
    CHECK_INT(netconf_parse(&c, address, gateway, &why), 0);
    int status = netconf_apply(name, &c, &step);
    if (status != 0)
        printf("%s: %s\n", step, strerror(errno));
    CHECK_INT(status, 0);
}

/* What a command of this machine's says of what was set. */
static void expect_output(const char *command, const char *text)
{
    char out[4096];
    FILE *f = popen(command, "r");
    size_t n = f ? fread(out, 1, sizeof(out) - 1, f) : 0;
    out[n] = '\0';
    if (f)
        pclose(f);
    CHECK_STR(out, text);
}

#define ADDRESSES(family)                                                                          \
    "ip -br -" family " addr show dev eth0 scope global | awk '{print $3, $4}'"

TEST(netconf_apply)
{
    int home = netns_enter(__func__);
    char name[NETCONF_NAME_MAX];
    if (home < 0)
        return;
    errno = 0;
    CHECK_INT(netconf_find(name), -1);
    CHECK_INT(errno, ENODEV);
    add_veth("aaa0", "eth0");
    CHECK_INT(netconf_find(name), 0);
    CHECK_STR(name, "eth0");
    apply(name, "10.99.0.5", "10.99.0.1");
    expect_output(ADDRESSES("4"), "10.99.0.5/16 \n");
    expect_output("ip -4 route show default",
                  "default via 10.99.0.1 dev eth0 proto static linkdown \n");
    /* Another one of the same network, then of another, then what is there already. */
    apply(name, "10.99.0.6/16", "10.99.0.2");
    expect_output(ADDRESSES("4"), "10.99.0.6/16 \n");
    apply(name, "192.0.2.7/24", "192.0.2.1");
    apply(name, "192.0.2.7/24", "192.0.2.1");
    expect_output(ADDRESSES("4"), "192.0.2.7/24 \n");
    expect_output("ip -4 route show default",
                  "default via 192.0.2.1 dev eth0 proto static linkdown \n");
    apply(name, "fd00::5/64", "fd00::1");
    apply(name, "fd00::6/64", "fd00::1");
    expect_output(ADDRESSES("6"), "fd00::6/64 \n");
    expect_output(ADDRESSES("4"), "192.0.2.7/24 \n");
    expect_output("ip -br link show dev lo | awk '{print $2}'", "UNKNOWN\n");
    CHECK_INT(netns_leave(home), 0);
}

TEST(netconf_apply_without_the_interface)
{
    int home = netns_enter(__func__);
    struct netconf c;
    const char *why, *step;
    if (home < 0)
        return;
    CHECK_INT(netconf_parse(&c, "10.99.0.5", "10.99.0.1", &why), 0);
    CHECK_INT(netconf_apply("eth7", &c, &step), -1);
    CHECK_INT(errno, ENODEV);
    CHECK_STR(step, "bringing the interfaces up");
    CHECK_INT(netns_leave(home), 0);
}
