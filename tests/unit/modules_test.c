#include "applets/guest-agent/modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/test.h"

/* Of sets that no machine has all of, so there is always one to be looked for. */
#define SETS (MODULES_OTHER | MODULES_LOCAL | MODULES_NET)

/* A folder of the test's own, and in it the names of one module that this kernel lacks. */
struct place {
    char dir[64];
    int id;
    const char *name;
};

static bool make_place(struct place *p)
{
    struct modules m;
    *p = (struct place){.dir = "/tmp/berth-modules-XXXXXX", .id = -1};
    CHECK(mkdtemp(p->dir));
    modules_load(&m, p->dir, SETS);
    for (int id = 0; id < MODULES_COUNT; id++)
        if (m.of[id].state == MODULE_MISSING)
            p->id = id;
    if (p->id >= 0)
        p->name = modules_name(p->id);
    return p->id >= 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void remove_place(struct place *p)
{
    CHECK_INT(nftw(p->dir, remove_one, 64, FTW_DEPTH | FTW_PHYS), 0);
}

/* Path below the place, as heap text. */
static char *below(const struct place *p, const char *dir, const char *suffix)
{
    cleanup_free char *made = xasprintf("%s/%s", p->dir, dir);
    mkdir(made, 0700);
    return xasprintf("%s/%s%s", made, p->name, suffix);
}

static void write_file(const char *path)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    if (file) {
        fputs("not a module", file);
        fclose(file);
    }
}

static void write_below(const struct place *p, const char *dir, const char *suffix)
{
    cleanup_free char *path = below(p, dir, suffix);
    write_file(path);
}

static enum module_state state_of(const struct place *p)
{
    struct modules m;
    modules_load(&m, p->dir, SETS);
    return m.of[p->id].state;
}

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

TEST(modules_match_names)
{
    static const struct {
        const char *file;
        int id;
        enum module_packing packing;
    } rows[] = {
        {"vsock.ko", MODULE_vsock, MODULE_PLAIN},
        {"vsock.ko.gz", MODULE_vsock, MODULE_GZ},
        {"virtio-pci.ko.xz", MODULE_virtio_pci, MODULE_XZ},
        {"virtio_pci.ko.zst", MODULE_virtio_pci, MODULE_ZST},
        {"vmw-vsock_virtio-transport.ko", MODULE_vmw_vsock_virtio_transport, MODULE_PLAIN},
        {"virtio.ko", MODULE_virtio, MODULE_PLAIN},
        {"vsock", -1, MODULE_PLAIN},
        {"vsock.ko.bz2", -1, MODULE_PLAIN},
        {"vsock.ko.", -1, MODULE_PLAIN},
        {"vsock.kogz", -1, MODULE_PLAIN},
        {"xvsock.ko", -1, MODULE_PLAIN},
        {"vsock_.ko", -1, MODULE_PLAIN},
        {"vsockx.ko", -1, MODULE_PLAIN},
        {"VSOCK.ko", -1, MODULE_PLAIN},
        {"vsock.ko.ko", -1, MODULE_PLAIN},
        {".ko", -1, MODULE_PLAIN},
        {".ko.gz", -1, MODULE_PLAIN},
        {"", -1, MODULE_PLAIN},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        enum module_packing packing = MODULE_PLAIN;
        CHECK_INT(modules_match(rows[i].file, &packing), rows[i].id);
        if (rows[i].id >= 0)
            CHECK_INT(packing, rows[i].packing);
    }
}

TEST(modules_come_after_what_they_need)
{
    CHECK(MODULE_virtio_ring < MODULE_virtio && MODULE_virtio < MODULE_virtio_pci);
    CHECK(MODULE_vsock < MODULE_vmw_vsock_virtio_transport_common);
    CHECK(MODULE_hv_vmbus < MODULE_hv_sock);
    /* Virtio's transport takes the place of the others, device or not. */
    CHECK(MODULE_hv_sock < MODULE_vmw_vsock_virtio_transport);
    CHECK(MODULE_vmw_vsock_vmci_transport < MODULE_vmw_vsock_virtio_transport);
}

TEST(modules_only_those_that_are_wanted)
{
    struct modules m;
    modules_load(&m, "/no/such/folder", 0);
    for (int id = 0; id < MODULES_COUNT; id++)
        CHECK_INT(m.of[id].state, MODULE_UNWANTED);
    CHECK_STR(m.dir, "");
    CHECK(modules_diagnosis(&m) == NULL);
}

/* What is built into other kernels makes no complaint there; loopback's is here for sure. */
TEST(modules_diagnosis_of_no_folder)
{
    struct modules m = {.no_dir = true, .dir = "/lib/modules", .release = "6.1"};
    m.of[MODULE_vsock].state = m.of[MODULE_vsock_loopback].state = MODULE_MISSING;
    m.of[MODULE_hv_sock].state = MODULE_MISSING;
    cleanup_free char *text = modules_diagnosis(&m);
    CHECK_STR(text,
              "there is no /lib/modules to find vsock, vsock_loopback in: install the modules "
              "of this kernel, 6.1, or have mkinitramfs --modules add them");
}

