/* modules.h: the kernel modules that vsock and the network need, found below a directory and
 * loaded, without modprobe and without its index files.
 *
 * A file is NAME.ko, or that with .gz, .xz or .zst behind it where the kernel unpacks them itself;
 * '-' and '_' are the same in NAME. The names are those of module_names.h. */
#ifndef GUEST_AGENT_MODULES_H
#define GUEST_AGENT_MODULES_H

#include <stdbool.h>

#include "applets/guest-agent/module_names.h"

#define MODULES_DIR "/lib/modules"

#define MODULE_ID(set, name, evidence) MODULE_##name,
enum { MODULE_NAMES(MODULE_ID) MODULES_COUNT };
#undef MODULE_ID

enum {
    MODULES_VSOCK =
        1, /* without them there is no vsock under QEMU, Firecracker, Cloud Hypervisor */
    MODULES_OTHER = 2, /* other buses and hypervisors: not missed where they are not */
    MODULES_LOCAL = 4, /* vsock within one machine */
    MODULES_NET = 8
};

enum module_packing { MODULE_PLAIN, MODULE_GZ, MODULE_XZ, MODULE_ZST };

/* Which of MODULE_… a file's name (without directory) belongs to, or -1. */
int modules_match(const char *file, enum module_packing *packing);
const char *modules_name(int id);

enum module_state {
    MODULE_UNWANTED,
    MODULE_MISSING,   /* no file */
    MODULE_FOUND,     /* only while loading */
    MODULE_THERE,     /* was loaded already, or is built in */
    MODULE_LOADED,    /* by us */
    MODULE_NO_DEVICE, /* not for this machine */
    MODULE_FAILED     /* `error` says why; ENOENT: it needs another module that is not there */
};

struct modules {
    struct module {
        enum module_state state;
        enum module_packing packing;
        int error;
        int fd; /* only while loading */
    } of[MODULES_COUNT];
    bool no_dir;      /* the directory could not be opened */
    bool cut;         /* it holds more than is searched */
    char dir[256];    /* that was searched; "" when there was nothing to search for */
    char release[65]; /* the kernel's */
};

/* Loads what is wanted (`sets`, of MODULES_VSOCK…, or-ed) and not there yet. Looks below
 * DIR/RELEASE where that exists, RELEASE being the running kernel's, else below DIR; follows no
 * symbolic link below it. Never fails: what became of each module stands in `m`. */
void modules_load(struct modules *m, const char *dir, unsigned sets);

/* One line, as heap text, of what was wanted and is not to be had, and the remedy; NULL when
 * nothing is. */
char *modules_diagnosis(const struct modules *m);

#endif
