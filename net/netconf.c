#include "net/netconf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/if.h> /* wants what is above */
#include <linux/if_addr.h>
#include <linux/if_arp.h>

#include "core/mem.h"
#include "core/opt.h"
#include "net/netlink.h"

#define PREFERRED "eth0"

/* ---- texts ---- */

static size_t address_len(int family)
{
    return family == AF_INET ? 4 : 16;
}

static bool parse_address(const char *text, int *family, uint8_t address[16])
{
    memset(address, 0, 16);
    *family = strchr(text, ':') ? AF_INET6 : AF_INET;
    return inet_pton(*family, text, address) == 1;
}

bool netconf_is_address(const char *text)
{
    uint8_t address[16];
    int family;
    return parse_address(text, &family, address);
}

/* The first `prefix_len` bits are the same. */
static bool same_network(const struct netconf *c)
{
    size_t whole = c->prefix_len / 8;
    uint8_t mask = (uint8_t)(0xff00 >> c->prefix_len % 8);
    return memcmp(c->address, c->gateway, whole) == 0 &&
           (whole == 16 || ((c->address[whole] ^ c->gateway[whole]) & mask) == 0);
}

static bool is_unicast(const struct netconf *c)
{
    static const uint8_t zeros[16];
    if (memcmp(c->address, zeros, sizeof(zeros)) == 0)
        return false;
    if (c->family == AF_INET)
        return c->address[0] != 0 && c->address[0] != 127 && c->address[0] < 224;
    return c->address[0] != 0xff && !IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)c->address);
}

/* "/24" or nothing. */
static bool parse_prefix(struct netconf *c, const char *text)
{
    uint64_t n = c->family == AF_INET ? NETCONF_PREFIX_V4 : NETCONF_PREFIX_V6;
    if (text && (opt_unsigned(text, address_len(c->family) * 8, &n) != 0 || n == 0))
        return false;
    c->prefix_len = (uint8_t)n;
    return true;
}

static const char *judge(struct netconf *c, char *address, const char *gateway)
{
    int family;
    char *slash = strchr(address, '/');
    if (slash)
        *slash++ = '\0';
    if (!parse_address(address, &c->family, c->address))
        return "not an IP address";
    if (!parse_prefix(c, slash))
        return "not a prefix length";
    if (!is_unicast(c))
        return "not an address for an interface";
    if (!parse_address(gateway, &family, c->gateway))
        return "the gateway is not an IP address";
    if (family != c->family)
        return "the gateway is of another family";
    if (!same_network(c))
        return "the gateway is not in the address's network";
    if (memcmp(c->address, c->gateway, sizeof(c->address)) == 0)
        return "the gateway is the address itself";
    return NULL;
}

int netconf_parse(struct netconf *c, const char *address, const char *gateway, const char **why)
{
    cleanup_free char *copy = xstrdup(address);
    *c = (struct netconf){0};
    *why = judge(c, copy, gateway);
    return *why ? -1 : 0;
}

/* ---- interfaces ---- */

struct interface {
    char name[NETCONF_NAME_MAX];
    uint32_t index;
    uint16_t kind; /* ARPHRD_… */
};

struct search {
    const char *name; /* NULL: an Ethernet one, eth0 before the others */
    struct interface found;
};

static struct interface read_interface(struct reader body)
{
    struct interface i = {0};
    struct ifinfomsg m;
    struct reader value;
    unsigned type;
    read_copy(&body, &m, sizeof(m));
    i.index = (uint32_t)m.ifi_index;
    i.kind = m.ifi_type;
    while (netlink_attr(&body, &type, &value))
        if (type == IFLA_IFNAME && value.left <= sizeof(i.name))
            read_copy(&value, i.name, value.left);
    i.name[sizeof(i.name) - 1] = '\0';
    return i;
}

static void consider(void *arg, unsigned type, struct reader body)
{
    struct search *s = arg;
    struct interface i = read_interface(body);
    if (type != RTM_NEWLINK)
        return;
    if (s->name ? strcmp(i.name, s->name) == 0
                : i.kind == ARPHRD_ETHER && (!s->found.index || strcmp(i.name, PREFERRED) == 0))
        s->found = i;
}

static int search(int fd, struct search *s)
{
    const struct ifinfomsg all = {.ifi_family = AF_UNSPEC};
    struct netlink_request q;
    netlink_begin(&q, RTM_GETLINK, NLM_F_DUMP, &all, sizeof(all));
    if (netlink_call(fd, &q, consider, s) != 0)
        return -1;
    errno = ENODEV;
    return s->found.index ? 0 : -1;
}

int netconf_find(char name[static NETCONF_NAME_MAX])
{
    struct search s = {0};
    cleanup_fd int fd = netlink_socket();
    if (fd < 0 || search(fd, &s) != 0)
        return -1;
    memcpy(name, s.found.name, NETCONF_NAME_MAX);
    return 0;
}

/* ---- what is set ---- */

