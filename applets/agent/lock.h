/* lock.h: at most one agent lives at a socket path, and at most one is being started there.
 *
 * Beside each socket lies PATH.lock with two locks on it (fcntl's OFD locks, gone with their
 * holder): an agent holds ALIVE from before it binds until after it has removed its socket,
 * so whoever gets ALIVE may remove a stale socket; who starts an agent holds STARTING, so that
 * of two who find none, one starts it and the other then finds it. */
#ifndef AGENT_LOCK_H
#define AGENT_LOCK_H

#include <stdbool.h>

enum lock_part { LOCK_ALIVE, LOCK_STARTING };

/* Opens the lock file beside `socket_path` and takes a part, waiting for it when `wait`. A
 * descriptor that holds it, or -1 with errno: EPERM where the file is not this user's own,
 * EAGAIN where another process holds it, EINTR. */
int lock_take(const char *socket_path, enum lock_part part, bool wait);
/* Removes the file; for the agent, still holding ALIVE. */
void lock_remove(const char *socket_path);

#endif