TEST(modules_diagnosis_of_failures)
{
    static const struct {
        int error;
        enum module_packing packing;
        const char *text;
    } rows[] = {
        {ENOSYS, MODULE_PLAIN, "virtio: this kernel loads no modules"},
        {EPERM, MODULE_PLAIN,
         "virtio: only root may load modules, and only where the kernel is not locked"},
        {ENOENT, MODULE_PLAIN, "virtio: it needs a module that is not there"},
        {ENOEXEC, MODULE_GZ, "virtio: it is not for this kernel, 6.1"},
        {EKEYREJECTED, MODULE_PLAIN, "virtio: this kernel wants it signed"},
        {EOPNOTSUPP, MODULE_XZ,
         "virtio: this kernel does not unpack .ko.xz files, store it unpacked"},
        {EINVAL, MODULE_ZST,
         "virtio: this kernel does not unpack .ko.zst files, store it unpacked"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct modules m = {.dir = "/lib/modules/6.1", .release = "6.1"};
        m.of[MODULE_virtio] = (struct module){
            .state = MODULE_FAILED, .error = rows[i].error, .packing = rows[i].packing};
        m.of[MODULE_vsock] = (struct module){.state = MODULE_FAILED, .error = ENOENT};
        m.of[MODULE_hv_vmbus].state = MODULE_NO_DEVICE;
        cleanup_free char *text = modules_diagnosis(&m);
        CHECK_STR(text, rows[i].text);
    }
}

TEST(modules_are_missed_in_an_empty_folder)
{
    struct place p;
    struct modules m;
    if (make_place(&p)) {
        modules_load(&m, p.dir, SETS);
        CHECK_INT(m.of[p.id].state, MODULE_MISSING);
        CHECK_STR(m.dir, p.dir);
        CHECK(!m.no_dir && !m.cut);
        modules_load(&m, "/no/such/folder", SETS);
        CHECK(m.no_dir);
    }
    remove_place(&p);
}

TEST(modules_are_found_and_refused)
{
    struct place p;
    struct modules m;
    unsigned before = descriptors();
    if (make_place(&p)) {
        write_below(&p, "kernel", ".ko.xz");
        modules_load(&m, p.dir, SETS);
        CHECK_INT(m.of[p.id].state, MODULE_FAILED);
        CHECK_INT(m.of[p.id].packing, MODULE_XZ);
        CHECK(m.of[p.id].error != 0);
    }
    CHECK_INT(descriptors(), before);
    remove_place(&p);
}

TEST(modules_of_the_running_kernel_come_first)
{
    struct place p;
    struct modules m;
    if (make_place(&p)) {
        modules_load(&m, p.dir, SETS);
        cleanup_free char *own = xasprintf("%s/%s", p.dir, m.release);
        mkdir(own, 0700);
        write_below(&p, "other", ".ko");
        modules_load(&m, p.dir, SETS);
        CHECK_INT(m.of[p.id].state, MODULE_MISSING);
        CHECK_STR(m.dir, own);
        write_below(&p, m.release, ".ko");
        CHECK_INT(state_of(&p), MODULE_FAILED);
    }
    remove_place(&p);
}

TEST(modules_search_follows_no_link)
{
    struct place p, outside;
    if (make_place(&p) && make_place(&outside)) {
        write_below(&outside, "kernel", ".ko");
        cleanup_free char *file = below(&outside, "kernel", ".ko");
        cleanup_free char *file_link = below(&p, "kernel", ".ko");
        cleanup_free char *dir_link = below(&p, "kernel", "");
        CHECK_INT(symlink(file, file_link), 0);
        CHECK_INT(symlink(outside.dir, dir_link), 0);
        CHECK_INT(state_of(&p), MODULE_MISSING);
    }
    remove_place(&p);
    remove_place(&outside);
}

TEST(modules_that_are_no_files)
{
    struct place p;
    if (make_place(&p)) {
        cleanup_free char *fifo = below(&p, "a", ".ko"), *dir = below(&p, "b", ".ko");
        CHECK_INT(mkfifo(fifo, 0600), 0);
        CHECK_INT(mkdir(dir, 0700), 0);
        CHECK_INT(state_of(&p), MODULE_MISSING);
    }
    remove_place(&p);
}

TEST(modules_search_has_a_bottom)
{
    struct place p;
    struct modules m;
    if (make_place(&p)) {
        cleanup_free char *dir = xstrdup("d");
        for (int depth = 0; depth < 40; depth++) {
            free(below(&p, dir, ""));
            cleanup_free char *upper = dir;
            dir = xasprintf("%s/d", upper);
        }
        write_below(&p, dir, ".ko");
        modules_load(&m, p.dir, SETS);
        CHECK_INT(m.of[p.id].state, MODULE_MISSING);
        CHECK(m.cut);
    }
    remove_place(&p);
}
