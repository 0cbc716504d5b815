/* netwatch.h: tells when the network changed or the machine woke (rtnetlink; CLOCK_BOOTTIME
 * running ahead of CLOCK_MONOTONIC). */
#ifndef NET_NETWATCH_H
#define NET_NETWATCH_H

#include "core/loop.h"

enum netwatch_event { NETWATCH_CHANGED, NETWATCH_WOKE };

struct netwatch;
typedef void netwatch_fn(void *arg, enum netwatch_event event);
/* Changes that come together (a burst of addresses and routes) are told once, 200 ms after
 * the last. NULL with errno. */
struct netwatch *netwatch_new(struct loop *loop, netwatch_fn *fn, void *arg);
void netwatch_free(struct netwatch *w);

#endif
