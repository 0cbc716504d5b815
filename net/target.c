/* Addresses as people write them. */
#include "net/target.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int refuse(const char **why, const char *text)
{
    *why = text;
    return -1;
}

static bool v6_of(const char *host, struct in6_addr *addr)
{
    char text[INET6_ADDRSTRLEN];
    size_t len = strcspn(host, "%");
    if (len >= sizeof(text))
        return false;
    if (host[len] == '%') {
        size_t scope_len = strlen(host + len + 1);
        if (scope_len == 0 || scope_len >= IF_NAMESIZE)
            return false;
    }
    memcpy(text, host, len);
    text[len] = '\0';
    return inet_pton(AF_INET6, text, addr) == 1;
}

static bool host_char(char c)
{
    return c > ' ' && c <= '~' && !strchr("/[]*", c);
}

int target_set_host(struct target *t, const char *host, size_t len, const char **why)
{
    struct in6_addr addr;
    if (len == 0)
        return refuse(why, "a host is missing");
    if (len > TARGET_HOST_MAX)
        return refuse(why, "the host name is too long");
    for (size_t i = 0; i < len; i++)
        if (!host_char(host[i]))
            return refuse(why, "the host name has a character that none can have");
    memcpy(t->host, host, len);
    t->host[len] = '\0';
    if (strchr(t->host, ':') && !v6_of(t->host, &addr))
        return refuse(why, "the host is not a v6 address");
    return 0;
}

int target_set_port(struct target *t, const char *digits, uint16_t least, const char **why)
{
    unsigned port = 0;
    size_t len = strspn(digits, "0123456789");
    for (size_t i = 0; i < len && i < 6; i++)
        port = port * 10 + (unsigned)(digits[i] - '0');
    if (len == 0 || len > 5 || digits[len] || port < least || port > UINT16_MAX)
        return refuse(why, least ? "a port must be 1 to 65535" : "a port must be 0 to 65535");
    t->port = (uint16_t)port;
    return 0;
}

int target_set_path(struct target *t, const char *path, const char **why)
{
    size_t len = strlen(path);
    if (path[0] != '/')
        return refuse(why, "a unix socket's path must be absolute");
    if (len > TARGET_PATH_MAX)
        return refuse(why, "a unix socket's path must be 107 bytes or less");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)path[i] < ' ' || path[i] == 0x7f)
            return refuse(why, "a path must not have control characters");
    memcpy(t->path, path, len + 1);
    t->kind = TARGET_UNIX;
    return 0;
}

/* The host's text and length without brackets; the port's text behind the ':'. */
static int split(const char *text, const char **host, size_t *len, const char **port,
                 const char **why)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : strrchr(text, ':');
    if (!end)
        return refuse(why, text[0] == '[' ? "a ']' is missing" : "a port is missing");
    *host = text[0] == '[' ? text + 1 : text;
    *len = (size_t)(end - *host);
    if (*end == ']' && *++end != ':')
        return refuse(why, "a ':' and a port must follow the ']'");
    if (text[0] != '[' && memchr(text, ':', *len))
        return refuse(why, "a v6 address must stand in brackets: [address]:port");
    *port = end + 1;
    return 0;
}

/* A host may have that name, too; but what follows it then is a port alone. */
static bool is_udp(const char *text)
{
    return strncmp(text, "udp:", 4) == 0 && strchr(text + 4, ':');
}

static int parse(struct target *t, const char *text, bool bind, const char **why)
{
    const char *host, *port;
    size_t len;
    memset(t, 0, sizeof(*t));
    if (is_udp(text)) {
        t->kind = TARGET_UDP;
        text += 4;
    }
    if (strncmp(text, "unix:", 5) == 0 && !isdigit((unsigned char)text[5])) /* a host's name, too */
        return t->kind == TARGET_UDP ? refuse(why, "UDP has no unix sockets")
                                     : target_set_path(t, text + 5, why);
    if (split(text, &host, &len, &port, why) != 0)
        return -1;
    if (target_set_port(t, port, bind ? 0 : 1, why) != 0)
        return -1;
    if (bind && (len == 0 || (len == 1 && *host == '*')))
        return 0;
    return target_set_host(t, host, len, why);
}

int target_parse(struct target *t, const char *text, const char **why)
{
    return parse(t, text, false, why);
}

int target_parse_bind(struct target *t, const char *text, const char **why)
{
    return parse(t, text, true, why);
}

void target_format(const struct target *t, char text[static TARGET_TEXT_MAX])
{
    const char *udp = t->kind == TARGET_UDP ? "udp:" : "";
    if (t->kind == TARGET_UNIX)
        snprintf(text, TARGET_TEXT_MAX, "unix:%s", t->path);
    else if (strchr(t->host, ':'))
        snprintf(text, TARGET_TEXT_MAX, "%s[%s]:%u", udp, t->host, t->port);
    else
        snprintf(text, TARGET_TEXT_MAX, "%s%s:%u", udp, t->host[0] ? t->host : "*", t->port);
}

bool target_is_loopback(const struct target *t)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (t->kind == TARGET_UNIX || strcasecmp(t->host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, t->host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    if (!v6_of(t->host, &v6))
        return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) ||
           (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
}

bool target_equal(const struct target *a, const struct target *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == TARGET_UNIX)
        return strcmp(a->path, b->path) == 0;
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}
