#include "net/quic_addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"

struct quic_addr quic_addr_for(int family, const struct quic_addr *a)
{
    struct quic_addr mapped = {.len = sizeof(mapped.in6)};
    if (family != AF_INET6 || a->sa.sa_family != AF_INET)
        return *a;
    mapped.in6.sin6_family = AF_INET6;
    mapped.in6.sin6_port = a->in.sin_port;
    mapped.in6.sin6_addr.s6_addr[10] = mapped.in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(mapped.in6.sin6_addr.s6_addr + 12, &a->in.sin_addr, 4);
    return mapped;
}

static bool parse_six(struct quic_addr *a, const char *text)
{
    char host[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "%");
    if (len >= sizeof host)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    if (inet_pton(AF_INET6, host, &a->in6.sin6_addr) != 1)
        return false;
    a->in6.sin6_scope_id = text[len] ? if_nametoindex(text + len + 1) : 0;
    return true;
}

struct quic_addr quic_addr_parse(const char *text, uint16_t port)
{
    struct quic_addr a = {0};
    if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons(port);
        a.len = sizeof a.in;
    } else if (parse_six(&a, text)) {
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons(port);
        a.len = sizeof a.in6;
    }
    return a;
}

bool quic_addr_same_host(const struct quic_addr *a, const struct quic_addr *b)
{
    struct quic_addr x = quic_addr_for(AF_INET6, a), y = quic_addr_for(AF_INET6, b);
    if (!a->len || !b->len)
        return a->len == b->len;
    return memcmp(&x.in6.sin6_addr, &y.in6.sin6_addr, sizeof x.in6.sin6_addr) == 0;
}

bool quic_addr_equal(const struct quic_addr *a, const struct quic_addr *b)
{
    struct quic_addr x = quic_addr_for(AF_INET6, a), y = quic_addr_for(AF_INET6, b);
    return quic_addr_same_host(a, b) && x.in6.sin6_port == y.in6.sin6_port;
}

bool quic_addr_is_elsewhere(const struct quic_addr *a)
{
    struct quic_addr x = quic_addr_for(AF_INET6, a);
    const struct in6_addr *six = &x.in6.sin6_addr;
    uint8_t first = six->s6_addr[12];
    if (!a->len)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(six))
        return first != 0 && first != 127 && first < 224;
    return !IN6_IS_ADDR_UNSPECIFIED(six) && !IN6_IS_ADDR_LOOPBACK(six) &&
           !IN6_IS_ADDR_MULTICAST(six) && !IN6_IS_ADDR_LINKLOCAL(six);
}

struct quic_addr quic_source(const struct quic_addr *remote)
{
    struct quic_addr source = {.len = sizeof source.in6};
    cleanup_fd int fd = socket(remote->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &remote->sa, remote->len) < 0 ||
        getsockname(fd, &source.sa, &source.len) < 0)
        return (struct quic_addr){0};
    if (source.sa.sa_family == AF_INET6)
        source.in6.sin6_port = 0;
    else
        source.in.sin_port = 0;
    return source;
}
