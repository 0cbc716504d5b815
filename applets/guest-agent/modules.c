#include "applets/guest-agent/modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"

/* From linux/module.h, since Linux 5.17. */
#define INIT_COMPRESSED_FILE 4

/* A distribution's whole tree has 12 levels and 10 000 entries. */
#define DEPTH_MAX   16
#define ENTRIES_MAX 100000

static const struct {
    unsigned set;
    const char *name, *evidence;
} rows[] = {
#define MODULE_ROW(set, name, evidence) {set, #name, evidence},
    MODULE_NAMES(MODULE_ROW)
#undef MODULE_ROW
};

static const char *const suffixes[] = {
    [MODULE_PLAIN] = ".ko",
    [MODULE_GZ] = ".ko.gz",
    [MODULE_XZ] = ".ko.xz",
    [MODULE_ZST] = ".ko.zst",
};

const char *modules_name(int id)
{
    return rows[id].name;
}

/* ---- which file is which module ---- */

static bool is_name(const char *name, const char *file, size_t len)
{
    if (strlen(name) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((file[i] == '-' ? '_' : file[i]) != name[i])
            return false;
    return true;
}

static int find_name(const char *file, size_t len)
{
    for (int id = 0; id < MODULES_COUNT; id++)
        if (is_name(rows[id].name, file, len))
            return id;
    return -1;
}

int modules_match(const char *file, enum module_packing *packing)
{
    size_t len = strlen(file);
    for (unsigned i = 0; i < countof(suffixes); i++) {
        size_t tail = strlen(suffixes[i]);
        if (len <= tail || strcmp(file + len - tail, suffixes[i]) != 0)
            continue;
        *packing = (enum module_packing)i;
        return find_name(file, len - tail);
    }
    return -1;
}

/* ---- looking for the files ---- */

struct search {
    struct modules *m;
    unsigned entries, missing;
};

static void take_file(struct search *s, int dir, const char *name)
{
    enum module_packing packing;
    int id = modules_match(name, &packing);
    if (id < 0 || s->m->of[id].state != MODULE_MISSING)
        return;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct module *module = &s->m->of[id];
    *module = (struct module){.state = fd < 0 ? MODULE_FAILED : MODULE_FOUND,
                              .error = errno,
                              .packing = packing,
                              .fd = fd};
    s->missing--;
}

static mode_t type_of(int dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return (mode_t)entry->d_type << 12; /* DTTOIF(), whose sign the compilers dispute */
    return fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode & S_IFMT;
}

static bool is_enough(struct search *s)
{
    s->m->cut |= s->entries >= ENTRIES_MAX;
    return s->m->cut || !s->missing;
}

static void search_dir(struct search *s, int fd, unsigned depth);

static void search_entry(struct search *s, int dir, const struct dirent *entry, unsigned depth)
{
    s->entries++;
    switch (type_of(dir, entry)) {
    case S_IFREG: take_file(s, dir, entry->d_name); break;
    case S_IFDIR:
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            search_dir(s,
                       openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW),
                       depth + 1);
        break;
    }
}

/* Takes `fd`, which may be -1. */
static void search_dir(struct search *s, int fd, unsigned depth)
{
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (!dir) {
        mem_cleanup_fd(&fd);
        return;
    }
    s->m->cut |= depth > DEPTH_MAX;
    while (!is_enough(s) && (entry = readdir(dir)))
        search_entry(s, fd, entry, depth);
    closedir(dir);
}

static int open_dir(struct modules *m, const char *dir)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    snprintf(m->dir, sizeof m->dir, "%s/%s", dir, m->release);
    int fd = open(m->dir, flags);
    if (fd >= 0)
        return fd;
    snprintf(m->dir, sizeof m->dir, "%s", dir);
    return open(m->dir, flags);
}

static bool is_there(int id)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/module/%s", rows[id].name);
    return access(path, F_OK) == 0 || (rows[id].evidence && access(rows[id].evidence, F_OK) == 0);
}

static void find_files(struct modules *m, const char *dir, unsigned sets)
{
    struct search s = {.m = m};
    for (int id = 0; id < MODULES_COUNT; id++) {
        if (!(rows[id].set & sets))
            continue;
        m->of[id].state = is_there(id) ? MODULE_THERE : MODULE_MISSING;
        s.missing += m->of[id].state == MODULE_MISSING;
    }
    if (!s.missing)
        return;
    int fd = open_dir(m, dir);
    m->no_dir = fd < 0;
    search_dir(&s, fd, 0);
}

/* ---- loading ---- */

