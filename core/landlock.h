/* landlock.h: what a process, and all it starts, may still reach of the file system and the network.
 *
 * Source: Documentation/userspace-api/landlock.rst. What a newer kernel could restrict, and this one
 * cannot, is left as it is: the number that landlock_restrict() returns says how far this one goes. */
#ifndef CORE_LANDLOCK_H
#define CORE_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>

enum landlock_access {
    LANDLOCK_READ = 1,    /* files and lists of what is in a directory */
    LANDLOCK_WRITE = 2,   /* files' contents; making, removing and renaming what is below */
    LANDLOCK_EXECUTE = 4, /* running what is below */
};

struct landlock_path {
    const char *path; /* this, and if it is a directory all below; what is not there is skipped */
    int access;       /* of landlock_access */
};

struct landlock_spec {
    const struct landlock_path *paths; /* nothing else of the file system can be opened */
    size_t count;
    bool may_connect; /* TCP: else neither connect nor bind a port (kernel 6.7) */
    bool may_bind;
};

/* For this thread and those that it starts, for good; no privilege is gained by exec from then on.
 * Descriptors that are open stay as they are. Signals and abstract unix sockets of processes outside
 * are out of reach too (kernel 6.12). Returns the kernel's version of Landlock (1 and up), or -1:
 * ENOSYS, EOPNOTSUPP: this kernel has none, and nothing was restricted. */
int landlock_restrict(const struct landlock_spec *spec);

#endif
