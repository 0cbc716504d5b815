/* Whether the network changed.
 *
 * The kernel repeats itself: a wireless link reports every scan, a v6 address every router
 * advertisement. So what was said last about each link and address is kept, and only what
 * differs counts. What is not known yet counts as well. */
#include "net/netwatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <linux/if.h> /* wants what is above */

#include "core/bytes.h"
#include "core/mem.h"
#include "net/netlink.h"

#define TOGETHER_MS 200
#define CLOCKS_S    30
#define SLEPT_MS    2000
#define KNOWN_MAX   256 /* beyond it everything counts */
#define LINK_STATE  (IFF_UP | IFF_RUNNING | IFF_LOWER_UP)

struct known {
    uint32_t index; /* of the interface */
    uint8_t family; /* AF_UNSPEC: the link itself */
    uint8_t addr[16];
    uint32_t state; /* the link's flags, or 1 for an address */
};

struct netwatch {
    struct loop *loop;
    netwatch_fn *fn;
    void *arg;
    int netlink, clock;
    struct loop_fd netlink_watch, clock_watch;
    struct loop_timer together;
    int64_t ahead_ms;
    struct known known[KNOWN_MAX];
    size_t known_len;
    bool freed;
};

/* ---- what differs ---- */

static struct known *find(struct netwatch *w, const struct known *k)
{
    for (size_t i = 0; i < w->known_len; i++)
        if (w->known[i].index == k->index && w->known[i].family == k->family &&
            memcmp(w->known[i].addr, k->addr, sizeof(k->addr)) == 0)
            return &w->known[i];
    return NULL;
}

/* `gone`: there is no such link or address any more. */
static bool differs(struct netwatch *w, const struct known *k, bool gone)
{
    struct known *was = find(w, k);
    if (was && gone)
        *was = w->known[--w->known_len];
    else if (!was && !gone && w->known_len < KNOWN_MAX)
        w->known[w->known_len++] = *k;
    if (!was || gone)
        return true;
    bool same = was->state == k->state;
    was->state = k->state;
    return !same;
}

static bool link_differs(struct netwatch *w, struct reader body, bool gone)
{
    struct ifinfomsg m;
    read_copy(&body, &m, sizeof(m));
    struct known k = {.index = (uint32_t)m.ifi_index, .state = m.ifi_flags & LINK_STATE};
    return !body.bad && differs(w, &k, gone);
}

static bool address_differs(struct netwatch *w, struct reader body, bool gone)
{
    struct ifaddrmsg m;
    struct reader value;
    unsigned type;
    read_copy(&body, &m, sizeof(m));
    struct known k = {.index = m.ifa_index, .family = m.ifa_family, .state = 1};
    while (netlink_attr(&body, &type, &value))
        if (type == IFA_ADDRESS && value.left <= sizeof(k.addr))
            read_copy(&value, k.addr, value.left);
    return !body.bad && differs(w, &k, gone);
}

/* A default route, or one of the two halves that some VPNs put over it. */
static bool is_default_route(struct reader body)
{
    struct rtmsg m;
    read_copy(&body, &m, sizeof(m));
    return !body.bad && m.rtm_dst_len <= 1 && m.rtm_type == RTN_UNICAST &&
           !(m.rtm_flags & RTM_F_CLONED);
}

static bool matters(struct netwatch *w, unsigned type, struct reader body)
{
    switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: return link_differs(w, body, type == RTM_DELLINK);
    case RTM_NEWADDR:
    case RTM_DELADDR: return address_differs(w, body, type == RTM_DELADDR);
    case RTM_NEWROUTE:
    case RTM_DELROUTE: return is_default_route(body);
    default: return false;
    }
}

/* ---- events ---- */

/* True when something in it matters. */
static bool read_messages(struct netwatch *w, struct reader r)
{
    struct nlmsghdr h;
    struct reader body;
    bool changed = false;
    while (netlink_next(&r, &h, &body))
        changed = matters(w, h.nlmsg_type, body) || changed;
    return changed;
}

static void netlink_ready(void *arg, uint32_t events)
{
    struct netwatch *w = arg;
    uint8_t data[16384];
    bool changed = false;
    (void)events;
    for (;;) {
        ssize_t n = recv(w->netlink, data, sizeof(data), 0);
        if (n >= 0) {
            changed = read_messages(w, reader_of(data, (size_t)n)) || changed;
        } else if (errno == ENOBUFS) {
            w->known_len = 0; /* messages were lost: what is known may be wrong */
            changed = true;
        } else if (errno != EINTR) {
            break;
        }
    }
    if (!changed)
        return;
    loop_timer_set(&w->together, TOGETHER_MS);
    w->fn(w->arg, NETWATCH_STIRRED); /* which may free it */
}

static void tell_changed(void *arg)
{
    struct netwatch *w = arg;
    w->fn(w->arg, NETWATCH_CHANGED);
}

static int64_t clock_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool netwatch_slept(int64_t *ahead_ms, int64_t boot_ms, int64_t monotonic_ms)
{
    int64_t grown = boot_ms - monotonic_ms - *ahead_ms;
    *ahead_ms += grown;
    return grown > SLEPT_MS;
}

static bool slept(struct netwatch *w)
{
    return netwatch_slept(&w->ahead_ms, clock_ms(CLOCK_BOOTTIME), clock_ms(CLOCK_MONOTONIC));
}

static void clock_ready(void *arg, uint32_t events)
{
    struct netwatch *w = arg;
    uint64_t expirations;
    (void)events;
    if (read(w->clock, &expirations, sizeof(expirations)) < 0)
        return;
    if (slept(w))
        w->fn(w->arg, NETWATCH_WOKE);
}

/* ---- set-up ---- */

static int open_netlink(struct netwatch *w)
{
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                          RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    w->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (w->netlink < 0 || bind(w->netlink, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
        loop_fd_add(w->loop, &w->netlink_watch, w->netlink, netlink_ready, w) != 0)
        return -1;
    loop_fd_want(&w->netlink_watch, EPOLLIN);
    return 0;
}

/* By CLOCK_BOOTTIME, it is due as soon as the machine wakes, unless that slept for less: then
 * a little later, for a processor that idles is not to be woken for a look at the clock. */
static int open_clock(struct netwatch *w)
{
    struct itimerspec every = {.it_value.tv_sec = CLOCKS_S, .it_interval.tv_sec = CLOCKS_S};
    w->clock = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->clock < 0 || timerfd_settime(w->clock, 0, &every, NULL) != 0 ||
        loop_fd_add(w->loop, &w->clock_watch, w->clock, clock_ready, w) != 0)
        return -1;
    loop_fd_want(&w->clock_watch, EPOLLIN);
    slept(w);
    return 0;
}

struct netwatch *netwatch_new(struct loop *loop, netwatch_fn *fn, void *arg)
{
    struct netwatch *w = xcalloc(1, sizeof(*w));
    w->loop = loop;
    w->fn = fn;
    w->arg = arg;
    w->netlink = w->clock = -1;
    loop_timer_init(loop, &w->together, tell_changed, w);
    if (open_netlink(w) != 0 || open_clock(w) != 0) {
        int error = errno;
        netwatch_free(w);
        errno = error;
        return NULL;
    }
    return w;
}

void netwatch_free(struct netwatch *w)
{
    if (!w || w->freed)
        return;
    w->freed = true;
    loop_fd_del(&w->netlink_watch);
    loop_fd_del(&w->clock_watch);
    loop_timer_del(&w->together);
    if (w->netlink >= 0)
        close(w->netlink);
    if (w->clock >= 0)
        close(w->clock);
    loop_reap(w->loop, w, free);
}