/* Whether anything has changed for those that wait for others. */
static bool load_one(struct modules *m, int id)
{
    struct module *module = &m->of[id];
    /* Without its bus it could only have the kernel complain, symbol by symbol. */
    if (id == MODULE_hv_sock && m->of[MODULE_hv_vmbus].state == MODULE_NO_DEVICE) {
        module->state = MODULE_NO_DEVICE;
        return false;
    }
    int flags = module->packing == MODULE_PLAIN ? 0 : INIT_COMPRESSED_FILE;
    if (syscall(SYS_finit_module, module->fd, "", flags) == 0) {
        module->state = MODULE_LOADED;
        return true;
    }
    module->error = errno;
    switch (errno) {
    case ENOENT: /* a symbol of a module that may come yet */
    case EBUSY: /* somebody else is loading it */ return false;
    case EEXIST: module->state = MODULE_THERE; return true;
    case ENODEV: module->state = MODULE_NO_DEVICE; return false;
    default: module->state = MODULE_FAILED; return false;
    }
}

static bool load_round(struct modules *m)
{
    bool progress = false;
    for (int id = 0; id < MODULES_COUNT; id++)
        if (m->of[id].state == MODULE_FOUND)
            progress |= load_one(m, id);
    return progress;
}

static void finish(struct modules *m)
{
    for (int id = 0; id < MODULES_COUNT; id++) {
        struct module *module = &m->of[id];
        if (module->state == MODULE_FOUND)
            module->state = is_there(id) ? MODULE_THERE : MODULE_FAILED;
        mem_cleanup_fd(&module->fd);
        if (module->state > MODULE_THERE)
            log_trace("module %s: %s", rows[id].name,
                      module->state == MODULE_LOADED ? "loaded" : strerror(module->error));
    }
}

void modules_load(struct modules *m, const char *dir, unsigned sets)
{
    struct utsname self;
    *m = (struct modules){0};
    for (int id = 0; id < MODULES_COUNT; id++)
        m->of[id].fd = -1;
    uname(&self);
    memcpy(m->release, self.release, sizeof m->release);
    find_files(m, dir, sets);
    while (load_round(m))
        ;
    finish(m);
}

/* ---- what is wrong ---- */

static void add_word(struct buf *b, const char *separator, const char *word)
{
    buf_printf(b, "%s%s", b->len ? separator : "", word);
}

static char *finished(struct buf *b)
{
    char *text = b->len ? xstrndup((char *)buf_front(b), b->len) : NULL;
    buf_fini(b);
    return text;
}

/* The names of those that are wanted for more than odd machines, and have no file. */
static char *missing_names(const struct modules *m)
{
    struct buf b = {0};
    for (int id = 0; id < MODULES_COUNT; id++)
        if (m->of[id].state == MODULE_MISSING && rows[id].set != MODULES_OTHER)
            add_word(&b, ", ", rows[id].name);
    return finished(&b);
}

static char *why_failed(const struct modules *m, const struct module *module)
{
    switch (module->error) {
    case ENOSYS: return xstrdup("this kernel loads no modules");
    case EPERM:
        return xstrdup("only root may load modules, and only where the kernel is not locked");
    case ENOENT: return xstrdup("it needs a module that is not there");
    case ENOEXEC: return xasprintf("it is not for this kernel, %s", m->release);
    case EKEYREJECTED: return xstrdup("this kernel wants it signed");
    case EINVAL:
    case EOPNOTSUPP:
        if (module->packing != MODULE_PLAIN)
            return xasprintf("this kernel does not unpack %s files, store it unpacked",
                             suffixes[module->packing]);
    }
    return xstrdup(strerror(module->error));
}

/* The first of them: when one fails, what needs it fails too. */
static char *first_failure(const struct modules *m)
{
    for (int id = 0; id < MODULES_COUNT; id++) {
        const struct module *module = &m->of[id];
        if (module->state != MODULE_FAILED || rows[id].set == MODULES_OTHER)
            continue;
        cleanup_free char *why = why_failed(m, module);
        return xasprintf("%s: %s", rows[id].name, why);
    }
    return NULL;
}

static void say_missing(struct buf *b, const struct modules *m, const char *names)
{
    const char *separator = b->len ? "; " : "";
    if (m->no_dir)
        buf_printf(b, "%sthere is no %s to find %s in", separator, m->dir, names);
    else
        buf_printf(b, "%sno file for %s below %s%s", separator, names, m->dir,
                   m->cut ? ", which holds more than is searched" : "");
    buf_printf(b,
               ": install the modules of this kernel, %s, or have mkinitramfs --modules add them",
               m->release);
}

char *modules_diagnosis(const struct modules *m)
{
    cleanup_free char *missing = missing_names(m), *failure = first_failure(m);
    struct buf b = {0};
    if (failure)
        add_word(&b, "", failure);
    if (missing)
        say_missing(&b, m, missing);
    return finished(&b);
}
