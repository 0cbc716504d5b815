#include "applets/broker/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define PEER_TEXT_MAX (INET6_ADDRSTRLEN + sizeof "[]:65535")

/* The address without its port; false: there is something else behind it, or it is too long. */
static bool split(const char *text, char host[static INET6_ADDRSTRLEN])
{
    bool bracketed = text[0] == '[';
    const char *colon = strchr(text, ':');
    size_t len = bracketed                          ? strcspn(++text, "]")
                 : colon && !strchr(colon + 1, ':') ? (size_t)(colon - text)
                                                    : strlen(text);
    if (len >= INET6_ADDRSTRLEN || (bracketed && text[len] != ']'))
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    const char *port = text + len + bracketed;
    return !*port || (*port == ':' && port[1 + strspn(port + 1, "0123456789")] == '\0');
}

bool peer_parse(char peer[static PEER_ROOM], const char *text)
{
    char host[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    struct in_addr v4;
    if (!split(text, host))
        return false;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return inet_ntop(AF_INET, &v4, peer, PEER_ROOM) != NULL;
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return inet_ntop(AF_INET, v6.s6_addr + 12, peer, PEER_ROOM) != NULL;
    if (!IN6_IS_ADDR_LOOPBACK(&v6))
        memset(v6.s6_addr + 8, 0, 8);
    return inet_ntop(AF_INET6, &v6, peer, PEER_ROOM) != NULL;
}

bool peer_forwarded(char peer[static PEER_ROOM], const struct http_head *head)
{
    char element[PEER_TEXT_MAX + 1];
    const char *list = http_field_last(head, "X-Forwarded-For");
    const char *comma = list ? strrchr(list, ',') : NULL;
    const char *from = comma ? comma + 1 : list;
    if (!from)
        return false;
    from += strspn(from, " \t");
    size_t len = strcspn(from, " \t");
    if (len > PEER_TEXT_MAX || from[len + strspn(from + len, " \t")] != '\0')
        return false;
    memcpy(element, from, len);
    element[len] = '\0';
    return peer_parse(peer, element);
}

bool peer_is_loopback(const char *peer)
{
    return strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0;
}
