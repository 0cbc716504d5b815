#include "net/ssh_peer.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"

#define SOCKETS_MAX     16
#define TABLE_MAX       (4u << 20) /* bytes */
#define TCP_ESTABLISHED 1

/* ---- its sockets ---- */

static size_t list_sockets(pid_t pid, unsigned long inodes[static SOCKETS_MAX])
{
    cleanup_free char *path = xasprintf("/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    size_t n = 0;
    for (const struct dirent *e; dir && n < SOCKETS_MAX && (e = readdir(dir));) {
        char link[64];
        ssize_t len = readlinkat(dirfd(dir), e->d_name, link, sizeof link - 1);
        if (len <= 0)
            continue;
        link[len] = '\0';
        if (sscanf(link, "socket:[%lu]", &inodes[n]) == 1)
            n++;
    }
    if (dir)
        closedir(dir);
    return n;
}

/* ---- the table ---- */

/* Words of 32 bits as the machine has them in memory. */
static bool read_words(const char *hex, size_t n, uint32_t *words)
{
    for (size_t i = 0; i < n; i++)
        if (sscanf(hex + 8 * i, "%8x", &words[i]) != 1)
            return false;
    return true;
}

static bool set_address(union ssh_peer *peer, const char *hex, unsigned port)
{
    uint32_t words[4];
    size_t n = strlen(hex) / 8;
    *peer = (union ssh_peer){0};
    if ((n != 1 && n != 4) || !read_words(hex, n, words))
        return false;
    if (n == 4 && IN6_IS_ADDR_V4MAPPED((struct in6_addr *)(void *)words))
        words[0] = words[3];
    else if (n == 4) {
        peer->in6.sin6_family = AF_INET6;
        peer->in6.sin6_port = htons((uint16_t)port);
        memcpy(&peer->in6.sin6_addr, words, sizeof words);
        return true;
    }
    peer->in.sin_family = AF_INET;
    peer->in.sin_port = htons((uint16_t)port);
    peer->in.sin_addr.s_addr = words[0];
    return true;
}

int ssh_peer_next(const char **text, union ssh_peer *peer, unsigned long *inode)
{
    while (**text) {
        const char *line = *text;
        char hex[33];
        unsigned port, state;
        *text += strcspn(line, "\n");
        *text += **text == '\n';
        if (sscanf(line,
                   " %*d: %*[0-9A-F]:%*x %32[0-9A-F]:%4x %2x %*[0-9A-F:] %*[0-9A-F:] %*x %*u %*u "
                   "%lu",
                   hex, &port, &state, inode) == 4 &&
            state == TCP_ESTABLISHED && set_address(peer, hex, port))
            return 1;
    }
    return 0;
}

int ssh_peer_of(pid_t pid, union ssh_peer *peer)
{
    static const char *const tables[] = {"tcp", "tcp6"};
    unsigned long inodes[SOCKETS_MAX], inode;
    size_t n = list_sockets(pid, inodes);
    for (size_t i = 0; i < countof(tables); i++) {
        cleanup_free char *path = xasprintf("/proc/%d/net/%s", (int)pid, tables[i]);
        cleanup_free char *table = path_read(path, TABLE_MAX, NULL);
        for (const char *at = table; at && ssh_peer_next(&at, peer, &inode);)
            for (size_t k = 0; k < n; k++)
                if (inodes[k] == inode)
                    return 0;
    }
    errno = ENOENT;
    return -1;
}
