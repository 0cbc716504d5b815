#include "applets/agent/tcp_table.h"

#include <stdio.h>
#include <string.h>

#define LISTENING 10 /* the state's number (net/tcp_states.h) */

/* Words of 8 hex digits, each an u32 as it lies in memory. */
static int read_words(const char *hex, uint32_t words[static 4])
{
    return sscanf(hex, "%8x%8x%8x%8x", &words[0], &words[1], &words[2], &words[3]);
}

static bool is_everywhere_or_loopback(int family, const uint32_t *words)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (family == AF_INET) {
        memcpy(&v4, words, sizeof v4);
        return v4.s_addr == INADDR_ANY || ntohl(v4.s_addr) >> 24 == 127;
    }
    memcpy(&v6, words, sizeof v6);
    /* A link-local one would need its scope, which the table does not tell. */
    return IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_V4MAPPED(&v6) ||
           IN6_IS_ADDR_LINKLOCAL(&v6);
}

static bool set_host(struct tcp_listener *l, const char *hex)
{
    uint32_t words[4] = {0};
    int n = read_words(hex, words), family = n == 4 ? AF_INET6 : AF_INET;
    if (n != 1 && n != 4)
        return false;
    if (is_everywhere_or_loopback(family, words))
        snprintf(l->host, sizeof l->host, "localhost");
    else
        inet_ntop(family, words, l->host, sizeof l->host);
    return true;
}

static bool read_line(const char *line, struct tcp_listener *l)
{
    char address[33];
    unsigned port, state, uid;
    if (sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu",
               address, &port, &state, &uid, &l->inode) != 5 ||
        state != LISTENING || port > UINT16_MAX)
        return false;
    l->port = (uint16_t)port;
    l->uid = uid;
    return set_host(l, address);
}

bool tcp_table_next(const char **text, struct tcp_listener *l)
{
    while (**text) {
        char line[256];
        size_t len = strcspn(*text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)(len < sizeof line ? len : sizeof line - 1),
                 *text);
        *text += len + ((*text)[len] == '\n');
        if (read_line(line, l))
            return true;
    }
    return false;
}
