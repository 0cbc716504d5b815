/* mounts.h: the file systems that a machine's first process mounts and lets go of again. */
#ifndef GUEST_AGENT_MOUNTS_H
#define GUEST_AGENT_MOUNTS_H

#include <stdbool.h>

/* /proc, /sys, /dev with its nodes and links, /dev/pts, /dev/shm, each where nothing is mounted
 * yet; with `machine`, when no runtime has laid out the place, /run and /tmp too. What cannot be
 * mounted is logged, unless it is only not permitted. */
void mounts_make(bool machine);

/* Lets go of what mounts_make() mounted; with `machine`, of every file system there is, and what
 * is still in use becomes read-only. Nothing but this process may be running. */
void mounts_drop(bool machine);

#endif