static int bring_up(int fd, const char *name, uint32_t *index)
{
    struct search s = {.name = name};
    struct netlink_request q;
    if (search(fd, &s) != 0)
        return -1;
    const struct ifinfomsg up = {
        .ifi_index = (int)s.found.index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    netlink_begin(&q, RTM_NEWLINK, 0, &up, sizeof(up));
    *index = s.found.index;
    return netlink_call(fd, &q, NULL, NULL);
}

static void address_request(struct netlink_request *q, unsigned type, unsigned flags,
                            const struct ifaddrmsg *m, const uint8_t *address)
{
    size_t len = address_len(m->ifa_family);
    netlink_begin(q, type, flags, m, sizeof(*m));
    netlink_put(q, IFA_LOCAL, address, len);
    netlink_put(q, IFA_ADDRESS, address, len);
}

static int add_address(int fd, uint32_t index, const struct netconf *c)
{
    /* Nobody else was given it: a v6 address need not be probed for first. */
    const struct ifaddrmsg m = {.ifa_family = (uint8_t)c->family,
                                .ifa_prefixlen = c->prefix_len,
                                .ifa_flags = c->family == AF_INET6 ? IFA_F_NODAD : 0,
                                .ifa_index = index};
    struct netlink_request q;
    address_request(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &m, c->address);
    return netlink_call(fd, &q, NULL, NULL);
}

#define OLD_MAX 64

struct old {
    const struct netconf *keep;
    uint32_t index;
    size_t n;
    struct ifaddrmsg m[OLD_MAX];
    uint8_t address[OLD_MAX][16];
};

static void collect_old(void *arg, unsigned type, struct reader body)
{
    struct old *o = arg;
    struct ifaddrmsg m;
    struct reader value;
    uint8_t address[16] = {0};
    unsigned attr;
    bool local = false;
    read_copy(&body, &m, sizeof(m));
    while (netlink_attr(&body, &attr, &value)) {
        if (value.left > sizeof(address) || (attr != IFA_LOCAL && attr != IFA_ADDRESS))
            continue;
        if (attr == IFA_LOCAL || !local)
            read_copy(&value, address, value.left);
        local |= attr == IFA_LOCAL;
    }
    if (type != RTM_NEWADDR || m.ifa_index != o->index || m.ifa_family != o->keep->family ||
        m.ifa_scope == RT_SCOPE_LINK || o->n == OLD_MAX)
        return;
    if (memcmp(address, o->keep->address, sizeof(address)) == 0 &&
        m.ifa_prefixlen == o->keep->prefix_len)
        return;
    o->m[o->n] = m;
    memcpy(o->address[o->n++], address, sizeof(address));
}

static int remove_old(int fd, uint32_t index, const struct netconf *c)
{
    const struct ifaddrmsg all = {.ifa_family = (uint8_t)c->family};
    struct old old = {.keep = c, .index = index};
    struct netlink_request q;
    netlink_begin(&q, RTM_GETADDR, NLM_F_DUMP, &all, sizeof(all));
    if (netlink_call(fd, &q, collect_old, &old) != 0)
        return -1;
    for (size_t i = 0; i < old.n; i++) {
        address_request(&q, RTM_DELADDR, 0, &old.m[i], old.address[i]);
        if (netlink_call(fd, &q, NULL, NULL) != 0 && errno != EADDRNOTAVAIL)
            return -1;
    }
    return 0;
}

static int set_default_route(int fd, uint32_t index, const struct netconf *c)
{
    const struct rtmsg m = {.rtm_family = (uint8_t)c->family,
                            .rtm_table = RT_TABLE_MAIN,
                            .rtm_protocol = RTPROT_STATIC,
                            .rtm_scope = RT_SCOPE_UNIVERSE,
                            .rtm_type = RTN_UNICAST};
    struct netlink_request q;
    netlink_begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &m, sizeof(m));
    netlink_put(&q, RTA_GATEWAY, c->gateway, address_len(c->family));
    netlink_put(&q, RTA_OIF, &index, sizeof(index));
    return netlink_call(fd, &q, NULL, NULL);
}

int netconf_up(const char *name)
{
    uint32_t index;
    cleanup_fd int fd = netlink_socket();
    return fd < 0 ? -1 : bring_up(fd, name, &index);
}

/* With its first address the kernel takes away the others of the same network: so the new one
 * is added before, for it to be refused while the old one is still there, and after. */
static const struct {
    const char *name;
    int (*take)(int fd, uint32_t index, const struct netconf *c);
} steps[] = {
    {"adding the address", add_address},
    {"removing the addresses it had", remove_old},
    {"adding the address", add_address},
    {"setting the default route", set_default_route},
};

int netconf_apply(const char *name, const struct netconf *c, const char **step)
{
    uint32_t index;
    cleanup_fd int fd = netlink_socket();
    *step = "opening a route socket";
    if (fd < 0)
        return -1;
    *step = "bringing the interfaces up";
    if (bring_up(fd, "lo", &index) != 0 || bring_up(fd, name, &index) != 0)
        return -1;
    for (size_t i = 0; i < countof(steps); i++) {
        *step = steps[i].name;
        if (steps[i].take(fd, index, c) != 0)
            return -1;
    }
    return 0;
}
