/* netwatch.h: tells when the network changed or the machine woke (rtnetlink; CLOCK_BOOTTIME
 * running ahead of CLOCK_MONOTONIC). */
#ifndef NET_NETWATCH_H
#define NET_NETWATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"

/* A link went up or down, an address or a default route came or went. STIRRED: just now, and
 * more may follow; CHANGED: and it has settled. */
enum netwatch_event { NETWATCH_STIRRED, NETWATCH_CHANGED, NETWATCH_WOKE };

struct netwatch;
typedef void netwatch_fn(void *arg, enum netwatch_event event);
/* Of changes that come together (a burst of addresses and routes) CHANGED is told once, 200 ms
 * after the last. NULL with errno, where netlink is not to be had. */
struct netwatch *netwatch_new(struct loop *loop, netwatch_fn *fn, void *arg);
void netwatch_free(struct netwatch *w); /* NULL is fine */

/* What is told apart by clocks: *ahead_ms is how far CLOCK_BOOTTIME was ahead of
 * CLOCK_MONOTONIC, and is brought up to date; true when it grew by more than 2 s. */
bool netwatch_slept(int64_t *ahead_ms, int64_t boot_ms, int64_t monotonic_ms);

#endif
