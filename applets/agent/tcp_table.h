/* tcp_table.h: who listens, by the text of /proc/net/tcp and /proc/net/tcp6. */
#ifndef AGENT_TCP_TABLE_H
#define AGENT_TCP_TABLE_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tcp_listener {
    /* Where it is reached from this machine: "localhost", or the one address it listens on. */
    char host[INET6_ADDRSTRLEN];
    uint16_t port;
    uid_t uid;
    unsigned long inode; /* of its socket */
};

/* The next listener in the table; *text moves behind its line. False at the end. Lines that
 * are none, the heading among them, are passed over. */
bool tcp_table_next(const char **text, struct tcp_listener *l);

#endif
