/* ssh_peer.h: where an ssh process is connected to, whatever names and settings led it there. */
#ifndef NET_SSH_PEER_H
#define NET_SSH_PEER_H

#include <netinet/in.h>
#include <sys/types.h>

union ssh_peer {
    struct sockaddr sa; /* AF_INET or AF_INET6; the port is ssh's */
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* By /proc, for a process of this user's own. 0, or -1 with errno ENOENT: it has no connection of
 * its own, but goes through a jump host or another program. */
int ssh_peer_of(pid_t pid, union ssh_peer *peer);

/* The next established connection in the text of /proc/PID/net/tcp or tcp6; *text moves behind its
 * line. 1, or 0 at the end. Lines that are none are passed over. */
int ssh_peer_next(const char **text, union ssh_peer *peer, unsigned long *inode);

#endif
