#include "net/udp_control.h"

#include <string.h>

/* The macro's arithmetic is signed in one C library and not in the other. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
struct cmsghdr *udp_control_next(struct msghdr *msg, struct cmsghdr *c)
{
    return CMSG_NXTHDR(msg, c);
}
#pragma GCC diagnostic pop

void udp_control_want(int fd, int family)
{
    const int on = 1;
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    else
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
}

bool udp_control_take(struct quic_addr *local, const struct cmsghdr *c)
{
    struct in6_pktinfo six;
    struct in_pktinfo four;
    bool is_six = local->sa.sa_family == AF_INET6;
    if (c->cmsg_level != (is_six ? IPPROTO_IPV6 : IPPROTO_IP) ||
        c->cmsg_type != (is_six ? IPV6_PKTINFO : IP_PKTINFO))
        return false;
    if (is_six) {
        memcpy(&six, CMSG_DATA(c), sizeof six);
        local->in6.sin6_addr = six.ipi6_addr;
        if (IN6_IS_ADDR_LINKLOCAL(&six.ipi6_addr))
            local->in6.sin6_scope_id = six.ipi6_ifindex;
    } else {
        memcpy(&four, CMSG_DATA(c), sizeof four);
        local->in.sin_addr = four.ipi_addr;
    }
    return true;
}

void udp_control_put(struct msghdr *msg, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c = (void *)((uint8_t *)msg->msg_control + msg->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = (socklen_t)CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    msg->msg_controllen += (socklen_t)CMSG_SPACE(len);
}

void udp_control_put_source(struct msghdr *msg, const struct quic_addr *local)
{
    if (local->sa.sa_family == AF_INET6 && !IN6_IS_ADDR_UNSPECIFIED(&local->in6.sin6_addr)) {
        struct in6_pktinfo six = {.ipi6_addr = local->in6.sin6_addr,
                                  .ipi6_ifindex = local->in6.sin6_scope_id};
        udp_control_put(msg, IPPROTO_IPV6, IPV6_PKTINFO, &six, sizeof six);
    } else if (local->sa.sa_family == AF_INET && local->in.sin_addr.s_addr) {
        struct in_pktinfo four = {.ipi_spec_dst = local->in.sin_addr};
        udp_control_put(msg, IPPROTO_IP, IP_PKTINFO, &four, sizeof four);
    }
}
